"""Finding what a setting names: a built-in by its name, a user's own class by its import path.

Readers and judges are chosen this way. Those with a language model lie to the right of the
environment in the order of imports, so tables hold their import path and they load when used.
"""

import importlib
import inspect
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from memgym.errors import UsageError, nearest
from memgym.secret_settings import refuse_secrets

__all__ = ["check_options", "import_class", "make_plugin", "plugin_class"]


def make_plugin(
    role: str,
    name: str,
    table: Mapping[str, type[Any] | str],
    options: Mapping[str, Any],
    *,
    method: str,
) -> Any:
    """Return an instance of what ``name`` names.

    Args:
        role: What it is, for messages, e.g. ``reader``.
        name: A name in ``table``, or ``package.module:Class``.
        table: Classes, or where they are imported from (``package.module:Class``).
        options: Arguments of the class by name, JSON values.
        method: What it must be able to do.

    Raises:
        UsageError: there is no such class, it does not take the options, or an option is a key.
    """
    kind = plugin_class(role, name, table)
    refuse_secrets(f'{role} "{name}"', options)
    check_options(f'{role} "{name}"', kind, options)
    made = kind(**options)
    if not callable(getattr(made, method, None)):
        raise UsageError(f'{role} "{name}": {kind.__name__} must have a method {method}()')
    return made


def plugin_class(role: str, name: str, table: Mapping[str, type[Any] | str]) -> type[Any]:
    """Return the class that ``name`` names; for the arguments see :func:`make_plugin`.

    Raises:
        UsageError: there is none.
    """
    if name not in table and ":" not in name:
        raise UsageError(
            f'unknown {role} "{name}": {nearest(name, table)}, or your own as package.module:Class'
        )
    found = table.get(name, name)
    return import_class(role, found) if isinstance(found, str) else found


def import_class(role: str, spec: str, base: type[Any] = object) -> type[Any]:
    """Return the class of an import path; it may lie in the current folder.

    Args:
        role: What it is, for messages, e.g. ``reader``.
        spec: ``package.module:Class``.
        base: What it must be a subclass of.

    Raises:
        UsageError: it cannot be imported, or is no such class.
    """
    module_name, _, class_name = spec.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a console script does not look where it is called
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError, TypeError) as error:  # no module name at all; a relative one
        raise UsageError(
            f'{role} "{spec}": cannot import "{module_name}": {error}; write package.module:Class '
            "with a module of the current folder or an installed package"
        ) from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        what = f'"{class_name}"' if found is None else f'class "{class_name}"'
        known = nearest(class_name, _classes(module, base))
        raise UsageError(f'{role} "{spec}": {module_name} has no {what}: {known}')
    if not issubclass(found, base):
        wanted = f"{base.__module__}.{base.__qualname__}"
        raise UsageError(f'{role} "{spec}": {class_name} must be a subclass of {wanted}')
    return found


def _classes(module: object, base: type[Any]) -> list[str]:
    """Return the names in a module of the classes derived from ``base``."""
    found = inspect.getmembers(module, lambda x: isinstance(x, type) and issubclass(x, base))
    return [name for name, item in found if item is not base]


def check_options(
    where: str, kind: type[Any], options: Mapping[str, Any], *, given: Collection[str] = ()
) -> None:
    """Check the options of a class against its constructor.

    Args:
        where: What they belong to, for messages, e.g. ``reader "llm"``.
        kind: The class.
        options: Its arguments by name.
        given: Arguments that it gets from elsewhere, which are no options.

    Raises:
        UsageError: it has no such option, or needs one that is missing.
    """
    accepted, takes_any = _accepted(kind)
    for name in given:
        accepted.pop(name, None)
    for option in options:
        if option not in accepted and not takes_any:
            raise UsageError(f'{where} has no option "{option}": {nearest(option, accepted)}')
    for name, item in accepted.items():
        if item.default is inspect.Parameter.empty and name not in options:
            raise UsageError(f'{where} needs the option "{name}"')


def _accepted(kind: type[Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return what a class takes by name, and whether it takes any other name besides.

    One with ``**options`` hands them on to the next class that it is derived from.
    """
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    accepted: dict[str, inspect.Parameter] = {}
    takes_any = False
    for base in kind.__mro__[:-1]:
        parameters = inspect.signature(base).parameters.values()
        accepted = {item.name: item for item in parameters if item.kind in named} | accepted
        takes_any = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters)
        if not takes_any:
            break
    return accepted, takes_any
