"""Trained policies on held-out episodes beside the baselines, at several memory budgets.

Every policy, one per seed, plays a suite as an agent of ``memgym bench`` does; what is added here
is the mean over the seeds of an algorithm, with an interval over seeds and episodes together. Not
here: how it is shown (:mod:`.sb3_page`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memgym.baselines import BASELINES
from memgym.baselines.sb3 import TrainingFolder, find_trained
from memgym.benchmarks.entries import AgentEntry
from memgym.benchmarks.plan import RunPlan, make_plan
from memgym.benchmarks.run_folder import RunFolder
from memgym.benchmarks.runner import Progress, run_plan
from memgym.benchmarks.statistics import (
    Interval,
    Scores,
    draws_over_runs,
    interval,
    macro_means,
)
from memgym.benchmarks.suites import get_suite, resolve
from memgym.benchmarks.summary import strata_of
from memgym.errors import UsageError

__all__ = ["Group", "Interval", "Result", "best_scripted", "budget_name", "compare", "groups_in"]


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one algorithm that differ in nothing but the seed.

    Attributes:
        name: The algorithm; with the folder's name if several groups are of one algorithm.
        runs: One per seed, in the order of the seeds.
    """

    name: str
    runs: tuple[TrainingFolder, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """One policy at one memory budget.

    Attributes:
        name: A group, or a baseline.
        budget: The memory budget, see :attr:`memgym.envs.settings.Settings.memory_budget`.
        seeds: Trained models, 0 for a baseline.
        privileged: Whether it was shown the golds.
        score: Macro mean over abilities; the interval is over episodes, and seeds if there are any.
        abilities: Mean score by ability.
        memory_share: Mean final memory tokens / input tokens.
        seconds: Mean wall seconds per episode, its play only.
        gain: Score less that of the best scripted baseline on the same draws; ``None`` for
            baselines.
    """

    name: str
    budget: float
    seeds: int
    privileged: bool
    score: Interval
    abilities: dict[str, float]
    memory_share: float
    seconds: float
    gain: Interval | None


def groups_in(folder: Path) -> list[Group]:
    """Return the trained runs under a folder, by algorithm.

    Raises:
        UsageError: there is none, or one cannot be read.
    """
    found: dict[str, list[TrainingFolder]] = {}
    for run in find_trained(folder):
        same = {**run.settings().to_json(), "seed": None}
        found.setdefault(json.dumps(same, sort_keys=True), []).append(run)
    if not found:
        raise UsageError(f"{folder} holds no trained policy; train one with memgym train-sb3")
    kinds = [runs[0].settings().algorithm.kind for runs in found.values()]
    groups = []
    for kind, runs in zip(kinds, found.values(), strict=True):
        name = kind if kinds.count(kind) == 1 else f"{kind} ({runs[0].path.parent.name})"
        groups.append(Group(name, tuple(sorted(runs, key=lambda run: run.settings().seed))))
    names = [group.name for group in groups]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{folder}: two groups of runs are called {name} and differ in more than their "
                "seed; move them into folders of different names"
            )
    return sorted(groups, key=lambda group: group.name)


