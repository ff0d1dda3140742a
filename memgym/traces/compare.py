"""What differs between a record and what its replay computed: which field, and both values."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["differences"]

_LONGEST = 80  # characters of a value that is shown
_MISSING = object()


def differences(recorded: Any, computed: Any, where: str) -> Iterator[str]:
    """Yield the first difference between two JSON values in words, if there is one.

    Args:
        recorded: As it stands in the record, whose schema tells 1 from true.
        computed: What the replay came to; a tuple at its top counts as a list.
        where: The field that holds both.

    Example:
        >>> list(differences({"format": 1.0}, {"format": 0.5}, "step 3: terms"))
        ['step 3: terms.format: recorded 1.0, recomputed 0.5']
    """
    found = _first(recorded, computed, where)
    if found:
        yield found


def _first(recorded: Any, computed: Any, where: str) -> str:
    if recorded == computed:
        return ""
    if isinstance(recorded, Mapping) and isinstance(computed, Mapping):
        names = [*computed, *(name for name in recorded if name not in computed)]
        inners = (
            _first(recorded.get(name, _MISSING), computed.get(name, _MISSING), f"{where}.{name}")
            for name in names
        )
        return next(filter(None, inners), "")
    if isinstance(recorded, list) and isinstance(computed, list | tuple):
        for index, (old, new) in enumerate(zip(recorded, computed, strict=False)):
            inner = _first(old, new, f"{where}[{index}]")
            if inner:
                return inner
        if len(recorded) != len(computed):
            return f"{where}: recorded {len(recorded)}, recomputed {len(computed)}"
        return ""
    return f"{where}: recorded {_short(recorded)}, recomputed {_short(computed)}"


def _short(value: Any) -> str:
    if value is _MISSING:
        return "nothing"
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
