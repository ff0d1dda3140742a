"""What people write into a submission: bounded, one meaning on every screen, otherwise free.

HTML, scripts and Markdown are words like others; whoever shows them escapes them. Not taken is what
changes how the rest is shown: control characters and those that turn the direction of a line.
"""

import unicodedata

from memgym.submissions.refusal import RefusedError, quoted

__all__ = ["checked_lines", "checked_words"]

_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FORBIDDEN = ("Cc", "Cs", "Zl", "Zp")


def checked_words(where: str, text: object, most: int, *, least: int = 1) -> str:
    """Return one line of text.

    Args:
        where: What it is, for messages.
        text: What was given.
        most: Characters it may have.
        least: Characters it must have.

    Raises:
        RefusedError: it is no such text.
    """
    if not isinstance(text, str):
        raise RefusedError(f"{where} must be text, not {quoted(text)}")
    if not least <= len(text) <= most:
        raise RefusedError(f"{where} has {len(text):,} characters, {least} to {most:,} are wanted")
    if text != text.strip():
        raise RefusedError(f"{where} begins or ends with a space: {quoted(text)}")
    _check_characters(where, text)
    return text


def checked_lines(where: str, text: str, most: int) -> str:
    """Return text of several lines; otherwise as :func:`checked_words`."""
    if len(text) > most:
        raise RefusedError(f"{where} has {len(text):,} characters, at most {most:,} are taken")
    _check_characters(where, text.replace("\n", "").replace("\t", ""))
    return text


def _check_characters(where: str, text: str) -> None:
    for character in text:
        if unicodedata.category(character) in _FORBIDDEN:
            raise RefusedError(f"{where} has the control character {character!a}")
        if character in _TURNING:
            raise RefusedError(f"{where} has {character!a}, which turns the direction of a line")
