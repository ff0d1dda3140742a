"""Files and folders that are written whole or not at all, whenever the process is killed.

What is being written has the suffix ``.partial`` until it is complete. Not here: several processes
that write the same file.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

__all__ = ["recover_folders", "write_folder", "write_whole"]

_PARTIAL, _NEW = ".partial", ".new"


def write_whole(path: Path, text: str) -> None:
    """Write a file (UTF-8) so that a kill leaves either its old content or all of the new."""
    partial = path.with_name(path.name + _PARTIAL)
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Write a folder so that a kill leaves either its old content or all of the new.

    No system can exchange two folders in one step everywhere. So the complete new folder waits
    under ``<name>.new`` while the old one is removed; :func:`recover_folders` goes on from there.

    Args:
        path: The folder; if it exists it is replaced.
        write: Writes the content into an empty folder that it is given.

    Raises:
        OSError: it cannot be written; what had been written of it is removed.
    """
    partial, new = (path.with_name(path.name + suffix) for suffix in (_PARTIAL, _NEW))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        write(partial)
        for item in sorted(partial.rglob("*")):
            _sync(item)
        _sync(partial)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)  # a full disk needs the room
        raise
    os.replace(partial, new)
    _put(new, path)


def recover_folders(parent: Path) -> None:
    """Finish or undo what :func:`write_folder` and :func:`write_whole` had begun at a kill."""
    for new in sorted(parent.glob(f"*{_NEW}")):
        _put(new, new.with_name(new.name.removesuffix(_NEW)))
    for partial in sorted(parent.glob(f"*{_PARTIAL}")):
        shutil.rmtree(partial) if partial.is_dir() else partial.unlink()


def _put(new: Path, path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
    os.replace(new, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Have the system put a file or a folder's list of names on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such call for folders
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
