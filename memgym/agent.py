"""The one interface of all players: scripted, trained and language-model policies."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from memgym.episode import Episode
from memgym.memory import Memory
from memgym.tokens import TokenCounter

__all__ = ["Agent", "Briefing"]


@dataclass(frozen=True, slots=True)
class Briefing:
    """What an agent is told before an episode.

    Attributes:
        seed: For the agent's own random choices.
        info: The ``info`` of ``env.reset``.
        instructions: The environment's constant instructions, for language models.
        tools: Names of the tools it may call.
        counter: The environment's token counter.
        core_capacity_tokens: Capacity of the core memory.
        budget_tokens: Limit of the whole memory, 0 if there is none.
        max_calls: Tool calls that the environment takes per step.
        memory: The live memory, to read from; it changes only through tool calls.
        episode: The whole episode with its golds, for ``privileged`` agents only, else ``None``.
    """

    seed: int
    info: Mapping[str, Any]
    instructions: str
    tools: tuple[str, ...]
    counter: TokenCounter
    core_capacity_tokens: int
    budget_tokens: int
    max_calls: int
    memory: Memory
    episode: Episode | None = None


class Agent(ABC):
    """A policy: :meth:`reset` before each episode, then one :meth:`act` per observation.

    Class attributes describe the method, not one run of it.

    Attributes:
        name: What tables and results call it.
        privileged: Whether it is shown the golds (an upper bound, marked in every table).
        settings: Environment settings that belong to the method, e.g. how many items are read.
        reader_settings: Reader options that belong to the method, by the name of the reader.
    """

    name: ClassVar[str]
    privileged: ClassVar[bool] = False
    settings: ClassVar[Mapping[str, Any]] = {}
    reader_settings: Mapping[str, Mapping[str, Any]] = MappingProxyType({})

    def reset(self, briefing: Briefing) -> None:
        """Forget the previous episode and prepare for the next."""
        self.briefing = briefing

    @abstractmethod
    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Return the action for an observation, in any form that ``env.step`` takes."""

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str | None:
        """Return the answer to ``observation["question"]`` (``answer_mode="agent"`` only).

        ``None``, the default, lets :meth:`act` handle questions too.
        """
        return None
