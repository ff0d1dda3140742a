"""Turns the rewards of a step's rollouts into one advantage per sample, by comparison in groups.

Rewards only, in plain numpy: no tokens, no model. The four terms are those of
:mod:`memgym.rewards`; two of them belong to a trajectory (``correctness`` r1, ``compression`` r3)
and two to a chunk (``format`` r2, ``content`` r4).

``two_level`` compares like with like. The trajectory terms of a rollout are compared with those of
the other rollouts of its episode, each rollout counted once however many samples it has; the terms
of a chunk are compared with those of all samples at the same chunk of the same episode. A sample's
advantage is the sum of both. So a chunk that holds nothing to store is no longer held against the
chunks that do, and what happens within a rollout no longer drowns how it ended.

``paper`` reproduces Mem-alpha (section 3.3 and its released code): every sample gets the whole
reward ``r1 + b r3 + r2 + g r4``, and all samples of all rollouts of an episode are one group. One
difference: a group of a single sample gets 0, not its bare reward.

With ``chunk_credit`` that share of r1 and r3 moves to the steps: a chunk is paid for the questions
whose evidence lies in it, and for what it added to the memory, no longer for what the other chunks
of its rollout did, which is noise to it. What a chunk does to the questions of others (it forgets
their items, or fills a budget) is then felt through the rest only. Questions without known evidence
stay with the trajectory. Not in the paper, which pays every chunk the whole of both.

Centred rewards are then scaled. ``episode`` divides by one standard deviation, that of the summed
and centred rewards of all samples of the episode, so that the weights mean what they say across
all four terms. ``level`` divides each comparison by its own. In ``two_level`` the weights then
count within a level only: once all calls succeed, the step level is the 0.1 r4 alone, blown up to
speak as loudly as the answers, and a policy learns to write little that is valid and useless
(measured: r4 from 0.4 to 0.9 and r1 from 0.13 to 0 in 18 steps). ``none`` divides by nothing.
Standard deviations are unbiased, plus 1e-6.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import AdvantageSettings
from memgym.rewards import checked_weights

__all__ = ["Advantages", "advantages"]

_EPSILON = 1e-6  # of the published division
_SAME = 1e-9  # relative: rewards that differ by less are equal but for rounding


@dataclass(frozen=True, slots=True)
class Advantages:
    """What to learn from each sample of a step.

    Attributes:
        values: Per trajectory, in the order given, one advantage per sample.
        groups: Number of groups.
        dropped: Numbers of the groups with nothing to learn from: all their advantages are 0. Their
            samples belong in no batch and in no denominator of the loss.
        comparisons: How many sets of rewards were compared, by level: ``trajectory`` and ``step``,
            or ``sample`` in the paper's way.
        constant: How many of them had no differences, and gave 0.
    """

    values: tuple[tuple[float, ...], ...]
    groups: int
    dropped: tuple[int, ...]
    comparisons: Mapping[str, int]
    constant: Mapping[str, int]

    @property
    def dropped_groups(self) -> int:
        """Number of groups with nothing to learn from."""
        return len(self.dropped)


def advantages(
    trajectories: Sequence[Trajectory],
    settings: AdvantageSettings,
    weights: Mapping[str, float],
) -> Advantages:
    """Return the advantage of every sample.

    A comparison of one reward, or of equal rewards, gives exactly 0. A rollout without samples is
    compared like any other, as its outcome tells what to expect of the episode. Rollouts may have
    different numbers of chunks: a chunk is compared between those that got to it.

    Args:
        trajectories: All rollouts of a step, in any order.
        settings: How to compare.
        weights: Weights of the reward terms; what is left out is as in
            :data:`memgym.rewards.DEFAULT_WEIGHTS`.

    Raises:
        UsageError: a weight is of no known term.
        ValueError: a reward is not a finite number.
    """
    weights = checked_weights(weights)
    places: dict[int, list[int]] = {}
    for place, trajectory in enumerate(trajectories):
        _check(trajectory)
        places.setdefault(trajectory.group, []).append(place)
    comparison = _Comparison(settings.scale == "level")
    values: list[tuple[float, ...]] = [()] * len(trajectories)
    dropped = []
    for group, members in places.items():
        rollouts = [trajectories[place] for place in members]
        if settings.kind == "paper":
            rows = _flat(rollouts, weights, comparison)
        else:
            rows = _two_level(rollouts, weights, comparison, settings.chunk_credit)
        if settings.scale == "episode":
            rows = _scaled(rows)
        if all(abs(value) <= _SAME for row in rows for value in row):
            dropped.append(group)
            rows = [[0.0] * len(row) for row in rows]
        for place, row in zip(members, rows, strict=True):
            values[place] = tuple(row)
    return Advantages(
        tuple(values),
        len(places),
        tuple(sorted(dropped)),
        dict(comparison.made),
        dict(comparison.constant),
    )


class _Comparison:
    """Centres sets of rewards, divides them if asked to, and counts them by level."""

    def __init__(self, divide: bool) -> None:
        self.made: Counter[str] = Counter()
        self.constant: Counter[str] = Counter()
        self._divide = divide

    def __call__(self, level: str, rewards: Sequence[float]) -> NDArray[np.float64]:
        self.made[level] += 1
        values = np.array(rewards, dtype=np.float64)
        # Equal rewards that were summed in another order differ in their last bits. Divided by
        # their standard deviation, these would be advantages.
        if np.ptp(values) <= _SAME * max(1.0, float(np.abs(values).max())):
            self.constant[level] += 1
            return np.zeros_like(values)
        values -= values.mean()
        if self._divide:
            values /= values.std(ddof=1) + _EPSILON
        return values


def _two_level(
    rollouts: Sequence[Trajectory],
    weights: Mapping[str, float],
    compare: _Comparison,
    credit: float,
) -> list[list[float]]:
    of_rollout = compare(
        "trajectory", [_trajectory_reward(item, weights, credit) for item in rollouts]
    )
    steps = [_step_rewards(item, weights, credit) for item in rollouts]
    at_chunk: dict[int, list[tuple[int, int]]] = {}
    for row, rollout in enumerate(rollouts):
        for column, sample in enumerate(rollout.samples):
            at_chunk.setdefault(sample.chunk, []).append((row, column))
    values = [[float(of_rollout[row])] * len(rewards) for row, rewards in enumerate(steps)]
    for cells in at_chunk.values():
        compared = compare("step", [steps[row][column] for row, column in cells])
        for (row, column), value in zip(cells, compared.tolist(), strict=True):
            values[row][column] += value
    return values


def _flat(
    rollouts: Sequence[Trajectory], weights: Mapping[str, float], compare: _Comparison
) -> list[list[float]]:
    rewards = []
    for rollout in rollouts:
        whole = _trajectory_reward(rollout, weights)
        rewards.append([whole + step for step in _step_rewards(rollout, weights)])
    if not any(rewards):
        return rewards
    compared = iter(compare("sample", [reward for row in rewards for reward in row]).tolist())
    return [[next(compared) for _ in row] for row in rewards]


def _scaled(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Divide by the standard deviation of all; what is equal but for rounding is left alone."""
    values = np.array([value for row in rows for value in row])
    if len(values) < 2 or np.abs(values).max() <= _SAME:
        return [list(row) for row in rows]
    deviation = float(values.std(ddof=1)) + _EPSILON
    return [[value / deviation for value in row] for row in rows]


