"""``long_context``: no memory but the text itself, as much of its end as a window holds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from memgym.agent import Briefing
from memgym.agents.chat import Chat
from memgym.agents.llm_agent import LLMAgent, checked_count
from memgym.agents.reading import NoteOrder
from memgym.baselines.chunks import Verbatim

__all__ = ["LongContext"]

WINDOW_TOKENS = 30_000
_EVERYTHING = 100_000  # items per store that the reader may see: the window holds fewer


def _whole_window(tokens: int) -> dict[str, dict[str, Any]]:
    return {"llm": {"budget_tokens": tokens, "top_k": _EVERYTHING, "order": "sequence"}}


class LongContext(Verbatim, LLMAgent):
    """Keeps the last tokens of the text as they came and answers from all of them.

    Reading costs no model call: as in the baseline ``verbatim``, chunks are episodic items and the
    oldest are dropped when the window is exceeded; of a chunk longer than the window its end is
    kept. The reader (``llm``) is shown the whole window in reading order. A window that does not
    fit the agent's own model (``answer_mode="agent"``) loses its oldest eighth until it does.

    The Long-Context baseline of Mem-alpha: the last 30,000 tokens of the prompt.

    Args:
        chat: The line to the model.
        window_tokens: Size of the window, by the environment's token counter.

    Raises:
        UsageError: the window is no integer of at least 1.
    """

    name = "long_context"
    note_order: ClassVar[NoteOrder] = "sequence"
    reader_settings: Mapping[str, Mapping[str, Any]] = _whole_window(WINDOW_TOKENS)

    def __init__(self, chat: Chat, *, window_tokens: int = WINDOW_TOKENS) -> None:
        super().__init__(chat)
        self.window_tokens = checked_count("long_context: window_tokens", window_tokens)
        self.reader_settings = _whole_window(window_tokens)

    def reset(self, briefing: Briefing) -> None:
        """Start with an empty window, all of which is taken to fit the model."""
        super().reset(briefing)
        self._readable_tokens = self.window_tokens

    def notes(self, question: str) -> Iterable[Sequence[str]]:
        """Yield the window in reading order, then without more and more of its beginning.

        What fitted one question of an episode is where the next one starts.
        """
        while tokens := min(self._readable_tokens, self.briefing.memory.total_tokens):
            yield self._end_of_window(tokens)
            self._readable_tokens = tokens * 7 // 8
        yield []

    def _end_of_window(self, tokens: int) -> list[str]:
        memory, kept = self.briefing.memory, list[str]()
        for memory_id, chunk in reversed(memory.items("episodic").items()):
            if tokens <= 0:
                break
            kept.append(self.briefing.counter.tail(chunk, tokens))
            tokens -= memory.item_tokens("episodic", memory_id)
        return kept[::-1]
