"""What tells one model folder from another: its content, not where it lies or what it is called."""

import hashlib
import os
from pathlib import Path
from typing import Any

__all__ = ["folder_digest", "without_folders"]

_WHOLE = 1 << 20  # bytes up to which a file is read as a whole: configurations, templates
_SAMPLES = 256  # places at which a larger one is read
_SAMPLE = 4_096  # bytes read at each


def folder_digest(folder: Path) -> str:
    """Return a digest of a model folder, 16 characters.

    Of every file it takes name and size; of small ones all of the content, of weights blocks that
    are spread evenly over the file, its head and its tail among them. Hidden files, such as what a
    download leaves behind, are left out.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            size = path.stat().st_size
            digest.update(f"{name.as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
            digest.update(_content(path, size))
    return digest.hexdigest()[:16]


def _content(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        if size <= _WHOLE:
            return file.read()
        parts = []
        for number in range(_SAMPLES):
            file.seek((size - _SAMPLE) * number // (_SAMPLES - 1))
            parts.append(file.read(_SAMPLE))
    return b"".join(parts)


def without_folders(value: Any) -> Any:
    """Return a JSON value in which every local path is shortened to its last part."""
    if isinstance(value, str):
        local = os.path.isabs(value) or (os.sep in value and Path(value).exists())
        return Path(value).name if local else value
    if isinstance(value, dict):
        return {name: without_folders(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    return value
