"""The memory as the policy sees it: the core, recent items, and items relevant to the chunk.

The view is bounded whatever the memory holds, so a step costs the same at 100 and at 10,000 items.
Recency alone (the published view) leaves old items out of reach of update and delete; relevance
brings any of them back when the text returns to its subject. What does not fit is taken from every
section fairly and, within a store, from its oldest shown items.
"""

from collections.abc import Sequence
from itertools import islice

from memgym.memory import STORES, Memory, StoreName

__all__ = ["clip", "render_memory", "visible_ids"]

_EMPTY = "(empty)"
_GAP = "\n\n"


def visible_ids(
    memory: Memory, store: StoreName, chunk: str, *, recent: int, relevant: int
) -> list[str]:
    """Return the ids of the items shown if there is room for all, oldest first."""
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
    """Return the view as text, one item a line with its id, at most ``max_characters`` long.

    Sections that do not fit together share the room: none gets less than an equal part unless it
    needs less. The newest shown item of each store is always there, clipped if need be.
    """
    sections: list[_Section] = []
    if memory.budget_tokens:
        used = f"Memory: {memory.total_tokens} of {memory.budget_tokens} tokens used"
        sections.append(_Section(used, [], 0))
    if "core" in memory.memory_types:
        core = clip(memory.core, max(item_characters, memory.core_capacity_tokens * 16)) or _EMPTY
        title = f"Core memory (at most {memory.core_capacity_tokens} tokens):"
        sections.append(_Section(title, [core], 0))
    for store in STORES:
        if store in memory.memory_types:
            ids = visible_ids(memory, store, chunk, recent=recent, relevant=relevant)
            sections.append(_store_section(memory, store, ids, item_characters))
    needs = [len(section.text()) for section in sections]
    rooms = _fair_rooms(needs, max_characters - len(_GAP) * (len(sections) - 1))
    parts = [section.fitted(room) for section, room in zip(sections, rooms, strict=True)]
    return clip(_GAP.join(parts), max_characters)


class _Section:
    """A title and the lines below it; ``total`` is the number of items of a store, else 0."""

    def __init__(self, title: str, lines: Sequence[str], total: int) -> None:
        self._title = title
        self._lines = lines
        self._total = total

    def text(self, dropped: int = 0) -> str:
        """Return the section without its first ``dropped`` lines."""
        lines = self._lines[dropped:]
        counts = f" ({len(lines)} of {self._total} items):" if self._total else ""
        return "\n".join([self._title + counts, *lines])

    def fitted(self, room: int) -> str:
        """Return the section within ``room`` characters, its last line at least begun."""
        last = max(len(self._lines) - 1, 0)
        for dropped in range(last + 1):
            text = self.text(dropped)
            if len(text) <= room:
                return text
        return clip(text, room)


def _store_section(
    memory: Memory, store: StoreName, ids: Sequence[str], item_characters: int
) -> _Section:
    items = memory.items(store)
    title = f"{store.capitalize()} memory"
    if not items:
        return _Section(f"{title}: {_EMPTY}", [], 0)
    lines = [f"[{memory_id}] {clip(items[memory_id], item_characters)}" for memory_id in ids]
    return _Section(title, lines, len(items))


def _fair_rooms(needs: Sequence[int], room: int) -> list[int]:
    """Share ``room`` among sections: what a small one leaves over goes to the larger ones."""
    rooms = [0] * len(needs)
    left = max(room, 0)
    for rank, index in enumerate(sorted(range(len(needs)), key=needs.__getitem__)):
        rooms[index] = min(needs[index], left // (len(needs) - rank))
        left -= rooms[index]
    return rooms


def clip(text: str, characters: int) -> str:
    """Return ``text``, or its beginning with a note of what was left out, within ``characters``."""
    if len(text) <= characters:
        return text
    note = f" … ({len(text)} characters)"
    return text[: max(characters - len(note), 0)] + note[:characters]
