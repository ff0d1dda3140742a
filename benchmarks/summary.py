"""From the results of a run to the numbers of its tables; how they look is :mod:`.report`'s."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memgym.benchmarks.plan import RunPlan
from memgym.benchmarks.run_folder import Key
from memgym.benchmarks.statistics import Estimate, Stratum, estimate_mean
from memgym.benchmarks.suites import EpisodeReference, ResolvedSuite
from memgym.diagnosis import CAUSES
from memgym.episode import ABILITIES, Ability
from memgym.usage import Usage

__all__ = ["AgentSummary", "SuiteSummary", "strata_of", "summarise"]

Records = Mapping[Key, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """One agent on one suite.

    Attributes:
        name: The agent.
        privileged: Whether it was shown the golds.
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
        episodes: Number of episodes.
        questions: Number of questions.
        single: Entries of one episode, whose intervals are about its questions only.
    """

    suite: ResolvedSuite
    rows: tuple[AgentSummary, ...]
    episodes: int
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
    used = usage or {}
    return tuple(_summarise_suite(plan, suite, records, seconds, used) for suite in plan.suites)


def _summarise_suite(
    plan: RunPlan,
    suite: ResolvedSuite,
    records: Records,
    seconds: Mapping[Key, float],
    usage: Mapping[Key, Mapping[str, Usage]],
) -> SuiteSummary:
    strata = strata_of(suite, [entry.name for entry in plan.agents], records)
    macro = estimate_mean(list(strata.values()))
    abilities = {name: estimate_mean([strata[name]]) for name in ABILITIES if name in strata}
    every = [stratum for group in strata.values() for stratum in group]
    entries = {stratum.name: estimate_mean([[stratum]]) for stratum in every}
    rows = []
    for index, entry in enumerate(plan.agents):
        keys = [(entry.name, episode.id) for episode in suite.episodes]
        rows.append(
            AgentSummary(
                name=entry.name,
                privileged=entry.agent_class.privileged,
                macro=macro[index],
                abilities={name: found[index] for name, found in abilities.items()},
                entries={name: found[index] for name, found in entries.items()},
                usage=_total_usage([usage.get(key, {}) for key in keys]),
                seconds=_total([seconds.get(key) for key in keys]),
                **_totals([records[key] for key in keys]),
            )
        )
    return SuiteSummary(
        suite,
        tuple(rows),
        episodes=len(suite.episodes),
        questions=macro[0].questions,
        single=tuple(stratum.name for stratum in every if stratum.by_questions),
    )


def strata_of(
    suite: ResolvedSuite, agents: Sequence[str], records: Records
) -> dict[Ability, list[Stratum]]:
    """Return the scores of a suite's episodes, by ability and entry, for agents by name."""
    strata: dict[Ability, list[Stratum]] = {}
    for (ability, entry), episodes in _by_entry(suite).items():
        scores = [
            [[answer["score"] for answer in records[agent, e.id]["answers"]] for e in episodes]
            for agent in agents
        ]
        strata.setdefault(ability, []).append(Stratum(entry, scores))
    return strata


def _by_entry(suite: ResolvedSuite) -> dict[tuple[Ability, str], list[EpisodeReference]]:
    """Return the episodes by ability and entry; an entry of several abilities is taken apart."""
    found: dict[tuple[Ability, str], list[EpisodeReference]] = {}
    abilities = {(episode.entry, episode.ability) for episode in suite.episodes}
    parts = Counter(entry for entry, _ in abilities)
    for episode in suite.episodes:
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
