"""Replies kept on disk (sqlite, through diskcache): as a cache, and to resume a stopped run.

The store maps a key to a reply or a refusal. What the key is made of is the caller's business, see
:class:`memgym.agents.chat.chat.Chat`: a cache is keyed by model, parameters and messages alone, a
run's journal also by the episode and the number of the call in it.
"""

import contextlib
import dataclasses
import os
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memgym.agents.chat.types import ChatReply, RefusedError
from memgym.errors import UsageError
from memgym.usage import Usage

__all__ = ["CACHE_VARIABLE", "ReplyStore", "default_cache_folder"]

CACHE_VARIABLE = "MEMGYM_CACHE"


def default_cache_folder() -> Path:
    """Return where readers and judges keep replies: ``MEMGYM_CACHE``, or the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "memgym"


class ReplyStore:
    """A folder of replies; safe to share between threads and processes.

    Args:
        folder: Made if it does not exist.

    Raises:
        UsageError: diskcache is missing, or the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import diskcache
        except ImportError as error:
            raise UsageError(
                'keeping replies on disk needs diskcache: pip install "memgym[llm]"'
            ) from error
        self._folder = folder
        self._faults = (sqlite3.Error, diskcache.Timeout, OSError)
        with self._usable():
            # JSON, not pickle: a file that someone else wrote must not run code here. Nothing is
            # ever evicted.
            self._cache: Any = diskcache.Cache(
                str(folder), disk=diskcache.JSONDisk, eviction_policy="none"
            )

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Tell the user of a folder that cannot be read or written: a full disk, for example."""
        try:
            yield
        except self._faults as error:
            raise UsageError(f"cannot keep replies in {self._folder}: {error}") from error

    def get(self, key: str) -> ChatReply | RefusedError | None:
        """Return what is kept under a key, ``None`` if there is nothing or it is unreadable.

        Raises:
            UsageError: the folder cannot be read.
        """
        with self._usable():
            try:
                found = self._cache.get(key)
                return None if found is None else _result(found)
            except (TypeError, KeyError, ValueError, zlib.error):
                return None  # cut off, or written by another version: ask again

    def put(self, key: str, result: ChatReply | RefusedError) -> None:
        """Keep a reply or a refusal; it is on disk when this returns.

        Raises:
            UsageError: the folder cannot be written.
        """
        if isinstance(result, RefusedError):
            record = {"refused": str(result), "usage": dataclasses.asdict(result.usage)}
        else:
            record = dataclasses.asdict(result)
        with self._usable():
            self._cache.set(key, record)

    def close(self) -> None:
        """Close the files; the store opens them again when it is used."""
        self._cache.close()


def _result(record: dict[str, Any]) -> ChatReply | RefusedError:
    usage = Usage(**record.pop("usage"))
    if "refused" in record:
        return RefusedError(record["refused"], usage)
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
    }
    return ChatReply(**plain, usage=usage)
