"""The structured memory: a core paragraph and two ordered stores of items.

``core`` is one paragraph with a capacity in tokens; ``semantic`` (facts) and ``episodic`` (events)
hold items under deterministic ids that are never reused (``s1``, ``s2``, …, ``e1``, …). Every
operation returns a :class:`MemoryResult` that says what was done, or what was wrong and what would
have been valid; a failed operation changes nothing. Source: Mem-alpha, section 3.1 and its released
``memory.py``; ids, duplicate and unknown-id handling differ on purpose.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from memgym.bm25 import LazyIndex
from memgym.errors import UsageError, nearest
from memgym.snapshot import Snapshot, checked_snapshot
from memgym.tokenise import TOKENISERS
from memgym.tokens import TokenCounter, clean_text, get_counter

__all__ = [
    "CORE_CAPACITY_TOKENS",
    "MAX_CONTENT_CHARACTERS",
    "MEMORY_TYPES",
    "STORES",
    "Found",
    "Memory",
    "MemoryResult",
    "MemoryType",
    "StoreName",
]

MemoryType = Literal["core", "semantic", "episodic"]
StoreName = Literal["semantic", "episodic"]
MEMORY_TYPES: tuple[MemoryType, ...] = get_args(MemoryType)
STORES: tuple[StoreName, ...] = get_args(StoreName)

CORE_CAPACITY_TOKENS = 512
MAX_CONTENT_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True)
class MemoryResult:
    """What one operation did.

    Attributes:
        status: ``ok``; ``skipped`` (nothing to do, e.g. an exact duplicate); ``error``.
        message: One line for the agent, in the past tense or naming what would be valid.
        memory_type: The type that was addressed.
        memory_id: The item concerned, ``""`` for the core or if there is none.
        removed: Text that this operation took out of the memory (replaced, deleted, cut off).
        truncated: Whether the core was cut at its capacity.
    """

    status: Literal["ok", "skipped", "error"]
    message: str
    memory_type: str
    memory_id: str = ""
    removed: str = ""
    truncated: bool = False


class Found(NamedTuple):
    """One retrieved item.

    Attributes:
        memory_type: The store that holds it.
        memory_id: Its id.
        content: Its text.
        score: BM25 against the query.
        sequence: Rises with the order of insertion, across the stores; an update keeps it.
    """

    memory_type: StoreName
    memory_id: str
    content: str
    score: float
    sequence: int


class _Store:
    """One ordered store: contents, token counts, reverse look-up and a search index."""

    def __init__(self, name: StoreName, tokenise_name: str) -> None:
        self.name = name
        self.prefix = name[0]
        self.next_number = 1
        self.items: dict[str, str] = {}
        self.tokens: dict[str, int] = {}
        self.id_of: dict[str, str] = {}
        self.index = LazyIndex(self.items, TOKENISERS[tokenise_name])

    def insert(self, content: str, tokens: int) -> str:
        memory_id = f"{self.prefix}{self.next_number}"
        self.next_number += 1
        self._put(memory_id, content, tokens)
        self.index.inserted(memory_id)
        return memory_id

    def update(self, memory_id: str, content: str, tokens: int) -> str:
        old = self.items[memory_id]
        del self.id_of[old]
        self._put(memory_id, content, tokens)
        self.index.updated(memory_id)
        return old

    def delete(self, memory_id: str) -> str:
        old = self.items.pop(memory_id)
        del self.tokens[memory_id]
        del self.id_of[old]
        self.index.deleted(memory_id)
        return old

    def _put(self, memory_id: str, content: str, tokens: int) -> None:
        self.items[memory_id] = content
        self.tokens[memory_id] = tokens
        self.id_of[content] = memory_id

    def describe_ids(self) -> str:
        if not self.items:
            return f"{self.name} memory is empty"
        ids = list(self.items)
        shown = (
            ", ".join(ids) if len(ids) <= 8 else f"{', '.join(ids[:3])}, …, {', '.join(ids[-3:])}"
        )
        return f"{self.name} memory holds {shown}"


class Memory:
    """A core paragraph plus semantic and episodic items, with exact running token totals.

    Args:
        counter: Name of the token counter (see :mod:`memgym.tokens`).
        core_capacity_tokens: Capacity of the core, in tokens.
        core_overflow: ``truncate`` cuts an over-long core at its capacity and flags it;
            ``reject`` makes it an error and keeps the old core.
        budget_tokens: Limit for core and items together, in tokens; 0 means none. What would exceed
            it is an error.
        memory_types: The enabled types; operations on others are errors.
        tokeniser: ``default`` or ``paper`` (see :mod:`memgym.bm25`).

    Raises:
        UsageError: an argument is out of range or unknown.
    """

    def __init__(
        self,
        *,
        counter: str = "o200k_base",
        core_capacity_tokens: int = CORE_CAPACITY_TOKENS,
        core_overflow: Literal["truncate", "reject"] = "truncate",
        budget_tokens: int = 0,
        memory_types: Sequence[str] = MEMORY_TYPES,
        tokeniser: str = "default",
    ) -> None:
        for argument, text in (("counter", counter), ("tokeniser", tokeniser)):
            if not isinstance(text, str):
                raise UsageError(f"{argument} must be a string, got {text!r}")
        if core_overflow not in ("truncate", "reject"):
            raise UsageError(f'core_overflow must be "truncate" or "reject", got "{core_overflow}"')
        if tokeniser not in TOKENISERS:
            raise UsageError(f'unknown tokeniser "{tokeniser}": {nearest(tokeniser, TOKENISERS)}')
        _check_memory_types(memory_types)
        _check_least("core_capacity_tokens", core_capacity_tokens, 1)
        _check_least("budget_tokens", budget_tokens, 0)
        self.counter: TokenCounter = get_counter(counter)
        self.core_capacity_tokens = core_capacity_tokens
        self.core_overflow = core_overflow
        self.budget_tokens = budget_tokens
        self.memory_types = tuple(name for name in MEMORY_TYPES if name in memory_types)
        self._tokeniser = tokeniser
        self._core = ""
        self._core_tokens = 0
        self._stores: dict[str, _Store] = {}
        self._sequence: dict[str, int] = {}  # id -> place in the order of insertion, in that order
        self._next_sequence = 0
        self.clear()

    # ------------------------------------------------------------------ reading

    @property
    def core(self) -> str:
        """The core paragraph, ``""`` if empty."""
        return self._core

    @property
    def total_tokens(self) -> int:
        """Tokens of the core and of every item's content; ids and layout are not counted."""
        return self._total_tokens

    def items(self, memory_type: StoreName) -> dict[str, str]:
        """Return the live dict id -> content of a store, oldest first. Do not modify it."""
        return self._stores[memory_type].items

    def item_tokens(self, memory_type: StoreName, memory_id: str) -> int:
        """Return the tokens of one item."""
        return self._stores[memory_type].tokens[memory_id]

    def __len__(self) -> int:
        """Return the number of items; a non-empty core counts as one."""
        return sum(len(store.items) for store in self._stores.values()) + bool(self._core)

    def search(self, query: str, memory_type: StoreName, top_k: int) -> list[Found]:
        """Return the ``top_k`` best items of one store by BM25, best first, ties by age."""
        store = self._stores[memory_type]
        return [
            Found(memory_type, memory_id, store.items[memory_id], score, self._sequence[memory_id])
            for memory_id, score in store.index.search(query, top_k)
        ]

    def relevant(self, text: str, memory_type: StoreName, top_k: int) -> list[str]:
        """Return ids of the items most relevant to a long text, best first (for the view)."""
        return [memory_id for memory_id, _ in self._stores[memory_type].index.relevant(text, top_k)]

    # ------------------------------------------------------------------ writing

    def insert(self, memory_type: str, content: str) -> MemoryResult:
        """Add an item; an insert into an empty core is an update.

        An exact duplicate inside the same store is ``skipped`` and names the item that holds it.
        """
        problem = self._type_problem(memory_type) or self._content_problem(content)
        if problem:
            return MemoryResult("error", problem, memory_type)
        if memory_type == "core":
            if self._core:
                message = "core memory is not empty: use memory_update to replace it"
                return MemoryResult("error", message, "core")
            return self._write_core(content)
        content = clean_text(content)
        store = self._stores[memory_type]
        if content in store.id_of:
            held = store.id_of[content]
            return MemoryResult("skipped", f"{held} already holds exactly this", memory_type, held)
        tokens = self.counter.count(content)
        problem = self._budget_problem(tokens, added=tokens)
        if problem:
            return MemoryResult("error", problem, memory_type)
        memory_id = self._put(store, content, tokens)
        return MemoryResult("ok", f"inserted {memory_id}", memory_type, memory_id)

    def update(self, memory_type: str, content: str, memory_id: str = "") -> MemoryResult:
        """Replace an item's content, or the whole core (``memory_id`` is then ignored)."""
        problem = self._type_problem(memory_type) or self._content_problem(content)
        if problem:
            return MemoryResult("error", problem, memory_type, memory_id)
        if memory_type == "core":
            return self._write_core(content)
        store = self._stores[memory_type]
        if memory_id not in store.items:
            return self._unknown_id(store, memory_id)
        content = clean_text(content)
        if content in store.id_of:
            held = store.id_of[content]
            same = "it" if held == memory_id else held
            return MemoryResult(
                "skipped", f"{memory_id} unchanged: {same} already holds exactly this", memory_type,
                memory_id,
            )  # fmt: skip
        tokens, old_tokens = self.counter.count(content), store.tokens[memory_id]
        problem = self._budget_problem(tokens, added=tokens - old_tokens)
        if problem:
            return MemoryResult("error", problem, memory_type, memory_id)
        removed = store.update(memory_id, content, tokens)
        self._total_tokens += tokens - old_tokens
        return MemoryResult("ok", f"updated {memory_id}", memory_type, memory_id, removed)

    def delete(self, memory_type: str, memory_id: str = "") -> MemoryResult:
        """Remove an item, or clear the core (``memory_id`` is then ignored)."""
        problem = self._type_problem(memory_type)
        if problem:
            return MemoryResult("error", problem, memory_type, memory_id)
        if memory_type == "core":
            if not self._core:
                return MemoryResult("skipped", "core memory is already empty", "core")
            removed, self._core = self._core, ""
            self._total_tokens -= self._core_tokens
            self._core_tokens = 0
            return MemoryResult("ok", "cleared core memory", "core", removed=removed)
        store = self._stores[memory_type]
        if memory_id not in store.items:
            return self._unknown_id(store, memory_id)
        self._total_tokens -= store.tokens[memory_id]
        del self._sequence[memory_id]
        removed = store.delete(memory_id)
        return MemoryResult("ok", f"deleted {memory_id}", memory_type, memory_id, removed)

    def clear(self) -> None:
        """Empty everything and start the ids again."""
        self._core, self._core_tokens, self._total_tokens = "", 0, 0
        self._stores = {name: _Store(name, self._tokeniser) for name in STORES}
        self._sequence, self._next_sequence = {}, 0

    def _put(self, store: _Store, content: str, tokens: int) -> str:
        memory_id = store.insert(content, tokens)
        self._sequence[memory_id] = self._next_sequence
        self._next_sequence += 1
        self._total_tokens += tokens
        return memory_id

    def _write_core(self, content: str) -> MemoryResult:
        content, cut_off, truncated = clean_text(content), "", False
        tokens = self.counter.count(content)
        capacity = self.core_capacity_tokens
        if tokens > capacity:
            if self.core_overflow == "reject":
                return MemoryResult(
                    "error", f"core memory holds at most {capacity} tokens, got {tokens}", "core"
                )
            kept = self.counter.head(content, capacity)
            cut_off, truncated = content[len(kept) :], True
            content, written = kept, tokens
            tokens = self.counter.count(content)
            message = f"updated core memory, cut at {capacity} of {written} tokens"
        else:
            message = "updated core memory"
        if content == self._core:
            return MemoryResult("skipped", "core memory already holds exactly this", "core")
        problem = self._budget_problem(tokens, added=tokens - self._core_tokens)
        if problem:
            return MemoryResult("error", problem, "core")
        # A cut text counts as removed together with what it replaced: diagnosis calls both "lost".
        removed = "\n".join(text for text in (self._core, cut_off) if text)
        self._total_tokens += tokens - self._core_tokens
        self._core, self._core_tokens = content, tokens
        return MemoryResult("ok", message, "core", removed=removed, truncated=truncated)

    # ------------------------------------------------------------------ checks

    def _type_problem(self, memory_type: str) -> str:
        if memory_type in self.memory_types:
            return ""
        if memory_type in MEMORY_TYPES:
            return f"{memory_type} memory is disabled here; use {', '.join(self.memory_types)}"
        return f'unknown memory type "{str(memory_type)[:60]}"; use {", ".join(self.memory_types)}'

    def _content_problem(self, content: object) -> str:
        if not isinstance(content, str):
            return f"content must be a string, got {type(content).__name__}"
        if not content.strip():
            return "content is empty; to remove something use memory_delete"
        return _length_problem(content)

    def _budget_problem(self, tokens: int, *, added: int) -> str:
        if not self.budget_tokens or added <= 0:
            return ""
        left = self.budget_tokens - self._total_tokens
        if added <= left:
            return ""
        return (
            f"over the memory budget: {tokens} tokens do not fit, {max(left, 0)} of "
            f"{self.budget_tokens} are free; delete or shorten something first"
        )

    def _unknown_id(self, store: _Store, memory_id: str) -> MemoryResult:
        shown = str(memory_id)[:60]
        message = f'no item "{shown}"; {store.describe_ids()}'
        return MemoryResult("error", message, store.name, shown)

    # ------------------------------------------------------------------ state

    def snapshot(self) -> dict[str, Any]:
        """Return the whole content as JSON values; :meth:`restore` is the exact inverse."""
        return {
            "core": self._core,
            **{
                name: [[memory_id, content] for memory_id, content in store.items.items()]
                for name, store in self._stores.items()
            },
            "next_number": {name: store.next_number for name, store in self._stores.items()},
            "order": list(self._sequence),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the content by a snapshot's.

        Raises:
            UsageError: the snapshot does not have the shape that :meth:`snapshot` writes, or holds
                what this memory could not (capacity, budget, enabled types, length of a content);
                the memory is then unchanged.
        """
        checked = checked_snapshot(snapshot, STORES)
        self._check_types_and_lengths(checked)
        core_tokens = self.counter.count(checked.core)
        tokens = {
            memory_id: self.counter.count(content)
            for items in checked.contents.values()
            for memory_id, content in items.items()
        }
        self._check_limits(core_tokens, core_tokens + sum(tokens.values()))
        self.clear()
        self._core, self._core_tokens = checked.core, core_tokens
        self._total_tokens = core_tokens
        store_of = {store.prefix: store for store in self._stores.values()}
        for memory_id in checked.order:
            store = store_of[memory_id[0]]
            store.next_number = int(memory_id[1:])
            self._put(store, checked.contents[store.name][memory_id], tokens[memory_id])
        for name, store in self._stores.items():
            store.next_number = checked.next_number[name]

    def _check_types_and_lengths(self, checked: Snapshot) -> None:
        held = {"core": [checked.core] if checked.core else []}
        held |= {name: list(items.values()) for name, items in checked.contents.items()}
        for name, texts in held.items():
            problem = self._type_problem(name) if texts else ""
            problem = problem or next(filter(None, map(_length_problem, texts)), "")
            if problem:
                raise UsageError(f'memory snapshot: "{name}": {problem}')

    def _check_limits(self, core_tokens: int, total_tokens: int) -> None:
        if core_tokens > self.core_capacity_tokens:
            raise UsageError(
                f'memory snapshot: "core" has {core_tokens} tokens, at most '
                f"{self.core_capacity_tokens} fit"
            )
        if self.budget_tokens and total_tokens > self.budget_tokens:
            raise UsageError(
                f"memory snapshot: {total_tokens} tokens are over the memory budget of "
                f"{self.budget_tokens}"
            )

    def digest(self) -> str:
        """Return the sha256 of the snapshot's canonical JSON, in hexadecimal."""
        text = json.dumps(
            self.snapshot(), ensure_ascii=False, sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def __eq__(self, other: object) -> bool:
        """Compare contents and ids, not settings."""
        return isinstance(other, Memory) and self.snapshot() == other.snapshot()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(store.items)} {name}" for name, store in self._stores.items())
        return f"Memory(core of {self._core_tokens} tokens, {sizes}, {self._total_tokens} tokens)"


def _length_problem(content: str) -> str:
    if len(content) > MAX_CONTENT_CHARACTERS:
        return f"content has {len(content)} characters, at most {MAX_CONTENT_CHARACTERS} fit"
    return ""


def _check_memory_types(memory_types: Any) -> None:
    if isinstance(memory_types, str) or not isinstance(memory_types, Sequence) or not memory_types:
        raise UsageError(
            f"memory_types must list some of {', '.join(MEMORY_TYPES)}, got {memory_types!r}"
        )
    for name in memory_types:
        if name not in MEMORY_TYPES:
            raise UsageError(f'unknown memory type "{name}": {nearest(str(name), MEMORY_TYPES)}')


def _check_least(argument: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{argument} must be an integer of at least {least}, got {value!r}")
