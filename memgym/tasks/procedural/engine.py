"""What every procedural task shares: options, seeded generators, lazy chunks, length control.

Not here: names and values (``words``), how sentences become conversations and documents
(``dialogue``), and what each ability asks (one module per ability).
"""

import hashlib
import math
import operator
import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, overload

from memgym.errors import UsageError, nearest
from memgym.tokens import get_counter

__all__ = [
    "SPLITS",
    "LazyChunks",
    "ProceduralOptions",
    "check_split",
    "chunk_count",
    "chunk_date",
    "chunk_target",
    "count_tokens",
    "episode_id",
    "episode_metadata",
    "generator",
]

SPLITS = ("train", "validation", "test")

_LIMITS: dict[str, tuple[float, float]] = {
    "tokens": (300, 10_000_000),
    "chunk_tokens": (40, 20_000),
    "filler": (0.0, 0.95),
    "questions": (1, 1_000),
    "midstream": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class ProceduralOptions:
    """Size and shape of a procedural episode.

    Attributes:
        tokens: Length of the whole text, o200k tokens, 300 to 10,000,000; reached within a few
            per cent, with chunks below 100 tokens within a fifth.
        chunk_tokens: Target size of one chunk, tokens, 40 to 20,000; 40 are a heading and a
            sentence or two.
        filler: Share of the sentences that nobody could ask about, 0 to 0.95.
        questions: Questions asked, 1 to 1,000. A text too short to hold the facts for that many
            asks as many as fit, at least one.
        midstream: Share of the questions that are asked as soon as their evidence has been read,
            0 to 1; the others come after the last chunk.

    Raises:
        UsageError: an option is not a number or outside its range.
    """

    tokens: int = 8_000
    chunk_tokens: int = 1_000
    filler: float = 0.5
    questions: int = 20
    midstream: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            whole = isinstance(low, int)
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise UsageError(f"procedural option {name} must be {kind}, got {value!r}")
            if not low <= value <= high:
                raise UsageError(
                    f"procedural option {name} must be from {low:,} to {high:,}, got {value:,}"
                )


def check_split(split: str) -> str:
    """Return ``split`` if it is one of :data:`SPLITS`.

    Raises:
        UsageError: it is not.
    """
    if split not in SPLITS:
        raise UsageError(f'unknown split "{split}": {nearest(split, SPLITS)}')
    return split


def generator(seed_path: str) -> random.Random:
    """Return a random generator that depends on nothing but the characters of ``seed_path``.

    A path such as ``"<episode id>/chunk/17"`` gives each part of an episode its own stream, so that
    any part can be made without the parts before it.
    """
    return random.Random(int.from_bytes(hashlib.sha256(seed_path.encode()).digest()[:16], "big"))


def episode_id(ability: str, split: str, index: int, options: ProceduralOptions) -> str:
    """Return the id of an episode, which names everything its content depends on."""
    return (
        f"procedural/{ability}/{split}/t{options.tokens}-c{options.chunk_tokens}"
        f"-f{options.filler:g}-q{options.questions}-m{options.midstream:g}/{index}"
    )


def episode_metadata(split: str, options: ProceduralOptions) -> dict[str, Any]:
    """Return the metadata common to all procedural episodes: split, planned tokens, options."""
    return {"split": split, "tokens": options.tokens, "options": asdict(options)}


def chunk_count(options: ProceduralOptions) -> int:
    """Return the number of chunks that ``options.tokens`` are cut into."""
    return max(1, math.ceil(options.tokens / options.chunk_tokens))


def chunk_target(options: ProceduralOptions) -> int:
    """Return the tokens that one chunk aims at; all chunks of an episode aim at the same size."""
    return round(options.tokens / chunk_count(options))


def chunk_date(index: int, chunks: int) -> datetime:
    """Return the simulated date and time at which chunk ``index`` of ``chunks`` begins.

    Dates never go backwards. A short episode takes about a year, and no episode more than ten.
    """
    span_days = min(max(360, chunks), 3_650)
    minutes = round(index * span_days * 24 * 60 / max(chunks, 1))
    if chunks <= span_days:  # at most a chunk a day: each at some hour from 8:00 to 18:00
        minutes = minutes // (24 * 60) * (24 * 60) + index * 185 % 600
    return datetime(2031, 1, 6, 8, 0) + timedelta(minutes=minutes)


def count_tokens(text: str) -> int:
    """Return the o200k tokens of ``text``; what the tokenizer caches for it is bounded."""
    return get_counter().count(text)


class LazyChunks(Sequence[str]):
    """A sequence of chunks that are made when they are read and not kept; threads may share it.

    Args:
        length: Number of chunks.
        make: Gives the text of the chunk with an index in ``0 .. length - 1``, always the same.
            It must be picklable for the sequence to be (a module-level function, a
            ``functools.partial`` of one, or an instance of a module-level class).
        cache: How many of the latest chunks are kept. By default enough for a text of 32,000 tokens
            in chunks of 1,000, which a budget that is a share of the text counts before it is read.
    """

    __slots__ = ("_cache", "_cache_size", "_length", "_lock", "_make")
    __hash__ = None  # type: ignore[assignment]  # equality is by content, which is not kept

    def __init__(self, length: int, make: Callable[[int], str], cache: int = 32) -> None:
        self._length = length
        self._make = make
        self._cache_size = cache
        self._cache: OrderedDict[int, str] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(self._length)))
        position = operator.index(index)
        if position < 0:
            position += self._length
        if not 0 <= position < self._length:
            raise IndexError(f"chunk {index} of {self._length}")
        return self._chunk(position)

    def _chunk(self, position: int) -> str:
        with self._lock:
            if position in self._cache:
                self._cache.move_to_end(position)
                return self._cache[position]
        text = self._make(position)  # outside the lock: making one may read another
        if self._cache_size > 0:
            with self._lock:
                self._cache[position] = text
                if len(self._cache) > self._cache_size:
                    self._cache.popitem(last=False)
        return text

    def __iter__(self) -> Iterator[str]:
        return (self._chunk(position) for position in range(self._length))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, (LazyChunks, tuple, list)):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    def __reduce__(self) -> tuple[type["LazyChunks"], tuple[int, Callable[[int], str], int]]:
        return LazyChunks, (self._length, self._make, self._cache_size)

    def __repr__(self) -> str:
        return f"<LazyChunks of {self._length:,}>"
