"""The shape of a memory snapshot, checked before anything is restored from it.

This module knows the JSON form alone; whether a content fits a memory's capacity, budget and
enabled types is decided by :meth:`memgym.memory.Memory.restore`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from memgym.errors import UsageError

__all__ = ["Snapshot", "checked_snapshot"]

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


class Snapshot(NamedTuple):
    """A well-formed snapshot.

    Attributes:
        core: The core paragraph, ``""`` if empty.
        contents: Per store, id -> content in order of rising ids.
        next_number: Per store, the number of the next id.
        order: The ids of all items, in order of insertion.
    """

    core: str
    contents: dict[str, dict[str, str]]
    next_number: dict[str, int]
    order: tuple[str, ...]


def checked_snapshot(snapshot: Any, stores: Sequence[str]) -> Snapshot:
    """Return what ``snapshot`` holds.

    Args:
        snapshot: As written by :meth:`memgym.memory.Memory.snapshot`.
        stores: Names of the stores; an id is the first letter of its store and a number.

    Raises:
        UsageError: it is malformed; the message names the key.
    """
    keys = {"core", "next_number", "order", *stores}
    if not isinstance(snapshot, Mapping) or set(snapshot) != keys:
        raise UsageError(f"a memory snapshot is an object with the keys {', '.join(sorted(keys))}")
    kinds: dict[str, type] = {"core": str, "next_number": Mapping, "order": list}
    for key in sorted(keys):
        kind = kinds.get(key, list)
        if not isinstance(snapshot[key], kind):
            raise UsageError(f'memory snapshot: "{key}" must be a {kind.__name__.lower()}')
    _check_encodable(snapshot["core"], "core")
    contents = {name: _checked_contents(name, snapshot[name]) for name in stores}
    return Snapshot(
        snapshot["core"],
        contents,
        _checked_numbers(snapshot["next_number"], contents),
        _checked_order(snapshot["order"], contents),
    )


def _check_encodable(text: str, key: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f'memory snapshot: "{key}" holds the lone surrogate {text[error.start]!a}; '
            "a memory stores U+FFFD instead"
        ) from error


def _checked_contents(name: str, pairs: Sequence[Any]) -> dict[str, str]:
    contents: dict[str, str] = {}
    seen: set[str] = set()
    last = 0
    for pair in pairs:
        number = _id_number(name, pair)
        if number <= last or not pair[1].strip():
            raise UsageError(
                f'memory snapshot: "{name}" must list [id, content] pairs with rising ids '
                f"{name[0]}1, {name[0]}2, …; got {ascii(pair)[:60]}"
            )
        _check_encodable(pair[1], name)
        if pair[1] in seen:
            raise UsageError(f'memory snapshot: "{name}" holds {str(pair)[:60]} twice')
        seen.add(pair[1])
        contents[pair[0]] = pair[1]
        last = number
    return contents


def _id_number(name: str, pair: Any) -> int:
    """Return the number of the pair's id, 0 if this is no pair or no id of the store."""
    if not isinstance(pair, (list, tuple)) or [type(part) for part in pair] != [str, str]:
        return 0
    is_id = pair[0][:1] == name[0] and _NUMBER.fullmatch(pair[0][1:])
    return int(pair[0][1:]) if is_id else 0


def _checked_numbers(
    numbers: Mapping[str, Any], contents: Mapping[str, Mapping[str, str]]
) -> dict[str, int]:
    if set(numbers) != set(contents):
        raise UsageError(f'memory snapshot: "next_number" must name {", ".join(contents)}')
    for name, items in contents.items():
        last = int(list(items)[-1][1:]) if items else 0
        if type(numbers[name]) is not int or numbers[name] <= last:
            raise UsageError(
                f'memory snapshot: "next_number" of {name} must be an integer above {last}'
            )
    return dict(numbers)


def _checked_order(
    order: Sequence[Any], contents: Mapping[str, Mapping[str, str]]
) -> tuple[str, ...]:
    # Ids rise within a store, so its part of the order is the store's own list.
    strings = all(isinstance(memory_id, str) for memory_id in order)
    parts = {name: [i for i in order if i[:1] == name[0]] for name in contents} if strings else {}
    held = {name: list(items) for name, items in contents.items()}
    if parts != held or len(order) != sum(map(len, held.values())):
        raise UsageError(
            'memory snapshot: "order" must be a permutation of the ids of all items, rising '
            "within each store"
        )
    return tuple(order)
