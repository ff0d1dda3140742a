"""The memory as the policy sees it: the core, recent items, and items relevant to the chunk.

The view is bounded whatever the memory holds, so a step costs the same at 100 and at 10,000 items.
Recency alone (the published view) leaves old items out of reach of update and delete; relevance
brings any of them back when the text returns to its subject.
"""

from collections.abc import Sequence
from itertools import islice

from memgym.memory import STORES, Memory, StoreName

__all__ = ["clip", "render_memory", "visible_ids"]

_EMPTY = "(empty)"


def visible_ids(
    memory: Memory, store: StoreName, chunk: str, *, recent: int, relevant: int
) -> list[str]:
    """Return the ids of the items shown, oldest first."""
    items = memory.items(store)
    chosen: set[str] = set(islice(reversed(items), recent))
    if relevant and len(items) > len(chosen) and chunk:
        chosen.update(memory.relevant(chunk, store, relevant))
    return sorted(chosen, key=lambda memory_id: int(memory_id[1:]))


def render_memory(
    memory: Memory,
    chunk: str,
    *,
    recent: int,
    relevant: int,
    item_characters: int,
    max_characters: int,
) -> str:
    """Return the view as text, one item a line with its id, at most ``max_characters`` long."""
    parts: list[str] = []
    if "core" in memory.memory_types:
        core = clip(memory.core, max(item_characters, memory.core_capacity_tokens * 16)) or _EMPTY
        parts.append(f"Core memory (at most {memory.core_capacity_tokens} tokens):\n{core}")
    for store in STORES:
        if store in memory.memory_types:
            ids = visible_ids(memory, store, chunk, recent=recent, relevant=relevant)
            parts.append(_render_store(memory, store, ids, item_characters))
    return clip("\n\n".join(parts), max_characters)


def _render_store(
    memory: Memory, store: StoreName, ids: Sequence[str], item_characters: int
) -> str:
    items = memory.items(store)
    title = store.capitalize()
    if not items:
        return f"{title} memory: {_EMPTY}"
    lines = [f"[{memory_id}] {clip(items[memory_id], item_characters)}" for memory_id in ids]
    return "\n".join([f"{title} memory ({len(ids)} of {len(items)} items):", *lines])


def clip(text: str, characters: int) -> str:
    """Return ``text``, or its beginning with a note of what was left out, within ``characters``."""
    if len(text) <= characters:
        return text
    note = f" … ({len(text)} characters)"
    return text[: max(characters - len(note), 0)] + note[:characters]
