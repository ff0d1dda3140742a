"""Checking a setting's value against the annotation of its field."""

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from memgym.errors import UsageError, nearest

__all__ = ["check_field"]

_KINDS: Mapping[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float)}


def check_field(where: str, value: Any, hint: Any) -> None:
    """Check a value of a field that is annotated as a literal, text, number or else a mapping.

    Raises:
        UsageError: it is of another type, or none of the literals; the message begins with where.
    """
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            choices = nearest(str(value), get_args(hint))
            raise UsageError(f'{where}: unknown value "{value}": {choices}')
        return
    kinds = _KINDS.get(hint, (Mapping,))
    if isinstance(value, bool) or not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__.lower() for kind in kinds)
        raise UsageError(f"{where} must be of type {wanted}, got {value!r}")
