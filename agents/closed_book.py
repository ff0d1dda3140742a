"""``closed_book``: reads nothing and keeps nothing; what a model knows without the text."""

from collections.abc import Mapping
from typing import Any, ClassVar

from memgym.agents.llm_agent import LLMAgent, conversation, without_thinking
from memgym.baselines.closed_book import ClosedBook as WritesNothing

__all__ = ["ClosedBook"]


class ClosedBook(WritesNothing, LLMAgent):
    """Writes nothing, so that its score is what can be had without any memory.

    The frozen reader answers from an empty memory; with ``answer_mode="agent"`` the model answers
    from what it knows, and is told to guess rather than to give up. A source on which this scores
    well measures knowledge, not memory.
    """

    name = "closed_book"
    answer_prompts: ClassVar[Mapping[str, str]] = {
        "answering (answer_mode=agent)": "Answer the question from what you know; there is no text "
        "to look it up in. Guess if you are not sure. Reply with the answer only, as short as it "
        "can be.",
    }

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        """Answer from nothing but the question."""
        [told] = self.answer_prompts.values()
        asked = conversation(told, str(observation["question"]))
        reply = self.ask([asked], max_tokens=512)
        return without_thinking(reply.text) if reply else ""
