"""From the results of a run to the numbers of its tables; how they look is :mod:`.report`'s."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memgym.benchmarks.plan import RunPlan
from memgym.benchmarks.run_folder import Key
from memgym.benchmarks.statistics import Estimate, Stratum, estimate_mean
from memgym.diagnosis import CAUSES
from memgym.episode import ABILITIES, Ability
from memgym.usage import Usage

__all__ = [
    "AgentSummary",
    "Method",
    "PlayedEpisode",
    "PlayedSuite",
    "SuiteSummary",
    "by_entry",
    "strata_of",
    "summarise",
    "summarise_methods",
]

Records = Mapping[Key, Mapping[str, Any]]


class PlayedEpisode(Protocol):
    """An episode and its place in a suite."""

    @property
    def id(self) -> str:
        """Unique within a run."""
        ...

    @property
    def entry(self) -> str:
        """Name of the suite's entry."""
        ...

    @property
    def ability(self) -> Ability:
        """What it tests."""
        ...


class _Suite(Protocol):
    @property
    def episodes(self) -> Sequence[PlayedEpisode]: ...


@dataclass(frozen=True, slots=True)
class PlayedSuite:
    """A suite as far as tables need it.

    Attributes:
        name: Of the suite.
        version: Of the suite.
        content_hash: Of the suite with its episodes.
        episodes: What was played, in order.
    """

    name: str
    version: str
    content_hash: str
    episodes: tuple[PlayedEpisode, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """An agent, and under which names its runs are in the records.

    Attributes:
        name: What tables call it.
        privileged: Whether it was shown the golds.
        runs: One per seed.
    """

    name: str
    privileged: bool
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """One agent on one suite; of several runs, all numbers are means over them.

    Attributes:
        name: The agent.
        privileged: Whether it was shown the golds.
        runs: How often it played each episode.
        macro: Plain mean over abilities.
        abilities: Per ability, the plain mean over its entries.
        entries: Per entry, the mean over its episodes.
        memory_share: Mean over episodes of final memory tokens / input tokens.
        causes: Share of all questions that were not answered in full, by cause.
        failed: Share of all questions on which the reader broke down.
        memory_tokens: Mean over episodes of the final memory's tokens.
        invalid_calls: Share of all tool calls that were errors.
        usage: What language models used in all episodes, by part; empty if there are none.
        seconds: Wall time of all episodes, ``None`` if some of it is not known.
    """

    name: str
    privileged: bool
    runs: int
    macro: Estimate
    abilities: Mapping[Ability, Estimate]
    entries: Mapping[str, Estimate]
    memory_share: float
    causes: Mapping[str, float]
    failed: float
    memory_tokens: float
    invalid_calls: float
    usage: Mapping[str, Usage]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class SuiteSummary:
    """All agents on one suite.

    Attributes:
        suite: The suite.
        rows: One per agent, in the plan's order.
        questions: Number of questions.
        single: Entries of one episode, whose intervals are about its questions only.
    """

    suite: PlayedSuite
    rows: tuple[AgentSummary, ...]
    questions: int
    single: tuple[str, ...]


def summarise(
    plan: RunPlan,
    records: Records,
    seconds: Mapping[Key, float],
    usage: Mapping[Key, Mapping[str, Usage]] | None = None,
) -> tuple[SuiteSummary, ...]:
    """Return one summary per suite of the plan.

    Args:
        plan: What was played.
        records: Every result of it.
        seconds: Wall seconds by result, as far as known.
        usage: What language models used by result and part, where there were any.
    """
    names = [entry.name for entry in plan.agents]
    methods = [
        Method(entry.name, entry.agent_class.privileged, (entry.name,)) for entry in plan.agents
    ]
    summaries = []
    for found in plan.suites:
        strata = strata_of(found, names, records)
        suite = PlayedSuite(
            found.suite.name, found.suite.version, found.content_hash, found.episodes
        )
        summaries.append(
            summarise_methods(
                suite, methods, strata, records, rows=names, seconds=seconds, usage=usage
            )
        )
    return tuple(summaries)


def summarise_methods(
    suite: PlayedSuite,
    methods: Sequence[Method],
    strata: Mapping[Ability, Sequence[Stratum]],
    records: Records,
    *,
    rows: Sequence[str],
    seconds: Mapping[Key, float] | None = None,
    usage: Mapping[Key, Mapping[str, Usage]] | None = None,
) -> SuiteSummary:
    """Return the summary of one suite.

    Args:
        suite: What was played.
        methods: In table order.
        strata: Of :func:`strata_of`.
        records: Every result.
        rows: The runs whose scores the strata hold, in their order.
        seconds: Wall seconds by result, as far as known.
        usage: What language models used by result and part.
    """
    members = [[rows.index(run) for run in method.runs] for method in methods]
    every = [stratum for group in strata.values() for stratum in group]
    macro = estimate_mean(list(strata.values()), members)
    abilities = {
        name: estimate_mean([strata[name]], members) for name in ABILITIES if name in strata
    }
    entries = {stratum.name: estimate_mean([[stratum]], members) for stratum in every}
    summaries = []
    for index, method in enumerate(methods):
        keys = [(run, episode.id) for run in method.runs for episode in suite.episodes]
        summaries.append(
            AgentSummary(
                name=method.name,
                privileged=method.privileged,
                runs=len(method.runs),
                macro=macro[index],
                abilities={name: found[index] for name, found in abilities.items()},
                entries={name: found[index] for name, found in entries.items()},
                usage=_total_usage([(usage or {}).get(key, {}) for key in keys]),
                seconds=_total([(seconds or {}).get(key) for key in keys]),
                **_totals([records[key] for key in keys]),
            )
        )
    single = tuple(stratum.name for stratum in every if stratum.single)
    return SuiteSummary(suite, tuple(summaries), macro[0].questions, single)


def strata_of(
    suite: _Suite, agents: Sequence[str], records: Records
) -> dict[Ability, list[Stratum]]:
    """Return the scores of a suite's episodes, by ability and entry, for agents by name."""
    strata: dict[Ability, list[Stratum]] = {}
    for (ability, entry), episodes in by_entry(suite.episodes).items():
        scores = [
            [[answer["score"] for answer in records[agent, e.id]["answers"]] for e in episodes]
            for agent in agents
        ]
        strata.setdefault(ability, []).append(Stratum(entry, scores))
    return strata


def by_entry(
    episodes: Sequence[PlayedEpisode],
) -> dict[tuple[Ability, str], list[PlayedEpisode]]:
    """Return the episodes by ability and entry; an entry of several abilities is taken apart."""
    found: dict[tuple[Ability, str], list[PlayedEpisode]] = {}
    abilities = {(episode.entry, episode.ability) for episode in episodes}
    parts = Counter(entry for entry, _ in abilities)
    for episode in episodes:
        mixed = parts[episode.entry] > 1
        name = f"{episode.entry}: {episode.ability}" if mixed else episode.entry
        found.setdefault((episode.ability, name), []).append(episode)
    return found


def _totals(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    metrics = [record["metrics"] for record in records]
    questions = sum(item["questions"] for item in metrics)
    calls = sum(record["calls"] for record in records)
    return {
        "memory_share": sum(item["memory_share"] for item in metrics) / len(metrics),
        "memory_tokens": sum(item["memory_tokens"] for item in metrics) / len(metrics),
        "causes": {cause: sum(item[cause] for item in metrics) / questions for cause in CAUSES},
        "failed": sum(item["failed"] for item in metrics) / questions,
        "invalid_calls": 1 - sum(r["valid_calls"] for r in records) / calls if calls else 0.0,
    }


def _total_usage(episodes: Sequence[Mapping[str, Usage]]) -> dict[str, Usage]:
    total: dict[str, Usage] = {}
    for parts in episodes:
        for part, used in parts.items():
            total[part] = total.get(part, Usage()) + used
    return total


def _total(seconds: Sequence[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return sum(known) if len(known) == len(seconds) else None