def compare(
    groups: Sequence[Group],
    out: Path,
    *,
    suite: str = "mini",
    budgets: Sequence[float] = (1.0, 0.5, 0.25, 0.1),
    data: Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[Result]:
    """Play what is missing, and return the results: by budget, baselines first.

    Args:
        groups: The trained policies.
        out: Folder for the results, one run folder per budget.
        suite: Name of the suite; its episodes must be of test splits.
        budgets: Memory budgets.
        data: Folder with raw datasets, for suites that need it.
        jobs: Worker processes.
        progress: Told the state over all budgets.

    Raises:
        UsageError: an unknown suite, one with episodes that were trained or validated on, or a
            folder that holds another comparison.
        AgentError: a policy raised an exception.
    """
    resolved = resolve(get_suite(suite), data)
    for episode in resolved.episodes:
        if episode.split != "test":
            raise UsageError(f'suite "{suite}": {episode.entry} is not of a test split')
    entries = [AgentEntry(name) for name in BASELINES]
    entries += [_entry(group, run) for group in groups for run in group.runs]
    plans = [make_plan([resolved], entries, settings={"memory_budget": item}) for item in budgets]
    folders = [out / f"budget-{_file_name(item)}" for item in budgets]
    tell = _Total(plans, folders, progress or (lambda done, total: None))
    results: list[Result] = []
    for number, (plan, folder, budget) in enumerate(zip(plans, folders, budgets, strict=True)):
        store = run_plan(plan, folder, jobs=jobs, progress=tell.part(number))
        results += _results(plan, store, groups, budget)
    return results


def _entry(group: Group, run: TrainingFolder) -> AgentEntry:
    settings = run.settings()
    spec = f"{settings.algorithm.kind}:{run.path}"
    return AgentEntry(spec, name=f"{group.name} seed {settings.seed}")


def budget_name(budget: float) -> str:
    """Return ``25 %`` or ``2000 tokens``."""
    return f"{budget} tokens" if isinstance(budget, int) else f"{100 * budget:g} %"


def _file_name(budget: float) -> str:
    return f"{budget}-tokens" if isinstance(budget, int) else f"{100 * budget:g}"


class _Total:
    """Adds up the progress of several runs, what was played before included."""

    def __init__(
        self, plans: Sequence[RunPlan], folders: Sequence[Path], progress: Progress
    ) -> None:
        self._progress = progress
        keys = [[task.key for task in plan.tasks()] for plan in plans]
        self._totals = [len(item) for item in keys]
        self._done = [
            len(RunFolder(folder, plan.description(), item).records)
            for plan, folder, item in zip(plans, folders, keys, strict=True)
        ]

    def part(self, number: int) -> Progress:
        """Return what is told the progress of one of the runs."""

        def tell(done: int, total: int) -> None:
            self._done[number] = done
            self._progress(sum(self._done), sum(self._totals))

        return tell


def _results(
    plan: RunPlan, store: RunFolder, groups: Sequence[Group], budget: float
) -> list[Result]:
    suite = plan.suites[0]
    names = [entry.name for entry in plan.agents]
    strata = strata_of(suite, names, store.records)
    means, draws = macro_means(list(strata.values()))
    if draws is None:
        raise UsageError(f'suite "{suite.suite.name}" has too few questions for an interval')
    abilities = {name: macro_means([group])[0] for name, group in strata.items()}
    scripted = [name for name, agent in BASELINES.items() if not agent.privileged]
    best = names.index(max(scripted, key=lambda name: means[names.index(name)]))
    members = {name: [names.index(name)] for name in BASELINES}
    for group in groups:
        members[group.name] = [names.index(_entry(group, run).name) for run in group.runs]
    results = []
    for name, rows in members.items():
        trained = name not in BASELINES
        over = draws_over_runs(draws, rows)
        records = [store.records[names[row], item.id] for row in rows for item in suite.episodes]
        times = [store.seconds[names[row], item.id] for row in rows for item in suite.episodes]
        results.append(
            Result(
                name=name,
                budget=budget,
                seeds=len(rows) if trained else 0,
                privileged=not trained and BASELINES[name].privileged,
                score=_interval(means[rows], over),
                abilities={key: float(found[rows].mean()) for key, found in abilities.items()},
                memory_share=float(np.mean([item["metrics"]["memory_share"] for item in records])),
                seconds=float(np.mean(times)),
                gain=_interval(means[rows] - means[best], over - draws[best]) if trained else None,
            )
        )
    return results


def _interval(means: Scores, draws: Scores) -> Interval:
    return Interval(float(means.mean()), *interval(draws))


def best_scripted(results: Sequence[Result], budget: float) -> Result:
    """Return the best baseline at a budget that was not shown the golds."""
    found = [
        item for item in results if item.budget == budget and not (item.seeds or item.privileged)
    ]
    return max(found, key=lambda item: item.score.mean)
