"""Checking a setting's value against the annotation of its field."""

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from memgym.errors import UsageError, nearest

__all__ = ["check_field"]

_KINDS: Mapping[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float)}


def check_field(where: str, value: Any, hint: Any) -> None:
    """Check a value of a field against its annotation.

    That is a literal, text, a number, a truth value, a tuple of such (``tuple[str, ...]``), or else
    it is taken for a mapping.

    Raises:
        UsageError: it is of another type, or none of the literals; the message begins with where.
    """
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            choices = nearest(str(value), get_args(hint))
            raise UsageError(f'{where}: unknown value "{value}": {choices}')
        return
    if get_origin(hint) is tuple:
        _check_items(where, value, get_args(hint)[0])
        return
    if hint is bool:
        if not isinstance(value, bool):
            raise UsageError(f"{where} must be true or false, got {value!r}")
        return
    kinds = _KINDS.get(hint, (Mapping,))
    if isinstance(value, bool) or not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__.lower() for kind in kinds)
        raise UsageError(f"{where} must be of type {wanted}, got {value!r}")


def _check_items(where: str, value: Any, hint: Any) -> None:
    if not isinstance(value, tuple):
        raise UsageError(f"{where} must be a list, got {value!r}")
    for number, item in enumerate(value):
        check_field(f"{where}[{number}]", item, hint)
