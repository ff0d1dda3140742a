"""Several finished runs as one: checked to be comparable, with the runs of one agent together.

Runs are comparable on a suite if everything about it is equal: version and hash, settings and
budgets, reader and judges. The same agent with other seeds is one method with several runs; agents
of the same name that differ in code, options or model are methods of their own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from memgym.benchmarks.finished import FinishedRun, FinishedSuite
from memgym.benchmarks.run_folder import Key
from memgym.benchmarks.statistics import Stratum, macro_means
from memgym.benchmarks.summary import (
    Method,
    PlayedSuite,
    SuiteSummary,
    by_entry,
    strata_of,
    summarise_methods,
)
from memgym.differences import difference
from memgym.episode import Ability
from memgym.errors import UsageError, nearest

__all__ = ["PooledSuite", "pool"]

# What explains a difference is told before what follows from it; a hash says nothing to a reader.
_FIRST = ("version", "settings", "reader", "content_judge", "answer_judge", "token_counter")
_LAST = ("entries", "episodes", "hash")


@dataclass(frozen=True, slots=True)
class PooledSuite:
    """One suite with every method that played it.

    Attributes:
        suite: As it was played.
        methods: Best first.
        rows: The runs whose scores the strata hold, in their order.
        strata: Scores by ability.
        summary: The numbers of its tables.
        tokens: Mean length of the texts of each stratum, in tokens.
        notes: What else has to be known, one statement each.
    """

    suite: FinishedSuite
    methods: tuple[Method, ...]
    rows: tuple[str, ...]
    strata: Mapping[Ability, Sequence[Stratum]]
    summary: SuiteSummary
    tokens: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def reader(self) -> str:
        """Who answered the questions."""
        reader = self.suite.description.get("reader", {})
        model = reader.get("model", {}).get("model", "")
        return f"{reader.get('name', '?')} ({model})" if model else str(reader.get("name", "?"))

    def runs_of(self, name: str) -> list[int]:
        """Return which rows of the strata are runs of a method."""
        found = next(method for method in self.methods if method.name == name)
        return [self.rows.index(run) for run in found.runs]


def pool(
    runs: Sequence[FinishedRun], *, suites: Sequence[str] = (), agents: Sequence[str] = ()
) -> list[PooledSuite]:
    """Return every suite of the runs.

    Args:
        runs: At least one.
        suites: Only these; without any, all, and every run must have the same.
        agents: Only these.

    Raises:
        UsageError: the runs are not comparable, or there is no such suite or agent.
    """
    names = list(suites) or list(runs[0].suites)
    for run in runs:
        for name in names:
            if name not in run.suites:
                raise UsageError(f"{run.path} has no suite {name}: {nearest(name, run.suites)}")
        others = [name for name in run.suites if name not in names]
        if others and not suites:
            raise UsageError(
                f"{run.path} has the suite {others[0]} and {runs[0].path} has not; compare on the "
                f"same ones with --suite {','.join(names)}"
            )
        for name in names:
            _check_same(runs[0], run, name)
    methods, records = _methods(runs, agents)
    return [_pooled(runs, runs[0].suites[name], methods, records) for name in names]


def _check_same(first: FinishedRun, second: FinishedRun, name: str) -> None:
    """Check that two runs played the same suite in the same way."""
    one, two = first.suites[name], second.suites[name]
    old, new = one.description, two.description
    between = sorted({*old, *new} - {*_FIRST, *_LAST})
    for key in (*_FIRST, *between, *_LAST):
        # A setting at its default need not be written.
        told = difference(new.get(key), old.get(key), key, f"that of {first.path}")
        if told:
            raise UsageError(
                f"{second.path} cannot be compared with {first.path} on suite {name}: {told}"
            )
    if one.episodes != two.episodes:
        raise UsageError(f"{second.path} and {first.path} differ in the episodes of suite {name}")


def _methods(
    runs: Sequence[FinishedRun], agents: Sequence[str]
) -> tuple[list[Method], dict[Key, Mapping[str, Any]]]:
    """Return the methods, and all results by the name of the run of a method, and episode."""
    found: dict[str, list[tuple[FinishedRun, Mapping[str, Any]]]] = {}
    for run in runs:
        for agent in run.agents:
            identity = json.dumps([agent, run.code], sort_keys=True)
            found.setdefault(identity, []).append((run, agent))
    methods: list[Method] = []
    records: dict[Key, Mapping[str, Any]] = {}
    for number, (name, played) in enumerate(zip(_names(found), found.values(), strict=True)):
        if agents and name not in agents and played[0][1]["name"] not in agents:
            continue
        kept: list[str] = []
        results: list[tuple[int, dict[str, Mapping[str, Any]]]] = []
        for run, agent in sorted(played, key=lambda item: item[0].seed):
            own = {key[1]: record for key, record in run.records.items() if key[0] == agent["name"]}
            if (run.seed, own) in results:
                continue  # the same run twice says nothing about chance
            results.append((run.seed, own))
            kept.append(f"{number}/{len(kept)}")
            records.update({(kept[-1], episode): record for episode, record in own.items()})
        methods.append(Method(name, bool(played[0][1].get("privileged")), tuple(kept)))
    _check_agents(agents, {agent["name"] for run in runs for agent in run.agents}, _names(found))
    return methods, records


def _names(found: Mapping[str, Sequence[tuple[FinishedRun, Mapping[str, Any]]]]) -> list[str]:
    """Return a name for each method; where agents have the same, their folder or number is told."""
    plain = [str(played[0][1]["name"]) for played in found.values()]
    folders = [played[0][0].path.resolve().name for played in found.values()]
    places = [f"{name} ({folder})" for name, folder in zip(plain, folders, strict=True)]
    numbers = [f"{name} ({number})" for number, name in enumerate(plain, 1)]
    names = []
    for name, place, number in zip(plain, places, numbers, strict=True):
        chosen = place if places.count(place) == 1 else number
        names.append(chosen if plain.count(name) > 1 else name)
    return names


def _check_agents(wanted: Sequence[str], plain: set[str], names: Sequence[str]) -> None:
    for name in wanted:
        if name not in plain and name not in names:
            raise UsageError(f'no run has the agent "{name}": {nearest(name, {*plain, *names})}')


def _pooled(
    runs: Sequence[FinishedRun],
    suite: FinishedSuite,
    methods: Sequence[Method],
    records: Mapping[Key, Mapping[str, Any]],
) -> PooledSuite:
    rows = [run for method in methods for run in method.runs]
    _check_questions(suite, rows, records)
    told = suite.description
    played = PlayedSuite(suite.name, str(told["version"]), str(told["hash"]), suite.episodes)
    strata = strata_of(suite, rows, records)
    means = macro_means(list(strata.values()))[0]
    score = {
        method.name: means[[rows.index(run) for run in method.runs]].mean() for method in methods
    }
    ordered = sorted(methods, key=lambda method: (-score[method.name], method.name))
    summary = summarise_methods(played, ordered, strata, records, rows=rows)
    tokens = {
        entry: fmean(records[rows[0], item.id]["metrics"]["input_tokens"] for item in episodes)
        for (_, entry), episodes in by_entry(suite.episodes).items()
    }
    notes = tuple(_notes(runs, summary))
    return PooledSuite(suite, tuple(ordered), tuple(rows), strata, summary, tokens, notes)


def _check_questions(
    suite: FinishedSuite, rows: Sequence[str], records: Mapping[Key, Mapping[str, Any]]
) -> None:
    for episode in suite.episodes:
        asked = {len(records[row, episode.id]["answers"]) for row in rows}
        if len(asked) > 1:
            raise UsageError(f'the runs differ in the questions of episode "{episode.id}"')


def _notes(runs: Sequence[FinishedRun], summary: SuiteSummary) -> list[str]:
    notes = []
    codes = {run.code: run.path.name for run in runs}
    if len(codes) > 1:
        notes.append(
            "The runs were played with different versions of memgym's own files "
            f"({', '.join(f'{name}: {code}' for code, name in codes.items())}); what was changed "
            "may be part of the differences."
        )
    if summary.single:
        notes.append(
            f"One episode only in {', '.join(summary.single)}: the interval there covers its "
            "questions, not the choice of the text."
        )
    return notes
