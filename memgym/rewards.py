"""The four reward terms and their weights.

=================  =======  ==========================================================  ========
key                paper    meaning                                                     paid
=================  =======  ==========================================================  ========
``correctness``    r1       mean score of the episode's questions                       at the end
``format``         r2       share of a chunk's writing calls that succeeded             per chunk
``compression``    r3       1 - memory tokens / chunk tokens (negative if it is larger)  at the end
``content``        r4       share of a chunk's written items that are valid             per chunk
=================  =======  ==========================================================  ========

The terms and weights are those of Mem-alpha (section 3.3, main run): ``correctness + 0.05
compression + format + 0.1 content``. The publication adds all four in every chunk's sample; a
Gymnasium return adds rewards over steps, so the two chunk terms are divided by the number of
chunks, and the return of an episode is ``r1 + 0.05 r3 + mean r2 + 0.1 mean r4``. Otherwise many
chunks would outweigh every answer. ``rules="paper"`` leaves the chunk terms undivided.

Further, unless ``paper`` is asked for: deletes are left out of ``content`` instead of scoring 0;
searches count in neither term; and a chunk for which nothing was written scores 1 instead of 0 in
both terms if the episode's evidence shows that it held nothing to store. Failed and skipped writes
count as invalid under both. What was written is judged by the environment's content judge, by
default without a model, where the published r4 asks one; see :mod:`memgym.quality`.
"""

import math
from collections.abc import Mapping, Sequence

from memgym.errors import UsageError, nearest
from memgym.execute import ToolResult
from memgym.memory import Memory
from memgym.quality import ContentJudge, WrittenItem

__all__ = [
    "DEFAULT_WEIGHTS",
    "REWARD_TERMS",
    "checked_weights",
    "compression",
    "step_terms",
    "weighted_sum",
]

REWARD_TERMS = ("correctness", "format", "compression", "content")
DEFAULT_WEIGHTS: Mapping[str, float] = {
    "correctness": 1.0,
    "format": 1.0,
    "compression": 0.05,
    "content": 0.1,
}


def checked_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    """Return the default weights overridden by ``weights``.

    Raises:
        UsageError: a term is unknown or a weight is not a finite number.
    """
    merged = dict(DEFAULT_WEIGHTS)
    for term, weight in (weights or {}).items():
        if term not in merged:
            raise UsageError(
                f'reward_weights: unknown term "{term}": {nearest(term, REWARD_TERMS)}'
            )
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight):
            raise UsageError(f'reward_weights["{term}"] must be a finite number, got {weight!r}')
        merged[term] = float(weight)
    return merged


def weighted_sum(
    terms: Mapping[str, float], weights: Mapping[str, float], *, chunks: int = 1
) -> float:
    """Return the reward of one step.

    Args:
        terms: Value of each term, 0.0 where it is not paid at this step.
        weights: Weight of each term.
        chunks: Divides the terms that are paid per chunk.
    """
    per_episode = sum(weights[term] * terms[term] for term in ("correctness", "compression"))
    per_chunk = sum(weights[term] * terms[term] for term in ("format", "content"))
    return float(per_episode + per_chunk / chunks)


def compression(memory_tokens: int, chunk_tokens: int) -> float:
    """Return r3, not clamped, as published; 0.0 before anything was read."""
    return 1.0 - memory_tokens / chunk_tokens if chunk_tokens else 0.0


def step_terms(
    results: Sequence[ToolResult],
    chunk: str,
    memory: Memory,
    *,
    rules: str,
    judge: ContentJudge,
    nothing_to_store: bool,
) -> dict[str, float]:
    """Return ``format`` and ``content`` of one chunk.

    Args:
        results: The tool results of all turns spent on the chunk, in order.
        chunk: The chunk that was shown.
        memory: The memory that they led to.
        rules: ``default`` or ``paper`` (see the module).
        judge: Says which written items are valid; asked once, and only if something was written.
        nothing_to_store: Whether the chunk is known to hold no evidence.
    """
    if rules == "default":
        results = [result for result in results if not _only_looked(result)]
    if not results:
        neutral = float(rules == "default" and nothing_to_store)
        return {"format": neutral, "content": neutral}
    succeeded = sum(result.status == "ok" for result in results) / len(results)
    written = [_written(result) for result in results if _has_written(result)]
    valid = sum(judge.judge(written, chunk, memory)) if written else 0
    others = [result for result in results if not _has_written(result)]
    invalid = sum(rules == "paper" or not _left_out(result) for result in others)
    judged = len(written) + invalid
    return {"format": succeeded, "content": valid / judged if judged else 1.0}


def _has_written(result: ToolResult) -> bool:
    return result.status == "ok" and result.call.name in ("new_memory_insert", "memory_update")


def _written(result: ToolResult) -> WrittenItem:
    arguments = getattr(result.call, "arguments", {})
    content = arguments.get("content", arguments.get("new_content", ""))
    return WrittenItem(result.memory_type, content, result.memory_id, result.removed)


def _only_looked(result: ToolResult) -> bool:
    """Whether a call neither wrote nor failed."""
    return result.status == "ok" and result.call.name in ("search_memory", "answer")


def _left_out(result: ToolResult) -> bool:
    """Whether a call writes nothing and so says nothing about content quality."""
    return result.status == "ok" and result.call.name == "memory_delete"
