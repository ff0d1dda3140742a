"""Cutting text for prompts: its two ends, ever shorter versions, pieces. Knows no memory, no model.

All sizes are tokens of the counter that is given.
"""

from collections.abc import Iterator

from memgym.tokens import TokenCounter

__all__ = ["centre_cut", "pieces", "shortened"]

_LEAST_TOKENS = 16  # of a passage that is still worth a model's call
_CHARACTERS_PER_TOKEN = 16  # ample: a few times what any language needs
_GAP = "\n…\n"


def centre_cut(text: str, tokens: int, counter: TokenCounter) -> str:
    """Return ``text``, or its two ends and a mark between them, of ``tokens`` in all."""
    if counter.count(text) <= tokens:
        return text
    kept = max(tokens - counter.count(_GAP), 1)
    return counter.head(text, kept - kept // 2) + _GAP + counter.tail(text, kept // 2)


def shortened(text: str, counter: TokenCounter) -> Iterator[str]:
    """Yield ``text`` whole, then half of it, a quarter, …, always its two ends."""
    yield text
    tokens = counter.count(text) // 2
    while tokens >= _LEAST_TOKENS:
        yield centre_cut(text, tokens, counter)
        tokens //= 2


def pieces(text: str, tokens: int, counter: TokenCounter) -> Iterator[str]:
    """Yield pieces of at most ``tokens`` that are ``text`` when joined; blank ones are left out."""
    while text:
        # A counter encodes all that it is given, so it is given a little more than the piece. A
        # single character may be longer than a very small limit.
        piece = counter.head(text[: tokens * _CHARACTERS_PER_TOKEN], tokens) or text[0]
        if piece.strip():
            yield piece
        text = text[len(piece) :]
