"""What training did: scores before and after GRPO, beside baselines, on episodes of a split.

Rows are means over seeds and episodes; comparisons are over the same episodes. Not here: how the
episodes are played (:mod:`.grpo_play`) and how it is shown (:mod:`.grpo_page`).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from memgym.agents.grpo.settings import RolloutSettings, TrainSettings
from memgym.baselines import BASELINES
from memgym.benchmarks.description import code_digest
from memgym.benchmarks.entries import AgentEntry, checked_entries
from memgym.benchmarks.grpo_play import AgentPlayer, ModelPlayer, Played, Results, play
from memgym.benchmarks.grpo_runs import MODELS, Variant, changes
from memgym.benchmarks.report import part_lines
from memgym.benchmarks.runner import Progress
from memgym.benchmarks.statistics import (
    Interval,
    Scores,
    crossed_difference,
    crossed_mean,
    holm,
    sign_flip_test,
)
from memgym.envs.settings import make_settings
from memgym.errors import UsageError, nearest
from memgym.folder_lock import hold_lock
from memgym.rewards import checked_weights
from memgym.tasks.registry import load_source

__all__ = ["Block", "Comparison", "Condition", "Report", "ReportSettings", "Row", "compare"]

_TITLES = {"start": "before GRPO", "best": "after GRPO", "final": "at the end"}


@dataclass(frozen=True)
class ReportSettings:
    """What is played.

    Attributes:
        split: Of each run's source.
        episodes: The first so many of the split; fewer if there are fewer.
        budgets: Memory budgets (see :attr:`memgym.envs.settings.Settings.memory_budget`); empty:
            each run's own.
        lengths: Factors on ``source_options.tokens`` of each run.
        agents: Names of baselines, or ``module:Class``.
        models: Of :data:`.grpo_runs.MODELS`; the last is compared with the first.

    Raises:
        UsageError: a value is unknown or out of range.
    """

    split: str = "test"
    episodes: int = 40
    budgets: tuple[float, ...] = ()
    lengths: tuple[int, ...] = (1,)
    agents: tuple[str, ...] = tuple(BASELINES)
    models: tuple[str, ...] = ("start", "best")

    def __post_init__(self) -> None:
        if self.episodes < 2:
            raise UsageError(f"an interval needs at least 2 episodes, got {self.episodes}")
        for name in self.models:
            if name not in MODELS:
                raise UsageError(f'a run has no model "{name}": {nearest(name, MODELS)}')
        if not self.models or not self.lengths:
            raise UsageError("at least one model and one length are needed")

    def conditions(self) -> list["Condition"]:
        """Return every budget at every length."""
        budgets = self.budgets or (None,)
        return [Condition(budget, length) for budget in budgets for length in self.lengths]


@dataclass(frozen=True, slots=True)
class Condition:
    """What is changed about the environment of a run.

    Attributes:
        budget: Its memory budget; ``None``: it is kept.
        length: Factor on the tokens of its texts.
    """

    budget: float | None
    length: int

    def environment(self, settings: TrainSettings) -> dict[str, Any]:
        """Return what is played. Reward weights are left out: nothing that is done depends on them.

        Raises:
            UsageError: the run does not say how long its texts are.
        """
        found = {name: settings.environment[name] for name in sorted(settings.environment)}
        found.pop("reward_weights", None)
        if self.budget is not None:
            found["memory_budget"] = self.budget
        if self.length != 1:
            options = found.get("source_options", {})
            if not isinstance(options.get("tokens"), int):
                raise UsageError(
                    "other lengths need runs with environment.source_options.tokens, the length of "
                    f"a text; source {found.get('source', 'procedural')} was trained without"
                )
            found["source_options"] = {**options, "tokens": options["tokens"] * self.length}
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """One policy in one block; all numbers are means over its seeds and the episodes.

    Attributes:
        name: Of the policy.
        variant: The variant that it is a model of; ``""`` for a baseline.
        model: Which of its models; ``""`` for a baseline.
        seeds: Of its runs; empty for a baseline.
        privileged: Whether it was shown the golds.
        r1: Answers that are right; the interval is over seeds and episodes.
        r2, r3, r4: The other reward terms.
        total: The weighted sum of the four.
        abilities: r1 by ability.
        memory_share: Tokens of the final memory as a share of the text's.
        causes: Share of the questions by why they were answered wrongly, and ``right``.
        calls: Share of each tool among the calls.
        calls_per_response: Tool calls per response of a model, or action of a baseline.
        failed_calls: Share of the calls that failed.
        by_seed: r1 of each seed.
    """

    name: str
    variant: str
    model: str
    seeds: tuple[int, ...]
    privileged: bool
    r1: Interval
    r2: float
    r3: float
    r4: float
    total: float
    abilities: Mapping[str, float]
    memory_share: float
    causes: Mapping[str, float]
    calls: Mapping[str, float]
    calls_per_response: float
    failed_calls: float
    by_seed: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two policies on the same episodes.

    Attributes:
        first: Name of a row.
        second: Name of the row that it is compared with.
        difference: r1 of the first less that of the second, over seeds and episodes.
        p: Two-sided, over episodes, each policy's mean over its seeds.
        corrected: The same, corrected for all comparisons of the first with others (Holm).
    """

    first: str
    second: str
    difference: Interval
    p: float
    corrected: float


