"""The plan of a run: which agents play which episodes with which settings.

The plan's description is ``run.json`` of the run folder. It holds everything that the results
depend on and nothing else, so runs with the same description have the same results, byte for byte.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import memgym
from memgym.agent import Agent
from memgym.benchmarks.description import (
    code_digest,
    describe_agent,
    describe_parts,
    describe_settings,
)
from memgym.benchmarks.entries import AgentEntry, checked_entries
from memgym.benchmarks.parts import WITHOUT_MODEL, make_parts
from memgym.benchmarks.suites import EpisodeReference, ResolvedSuite
from memgym.envs.settings import PRESETS, Settings, make_settings, merged_settings
from memgym.errors import UsageError
from memgym.evaluation import settings_for

__all__ = ["RunPlan", "Task", "make_plan"]

_FORMAT = 1
_SOURCE_SETTINGS = ("source", "split", "source_options", "data")


@dataclass(frozen=True, slots=True)
class Task:
    """One agent on one episode.

    Attributes:
        entry: The agent, its model and options.
        episode: The episode.
        settings: Environment settings as JSON text, those that belong to the agent included.
        seed: Of the agent's own choices.
        traced: What its trace says of suite, agent and versions, as JSON text; ``""`` where no
            trace is made.
    """

    entry: AgentEntry
    episode: EpisodeReference
    settings: str
    seed: int
    traced: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Agent name and episode id; unique within a run."""
        return self.entry.name, self.episode.id

    @property
    def uses_model(self) -> bool:
        """Whether a language model plays, reads or judges."""
        chosen = json.loads(self.settings)
        parts = (chosen.get(role, plain) != plain for role, plain in WITHOUT_MODEL.items())
        return self.entry.model is not None or any(parts)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Agents, episodes and settings of a run.

    Attributes:
        suites: In table order.
        agents: In table order.
        seed: Of the agents' own choices; the episodes are fixed by the suite.
        preset: Name of the settings preset.
        settings: Environment settings given by the user, over those of preset and suite.
    """

    suites: tuple[ResolvedSuite, ...]
    agents: tuple[AgentEntry, ...]
    seed: int
    preset: str
    settings: Mapping[str, Any]

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks in the order of the results: by episode, then by agent."""
        for suite in self.suites:
            chosen = self._suite_settings(suite)
            settings = [
                json.dumps(settings_for(entry.declared, chosen), sort_keys=True)
                for entry in self.agents
            ]
            for episode in suite.episodes:
                for entry, text in zip(self.agents, settings, strict=True):
                    yield Task(entry, episode, text, self.seed)

    def suite_settings(self, suite: ResolvedSuite) -> Settings:
        """Return the checked settings of a suite, without those that belong to an agent."""
        return make_settings("default", self._suite_settings(suite))

    def agent_settings(self, suite: ResolvedSuite, entry: AgentEntry) -> Settings:
        """Return the checked settings of a suite as an agent plays it."""
        chosen = settings_for(entry.declared, self._suite_settings(suite))
        return make_settings("default", chosen)

    def _suite_settings(self, suite: ResolvedSuite) -> dict[str, Any]:
        # The preset is written out, so that an agent's own settings are merged into it key by key.
        return merged_settings(PRESETS[self.preset], suite.suite.settings, self.settings)

    def description(self) -> dict[str, Any]:
        """Return what identifies the run, as JSON values."""
        return {
            "format": _FORMAT,
            "memgym": memgym.__version__,
            "code": code_digest(),
            "suites": [self._describe_suite(suite) for suite in self.suites],
            "agents": [describe_agent(entry) for entry in self.agents],
            "seed": self.seed,
            "preset": self.preset,
            "settings": describe_settings(self.settings),
        }

    def _describe_suite(self, suite: ResolvedSuite) -> dict[str, Any]:
        checked = self.suite_settings(suite)
        return {
            "name": suite.suite.name,
            "version": suite.suite.version,
            "hash": suite.content_hash,
            "entries": list(dict.fromkeys(episode.entry for episode in suite.episodes)),
            "episodes": len(suite.episodes),
            "settings": describe_settings(self._suite_settings(suite)),
            "token_counter": checked.token_counter,
            **describe_parts(checked),
        }

    def folder_name(self) -> str:
        """Return the default name of the run folder: the suites and a hash of the description."""
        suites = "+".join(suite.suite.name for suite in self.suites)
        text = json.dumps(self.description(), sort_keys=True)
        return f"{suites}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def make_plan(
    suites: Sequence[ResolvedSuite],
    agents: Sequence[str | AgentEntry],
    *,
    seed: int = 0,
    preset: str = "default",
    settings: Mapping[str, Any] | None = None,
) -> RunPlan:
    """Check everything and return the plan.

    Args:
        suites: At least one.
        agents: Names or import paths, see :func:`memgym.benchmarks.agents.load_agent`; an entry
            where there is more to say.
        seed: Of the agents' own choices.
        preset: One of :data:`memgym.envs.settings.PRESETS`.
        settings: Further environment settings; plain JSON values.

    Raises:
        UsageError: an unknown agent, preset or setting, one that the suite decides, or an agent
            that is to answer questions itself and cannot.
    """
    given = dict(settings or {})
    for name in _SOURCE_SETTINGS:
        if name in given:
            raise UsageError(f'the setting "{name}" is decided by the suite; leave it out')
    make_settings(preset, given)
    ids = [episode.id for suite in suites for episode in suite.episodes]
    if not ids or len(set(ids)) < len(ids):
        raise UsageError("a run needs at least one suite, and each suite once")
    entries = [AgentEntry(item) if isinstance(item, str) else item for item in agents]
    plan = RunPlan(tuple(suites), checked_entries(entries), seed, preset, given)
    for suite in plan.suites:
        make_parts(plan.suite_settings(suite))
        for entry in plan.agents:
            _check_player(entry, plan.agent_settings(suite, entry))
    return plan


def _check_player(entry: AgentEntry, settings: Settings) -> None:
    """Check that an agent can play with its settings over those of the run."""
    make_parts(settings)
    if settings.answer_mode == "agent" and entry.agent_class.answer is Agent.answer:
        raise UsageError(
            f'agent "{entry.name}" cannot answer questions itself: it has no method answer(); '
            'leave it out, or let the reader answer (answer_mode "reader", --answer-mode reader)'
        )
