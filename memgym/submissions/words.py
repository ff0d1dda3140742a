"""What people write into a submission: bounded, one meaning on every screen, otherwise free.

HTML, scripts and Markdown are words like others; whoever shows them escapes them. Not taken is what
changes how the rest is shown: control characters and those that turn the direction of a line. One
line of text, as a name is, has nothing that cannot be seen either: two names that look alike would
be two names.
"""

import unicodedata

from memgym.submissions.refusal import RefusedError, quoted

__all__ = ["checked_lines", "checked_words"]

_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FORBIDDEN = ("Cc", "Cs", "Zl", "Zp")
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Shown as nothing, though Unicode counts them as letters, marks or symbols."""
_MOST_MARKS = 3  # in a row, over or under one letter; more are drawn over the lines around


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
    _check_visible(where, text)
    if text and not any(character.isalnum() for character in text):
        raise RefusedError(f"{where} has no letter or digit: {quoted(text)}")
    return text


def checked_lines(where: str, text: str, most: int) -> str:
    """Return text of several lines, in which there may be what joins letters or emoji."""
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


def _check_visible(where: str, text: str) -> None:
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category == "Cf" or character in _BLANK:
            raise RefusedError(f"{where} has {character!a}, which cannot be seen")
        marks = marks + 1 if category.startswith("M") else 0
        if marks > _MOST_MARKS:
            raise RefusedError(f"{where} has more than {_MOST_MARKS} marks over one letter")
