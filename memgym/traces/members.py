"""The members of a gzip file, one by one, and where each lies. Nothing here knows what they hold.

Python's own reader joins the members of a file, without bounds and without telling where one ends.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from memgym.errors import UsageError

__all__ = ["MAX_RECORD_BYTES", "DamagedError", "Member", "members"]

MAX_RECORD_BYTES = 256 * 2**20
"""Largest record that is read by default, bytes of JSON."""

_PIECE_BYTES = 2**16


class DamagedError(UsageError):
    """A file breaks off within a member, or what should be a member is none."""


class Member(NamedTuple):
    """One member.

    Attributes:
        start: Where it begins, bytes from the beginning of the file.
        length: Bytes that it takes there.
        content: What it holds, unpacked.
    """

    start: int
    length: int
    content: bytes


def members(path: Path, most: int = MAX_RECORD_BYTES) -> Iterator[Member]:
    """Yield the members of a file in their order.

    Args:
        path: The file.
        most: Bytes that a member may hold; no more are unpacked.

    Raises:
        OSError: the file cannot be read.
        DamagedError: it is damaged, or no such file.
        UsageError: a member holds more.
    """
    with path.open("rb") as file:
        start, pending = 0, b""
        while pending or (pending := file.read(_PIECE_BYTES)):
            where = f"{path.name}, byte {start:,}"
            content, length, pending = _next(file, pending, most, where)
            yield Member(start, length, content)
            start += length


def _next(file: IO[bytes], pending: bytes, most: int, where: str) -> tuple[bytes, int, bytes]:
    """Unpack one member.

    Args:
        file: Read on where ``pending`` does not suffice.
        pending: Its beginning, which has been read already.
        most: See :func:`members`.
        where: Names the place in messages.

    Returns:
        What it holds, the bytes it takes in the file, and what was read beyond it.
    """
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    content, read = bytearray(), len(pending)
    while not unpacker.eof:
        if not pending:
            pending = file.read(_PIECE_BYTES)
            read += len(pending)
        if not pending:
            raise DamagedError(f"{where}: the file breaks off within a record")
        try:
            content += unpacker.decompress(pending, most + 1 - len(content))
        except zlib.error as error:
            raise DamagedError(f"{where}: not a file of traces, or damaged ({error})") from error
        if len(content) > most:
            raise UsageError(f"{where}: a record of more than {most:,} bytes")
        pending = unpacker.unconsumed_tail
    return bytes(content), read - len(unpacker.unused_data), unpacker.unused_data
