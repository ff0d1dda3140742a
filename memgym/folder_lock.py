"""A lock that one process holds on a run's folder, so that no second one does the same work."""

import errno
from pathlib import Path
from typing import IO

from memgym.errors import UsageError

__all__ = ["hold_lock"]


def hold_lock(file: IO[bytes], folder: Path) -> None:
    """Lock an open file until it is closed, or the process ends in whatever way.

    Where the system or the file system has no such locks, nothing is held.

    Args:
        file: A file in the folder, open for writing.
        folder: Whose run the lock stands for, for the message.

    Raises:
        UsageError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        return  # Windows
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            f"another process is playing the run in {folder}; wait for it, or give another folder "
            "with --out"
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
