"""The file of traces in the folder of a run: appended to, made whole again after a kill.

A trace is appended before the result it belongs to. So a run that was stopped may have left a trace
without a result, and half a member at the end; neither outlives the next start.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from memgym.traces.members import DamagedError, members

__all__ = ["Key", "TraceFile"]

Key = tuple[str, str]
"""Agent name and episode id."""


class _Place(NamedTuple):
    """Where a member lies, bytes of the file."""

    start: int
    length: int


class TraceFile:
    """The traces of a run on disk. Only one process may have it; see the lock of the run's folder.

    What cannot be read at its end was being written when the run was stopped, or the machine went
    down; it is cut off, and its episodes are to be played again.

    Args:
        path: Need not exist.

    Raises:
        OSError: it cannot be read or written.
        UsageError: a record in it is larger than any that is read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[Key, _Place] = {}
        self._end = 0
        if not path.exists():
            return
        try:
            for member in members(path):
                self._places[_key(member.content)] = _Place(member.start, member.length)
                self._end = member.start + member.length
        except DamagedError:
            os.truncate(path, self._end)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def append(self, key: Key, member: bytes) -> None:
        """Add a trace, packed, and flush it.

        Raises:
            OSError: there is no room, say; half of it may be there then.
        """
        with self._path.open("ab") as file:
            file.write(member)
        self._places[key] = _Place(self._end, len(member))
        self._end += len(member)

    @property
    def keys(self) -> list[Key]:
        """The keys of all traces, in the order in which these lie in the file."""
        return sorted(self._places, key=lambda key: self._places[key].start)

    def keep(self, keys: Sequence[Key]) -> None:
        """Leave the traces of ``keys`` alone in the file, in that order; whole or not at all.

        Raises:
            OSError: it cannot be written; it is as it was then.
        """
        places = {key: self._places[key] for key in keys if key in self._places}
        size = sum(place.length for place in places.values())
        if _are_first(list(places.values())):
            if size < self._end:
                os.truncate(self._path, size)
        else:
            places = self._rewrite(places)
        self._places, self._end = places, size

    def _rewrite(self, places: Mapping[Key, _Place]) -> dict[Key, _Place]:
        """Write the file anew with these members, and return where they lie then."""
        partial = self._path.with_name(self._path.name + ".partial")
        moved: dict[Key, _Place] = {}
        with self._path.open("rb") as old, partial.open("wb") as new:
            for key, place in places.items():
                old.seek(place.start)
                moved[key] = _Place(new.tell(), place.length)
                new.write(old.read(place.length))
            new.flush()
            os.fsync(new.fileno())
        partial.replace(self._path)
        return moved


def _are_first(places: Sequence[_Place]) -> bool:
    """Return whether these members, one after the other, are the beginning of the file."""
    reached = 0
    for place in places:
        if place.start != reached:
            return False
        reached += place.length
    return True


def _key(content: bytes) -> Key:
    """Return the key of a record; the steps, which are most of it, are not read for that.

    Raises:
        DamagedError: it is no record.
    """
    head, found, _ = content.partition(b',"steps":')
    try:
        record = _loaded(head + b"}") if found else _loaded(content)
        # Otherwise an option of the agent is called "steps".
        record = record if record is not None else _loaded(content)
        agent, episode = record["agent"]["name"], record["episode"]["id"]
    except (LookupError, TypeError) as error:
        raise DamagedError("no record of a trace") from error
    if not isinstance(agent, str) or not isinstance(episode, str):
        raise DamagedError("a record without names")
    return agent, episode


def _loaded(content: bytes) -> Any:
    """Return the JSON value, ``None`` if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
