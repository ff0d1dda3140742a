"""The rows of a run's tables: which agent, with which model and options, under which name."""

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from memgym.agent import Agent
from memgym.agents.chat import Chat, ModelSettings
from memgym.agents.llm_agent import LLMAgent
from memgym.benchmarks.agents import load_agent
from memgym.errors import UsageError, nearest

__all__ = ["AgentEntry", "checked_entries"]


@dataclass(frozen=True)
class AgentEntry:
    """One row of the tables.

    Attributes:
        spec: A name of an agent or baseline, or ``package.module:Class``.
        name: What tables and results call it; ``""`` for the agent's own name.
        model: Its language model, ``None`` for those that have none.
        options: Further arguments of the class; plain JSON values.
    """

    spec: str
    name: str = ""
    model: ModelSettings | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def agent_class(self) -> type[Agent]:
        """The class that is named.

        Raises:
            UsageError: there is none, or it needs a model and none is given.
        """
        return load_agent(self.spec, with_model=self.model is not None)

    @property
    def has_model(self) -> bool:
        """Whether the agent has a language model in it."""
        return issubclass(self.agent_class, LLMAgent)

    def make(self, chat: Chat | None = None) -> Agent:
        """Return a new agent.

        Args:
            chat: Its line to the model, by default one that is not kept or counted with others.

        Raises:
            UsageError: an option is unknown or invalid.
        """
        made = self.agent_class
        if not issubclass(made, LLMAgent):
            return made(**self.options)
        assert self.model is not None, "agent_class has checked that there is a model"
        return made(chat or Chat(self.model), **self.options)


def checked_entries(entries: Sequence[AgentEntry]) -> tuple[AgentEntry, ...]:
    """Return the entries, each with a name of its own.

    An agent that occurs once keeps its name; the rows of one that occurs with several models are
    told apart by the model.

    Raises:
        UsageError: no entry, an unknown agent or option, or two rows of the same name.
    """
    if not entries:
        raise UsageError("no agent is named; see memgym envs and memgym agents list")
    plain = Counter(entry.agent_class.name for entry in entries if not entry.name)
    named = []
    for entry in entries:
        _check_options(entry)
        name = entry.name or entry.agent_class.name
        if not entry.name and plain[name] > 1 and entry.model is not None and entry.has_model:
            name = f"{name} ({entry.model.title})"
        named.append(replace(entry, name=name, model=entry.model if entry.has_model else None))
    for name, times in Counter(entry.name for entry in named).items():
        if times > 1:
            specs = ", ".join(f'"{entry.spec}"' for entry in named if entry.name == name)
            raise UsageError(
                f'agents {specs} are both called "{name}" in tables; leave one out or give it '
                "another name"
            )
    return tuple(named)


def _check_options(entry: AgentEntry) -> None:
    made = entry.agent_class
    accepted = [
        name
        for name, parameter in inspect.signature(made).parameters.items()
        if name != "chat" and parameter.kind is not parameter.VAR_KEYWORD
    ]
    for option in entry.options:
        if option not in accepted:
            raise UsageError(
                f'agent "{entry.spec}" has no option "{option}": {nearest(option, accepted)}'
            )
