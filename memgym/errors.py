"""The one exception type for what a *user* got wrong (never for what a policy emitted)."""

import difflib
from collections.abc import Iterable

__all__ = ["UsageError", "nearest"]


class UsageError(ValueError):
    """A bad argument, file or configuration.

    The message is one line that says what was wrong, where, and what would be right. The command
    line prints it without a traceback and exits with code 2.
    """


def nearest(given: str, choices: Iterable[str]) -> str:
    """Return a phrase listing the valid choices, led by the closest one to what was given.

    Example:
        >>> nearest("sqad", ["squad", "hotpotqa"])
        'did you mean "squad"? Valid: hotpotqa, squad'
    """
    names = sorted(choices)
    close = difflib.get_close_matches(given, names, n=1)
    hint = f'did you mean "{close[0]}"? ' if close else ""
    return f"{hint}Valid: {', '.join(names)}"
