"""Verifying files of strangers: in a fresh process, with limits, in a folder that is then removed.

The process has no keys in its environment, starts in an empty folder, and may take so much memory,
time and disk and no more. What is wrong with a file can so do no more than have it refused.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memgym.benchmarks.suites import Suite
from memgym.errors import UsageError
from memgym.secret_settings import is_secret
from memgym.submissions.refusal import RefusedError, quoted
from memgym.submissions.verified import Verified

__all__ = ["VERDICT", "Limits", "environment", "verify"]

VERDICT = "verdict.json"
"""What the process leaves in the folder where it works."""

_FILE_BYTES = 2**30  # largest file that the process may write: the traces are at most half of it
_GRACE_SECONDS = 60  # of waiting beyond the seconds of computing
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Limits:
    """What verifying one submission may take.

    Attributes:
        memory_bytes: Address space of the process.
        seconds: Processor time; the wall time may be twice that and a minute.
    """

    memory_bytes: int = 8 * 2**30
    seconds: int = 3_600


def verify(
    path: Path | str,
    *,
    data: Path | str | None = None,
    suites: Mapping[str, Suite] | None = None,
    limits: Limits | None = None,
) -> Verified:
    """Replay a submission in a process of its own and return what it is.

    Args:
        path: The file.
        data: Folder with the data of real sources, if its suite needs any.
        suites: Every suite by name; by default those of memgym.
        limits: What it may take.

    Raises:
        RefusedError: the submission does not hold; with the reason.
        UsageError: there is no such file, or the data of its suite are not here.
    """
    given = limits or Limits()
    asked = {
        "path": str(Path(path).absolute()),
        "data": None if data is None else str(Path(data).absolute()),
        "suites": None if suites is None else [_plain(suite) for suite in suites.values()],
        "memory_bytes": given.memory_bytes,
        "seconds": given.seconds,
        "file_bytes": _FILE_BYTES,
    }
    with tempfile.TemporaryDirectory(prefix="memgym-verify-") as folder:
        return _verdict(Path(folder), asked, given)


def environment(folder: str) -> dict[str, str]:
    """Return the variables of the process: those of this one but the keys among them.

    Args:
        folder: Where it puts temporary files.
    """
    kept = {name: value for name, value in os.environ.items() if not is_secret(name, value)}
    return {**kept, **_ONE_THREAD, "TMPDIR": folder}


def _plain(suite: Suite) -> dict[str, Any]:
    return asdict(suite)


def _verdict(folder: Path, asked: Mapping[str, Any], limits: Limits) -> Verified:
    try:
        ended = subprocess.run(
            # -P: modules are not looked for in the folder where it works.
            [sys.executable, "-P", "-m", "memgym.submissions.worker"],
            input=json.dumps(asked),
            cwd=folder,
            env=environment(str(folder)),
            capture_output=True,
            text=True,
            timeout=2 * limits.seconds + _GRACE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RefusedError(_too_long(limits)) from error
    file = folder / VERDICT
    if ended.returncode or not file.is_file():
        raise RefusedError(_broken_off(ended, limits))
    found = json.loads(file.read_text(encoding="utf-8"))
    if "usage" in found:
        raise UsageError(found["usage"])
    if "refused" in found:
        raise RefusedError(*found["refused"])
    return Verified.from_json(found["verified"])


def _broken_off(ended: "subprocess.CompletedProcess[str]", limits: Limits) -> str:
    if ended.returncode < 0 and "CPU" in _signal_name(-ended.returncode):
        return _too_long(limits)
    last = ended.stderr.strip().splitlines()[-1:] or [f"exit code {ended.returncode}"]
    return f"replaying it broke off: {quoted(last[0])}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _too_long(limits: Limits) -> str:
    return f"replaying it takes more than {limits.seconds:,} seconds"