@dataclass(frozen=True, slots=True)
class Block:
    """Everybody in one environment.

    Attributes:
        condition: What was changed about it.
        variants: Names of those that were trained in it.
        differs: In what it differs from the first block of the condition; ``""`` for that.
        source: The source of the episodes, with its options.
        parts: Who answers and who judges, one statement each.
        episodes: Their number.
        questions: Their number, per policy and seed.
        rows: Trained policies, then baselines.
        comparisons: Of the trained policies with what they were, with the first of them, and with
            the baselines.
    """

    condition: Condition
    variants: tuple[str, ...]
    differs: str
    source: str
    parts: tuple[str, ...]
    episodes: int
    questions: int
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """See the module.

    Attributes:
        settings: What was played.
        blocks: By condition.
        outdated: Results that were played with other versions of memgym's own files.
        results: All that there are.
    """

    settings: ReportSettings
    blocks: tuple[Block, ...]
    outdated: int
    results: int


def compare(
    variants: Sequence[Variant],
    out: Path,
    settings: ReportSettings,
    *,
    data: str = "",
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Play what is missing, and return the report.

    Args:
        variants: What was trained.
        out: Folder in which results are kept.
        settings: What is played.
        data: Folder with the raw datasets.
        jobs: Worker processes for the baselines.
        progress: Told the numbers of results there are and there will be.

    Raises:
        UsageError: a model or agent is missing, or a setting is wrong.
        ChatError: the reader's or judge's language model could not be had.
        AgentError: a baseline raised an exception.
    """
    entries = [AgentEntry(name) for name in settings.agents]
    entries = list(checked_entries(entries)) if entries else []
    plans = [
        plan
        for condition in settings.conditions()
        for plan in _plans(variants, entries, condition, settings, data)
    ]
    players = [player for plan in plans for row in plan.rows for player in row.players]
    episodes = _episodes(plans, settings, data)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("ab") as lock:
        hold_lock(lock, out)
        results = Results(out)
        play(players, episodes, results, jobs=jobs, progress=progress)
    keys = dict.fromkeys(player.key(item) for player in players for item in episodes)
    return Report(
        settings=settings,
        blocks=tuple(_block(plan, episodes, results) for plan in plans),
        outdated=sum(results[key].code != code_digest() for key in keys),
        results=len(keys),
    )


# ---------------------------------------------------------------------- what is played


@dataclass(frozen=True)
class _PlannedRow:
    name: str
    variant: str
    model: str
    seeds: tuple[int, ...]
    privileged: bool
    weights: Mapping[str, float]
    players: tuple[ModelPlayer | AgentPlayer, ...]


@dataclass(frozen=True)
class _Plan:
    """A block before it was played."""

    condition: Condition
    environment: Mapping[str, Any]
    differs: str
    variants: tuple[str, ...]
    rows: tuple[_PlannedRow, ...]


def _plans(
    variants: Sequence[Variant],
    entries: Sequence[AgentEntry],
    condition: Condition,
    settings: ReportSettings,
    data: str,
) -> list[_Plan]:
    """Return the blocks of a condition: one per environment."""
    groups: dict[str, list[Variant]] = {}
    for variant in variants:
        environment = condition.environment(variant.settings)
        groups.setdefault(json.dumps(environment, sort_keys=True), []).append(variant)
    environments = [json.loads(text) for text in groups]
    plans = []
    for environment, members in zip(environments, groups.values(), strict=True):
        rows = [
            row for variant in members for row in _model_rows(variant, environment, settings, data)
        ]
        weights = _weights(members[0])
        for entry in entries:
            player = AgentPlayer(entry, environment, settings.split, data)
            privileged = entry.agent_class.privileged
            rows.append(_PlannedRow(entry.name, "", "", (), privileged, weights, (player,)))
        names = tuple(variant.name for variant in members)
        differs = ", ".join(changes(environments[0], environment))
        plans.append(_Plan(condition, environment, differs, names, tuple(rows)))
    return plans


def _model_rows(
    variant: Variant, environment: Mapping[str, Any], settings: ReportSettings, data: str
) -> Iterable[_PlannedRow]:
    # Played in this process, whatever engine it was trained with.
    rollout = RolloutSettings(concurrency=variant.settings.rollout.concurrency)
    played = replace(variant.settings, environment=environment, rollout=rollout)
    for model in settings.models:
        folders = variant.folders(model)
        if folders:
            yield _PlannedRow(
                name=_row_name(variant, model),
                variant=variant.name,
                model=model,
                seeds=variant.seeds,
                privileged=False,
                weights=_weights(variant),
                players=tuple(
                    ModelPlayer(folder, played, settings.split, data) for folder in folders
                ),
            )


def _row_name(variant: Variant, model: str) -> str:
    if not variant.settings.optimizer.steps:
        return f"{variant.name}, {model}"
    return f"{variant.name}, {_TITLES[model]}"


def _weights(variant: Variant) -> dict[str, float]:
    return checked_weights(variant.settings.environment.get("reward_weights"))


def _episodes(plans: Sequence[_Plan], settings: ReportSettings, data: str) -> range:
    """Return the indices that all sources have."""
    sizes = []
    for plan in plans:
        source = plan.environment.get("source", "procedural")
        options = plan.environment.get("source_options", {})
        sizes.append(load_source(source, settings.split, options, data or None).size)
    return range(min([settings.episodes, *(size for size in sizes if size is not None)]))


# ---------------------------------------------------------------------- what came out


def _block(plan: _Plan, episodes: Sequence[int], results: Results) -> Block:
    played = {
        row.name: [[results[player.key(item)] for item in episodes] for player in row.players]
        for row in plan.rows
    }
    scores = {
        name: np.array([[item.correctness for item in one] for one in found])
        for name, found in played.items()
    }
    rows = tuple(_row(row, played[row.name], scores[row.name]) for row in plan.rows)
    environment = dict(plan.environment)
    checked = make_settings(environment.pop("preset", "default"), environment)
    options = ", ".join(f"{name} {value}" for name, value in checked.source_options.items())
    first = next(iter(played.values()))[0]
    return Block(
        condition=plan.condition,
        variants=plan.variants,
        differs=plan.differs,
        source=f"{checked.source} ({options})" if options else checked.source,
        parts=tuple(part_lines(checked)),
        episodes=len(episodes),
        questions=sum(item.questions for item in first),
        rows=rows,
        comparisons=_comparisons(rows, scores),
    )


def _row(plan: _PlannedRow, played: Sequence[Sequence[Played]], scores: Scores) -> Row:
    flat = list(chain.from_iterable(played))
    terms = {
        "correctness": float(scores.mean()),
        "format": _mean(flat, lambda item: item.format),
        "compression": _mean(flat, lambda item: item.compression),
        "content": _mean(flat, lambda item: item.content),
    }
    calls, causes = (
        _counts(item.calls for item in flat),
        _counts(item.causes for item in flat),
    )
    abilities = {item.ability: [0.0] for item in sorted(flat, key=lambda item: item.ability)}
    for ability in abilities:
        abilities[ability] = [item.correctness for item in flat if item.ability == ability]
    return Row(
        name=plan.name,
        variant=plan.variant,
        model=plan.model,
        seeds=plan.seeds,
        privileged=plan.privileged,
        r1=crossed_mean(scores),
        r2=terms["format"],
        r3=terms["compression"],
        r4=terms["content"],
        total=sum(plan.weights[name] * value for name, value in terms.items()),
        abilities={name: fmean(values) for name, values in abilities.items()},
        memory_share=_mean(flat, lambda item: item.memory_share),
        causes=_shares(causes),
        calls=_shares(calls),
        calls_per_response=calls.total() / max(sum(item.responses for item in flat), 1),
        failed_calls=sum(item.failed_calls for item in flat) / max(calls.total(), 1),
        by_seed=tuple(map(float, scores.mean(axis=1))) if plan.variant else (),
    )


def _mean(played: Iterable[Played], value: Callable[[Played], float | None]) -> float:
    found = [number for number in map(value, played) if number is not None]
    return fmean(found) if found else 0.0


def _counts(counts: Iterable[Mapping[str, int]]) -> "Counter[str]":
    total: Counter[str] = Counter()
    for item in counts:
        total.update(item)
    return total


def _shares(counts: "Counter[str]") -> dict[str, float]:
    return {name: counts[name] / counts.total() for name in sorted(counts)}


def _comparisons(rows: Sequence[Row], scores: Mapping[str, Scores]) -> tuple[Comparison, ...]:
    variants: dict[str, list[Row]] = {}
    for row in rows:
        if row.variant:
            variants.setdefault(row.variant, []).append(row)
    baselines = [row for row in rows if not row.variant]
    trained = [found[-1] for found in variants.values()]
    comparisons: list[Comparison] = []
    for found in variants.values():
        others = [*found[:1], *trained[:1], *baselines]
        comparisons += _compared(found[-1], [row for row in others if row is not found[-1]], scores)
    return tuple(comparisons)


def _compared(
    first: Row, others: Sequence[Row], scores: Mapping[str, Scores]
) -> Iterable[Comparison]:
    here = scores[first.name]
    tests = [
        sign_flip_test(here.mean(axis=0) - scores[other.name].mean(axis=0)) for other in others
    ]
    for other, p, corrected in zip(others, tests, holm(tests), strict=True):
        difference = crossed_difference(here, scores[other.name])
        yield Comparison(first.name, other.name, difference, p, corrected)
