"""JSON from strangers: one meaning, finite numbers, bounded size and depth, or a refusal.

The standard reader takes ``NaN``, turns ``1e999`` into infinity, keeps the last of two equal keys,
and reads anything of any size; all of that lets two readers of one file see different things.
"""

import json
import math
from collections import Counter
from typing import Any

from memgym.submissions.refusal import RefusedError, quoted

__all__ = ["MAX_DEPTH", "read_json"]

MAX_DEPTH = 64
_MAX_DIGITS = 18  # more than any count here needs, and exact in every language


def read_json(content: bytes, where: str, *, surrogates: bool = False) -> Any:
    r"""Return the JSON value of UTF-8 bytes.

    Args:
        content: One value; its length is the caller's to bound.
        where: What it is, for messages.
        surrogates: Whether halves of surrogate pairs (``"\ud800"``) may occur in strings. What a
            model wrote may hold them; what is shown to people may not.

    Raises:
        RefusedError: it is not JSON in UTF-8, or not as strict as the module says.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{where}: not UTF-8 (byte {error.start})") from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except RecursionError as error:
        raise RefusedError(f"{where}: nested deeper than {MAX_DEPTH} levels") from error
    except _FaultError as error:
        raise RefusedError(f"{where}: {error}") from error
    except ValueError as error:
        raise RefusedError(f"{where}: not JSON ({error})") from error
    _check(value, where, surrogates)
    return value


class _FaultError(Exception):
    """Well-formed JSON that is not taken."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)  # in one pass: there may be very many
        twice = next(key for key, count in counts.items() if count > 1)
        raise _FaultError(f"the key {quoted(twice)} occurs twice")
    return found


def _no_constant(name: str) -> Any:
    raise _FaultError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _FaultError(f"the number {quoted(text)} is not finite")
    return number


def _bounded(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise _FaultError(f"the integer {quoted(text)} has more than {_MAX_DIGITS} digits")
    return int(text)


def _check(value: Any, where: str, surrogates: bool) -> None:
    """Check depth and strings without recursion, level by level."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.keys()
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, str) and not surrogates and not item.isascii():
                _check_string(item, where)
        if not inner:
            return
        level = inner
    raise RefusedError(f"{where}: nested deeper than {MAX_DEPTH} levels")


def _check_string(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RefusedError(f"{where}: half a surrogate pair in {quoted(text)}") from error
