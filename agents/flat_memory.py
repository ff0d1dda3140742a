"""What agents share whose memory is plain text: it lives in the environment's own memory.

So its size is counted, and it is read and scored, like any other memory. How they come by the text
is their own business.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from memgym.agent import Briefing
from memgym.baselines.calls import delete, insert, update
from memgym.memory import MAX_CONTENT_CHARACTERS

__all__ = [
    "FLAT_MEMORY_TOKENS",
    "FLAT_SETTINGS",
    "append_text",
    "reading_task",
    "rewrite_core",
]

FLAT_MEMORY_TOKENS = 1_024
"""Limit of the text in which MemAgent and MEM1 were evaluated (Mem-alpha)."""

FLAT_SETTINGS: Mapping[str, Any] = MappingProxyType(
    {"core_capacity": FLAT_MEMORY_TOKENS, "memory_types": ("core",), "turns_per_chunk": 1}
)
"""Environment settings for one text in the core, rewritten once per chunk."""


def reading_task(briefing: Briefing) -> str:
    """Return what a reader can know about the questions beforehand: what introduces all of them."""
    preface = str(briefing.info["question_preface"])
    task = "Questions about the text will follow; nobody knows them yet."
    return f"{task} Each of them will come with this introduction: {preface}" if preface else task


def rewrite_core(briefing: Briefing, text: str) -> list[dict[str, Any]]:
    """Return the calls that make ``text`` the whole memory: none if it is that already.

    What exceeds the core's capacity or the memory budget is cut off at the end. That is where a
    model's limit of new tokens cuts, too, and where the environment cuts an over-long core; a write
    over the budget would be refused as a whole.
    """
    capacity = briefing.core_capacity_tokens
    limit = min(capacity, briefing.budget_tokens or capacity)
    kept = briefing.counter.head(text.strip()[:MAX_CONTENT_CHARACTERS], limit)
    kept = kept if kept.strip() else ""
    if kept == briefing.memory.core:
        return []
    return [update("core", kept) if kept else delete("core", "")]


def append_text(briefing: Briefing, chunk: str) -> list[dict[str, Any]]:
    """Return the calls that keep a chunk as it is, as the next episodic item.

    If a memory budget has no room for it, what stands in the middle of the text is dropped, so that
    the two ends are left; of a chunk that is too long by itself, the beginning is.
    """
    memory, calls = briefing.memory, []
    if budget := briefing.budget_tokens:
        chunk = briefing.counter.head(chunk, budget)
        ids, free = list(memory.items("episodic")), budget - memory.total_tokens
        needed = briefing.counter.count(chunk)
        while free < needed:  # with all items dropped there is room
            dropped = ids.pop(len(ids) // 2)
            free += memory.item_tokens("episodic", dropped)
            calls.append(delete("episodic", dropped))
    return [*calls, insert("episodic", chunk)] if chunk.strip() else calls
