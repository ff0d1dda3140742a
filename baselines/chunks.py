"""``chunks`` and ``verbatim``: the text as it comes, as retrieval and as a long context."""

from collections.abc import Mapping
from typing import Any, ClassVar

from memgym.agent import Agent
from memgym.baselines.calls import delete, insert

__all__ = ["Chunks", "Verbatim"]


class Chunks(Agent):
    """Each chunk is one item and the two best are read: the RAG-Top2 baseline of Mem-alpha."""

    name = "chunks"
    settings: ClassVar[Mapping[str, Any]] = {"reader_options": {"top_k": 2}}

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Insert the chunk."""
        return [insert("semantic", observation["chunk"])] if observation["chunk"] else ()


class Verbatim(Agent):
    """Keeps the last tokens of the text as they came: the memory of a long-context model.

    The oldest chunks are dropped when the window is exceeded; of a chunk longer than the window its
    end is kept. Mem-alpha gives its long-context baseline 30,000 tokens; the same reader as
    everybody else's reads from them here.
    """

    name = "verbatim"
    window_tokens = 30_000

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Drop what falls out of the window, then insert the chunk."""
        memory = self.briefing.memory
        limit = min(self.window_tokens, memory.budget_tokens or self.window_tokens)
        chunk = memory.counter.tail(observation["chunk"], limit)
        held, room = memory.total_tokens, limit - memory.counter.count(chunk)
        calls = []
        for memory_id in memory.items("episodic"):
            if held <= room:
                break
            held -= memory.item_tokens("episodic", memory_id)
            calls.append(delete("episodic", memory_id))
        return [*calls, insert("episodic", chunk)] if chunk else ()
