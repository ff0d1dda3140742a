"""The rows of a run's tables: which agent, with which model and options, under which name."""

import functools
import json
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from memgym.agent import Agent
from memgym.agents.chat import Chat, ChatError, ChatReply, ChatRequest, ModelSettings
from memgym.agents.grpo.agent import SHIPPED, TrainedWriter, model_folder, trained_model
from memgym.agents.llm_agent import LLMAgent
from memgym.baselines.sb3 import TrainedAgent, trained_folder
from memgym.benchmarks.agents import load_agent
from memgym.errors import UsageError
from memgym.plugins import check_options

__all__ = ["AgentEntry", "Declared", "checked_entries"]


@dataclass(frozen=True, slots=True)
class Declared:
    """What an agent with its options says of the environment, see :class:`memgym.agent.Agent`."""

    settings: Mapping[str, Any]
    reader_settings: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class AgentEntry:
    """One row of the tables.

    Attributes:
        spec: A name of an agent or baseline, ``ppo:folder`` for a trained one, or
            ``package.module:Class``.
        name: What tables and results call it; ``""`` for the agent's own name.
        model: Its language model, ``None`` for those that have none.
        options: Further arguments of the class; plain JSON values.
        folder: Where a trained agent lies. No part of what identifies a run: its digest is.
    """

    spec: str
    name: str = ""
    model: ModelSettings | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""

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

    @functools.cached_property
    def declared(self) -> Declared:
        """The agent's own settings; an agent is made for it, whose model is not opened.

        Raises:
            UsageError: the agent cannot be made; the message says why.
        """
        where = f'agent "{self.name or self.spec}"'
        try:
            agent = self.make(Chat(self.model, _Unopened()) if self.model else None)
            # As JSON: it goes to other processes and into results.
            plain = json.dumps([agent.settings, agent.reader_settings], default=dict)
        except UsageError as error:
            told = str(error).removeprefix(f"{self.agent_class.name}: ")
            raise UsageError(f"{where}: {told}") from error
        except Exception as error:  # a class of the user's own may raise anything
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise UsageError(
                f"{where} cannot be made: {type(error).__name__}: {error} "
                f"({Path(place.filename).name}, line {place.lineno})"
            ) from error
        return Declared(*json.loads(plain))

    def make(self, chat: Chat | None = None) -> Agent:
        """Return a new agent.

        Args:
            chat: Its line to the model, by default one that is not kept or counted with others.

        Raises:
            UsageError: an option is unknown or invalid.
        """
        made = self.agent_class
        if issubclass(made, TrainedAgent):
            return made(self.folder or _folder_of(self.spec), **self.options)
        if issubclass(made, TrainedWriter):
            folder = self.folder or str(model_folder(_folder_of(self.spec)))
            return made(chat or Chat(self.model or trained_model(Path(folder))), folder)
        if not issubclass(made, LLMAgent):
            return made(**self.options)
        assert self.model is not None, "agent_class has checked that there is a model"
        return made(chat or Chat(self.model), **self.options)


class _Unopened:
    """Stands in for a model of which nothing is asked."""

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        """Raise: nothing is asked while a run is planned."""
        raise RuntimeError("an agent must not ask its model before reset()")

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


def checked_entries(entries: Sequence[AgentEntry]) -> tuple[AgentEntry, ...]:
    """Return the entries, each with a name of its own.

    An agent that occurs once keeps its name; the rows of one that occurs with several models are
    told apart by the model, those of trained agents by the folder. Trained agents are found, and
    their digest is noted, so that all that is played in a run is played by the same model.

    Raises:
        UsageError: no entry, an unknown agent or option, an option that is missing or has a wrong
            value, or two rows of the same name.
    """
    if not entries:
        raise UsageError("no agent is named; see memgym envs and memgym agents list")
    entries = [_found(entry) for entry in entries]
    plain = Counter(entry.agent_class.name for entry in entries if not entry.name)
    named = []
    for entry in entries:
        _check_options(entry)
        name = entry.name or entry.agent_class.name
        if not entry.name and plain[name] > 1 and entry.model is not None and entry.has_model:
            name = f"{name} ({entry.model.title})"
        if not entry.name and plain[name] > 1 and entry.folder:
            name = f"{name} ({_folder_of(entry.spec)})"
        named.append(replace(entry, name=name, model=entry.model if entry.has_model else None))
        named[-1].declared  # noqa: B018 - made here, so that a wrong option is told at once
    for name, times in Counter(entry.name for entry in named).items():
        if times > 1:
            specs = ", ".join(f'"{entry.spec}"' for entry in named if entry.name == name)
            raise UsageError(
                f'agents {specs} are both called "{name}" in tables; leave one out or give it '
                "another name"
            )
    return tuple(named)


def _found(entry: AgentEntry) -> AgentEntry:
    """Return the entry of a trained agent with its run found; any other as it is.

    A spec goes into results, so the folder's name takes the place of its path there.
    """
    made = entry.agent_class
    if issubclass(made, TrainedWriter):
        return _found_writer(entry)
    if not issubclass(made, TrainedAgent):
        return entry
    _check_options(entry)
    run = trained_folder(made.kind, entry.folder or _folder_of(entry.spec))
    return replace(
        entry,
        spec=f"{made.kind}:{run.label}",
        folder=str(run.path),
        options={**entry.options, "digest": run.digest()},
    )


def _found_writer(entry: AgentEntry) -> AgentEntry:
    """Return the entry of a trained language model, which is its own model and no other."""
    _check_options(entry)
    folder = model_folder(entry.folder or _folder_of(entry.spec))
    model = trained_model(folder)
    spec = entry.spec if entry.spec in SHIPPED else f"{TrainedWriter.name}:{_label(folder)}"
    name = entry.name or (entry.spec if entry.spec in SHIPPED else "")
    return replace(entry, spec=spec, name=name, folder=str(folder), model=model)


def _label(folder: Path) -> str:
    """Return the last names of a model's path: of a run's best model, those of the run."""
    parts = folder.resolve().parts
    return "/".join(parts[:-1][-2:] if parts[-1] == "best" else parts[-2:])


def _folder_of(spec: str) -> str:
    return spec if spec in SHIPPED else spec.partition(":")[2]


def _check_options(entry: AgentEntry) -> None:
    made = entry.agent_class
    # The spec and the model say these, not options.
    check_options(f'agent "{entry.spec}"', made, entry.options, given=("chat", "folder"))
