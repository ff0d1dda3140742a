"""How amounts are written on the command line and in comparison files: ``2M``, ``25%``."""

import re

from memgym.errors import UsageError

__all__ = ["memory_budget", "memory_budget_text", "token_limit"]

_LIMIT = re.compile(r"([0-9]{1,15}(?:_[0-9]{1,15})*(?:\.[0-9]{1,6})?) ?([kKmMbB]?)")
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_TOKENS = re.compile(r"([0-9]{1,12})(\s*tokens)?")
_LARGEST_SHARE = 100  # a bare number up to here may be a share that lacks its sign
_SHARE = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,6})?)\s*%")


def token_limit(text: str) -> int:
    """Return the tokens that ``500k``, ``2M``, ``1.5M``, ``1_000_000`` or ``0`` (no limit) mean.

    Raises:
        UsageError: it means none, or a part of one.
    """
    match = _LIMIT.fullmatch(text.strip())
    if match:
        tokens = round(float(match[1]) * _UNITS[match[2].lower()], 6)
        if tokens == int(tokens):
            return int(tokens)
    raise UsageError(
        f'"{text}" is no number of tokens; write 500k, 2M or 1_000_000 (0 for no limit)'
    )


def memory_budget(text: str) -> float:
    """Return ``25%`` as the share 0.25, and ``2000`` or ``50 tokens`` as tokens (an ``int``).

    Raises:
        UsageError: it is neither, or may be either (``25``), or is zero.
    """
    tokens, share = _TOKENS.fullmatch(text), _SHARE.fullmatch(text)
    budget = int(tokens[1]) if tokens else float(share[1]) / 100 if share else 0
    if not budget:
        raise UsageError(
            f'"{text}" is no memory budget; write a share such as 25% or tokens such as 2000'
        )
    if tokens and not tokens[2] and budget <= _LARGEST_SHARE:
        raise UsageError(
            f'"{text}" may be a share or tokens; write "{budget}%" of the text or "{budget} tokens"'
        )
    return budget


def memory_budget_text(budget: float) -> str:
    """Return what :func:`memory_budget` reads as ``budget``, a share or (``int``) tokens."""
    if not isinstance(budget, int):
        return f"{100 * budget:g}%"
    return str(budget) if budget > _LARGEST_SHARE else f"{budget} tokens"
