"""Settings never hold keys or passwords, because they are written to results and shown.

This knows by its name what would be one. Keys are read from the environment where they are used.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from memgym.errors import UsageError

__all__ = ["is_secret", "refuse_secrets"]

_SECRET = re.compile(
    r"(.*_)?(api_?key|secret|password|passwd|credentials?|authorization|bearer)(_.*)?"
    r"|((access|auth|hf|hub|openai|private)_)?key"
    r"|((access|api|auth|bearer|hf|hub)_)?token"  # but "budget_token" is a slip
)
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def is_secret(name: str, value: Any) -> bool:
    """Return whether a setting is a key or a password.

    That is told by its name, or by an address with a password in it. ``key_variable`` names an
    environment variable; anything else that stands there is taken for the key itself.
    """
    plain = name.lower().replace("-", "_")
    if plain == "key_variable":
        return not (isinstance(value, str) and _VARIABLE.fullmatch(value))
    return bool(_SECRET.fullmatch(plain)) or _has_password(value)


def refuse_secrets(where: str, options: Mapping[str, Any]) -> None:
    """Refuse keys and passwords among options, at any depth.

    Raises:
        UsageError: there is one. The message has its name, never its value.
    """
    for name, value in options.items():
        if is_secret(str(name), value):
            raise UsageError(
                f'{where}, option "{name}": keys are no settings, because settings are written to '
                "files; set the environment variable OPENAI_API_KEY, or give the name of another "
                "one as key_variable"
            )
        for inner in value if isinstance(value, list | tuple) else (value,):
            if isinstance(inner, Mapping):
                refuse_secrets(where, inner)


def _has_password(value: Any) -> bool:
    try:
        return isinstance(value, str) and "://" in value and "@" in urlsplit(value).netloc
    except ValueError:
        return False
