"""Picks the next token of every reply in a batch, each with its own settings and random numbers.

What is picked for one reply depends on its own distribution, seed and position only, so the others
in the batch do not matter beyond rounding. It knows nothing of when a reply ends.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memgym.agents.chat.decoding import Draft

if TYPE_CHECKING:
    import torch

__all__ = ["pick", "race", "waiting_times"]


def pick(
    logits: "torch.Tensor", drafts: Sequence[Draft], allowed: Sequence[list[int] | None]
) -> list[tuple[int, float] | None]:
    """Return the next token of each draft with its log-probability under the plain model.

    Args:
        logits: One row per draft, ``[rows, vocabulary]``.
        drafts: Whose settings and random numbers are used.
        allowed: Per draft, the only tokens that may be picked; ``None``: all may.

    Returns:
        ``None`` for a draft whose model output is not a number.
    """
    logits = logits.float()
    shares = logits.softmax(-1)
    # The share of the likeliest token is exp(its logit - logsumexp); this is quicker than logsumexp
    # and is not finite just where a logit is not a number or all are infinite.
    normaliser = logits.amax(-1) - shares.amax(-1).log()
    scores = _restricted(logits, allowed)
    sampled = [row for row, draft in enumerate(drafts) if draft.seed is not None]
    if len(sampled) == len(drafts):
        tokens = _draw(scores, drafts, shares if scores is logits else None)
    else:
        tokens = scores.argmax(-1)
        if sampled:
            tokens[sampled] = _draw(scores[sampled], [drafts[row] for row in sampled])
    logprobs = logits.gather(1, tokens[:, None])[:, 0] - normaliser
    rows = zip(tokens.tolist(), logprobs.tolist(), normaliser.isfinite().tolist(), strict=True)
    return [(token, logprob) if finite else None for token, logprob, finite in rows]


def _restricted(logits: "torch.Tensor", allowed: Sequence[list[int] | None]) -> "torch.Tensor":
    """Return the logits with those of forbidden tokens at minus infinity."""
    if all(few is None for few in allowed):
        return logits
    scores = logits.clone()
    for row, few in enumerate(allowed):
        if few is not None:
            scores[row] = -float("inf")
            scores[row, few] = logits[row, few]
    return scores


def _draw(
    scores: "torch.Tensor", drafts: Sequence[Draft], shares: "torch.Tensor | None" = None
) -> "torch.Tensor":
    """Draw one token per row from its nucleus; ``shares`` is ``softmax(scores)`` where known."""
    import torch

    temperatures = [draft.request.temperature for draft in drafts]
    if any(temperature != 1.0 for temperature in temperatures):
        scores, shares = scores / scores.new_tensor(temperatures)[:, None], None
    narrow = [row for row, draft in enumerate(drafts) if draft.request.top_p < 1.0]
    if narrow:
        shares = scores.softmax(-1)
        limits = scores.new_tensor([drafts[row].request.top_p for row in narrow])
        shares[narrow] = _nucleus(shares[narrow], limits)
    if shares is None:
        shares = scores.softmax(-1)
    places = [(draft.seed or 0, len(draft.token_ids)) for draft in drafts]
    return race(shares, torch.tensor(places, dtype=torch.int64, device=scores.device))


def race(shares: "torch.Tensor", keys: "torch.Tensor") -> "torch.Tensor":
    """Draw one column per row with probabilities in proportion to the shares.

    The first of exponential waiting times with these rates is drawn. Unlike a draw by summed
    shares, it hardly depends on rounding, which differs with the size of the batch. A block of
    columns is drawn first and then one of its columns: that needs few random numbers.

    Args:
        shares: From 0, not all 0, ``[rows, columns]``.
        keys: Of the random numbers: seed and position, ``[rows, 2]`` in int64; different keys give
            independent draws.
    """
    import torch

    rows, columns = shares.shape
    size = 1 << (columns.bit_length() // 2)
    if columns % size:
        shares = torch.nn.functional.pad(shares, (0, size - columns % size))
    blocks = shares.view(rows, -1, size)
    count = blocks.shape[1]
    times = waiting_times(keys, count + size)
    block = (blocks.sum(-1) / times[:, :count]).argmax(-1)
    inside = blocks[torch.arange(rows, device=shares.device), block]
    return block * size + (inside / times[:, count:]).argmax(-1)


def _nucleus(shares: "torch.Tensor", limits: "torch.Tensor") -> "torch.Tensor":
    """Return the shares without tokens before which the likelier ones reach the limit."""
    ordered, order = shares.sort(dim=-1, descending=True, stable=True)
    outside = ordered.cumsum(-1) - ordered >= limits[:, None]
    return shares.masked_fill(outside.scatter(1, order, outside), 0.0)


def waiting_times(keys: "torch.Tensor", count: int) -> "torch.Tensor":
    """Return independent exponential variables of rate 1, ``[rows, count]`` in float32.

    Each is a hash of its row's key and its column alone, equal on every device: no generator has
    to be kept and advanced per row.

    Args:
        keys: Seed and position, ``[rows, 2]`` in int64; different keys give independent rows.
        count: Number of columns.
    """
    import torch

    starts = _mixed(_mixed(keys[:, 0]) + keys[:, 1])[:, None]
    steps = torch.arange(1, count + 1, device=keys.device) * -7046029254386353131
    # Small numbers, which decide about unlikely tokens, keep all their digits; none is 0 or 1.
    uniform = ((_mixed(starts + steps) >> 24) & 0xFFFFFFFFFF).float().add(0.5) * _UNIT
    return -torch.log1p(-uniform)


_UNIT = (1 - 2**-23) / 2**40


def _mixed(values: "torch.Tensor") -> "torch.Tensor":
    """Return a bijective hash of 64-bit numbers (the finaliser of SplitMix64)."""
    # Wrapping is meant, and a right shift of a negative number needs its sign bits cleared.
    values = (values ^ ((values >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    values = (values ^ ((values >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return values ^ ((values >> 31) & 0x1FFFFFFFF)
