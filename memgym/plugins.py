"""Finding what a setting names: a built-in by its name, a user's own class by its import path.

Readers and judges are chosen this way. Those with a language model lie to the right of the
environment in the order of imports, so tables hold their import path and they load when used.
"""

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

from memgym.errors import UsageError, nearest

__all__ = ["make_plugin"]

_SECRET = re.compile(
    r"(?:.*[_-])?(?:api[_-]?key|secret|password|authorization)"
    r"|(?:(?:access|auth|bearer|hf|hub)[_-])?token|key",  # but "budget_token" is a slip
    re.IGNORECASE,
)


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
    if name not in table and ":" not in name:
        raise UsageError(
            f'unknown {role} "{name}": {nearest(name, table)}, or your own as package.module:Class'
        )
    found = table.get(name, name)
    kind = _imported(role, found) if isinstance(found, str) else found
    _refuse_keys(f'{role} "{name}"', options)
    _check_options(f'{role} "{name}"', kind, options)
    made = kind(**options)
    if not callable(getattr(made, method, None)):
        raise UsageError(f'{role} "{name}": {kind.__name__} must have a method {method}()')
    return made


def _imported(role: str, path: str) -> type[Any]:
    module_name, _, class_name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:  # ValueError: an empty module name
        raise UsageError(
            f'{role} "{path}": cannot import "{module_name}": {error}; write package.module:Class'
        ) from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise UsageError(
            f'{role} "{path}": {module_name} has no class "{class_name}": '
            f"{nearest(class_name, classes)}"
        )
    return found


def _refuse_keys(where: str, options: Mapping[str, Any]) -> None:
    """Raise if an option, at any depth, is a key: settings are written to results and specs."""
    for option, value in options.items():
        if _SECRET.fullmatch(str(option)):
            raise UsageError(
                f'{where}, option "{option}": keys are no settings, because settings are written '
                "to files; set the environment variable OPENAI_API_KEY, or name another one with "
                'model_options={"key_variable": ...}'
            )
        if isinstance(value, Mapping):
            _refuse_keys(where, value)


def _check_options(where: str, kind: type[Any], options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(kind).parameters.values()
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    accepted = [item.name for item in parameters if item.kind in named]
    takes_any = any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters)
    for option in options:
        if option not in accepted and not takes_any:
            raise UsageError(f'{where} has no option "{option}": {nearest(option, accepted)}')
    for item in parameters:
        required = item.kind in named and item.default is inspect.Parameter.empty
        if required and item.name not in options:
            raise UsageError(f'{where} needs the option "{item.name}"')
