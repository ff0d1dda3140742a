"""Replies kept on disk (sqlite, through diskcache): as a cache, and to resume a stopped run.

The store maps a key to a reply. What the key is made of is the caller's business, see
:class:`memgym.agents.chat.chat.Chat`: a cache is keyed by model, parameters and messages alone, a
run's journal also by the episode and the number of the call in it.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

from memgym.agents.chat.types import ChatReply
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
        try:
            # JSON, not pickle: a file that someone else wrote must not run code here. Nothing is
            # ever evicted.
            self._cache: Any = diskcache.Cache(
                str(folder), disk=diskcache.JSONDisk, eviction_policy="none", size_limit=2**50
            )
        except Exception as error:  # sqlite3.Error, OSError: both mean that the folder is no use
            raise UsageError(f"cannot keep replies in {folder}: {error}") from error

    def get(self, key: str) -> ChatReply | None:
        """Return the reply kept under a key, ``None`` if there is none or it is unreadable."""
        found = self._cache.get(key)
        try:
            return None if found is None else _reply(found)
        except (TypeError, KeyError, ValueError):
            return None  # written by another version: ask again

    def put(self, key: str, reply: ChatReply) -> None:
        """Keep a reply; it is on disk when this returns."""
        self._cache.set(key, dataclasses.asdict(reply))

    def close(self) -> None:
        """Close the files; the store opens them again when it is used."""
        self._cache.close()


def _reply(record: dict[str, Any]) -> ChatReply:
    usage = Usage(**record.pop("usage"))
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
    }
    return ChatReply(**plain, usage=usage)
