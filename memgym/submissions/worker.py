"""The process in which a stranger's submission is replayed, started by :mod:`.isolated`.

It reads what to do from its standard input, sets its own limits, works in the folder it was started
in, and leaves one file there. What it prints is for people.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memgym.benchmarks.suites import SUITES, Entry, Suite
from memgym.errors import UsageError
from memgym.submissions.checking import check_submission
from memgym.submissions.isolated import VERDICT
from memgym.submissions.refusal import RefusedError, quoted

__all__ = ["main"]


def main() -> None:
    """Verify one submission and write the verdict."""
    asked = json.load(sys.stdin)
    _limit(asked["memory_bytes"], asked["seconds"], asked["file_bytes"])
    verdict: dict[str, Any]
    try:
        verdict = {"verified": _verified(asked)}
    except RefusedError as error:
        verdict = {"refused": list(error.reasons)}
    except UsageError as error:
        verdict = {"usage": str(error)}
    except MemoryError:
        verdict = {"refused": [f"replaying it takes more than {asked['memory_bytes']:,} bytes"]}
    except Exception as error:  # a file of a stranger must not decide how a verifier ends
        reason = quoted(f"{type(error).__name__}: {error}")
        verdict = {"refused": [f"replaying it broke off, which is a fault of memgym: {reason}"]}
    Path(VERDICT).write_text(json.dumps(verdict), encoding="utf-8")


def _verified(asked: Mapping[str, Any]) -> str:
    suites = SUITES if asked["suites"] is None else {x["name"]: _suite(x) for x in asked["suites"]}
    found = check_submission(Path(asked["path"]), Path.cwd(), data=asked["data"], suites=suites)
    return found.to_json()


def _suite(plain: Mapping[str, Any]) -> Suite:
    return Suite(**{**plain, "entries": tuple(Entry(**entry) for entry in plain["entries"])})


def _limit(memory_bytes: int, seconds: int, file_bytes: int) -> None:
    """Limit this process, where the system knows limits."""
    try:
        import resource
    except ImportError:  # Windows; the time is limited from outside
        return
    limits = {
        resource.RLIMIT_AS: (memory_bytes, memory_bytes),
        # At the first the system says why it ends the process.
        resource.RLIMIT_CPU: (seconds, seconds + 5),
        resource.RLIMIT_FSIZE: (file_bytes, file_bytes),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, (soft, hard) in limits.items():
        _, most = resource.getrlimit(kind)
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)  # noqa: PLW2901
        resource.setrlimit(kind, (soft, hard))


if __name__ == "__main__":
    main()
