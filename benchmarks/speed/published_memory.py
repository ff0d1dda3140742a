"""The published memory as a yardstick for replay, in our own words and without its network calls.

What the released ``memory.py`` does at each call: uuid-based ids, a list of one-key dicts searched
from the front, a duplicate scan over the whole store, and a matrix row per item (its embedding,
here zeros, since the network call is left out) that is stacked anew at every insert. The core is
cut word by word, counting twice per try. At the end every question rebuilds the search index.
"""

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from memgym.benchmarks.speed.published import published_search
from memgym.tokens import get_counter

__all__ = ["PublishedMemory"]

_EMBEDDING_SIZE = 1_536
_CORE_TOKENS = 512
_SUFFIX = " … (truncated)"


class PublishedMemory:
    """Semantic and episodic stores and a core paragraph, as the publication keeps them."""

    def __init__(self) -> None:
        self.core = ""
        self.stores: dict[str, list[dict[str, str]]] = {"semantic": [], "episodic": []}
        self.matrices = {name: np.zeros((0, _EMBEDDING_SIZE)) for name in self.stores}

    def apply(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Apply one call and return the id it touched."""
        memory_type = arguments["memory_type"]
        if name == "new_memory_insert":
            return self._insert(memory_type, arguments["content"])
        if name == "memory_update":
            return self._update(memory_type, arguments["memory_id"], arguments["new_content"])
        return self._delete(memory_type, arguments["memory_id"])

    def _insert(self, store: str, content: str) -> str:
        if any(content in item.values() for item in self.stores[store]):
            return ""
        memory_id = uuid.uuid4().hex[:8]
        self.stores[store].append({memory_id: content})
        self.matrices[store] = np.vstack([self.matrices[store], np.zeros((1, _EMBEDDING_SIZE))])
        return memory_id

    def _update(self, store: str, memory_id: str, content: str) -> str:
        for item in self.stores[store]:
            if memory_id in item:
                item[memory_id] = content
                break
        row = [next(iter(item)) for item in self.stores[store]].index(memory_id)
        self.matrices[store][row] = np.zeros(_EMBEDDING_SIZE)
        return memory_id

    def _delete(self, store: str, memory_id: str) -> str:
        row = [next(iter(item)) for item in self.stores[store]].index(memory_id)
        self.stores[store] = [item for item in self.stores[store] if memory_id not in item]
        self.matrices[store] = np.delete(self.matrices[store], row, axis=0)
        return memory_id

    def total_tokens(self) -> int:
        """Count everything anew, as the reward does after every episode."""
        count = get_counter().count
        items = (text for store in self.stores.values() for item in store for text in item.values())
        return count(self.core) + sum(map(count, items))

    def answer(self, question: str) -> list[str]:
        """Return the twenty best items of each store."""
        found: list[str] = []
        for store in self.stores.values():
            texts = [text for item in store for text in item.values()]
            found += [texts[position] for position, _ in published_search(texts, question, 20)]
        return found
