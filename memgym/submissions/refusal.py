"""How a submission is turned down: with a reason, in words that are safe to print."""

from collections.abc import Sequence

__all__ = ["RefusedError", "quoted"]

_SHOWN = 60


class RefusedError(ValueError):
    """A submission does not hold.

    Attributes:
        reasons: One line each; what comes out of the file is quoted and escaped.
    """

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons: Sequence[str] = reasons


def quoted(value: object) -> str:
    """Return something out of a submission for a message: short, one line, plain ASCII.

    A terminal obeys control characters, and a page may obey more; here they are escapes.
    """
    text = value if isinstance(value, str) else repr(value)
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return ascii(text).replace("\\u2026", "...")
