"""The one file of a submission: a zip of exactly three stored members, with nothing around them.

Members are stored, not compressed, one after another from the first byte to the last, without
comments, extra fields or flags; so there is no zip bomb, no symbolic link, no path and no hidden
content to look out for. The traces inside are compressed by themselves; how much comes out of them
is bounded where they are read (:func:`memgym.traces.format.read_traces`).
"""

import hashlib
import io
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from memgym.errors import UsageError
from memgym.submissions.refusal import RefusedError, quoted

__all__ = ["CARD", "MANIFEST", "TRACES", "Archive", "packed"]

MANIFEST, TRACES, CARD = "manifest.json", "traces.jsonl.gz", "card.md"
_MEMBERS = (CARD, MANIFEST, TRACES)  # sorted: the order in the file
_MOST_BYTES = {CARD: 65_536, MANIFEST: 262_144, TRACES: 512 * 2**20}
_FILE_BYTES = sum(_MOST_BYTES.values())
_BLOCK = 2**16

_LOCAL_HEADER, _CENTRAL_HEADER, _END = 30, 46, 22  # bytes, without names
_DATE = (1980, 1, 1, 0, 0, 0)
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_UNIX = 3
_ZIP64_LOCATOR = 20
_MOST_MEMBERS, _MOST_DIRECTORY_BYTES = 16, 16_384


def packed(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of the three members: the same bytes for the same members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in _MEMBERS:
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = _UNIX, _ATTRIBUTES
            archive.writestr(info, members[name])
    return content.getvalue()


class Archive:
    """The members of a submission, read from an open file; a context manager.

    Args:
        path: The submission.

    Attributes:
        sha256: Of the whole file, hex.

    Raises:
        UsageError: there is no such file.
        RefusedError: it is no archive as the module describes.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError(f"no file {path}; name a submission, made by memgym submit")
        size = path.stat().st_size
        if size > _FILE_BYTES:
            raise RefusedError(f"the file has {size:,} bytes, at most {_FILE_BYTES:,} are read")
        self._file = path.open("rb")
        try:
            self.sha256 = _digest(self._file)
            self._zip = _opened(self._file, size)
            _check_layout(self._zip, size)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def read(self, name: str) -> bytes:
        """Return a member whole: the manifest or the card.

        Raises:
            RefusedError: it is damaged.
        """
        return b"".join(self._blocks(name))

    def digest(self, name: str) -> str:
        """Return the sha256 of a member, hex.

        Raises:
            RefusedError: it is damaged.
        """
        found = hashlib.sha256()
        for block in self._blocks(name):
            found.update(block)
        return found.hexdigest()

    def _blocks(self, name: str) -> Iterator[bytes]:
        try:
            with self._zip.open(name) as member:
                while block := member.read(_BLOCK):
                    yield block
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise RefusedError(f"{name} is damaged: {quoted(str(error))}") from error

    def extract(self, name: str, folder: Path) -> Path:
        """Write a member into a folder under its own name, one of ours, and return the file.

        Raises:
            RefusedError: it is damaged.
        """
        path = folder / name
        with path.open("xb") as file:
            file.writelines(self._blocks(name))
        return path


def _digest(file: IO[bytes]) -> str:
    found = hashlib.sha256()
    while block := file.read(_BLOCK):
        found.update(block)
    file.seek(0)
    return found.hexdigest()


def _opened(file: IO[bytes], size: int) -> zipfile.ZipFile:
    """Open the zip once its end says that its directory is small enough to be read."""
    file.seek(max(0, size - _ZIP64_LOCATOR - _END))
    tail = file.read()
    end = tail[-_END:]
    if len(end) < _END or end[:4] != b"PK\x05\x06":
        raise RefusedError("the file is no whole zip archive: it does not end like one")
    if tail[:-_END][:4] == b"PK\x06\x07":
        raise RefusedError("the archive is of the kind for large files (zip64)")
    members, directory = struct.unpack_from("<HI", end, 10)
    if members > _MOST_MEMBERS or directory > _MOST_DIRECTORY_BYTES:
        raise RefusedError(f"the archive lists {members} members, not {len(_MEMBERS)}")
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # a damaged directory makes zipfile raise nearly anything
        reason = quoted(f"{type(error).__name__}: {error}")
        raise RefusedError(f"the file is no whole zip archive ({reason})") from error


def _check_layout(archive: zipfile.ZipFile, size: int) -> None:
    """Check that the file consists of the three members and nothing else."""
    infos = archive.infolist()
    for info in infos:
        _check_member(info)
    names = [info.filename for info in infos]
    for name in _MEMBERS:
        if names.count(name) != 1:
            raise RefusedError(f"{name} occurs {names.count(name)} times in the archive, not once")
    if tuple(names) != _MEMBERS:
        raise RefusedError(f"members are in another order than {', '.join(_MEMBERS)}")
    offset = 0
    for info in infos:
        if info.header_offset != offset:
            raise RefusedError(f"there is something before the member {info.filename}")
        offset += _LOCAL_HEADER + len(info.filename) + info.file_size
    directory = sum(_CENTRAL_HEADER + len(name) for name in names)
    if archive.comment or offset + directory + _END != size:
        raise RefusedError("there is something in the archive besides its members")


def _check_member(info: zipfile.ZipInfo) -> None:
    """Check one member: its name first, as everything else is about a file of ours."""
    where = f"the member {quoted(info.filename)}"
    if info.filename not in _MEMBERS or info.orig_filename != info.filename:
        raise RefusedError(f"{where} is none of {', '.join(_MEMBERS)}")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise RefusedError(f"{where} is no plain file (a link, a folder or a device)")
    if info.flag_bits & 0x1:
        raise RefusedError(f"{where} is encrypted")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise RefusedError(f"{where} is compressed; members are stored as they are")
    if info.flag_bits or info.extra or info.comment:
        raise RefusedError(f"{where} has flags, extra fields or a comment")
    if info.file_size > _MOST_BYTES[info.filename]:
        most = _MOST_BYTES[info.filename]
        raise RefusedError(f"{where} has {info.file_size:,} bytes, at most {most:,} are read")