def _trajectory_reward(
    rollout: Trajectory, weights: Mapping[str, float], credit: float = 0.0
) -> float:
    answers = (1 - credit) * rollout.correctness + credit * rollout.unplaced_correctness
    small = (1 - credit) * rollout.compression
    return weights["correctness"] * answers + weights["compression"] * small


def _step_rewards(
    rollout: Trajectory, weights: Mapping[str, float], credit: float = 0.0
) -> list[float]:
    return [
        weights["correctness"] * credit * sample.correctness
        + weights["compression"] * credit * sample.compression
        + weights["format"] * sample.format
        + weights["content"] * sample.content
        for sample in rollout.samples
    ]


def _check(trajectory: Trajectory) -> None:
    terms = [("correctness", trajectory.correctness), ("compression", trajectory.compression)]
    for number, sample in enumerate(trajectory.samples):
        terms += [(f"format of sample {number}", sample.format)]
        terms += [(f"content of sample {number}", sample.content)]
        terms += [(f"correctness of sample {number}", sample.correctness)]
        terms += [(f"compression of sample {number}", sample.compression)]
    for name, value in terms:
        if not math.isfinite(value):
            raise ValueError(
                f"group {trajectory.group}, rollout {trajectory.rollout} (episode "
                f"{trajectory.episode_id}): {name} is {value}, not a finite number"
            )
