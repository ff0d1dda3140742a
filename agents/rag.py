"""``rag``: the chunks are the memory, and the few that match a question best are read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from memgym.agents.chat import Chat
from memgym.agents.llm_agent import LLMAgent, checked_count
from memgym.baselines.chunks import Chunks
from memgym.reader import retrieve

__all__ = ["RAG"]

TOP_K = 2
READ_TOKENS = 30_000


def _best_chunks(top_k: int) -> dict[str, dict[str, Any]]:
    return {"verbatim": {"top_k": top_k}, "llm": {"top_k": top_k, "budget_tokens": READ_TOKENS}}


class RAG(Chunks, LLMAgent):
    """Stores every chunk as it comes; BM25 with the bare question picks what is read.

    Reading costs no model call. The reader, or with ``answer_mode="agent"`` the agent's own model,
    answers from the best chunks, at most 30,000 tokens of them. What does not fit the model loses
    its worse half of chunks, then the end of the best one by halves.

    The RAG-Top2 baseline of Mem-alpha.

    Args:
        chat: The line to the model.
        top_k: Chunks that are read.

    Raises:
        UsageError: ``top_k`` is no integer of at least 1.
    """

    name = "rag"
    settings: ClassVar[Mapping[str, Any]] = {}  # top_k is an option here, see reader_settings
    reader_settings: Mapping[str, Mapping[str, Any]] = _best_chunks(TOP_K)

    def __init__(self, chat: Chat, *, top_k: int = TOP_K) -> None:
        super().__init__(chat)
        self.top_k = checked_count("rag: top_k", top_k)
        self.reader_settings = _best_chunks(top_k)

    def notes(self, question: str) -> Iterable[Sequence[str]]:
        """Yield the best chunks, best first; then fewer; then less of the best one."""
        memory = self.briefing.memory
        found = retrieve(memory, question, top_k=self.top_k, budget_tokens=READ_TOKENS)
        items = [chunk.content for chunk in found]
        while len(items) > 1:
            yield items
            items = items[: len(items) // 2]
        counter = self.briefing.counter
        tokens = counter.count(items[0]) if items else 0
        while tokens:
            yield [counter.head(items[0], tokens)]
            tokens //= 2
        yield []
