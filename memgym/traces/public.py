"""Settings as a trace shows them: without keys, addresses and places on somebody's disk."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from memgym.secret_settings import is_secret

__all__ = ["public"]

_CONNECTION = ("base_url", "key_variable", "timeout_seconds", "max_retries", "concurrency", "cache")
_PLACE = re.compile(r"(hf:)?([/~\\]|[A-Za-z]:[/\\]|file:)")


def public(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings or options as JSON values that may be shown to anyone.

    Left out, at any depth: how a model's server is reached, keys and passwords (see
    :mod:`memgym.secret_settings`). Of an absolute path the last name is kept.
    """
    return {
        str(name): _public_value(value)
        for name, value in options.items()
        if name not in _CONNECTION and not is_secret(str(name), value)
    }


def _public_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return public(value)
    if isinstance(value, list | tuple):
        return [_public_value(item) for item in value]
    if isinstance(value, str) and (match := _PLACE.match(value)):
        return f"{match[1] or ''}{_last_name(value)}"
    return value


def _last_name(path: str) -> str:
    return PureWindowsPath(path).name or PurePosixPath(path).name
