"""Finding and reading raw data files, with errors that name the file and what would be right."""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from memgym.errors import UsageError

__all__ = [
    "bucket",
    "data_path",
    "digest",
    "field",
    "find_files",
    "is_archive",
    "matching_files",
    "read_csv_rows",
    "read_json",
    "read_json_lines",
    "read_lines",
    "read_text",
]


_MOST_BYTES = 1_000_000_000  # of a file that is read whole; its JSON takes about ten times that


def data_path(data: Path | None, folder: str, path: str, source: str, origin: str) -> Path:
    """Return where a source's raw files are: ``path`` if given, else ``data/folder``.

    Args:
        data: The data folder, if any.
        folder: The source's subfolder of it.
        path: A file or folder that the user named (option ``path``); empty if none.
        source: Registry name, for messages.
        origin: How to get the data, for messages: card name and file names.

    Raises:
        UsageError: there is nothing at that place, or no place was named.
    """
    if path:
        found = Path(path).expanduser()
    elif data is None:
        raise UsageError(
            f'source "{source}" needs data: set MEMGYM_DATA (or data=...) to a folder that holds '
            f"{folder}/ with {origin}"
        )
    else:
        found = data / folder
    if not found.exists():
        raise UsageError(f'source "{source}": nothing at {found}; put there {origin}')
    if found.is_file() and is_archive(found):
        raise UsageError(
            f'source "{source}": {found} is an archive; unpack it and name the folder with {origin}'
        )
    return found


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, tar, gzip, bzip2, xz or zstd archive, by its first bytes or name."""
    with path.open("rb") as file:
        start = file.read(6)
    known = (
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\x1f\x8b",
        b"BZh",
        b"\xfd7zXZ\x00",
        b"\x28\xb5\x2f\xfd",
    )
    return start.startswith(known) or path.suffix == ".tar"


def matching_files(path: Path, prefix: str, suffix: str, origin: str) -> list[Path]:
    """Return the files ``prefix*suffix`` in a folder, sorted by name; a file stands for itself.

    Args:
        path: A folder, or one file, which counts if its name matches.
        prefix: Wanted start of the file name, compared in lower case.
        suffix: Wanted end, e.g. ``".json"``.
        origin: What to put there, for messages.

    Raises:
        UsageError: no such file.
    """
    found = find_files(path, prefix, suffix)
    if not found:
        raise UsageError(f"no file {prefix}*{suffix} in {path}; put there {origin}")
    return found


def find_files(path: Path, prefix: str, suffix: str) -> list[Path]:
    """Return what :func:`matching_files` returns, or an empty list."""
    candidates = [path] if path.is_file() else sorted(path.iterdir())
    return [
        file
        for file in candidates
        if file.name.lower().startswith(prefix) and file.name.lower().endswith(suffix)
    ]


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file; a byte-order mark is not part of it.

    Raises:
        UsageError: the file is missing, a folder, not UTF-8, or too large to be read whole.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(
                f"{path} has {path.stat().st_size:,} bytes; it would be read whole, and at most "
                f"{_MOST_BYTES:,} fit: split it into several files"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a UTF-8 text file (byte {error.start})") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """Return the JSON value of a UTF-8 file.

    Raises:
        UsageError: the file is missing, a folder, not UTF-8, or not (whole) JSON.
    """
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path}: not JSON, or cut off: {error}") from error


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the place (file and line, for messages) and the value of every JSON line of a file.

    Raises:
        UsageError: the file cannot be read, or a line is not JSON in UTF-8.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    try:
                        value = json.loads(line.decode("utf-8-sig"))
                    except ValueError as error:  # UnicodeDecodeError is one too
                        raise UsageError(f"{where}: not a JSON line in UTF-8: {error}") from error
                    yield where, value
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def read_lines(path: Path, encoding: str = "utf-8-sig") -> Iterator[tuple[str, str]]:
    """Yield the place (file and line, for messages) and the text of every line, blank ones too.

    Raises:
        UsageError: the file cannot be read, or is not in this encoding.
    """
    try:
        with path.open(encoding=encoding) as file:
            for number, line in enumerate(file, 1):
                yield f"{path}, line {number}", line.strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a UTF-8 text file (byte {error.start})") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def field(record: Any, name: str, kind: type, where: str) -> Any:
    """Return a field of a JSON object.

    Args:
        record: What should be the object.
        name: The wanted field.
        kind: The wanted type of its value.
        where: Names the place in messages: file and record.

    Raises:
        UsageError: the field is missing or has another type.
    """
    if not isinstance(record, dict) or name not in record:
        raise UsageError(f'{where}: missing field "{name}"')
    value = record[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        given = type(value).__name__
        raise UsageError(f'{where}: field "{name}" must be {kind.__name__}, got {given}')
    return value


def read_csv_rows(
    path: Path, columns: Sequence[str], delimiter: str = ","
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the place (file and line, for messages) and the named columns of every CSV row.

    The file is UTF-8 with a header line; the line is the one on which the row ends.

    Raises:
        UsageError: the file cannot be read, lacks a column, or a row lacks a value.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, delimiter=delimiter)
            header = reader.fieldnames or []
            missing = [column for column in columns if column not in header]
            if missing:
                given = ", ".join(header)
                raise UsageError(
                    f"{path}: missing column {', '.join(missing)}; its header is {given}"
                )
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                empty = [column for column in columns if not (row[column] or "").strip()]
                if empty:
                    raise UsageError(f"{where}: empty {empty[0]}")
                yield where, tuple(row[column].strip() for column in columns)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not a UTF-8 text file (byte {error.start})") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except csv.Error as error:
        raise UsageError(f"{path}: not a CSV file: {error}") from error


def digest(*parts: str) -> str:
    """Return a hexadecimal SHA-256 of the parts; different lists give different digests."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def bucket(*parts: str) -> float:
    """Return a number in [0, 1) that depends on the parts alone: stable when rows are added."""
    return int(digest(*parts)[:13], 16) / 16**13
