"""``chunks`` and ``verbatim``: the text as it comes, as retrieval and as a long context."""

from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from memgym.agent import Agent, Briefing
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

    The oldest chunks are dropped when the window is exceeded. Mem-alpha gives its long-context
    baseline 30,000 tokens; the same reader as everybody else's reads from them here.
    """

    name = "verbatim"
    window_tokens = 30_000

    def reset(self, briefing: Briefing) -> None:
        """Start with an empty window."""
        super().reset(briefing)
        self._window: deque[tuple[str, int]] = deque()
        self._window_tokens = 0

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Drop what falls out of the window, then insert the chunk."""
        chunk = observation["chunk"]
        if not chunk:
            return ()
        self._adopt_last_insert(info)
        tokens = self.briefing.counter.count(chunk)
        limit = min(self.window_tokens, self.briefing.budget_tokens or self.window_tokens)
        calls = []
        while self._window and self._window_tokens + tokens > limit:
            memory_id, dropped = self._window.popleft()
            self._window_tokens -= dropped
            calls.append(delete("episodic", memory_id))
        self._pending_tokens = tokens
        return [*calls, insert("episodic", chunk)]

    def _adopt_last_insert(self, info: Mapping[str, Any]) -> None:
        for result in info["tool_results"]:
            if result["name"] == "new_memory_insert" and result["status"] == "ok":
                self._window.append((result["memory_id"], self._pending_tokens))
                self._window_tokens += self._pending_tokens
