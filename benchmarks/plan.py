"""The plan of a run: which agents play which episodes with which settings, and what identifies it.

The plan's description is ``run.json`` of the run folder. It holds everything that the results
depend on and nothing else, so runs with the same description have the same results, byte for byte.
"""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import memgym
import memgym.agents
import memgym.baselines
from memgym.agents.chat import ModelSettings
from memgym.benchmarks.agents import agent_code
from memgym.benchmarks.entries import AgentEntry, checked_entries
from memgym.benchmarks.suites import EpisodeReference, ResolvedSuite
from memgym.envs.settings import PRESETS, Settings, make_settings, merged_settings
from memgym.errors import UsageError
from memgym.quality import make_content_judge
from memgym.reader import Reader, make_reader
from memgym.scoring import make_answer_judge

__all__ = ["RunPlan", "Task", "make_plan"]

_FORMAT = 1
_SOURCE_SETTINGS = ("source", "split", "source_options", "data")
_WITHOUT_MODEL = (("reader", "verbatim"), ("content_judge", "rules"), ("answer_judge", "exact"))


@dataclass(frozen=True, slots=True)
class Task:
    """One agent on one episode.

    Attributes:
        entry: The agent, its model and options.
        episode: The episode.
        settings: Environment settings as JSON text.
        seed: Of the agent's own choices.
    """

    entry: AgentEntry
    episode: EpisodeReference
    settings: str
    seed: int

    @property
    def key(self) -> tuple[str, str]:
        """Agent name and episode id; unique within a run."""
        return self.entry.name, self.episode.id

    @property
    def uses_model(self) -> bool:
        """Whether a language model plays, reads or judges."""
        chosen = json.loads(self.settings)
        parts = ((chosen.get(name) or default) != default for name, default in _WITHOUT_MODEL)
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
            settings = json.dumps(self._suite_settings(suite), sort_keys=True)
            for episode in suite.episodes:
                for entry in self.agents:
                    yield Task(entry, episode, settings, self.seed)

    def reader_settings(self, suite: ResolvedSuite) -> Settings:
        """Return the checked settings of a suite, without those that belong to an agent."""
        return make_settings("default", self._suite_settings(suite))

    def _suite_settings(self, suite: ResolvedSuite) -> dict[str, Any]:
        # The preset is written out, so that an agent's own settings are merged into it key by key.
        return merged_settings(PRESETS[self.preset], suite.suite.settings, self.settings)

    def description(self) -> dict[str, Any]:
        """Return what identifies the run, as JSON values."""
        first = self.reader_settings(self.suites[0])
        return {
            "format": _FORMAT,
            "memgym": memgym.__version__,
            "code": _code_digest(),
            "suites": [self._describe_suite(suite) for suite in self.suites],
            "agents": [_describe_agent(entry) for entry in self.agents],
            "seed": self.seed,
            "preset": self.preset,
            "settings": _public(self.settings),
            "reader": {
                "name": first.reader,
                "options": _public(first.reader_options),
                **_model_of(_reader(first)),
            },
            "token_counter": first.token_counter,
        }

    def _describe_suite(self, suite: ResolvedSuite) -> dict[str, Any]:
        entries = list(dict.fromkeys(episode.entry for episode in suite.episodes))
        return {
            "name": suite.suite.name,
            "version": suite.suite.version,
            "hash": suite.content_hash,
            "entries": entries,
            "episodes": len(suite.episodes),
            "settings": _public(self._suite_settings(suite)),
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
        UsageError: an unknown agent, preset or setting, or one that the suite decides.
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
        checked = plan.reader_settings(suite)
        _reader(checked)
        make_content_judge(checked.content_judge, **checked.content_judge_options)
        make_answer_judge(checked.answer_judge, **checked.answer_judge_options)
    return plan


def _reader(settings: Settings) -> Reader:
    return make_reader(settings.reader, **settings.reader_options)


def _model_of(part: object) -> dict[str, Any]:
    """Return what identifies the language model of a reader, if it has one."""
    settings = getattr(part, "settings", None)
    if not isinstance(settings, ModelSettings):
        return {}
    return {"model": {**settings.identity(), "code": _agents_digest()}}


def _describe_agent(entry: AgentEntry) -> dict[str, Any]:
    agent = entry.agent_class
    described = {
        "name": entry.name,
        "spec": entry.spec,
        "privileged": agent.privileged,
        "settings": _plain(agent.settings),
        "code": agent_code(agent),
    }
    if entry.options:
        described["options"] = _plain(entry.options)
    if entry.model is not None:
        described["model"] = {**entry.model.identity(), "code": _agents_digest()}
    return described


def _public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without where a model is: no host or path goes into a result.

    So a run can be continued when its server has moved.
    """
    public: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "base_url":
            continue
        if name == "model" and isinstance(value, str) and os.sep in value and Path(value).exists():
            public[name] = Path(value).name
        else:
            public[name] = _public(value) if isinstance(value, Mapping) else value
    return public


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


@functools.cache
def _code_digest() -> str:
    """Return a digest of the code that results depend on: all of memgym but its command line.

    Without it, a run repeated after an edit would show the results of the old code.
    """
    return _digest((memgym, memgym.baselines))


@functools.cache
def _agents_digest() -> str:
    """Return the same of the agents with a model, whose edits do not concern the others."""
    return _digest((memgym.agents,))


def _digest(packages: Iterable[ModuleType]) -> str:
    content = hashlib.sha256()
    for package in packages:
        folder = Path(next(iter(package.__path__)))
        for file in sorted(folder.rglob("*.py")):
            name = file.relative_to(folder).as_posix()
            # Installed, the other packages lie inside memgym/; in a checkout beside it.
            if package is memgym and name.split("/")[0] in _OUTSIDE:
                continue
            content.update(f"{package.__name__}/{name}\n".encode() + file.read_bytes())
    return content.hexdigest()[:16]


_OUTSIDE = ("agents", "baselines", "benchmarks", "cli")
