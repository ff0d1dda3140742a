"""How two JSON values differ, in words."""

import json
from typing import Any

__all__ = ["difference"]

_LONGEST = 80  # characters of a value that is shown


def difference(found: Any, asked: Any, where: str = "", other: str = "asked for") -> str:
    """Return the first difference between two JSON values in words, ``""`` if there is none.

    Args:
        found: What is there.
        asked: What was to be there.
        where: Keys that lead to both.
        other: What the second is called.

    Example:
        >>> difference({"loss": {"clip": 0.2}}, {"loss": {"clip": 0.3}})
        'its loss.clip is 0.2, asked for is 0.3'
    """
    if isinstance(found, dict) and isinstance(asked, dict):
        for key in sorted(found.keys() | asked.keys()):
            place = f"{where}.{key}" if where else key
            inner = difference(found.get(key), asked.get(key), place, other)
            if inner:
                return inner
        return ""
    if isinstance(found, list) and isinstance(asked, list) and len(found) == len(asked):
        pairs = enumerate(zip(found, asked, strict=True))
        inners = (difference(old, new, f"{where}[{index}]", other) for index, (old, new) in pairs)
        return next(filter(None, inners), "")
    return "" if found == asked else f"its {where} is {_short(found)}, {other} is {_short(asked)}"


def _short(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value):
        value = [item["name"] for item in value]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
