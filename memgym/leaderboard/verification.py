"""Which submissions of a folder hold: each is verified here, once for each state of the code.

What was found is kept in the user's cache folder, under the hashes of the file and of all the code
that verifies; never beside the submissions, where a stranger could put it. A submission that was
refused is tried again each time.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import memgym
import memgym.agents
import memgym.baselines
import memgym.benchmarks
from memgym.agents.chat.store import default_cache_folder
from memgym.atomic import write_whole
from memgym.benchmarks.suites import SUITES, Suite
from memgym.errors import UsageError
from memgym.submissions.isolated import verify
from memgym.submissions.refusal import RefusedError
from memgym.submissions.verified import Verified

__all__ = ["SUFFIX", "Checked", "checked_folder"]

SUFFIX = ".zip"
_NOT_VERIFYING = ("cli", "leaderboard", "viewer")


@dataclass(frozen=True, slots=True)
class Checked:
    """A file of the folder, and what it is.

    Attributes:
        file: The file.
        verified: What was verified, ``None`` if it does not hold.
        reason: Why it does not; ``""`` if it does.
    """

    file: Path
    verified: Verified | None
    reason: str = ""


def checked_folder(
    folder: Path,
    *,
    data: Path | None = None,
    suites: Mapping[str, Suite] = SUITES,
    told: Callable[[int, int], None] | None = None,
) -> list[Checked]:
    """Verify every submission of a folder, in the order of file names.

    Args:
        folder: Its files ``*.zip`` are the submissions; folders in it are not looked at.
        data: Folder with one subfolder per real source.
        suites: Every suite by name.
        told: Called after each with their number so far and in all.

    Raises:
        UsageError: there is no such folder, or no submission in it.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; name one with submissions, made by memgym submit")
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if not files:
        raise UsageError(f"{folder} holds no submissions (*{SUFFIX}); memgym submit makes them")
    found = []
    for number, checked in enumerate(_checked(files, data, suites), 1):
        found.append(checked)
        if told:
            told(number, len(files))
    return found


def _checked(
    files: Sequence[Path], data: Path | None, suites: Mapping[str, Suite]
) -> Iterator[Checked]:
    known: dict[str, Path] = {}
    for file in files:
        if file.is_symlink() or not file.is_file():
            yield Checked(file, None, "it is no plain file")
            continue
        digest = _file_digest(file)
        if digest in known:
            yield Checked(file, None, f"it is the same file as {known[digest].name}")
            continue
        known[digest] = file
        found = _verified(file, digest, data, suites)
        if found.verified:
            trajectory = found.verified.trajectory
            if trajectory in known:  # under other names, or with another card
                found = Checked(file, None, f"its episodes are those of {known[trajectory].name}")
            else:
                known[trajectory] = file
        yield found


def _verified(file: Path, digest: str, data: Path | None, suites: Mapping[str, Suite]) -> Checked:
    means = hashlib.sha256(f"{_code_digest()} {data} {suites}".encode()).hexdigest()[:16]
    kept = default_cache_folder() / "verified" / f"{digest}-{means}.json"
    try:
        return Checked(file, Verified.from_json(kept.read_text(encoding="utf-8")))
    except (OSError, UsageError):
        pass  # not kept, or not whole: it is verified now
    try:
        verified = verify(file, data=data, suites=suites)
    except (RefusedError, UsageError) as error:  # the latter: its suite's data are not here
        return Checked(file, None, str(error))
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_whole(kept, verified.to_json())
    return Checked(file, verified)


def _file_digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@cache
def _code_digest() -> str:
    """Return a digest of all code that a verification depends on."""
    content = hashlib.sha256(f"{memgym.__version__} {np.__version__}".encode())
    for package in (memgym, memgym.agents, memgym.baselines, memgym.benchmarks):
        folder = Path(next(iter(package.__path__)))
        for file in sorted(folder.rglob("*.py")):
            name = file.relative_to(folder).as_posix()
            if package is not memgym or name.split("/")[0] not in _NOT_VERIFYING:
                content.update(f"{package.__name__}/{name}\n".encode() + file.read_bytes())
    return content.hexdigest()
