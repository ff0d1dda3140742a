"""What one step did to the memory: items that came, changed and went, changed ones word by word."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from memgym.memory import STORES, Memory, StoreName

__all__ = ["CORE", "Change", "MemoryWatch", "Part", "changed_words"]

CORE = "core"
"""Stands for the core where items have their ids."""

Part = tuple[Literal["=", "-", "+"], str]
"""A piece of text that stayed, went or came. Those that stayed or came make up the new text, those
that stayed or went the old one."""

_STORE_OF: dict[str, StoreName] = {name[0]: name for name in STORES}
# Words, gaps and runs of signs; scripts that put no gaps between words go character by character.
_WORDS = re.compile(
    r"\s+|[\u3040-\u30ff\u3400-\u9fff]|(?:(?![\u3040-\u30ff\u3400-\u9fff])\w)+|[^\w\s]+"
)
_MOST_PAIRS = 200_000  # equal words of old and new text; what the comparison takes grows with them


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one item, or of the core, in one step.

    Attributes:
        kind: What happened, all calls of the step together.
        memory_id: The item, or :data:`CORE`.
        parts: Its text in pieces, see :data:`Part`.
    """

    kind: Literal["inserted", "edited", "deleted"]
    memory_id: str
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """What the item holds after it, ``""`` if it is gone."""
        return "".join(text for kind, text in self.parts if kind != "-")


class MemoryWatch:
    """Tells, after every step of a growing memory, what has changed since the last time."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def changes(self, memory: Memory, touched: Iterable[str]) -> tuple[Change, ...]:
        """Return what differs from the last call, core first, then in the order of ``touched``.

        Args:
            memory: As it is now.
            touched: Ids that tool results name; only these and the core are looked at.
        """
        ids = dict.fromkeys((CORE, *touched))
        return tuple(change for name in ids for change in self._change(name, memory))

    def _change(self, memory_id: str, memory: Memory) -> Iterator[Change]:
        old, new = self._texts.get(memory_id, ""), _text(memory_id, memory)
        if old == new:
            return
        if not new:
            del self._texts[memory_id]
            yield Change("deleted", memory_id, (("-", old),))
            return
        self._texts[memory_id] = new
        if old:
            yield Change("edited", memory_id, changed_words(old, new))
        else:
            yield Change("inserted", memory_id, (("+", new),))


def _text(memory_id: str, memory: Memory) -> str:
    """Return what an item holds, ``""`` if there is none: no item and no set core is empty."""
    if memory_id == CORE:
        return memory.core
    store = _STORE_OF.get(memory_id[:1])
    return memory.items(store).get(memory_id, "") if store else ""


def changed_words(old: str, new: str) -> tuple[Part, ...]:
    """Return how one text became another, in whole words.

    Texts that share so many repeated words that comparing them would take long are shown as one
    text that went and one that came, apart from what they begin and end with.
    """
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    first = _common(before, after)
    last = _common(before[first:][::-1], after[first:][::-1])
    old_middle, new_middle = before[first : len(before) - last], after[first : len(after) - last]
    parts: list[Part] = [("=", "".join(before[:first]))]
    parts += _middle(old_middle, new_middle)
    parts.append(("=", "".join(before[len(before) - last :])))
    return _joined(parts)


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Return how many words both begin with."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(left), len(right)))


def _middle(old: list[str], new: list[str]) -> Iterator[Part]:
    counts = Counter(old)
    if sum(counts[word] for word in new) > _MOST_PAIRS:
        yield from (("-", "".join(old)), ("+", "".join(new)))
        return
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            yield "=", "".join(old[old_from:old_to])
        else:
            yield "-", "".join(old[old_from:old_to])
            yield "+", "".join(new[new_from:new_to])


def _joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Leave out empty parts, and put together what a mere gap between two words split.

    A gap that stayed between two replaced words counts as replaced with them: what changed is
    easier to read in one piece.
    """
    kept = [part for part in parts if part[1]]
    joined: list[Part] = []
    gone, come = "", ""
    for place, (kind, text) in enumerate(kept):
        is_gap = kind == "=" and text.isspace() and gone and come and place < len(kept) - 1
        if kind != "+":
            gone += text if kind == "-" or is_gap else ""
        if kind != "-":
            come += text if kind == "+" or is_gap else ""
        if kind == "=" and not is_gap:
            joined += _both(gone, come)
            joined.append((kind, text))
            gone = come = ""
    return tuple(joined + _both(gone, come))


def _both(gone: str, come: str) -> list[Part]:
    parts: list[Part] = [("-", gone), ("+", come)]
    return [part for part in parts if part[1]]
