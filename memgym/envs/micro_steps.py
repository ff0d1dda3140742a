"""Reading a chunk sentence by sentence: what is seen of each, what may be done, what is called.

:class:`MicroSteps` turns the decisions about the sentences of a chunk into the tool calls of one
action of ``MemAlpha-v0``. It keeps account of what those calls will do (ids are deterministic, and
nothing is called that would not succeed), so each sentence is judged against what has just been
written. ``MemAlphaNumeric-v0`` plays through it, and so can any policy trained there that is to
play ``MemAlpha-v0``.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from memgym.envs.features import SURFACE, ChunkFeatures, Encoder, Featuriser, Floats
from memgym.envs.mentions import MENTIONS, Mentions
from memgym.envs.similar import SimilarItems
from memgym.memory import MAX_CONTENT_CHARACTERS, STORES, Memory, StoreName
from memgym.tokens import DEFAULT_COUNTER

__all__ = ["MEMORY", "NEAREST", "READING", "MicroSteps", "Move", "joint_moves", "layout"]

Operation: TypeAlias = Literal["skip", "insert", "append", "update", "delete"]

MEMORY = (
    "used_of_budget", "used_of_read", "core_used", "semantic_items", "episodic_items", "fits",
    "fits_core", "calls_used", "room_for_rest",
)  # fmt: skip
"""What is seen of the memory; all lie in 0..1, item counts are logarithmic (1 at 1,000 items).
``room_for_rest`` is the share of the text still to come, this sentence included, that the budget
has room for, if later chunks are as long as those so far: how choosy to be."""

NEAREST = ("held", "cosine", "tokens", "newness")
"""What is seen of each similar item: whether there is one; its cosine with the sentence; its size
as a share of 64 tokens; its rank by age, 1 for the newest."""

READING = ("tokens", "chunk_read", "episode_read")
"""What is seen of the sentence besides its surface: its size as a share of 64 tokens, and the share
of the chunk's sentences and of the episode's text that came before it."""

_TOKENS = 64
_ITEMS = math.log1p(1_000)


@dataclass(frozen=True, slots=True)
class Move:
    """One decision about a sentence.

    Attributes:
        operation: ``skip`` it, ``insert`` it as a new item, ``append`` it to the core, let it
            replace (``update``) a similar item, or ``delete`` a similar item and pass over it.
        store: The store concerned (``insert``, ``update``, ``delete``).
        slot: Which of the most similar items, 0 for the first (``update``, ``delete``).
    """

    operation: Operation
    store: StoreName = "semantic"
    slot: int = 0


def joint_moves(similar_items: int, *, edits: bool = True) -> tuple[Move, ...]:
    """Return the moves of the joint coding: skip, 2 inserts, append, then 2K updates, 2K deletes.

    Args:
        similar_items: K, the similar items of each store that are shown.
        edits: Whether these can be updated and deleted; there are only the first four moves if not.
    """
    slots = [(store, slot) for store in STORES for slot in range(similar_items)] if edits else []
    return (
        Move("skip"),
        *(Move("insert", store) for store in STORES),
        Move("append"),
        *(Move("update", store, slot) for store, slot in slots),
        *(Move("delete", store, slot) for store, slot in slots),
    )


def layout(encoder: Encoder, similar_items: int) -> dict[str, slice]:
    """Return where each part of an observation lies, in the alphabetical order of a ``Dict``."""
    widths = {
        "memory": len(MEMORY),
        "nearest": 1 + len(STORES) * similar_items * len(NEAREST),
        "sentence": len(READING) + len(MENTIONS) + len(SURFACE),
        "words": encoder.words_width,
    }
    ends = np.cumsum(list(widths.values())).tolist()
    return {
        name: slice(end - width, end)
        for (name, width), end in zip(widths.items(), ends, strict=True)
    }


class MicroSteps:
    """The course of one episode in decisions about sentences.

    Args:
        featuriser: Describes the chunks; counts tokens as the memory does.
        memory: The environment's memory, empty; it is read for its limits only.
        similar_items: K, see :func:`joint_moves`.
        edits: See there.
        max_calls: Tool calls that the environment takes per step.

    Attributes:
        reading: Whether the chunk has a sentence to decide about.
        calls: The tool calls for the chunk so far, as plain dicts.
        total_tokens: Tokens in the memory once it has been given the calls.
        moves: All moves, see :func:`joint_moves`.
        allowed: In their order, what the memory would carry out with status
            ``ok`` and whole (the core could cut a text), and ``skip``. Once there are
            ``max_calls`` calls nothing else is.
    """

    def __init__(
        self,
        featuriser: Featuriser,
        memory: Memory,
        *,
        similar_items: int,
        edits: bool = True,
        max_calls: int,
    ) -> None:
        self.reading = False
        self.calls: list[dict[str, Any]] = []
        self.total_tokens = 0
        self.moves = joint_moves(similar_items, edits=edits)
        self.allowed = [move.operation == "skip" for move in self.moves]
        self._featuriser = featuriser
        self._memory = memory
        self._takes_core = "core" in memory.memory_types
        self._takes = {name: name in memory.memory_types for name in STORES}
        self._max_calls = max_calls
        self._slots = similar_items
        self._edits = edits
        width = featuriser.encoder.vector_width
        self._stores = {name: SimilarItems(name[0], width) for name in STORES}
        self._similar: dict[StoreName, list[tuple[int, float]]] = {}
        self._core = ""
        self._core_tokens = 0
        self._core_start = 0  # tokens of the core with the line break that comes before the next
        self._in_core = SimilarItems("", width)  # the sentences that were appended
        self._read_tokens = 0
        self._chunk_end = 0  # tokens read when the chunk in view has been
        self._later_tokens = 0.0  # that later chunks are expected to have
        self._chunk = featuriser.nothing
        self._mentions = Mentions()
        self._fixed: Floats = np.zeros((0, 0), dtype=np.float32)
        self._place = 0

    # ------------------------------------------------------------------ the course of a chunk

    def open(self, chunk: str, index: int, chunks: int) -> None:
        """Begin chunk ``index`` of ``chunks``; its calls are collected in :attr:`calls`."""
        self._chunk = found = self._featuriser.describe(chunk)
        self.calls = []
        self._place = 0
        self.reading = True
        before = len(MEMORY) + 1 + self._nearest_width()
        self._fixed = _fixed_part(found, self._mentions.read(found), index, chunks, before)
        self._chunk_end = self._read_tokens + sum(found.tokens)
        self._later_tokens = self._chunk_end / (index + 1) * (chunks - index - 1)
        self._look()

    def _nearest_width(self) -> int:
        return len(STORES) * self._slots * len(NEAREST)

    @property
    def sentence(self) -> str:
        """The sentence to decide about, ``""`` after the last one of the chunk."""
        return self._chunk.sentences[self._place] if self.reading else ""

    def texts(self) -> Iterator[str]:
        """Yield every text held, items first, then the sentences of the core."""
        for items in (*self._stores.values(), self._in_core):
            yield from items.texts

    def take(self, number: int) -> None:
        """Carry out a move, given by its number in :attr:`moves`, and go on to the next sentence.

        One that is not in :attr:`allowed` is a ``skip``.
        """
        move = self.moves[number]
        if move.operation != "skip" and self.allowed[number]:
            self.calls.append(self._carry_out(move))
        self._place += 1
        self.reading = self._place < len(self._chunk.sentences)
        if self.reading:
            self._look()
        else:
            self.allowed = [move.operation == "skip" for move in self.moves]

    def _look(self) -> None:
        """Look at the sentence: what may be written, and which items are most like it."""
        place, slots = self._place, self._slots
        self._text = text = self._chunk.sentences[place]
        self._tokens = tokens = self._chunk.tokens[place]
        self._read_tokens += tokens
        vector = self._chunk.vectors[place]
        budget = self._memory.budget_tokens
        self._left = left = max(budget - self.total_tokens, 0) if budget else math.inf
        is_callable = len(self.calls) < self._max_calls
        writable = is_callable and _is_content(text)
        inserts, updates, deletes = [], list[bool](), list[bool]()
        for name, items in self._stores.items():
            new = writable and self._takes[name] and text not in items.held
            inserts.append(new and tokens <= left)
            found = self._similar[name] = items.most_similar(vector, slots)
            for place, _ in found:
                updates.append(new and tokens - items.tokens[place] <= left)
                deletes.append(is_callable)
            if len(found) < slots:
                missing = [False] * (slots - len(found))
                updates += missing
                deletes += missing
        self._fits_core = writable and self._takes_core and self._core_has_room()
        changes = [*updates, *deletes] if self._edits else []
        self.allowed = [True, *inserts, self._fits_core, *changes]

    def _core_has_room(self) -> bool:
        """Whether the sentence can be appended to the core as a whole."""
        memory = self._memory
        if not self._core:
            tokens = self._tokens
        elif memory.counter.name == DEFAULT_COUNTER and not self._text.startswith("/"):
            # After a line break its pattern begins anew unless a slash follows, so counts add up.
            tokens = self._core_start + self._tokens
        else:
            tokens = memory.counter.count(self._appended())
        if tokens > memory.core_capacity_tokens or tokens - self._core_tokens > self._left:
            return False
        return len(self._core) + 1 + len(self._text) <= MAX_CONTENT_CHARACTERS

    def _appended(self) -> str:
        return f"{self._core}\n{self._text}" if self._core else self._text

    # ------------------------------------------------------------------ what a move does

    def _carry_out(self, move: Move) -> dict[str, Any]:
        """Enter a move that the memory will carry out, and return the call for it."""
        vector, text = self._chunk.vectors[self._place], self._text
        if move.operation == "append":
            return self._append(vector)
        items, store = self._stores[move.store], move.store
        if move.operation == "insert":
            items.insert(text, self._tokens, vector)
            self.total_tokens += self._tokens
            return _call("new_memory_insert", memory_type=store, content=text)
        place = self._similar[store][move.slot][0]
        item = items.ids[place]
        self.total_tokens -= items.tokens[place]
        if move.operation == "delete":
            items.delete(place)
            return _call("memory_delete", memory_type=store, memory_id=item)
        items.update(place, text, self._tokens, vector)
        self.total_tokens += self._tokens
        return _call("memory_update", memory_type=store, new_content=text, memory_id=item)

    def _append(self, vector: Floats) -> dict[str, Any]:
        count = self._memory.counter.count
        self._in_core.insert(self._text, self._tokens, vector)
        self._core = self._appended()
        tokens = count(self._core)
        self.total_tokens += tokens - self._core_tokens
        self._core_tokens = tokens
        self._core_start = count(f"{self._core}\n")
        return _call("memory_update", memory_type="core", new_content=self._core)

    # ------------------------------------------------------------------ what is seen

    def observation(self) -> Floats:
        """Return what is seen of the sentence, laid out as :func:`layout` says, freshly made."""
        numbers = self._memory_numbers()
        nearest = self._in_core.most_similar(self._chunk.vectors[self._place], 1)
        numbers.append(nearest[0][1] if nearest else 0.0)
        for name, found in self._similar.items():
            tokens = self._stores[name].tokens
            for place, cosine in found:
                numbers += (1.0, cosine, tokens[place] / _TOKENS, (place + 1) / len(tokens))
            if len(found) < self._slots:
                numbers += [0.0] * (len(NEAREST) * (self._slots - len(found)))
        seen: Floats = self._fixed[self._place].copy()
        # Packed, and cut to 0..1 one by one: for so few numbers numpy takes twice the time.
        cut = [0.0 if x < 0.0 else 1.0 if x > 1.0 else x for x in numbers]
        struct.pack_into(f"{len(cut)}f", seen.data, 0, *cut)
        return seen

    def _memory_numbers(self) -> list[float]:
        """Return the numbers of :data:`MEMORY`; what exceeds 1 is cut later."""
        budget = self._memory.budget_tokens
        semantic, episodic = self._stores.values()
        return [
            self.total_tokens / budget if budget else 0.0,
            self.total_tokens / max(self._read_tokens, 1),
            self._core_tokens / self._memory.core_capacity_tokens,
            math.log1p(len(semantic.ids)) / _ITEMS,
            math.log1p(len(episodic.ids)) / _ITEMS,
            float(self._tokens <= self._left),
            float(self._fits_core),
            len(self.calls) / self._max_calls,
            self._left / max(self._rest(), 1),
        ]

    def _rest(self) -> float:
        """Return the tokens still to come, the sentence in view included."""
        return self._chunk_end - self._read_tokens + self._tokens + self._later_tokens


def _fixed_part(
    found: ChunkFeatures, mentions: Floats, index: int, chunks: int, before: int
) -> Floats:
    """Return what is seen of each sentence whatever the memory holds, after ``before`` zeros."""
    count = len(found.sentences)
    read = np.arange(count) / count
    tokens = np.minimum(np.array(found.tokens) / _TOKENS, 1.0)
    reading = np.stack([tokens, read, (index + read) / chunks], axis=1)
    parts = [np.zeros((count, before)), reading, mentions, found.surface, found.words]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _call(name: str, **arguments: str) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def _is_content(text: str) -> bool:
    return 0 < len(text) <= MAX_CONTENT_CHARACTERS and not text.isspace()
