"""A small agent with a model, for the tests of everything around it."""

from collections.abc import Mapping
from typing import Any, ClassVar

from memgym.agents.chat import Chat
from memgym.agents.llm_agent import LLMAgent
from memgym.baselines.calls import insert

__all__ = ["Keeper"]


class Keeper(LLMAgent):
    """Asks for a note on each chunk and keeps what comes."""

    name = "keeper"
    prompts: ClassVar[Mapping[str, str]] = {"note": "What is worth keeping?"}

    def __init__(self, chat: Chat, times: int = 1) -> None:
        super().__init__(chat)
        self.times = times

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Keep one note per time of asking."""
        message = {"role": "user", "content": f"{self.prompts['note']}\n{observation['chunk']}"}
        replies = [self.ask([[message]]) for _ in range(self.times)]
        return [insert("semantic", reply.text) for reply in replies if reply and reply.text]
