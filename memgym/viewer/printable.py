"""Text of a trace as a terminal may be given it: nothing in it moves the cursor or turns the line.

What a terminal would obey is shown instead: control characters as their pictures, characters that
turn the direction of what follows, and those that no encoding can write, as ``\ufffd``.
"""

__all__ = ["printable"]

_KEPT = "\n\t"
_UNKNOWN = "\ufffd"
_TABLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in _KEPT},
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), _UNKNOWN),
    **dict.fromkeys(
        [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], _UNKNOWN
    ),
    **dict.fromkeys([0x2028, 0x2029], "\n"),
    **dict.fromkeys(range(0xD800, 0xE000), _UNKNOWN),
}


def printable(text: str) -> str:
    """Return a text with everything in it made visible that a terminal would act upon."""
    return text.replace("\r\n", "\n").translate(_TABLE)
