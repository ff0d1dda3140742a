"""Means and bootstrap intervals over a hierarchy: questions in episodes, in strata, in groups.

The estimate of a group is the plain mean over its strata of the mean score of their episodes, an
episode's score being the mean over its questions; the macro mean is the plain mean over groups.

Intervals are percentile bootstrap (Efron 1979) on two levels: within each stratum episodes are
drawn with replacement, then, within each episode that was drawn, as many questions as it has. All
levels are computed anew from each draw, and the interval spans the middle 95 % of the results. All
agents share the draws, as they share episodes and questions, so draws of a difference are paired.

The second level counts the spread between questions once more, on top of their share in the spread
between episodes (Davison and Hinkley 1997, section 3.8): it makes intervals wider where questions
differ more than episodes do, and makes up in part for what a percentile interval lacks with few
episodes. ``docs/statistics.md`` has the measured coverage. A stratum of one episode says nothing
about how scores vary between episodes; its interval is about these questions on this text, and
tables say so; with a single question too there is no interval.

Several runs of one method (seeds) that play the same episodes are crossed with them: an interval
draws runs and episodes, a test of a difference is over episodes, on the means over runs.

Not here: where the scores come from (:mod:`.summary`), pairs of agents (:mod:`.paired`), and how
either is shown (:mod:`.report`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RESAMPLES",
    "Estimate",
    "Interval",
    "Stratum",
    "crossed_difference",
    "crossed_mean",
    "draws_over_runs",
    "estimate_mean",
    "group_means",
    "holm",
    "interval",
    "macro_means",
    "mean_interval",
    "sign_flip_test",
]

RESAMPLES = 2_000
_LEVELS = (2.5, 97.5)
_EXACT = 12  # differences whose signs are all tried; of more, as many draws as follow
_FLIPS = 20_000
_FLIPS_AT_A_TIME = 1_000

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean score and its 95 % interval.

    Attributes:
        mean: 0.0 to 1.0.
        low: Lower end, ``None`` if there is no interval.
        high: Upper end, ``None`` if there is no interval.
        episodes: Number of episodes it rests on.
        questions: Number of questions it rests on.
    """

    mean: float
    low: float | None
    high: float | None
    episodes: int
    questions: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


class Stratum:
    """The scores of all agents on the episodes of one entry of a suite.

    Args:
        name: Seeds its draws, so that they do not depend on what else is estimated.
        scores: Per agent, per episode, the scores of the questions; the same shape for each agent.

    Attributes:
        by_episode: Mean score per agent and episode, shape (agents, episodes).
        means: Mean score per agent.
        draws: Mean score per agent and resample, shape (agents, ``RESAMPLES``); ``None`` if there
            is but one question.
        episodes: Number of episodes.
        questions: Number of questions.
    """

    def __init__(self, name: str, scores: Sequence[Sequence[Sequence[float]]]) -> None:
        self.name = name
        self.episodes = len(scores[0])
        self.questions = sum(len(episode) for episode in scores[0])
        self.by_episode: Scores = np.array(
            [[np.mean(episode) for episode in agent] for agent in scores]
        )
        self.means: Scores = self.by_episode.mean(axis=1)
        self.draws: Scores | None = _resample_both(scores, name) if self.questions > 1 else None

    @property
    def single(self) -> bool:
        """Whether there is but one episode, so that the interval is about its questions only."""
        return self.episodes == 1


def _generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(list(name.encode())))


def _resample_both(scores: Sequence[Sequence[Sequence[float]]], name: str) -> Scores:
    """Return the mean of each agent over draws of episodes and, within each, of its questions."""
    rng = _generator(name)
    episodes = len(scores[0])
    picks = rng.integers(episodes, size=(RESAMPLES, episodes))
    totals = np.zeros((len(scores), RESAMPLES))
    for episode, questions in enumerate(map(len, scores[0])):
        counts = _question_counts(rng, (picks == episode).sum(axis=1), questions)
        for row, agent in enumerate(scores):
            # No matrix product: its last digits depend on the machine.
            totals[row] += (counts * np.array(agent[episode])).sum(axis=1) / questions
    means: Scores = totals / episodes
    return means


def _question_counts(
    rng: np.random.Generator, times: NDArray[np.int64], questions: int
) -> NDArray[np.int64]:
    """Return how often each question of an episode was drawn, shape (resamples, questions).

    Args:
        rng: What draws.
        times: How often the episode was drawn in each resample; each time as many questions are
            drawn as it has.
        questions: Their number.
    """
    size = len(times) * questions
    rows = np.repeat(np.arange(len(times)), times * questions)
    drawn = rows * questions + rng.integers(questions, size=len(rows))
    return np.bincount(drawn, minlength=size).reshape(len(times), questions)


def _resample(units: Scores, name: str) -> Scores:
    """Return the mean of each row over draws with replacement of its columns."""
    size = units.shape[1]
    picks = _generator(name).integers(size, size=(RESAMPLES, size))
    return np.stack([row[picks].mean(axis=1) for row in units])


def mean_interval(values: Scores) -> tuple[Scores, Scores]:
    """Return both ends of the interval of the mean over the first axis, per place of the others.

    Args:
        values: Of shape (units, ...), units being drawn with replacement.
    """
    rng = np.random.Generator(np.random.PCG64(len(values)))
    picks = rng.integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), _LEVELS, axis=0)
    return low, high


def group_means(strata: Sequence[Stratum]) -> tuple[Scores, Scores | None]:
    """Return the plain mean over strata of their means and of their draws."""
    means: Scores = np.mean([stratum.means for stratum in strata], axis=0)
    draws = _mean_draws(stratum.draws for stratum in strata)
    return means, draws


def macro_means(groups: Sequence[Sequence[Stratum]]) -> tuple[Scores, Scores | None]:
    """Return, per agent, the plain mean over groups of :func:`group_means`, and its draws."""
    parts = [group_means(group) for group in groups]
    means: Scores = np.mean([mean for mean, _ in parts], axis=0)
    return means, _mean_draws(draw for _, draw in parts)


def draws_over_runs(draws: Scores, runs: Sequence[int]) -> Scores:
    """Return draws of the mean over several runs of one method, the runs being drawn too.

    Args:
        draws: Of all agents, shape (agents, resamples); every resample is of the episodes.
        runs: Which agents are runs of the method, e.g. with different seeds.

    Returns:
        One number per resample, whose spread is that over runs and over episodes together.
    """
    rng = np.random.Generator(np.random.PCG64(len(runs)))
    picks = np.array(runs)[rng.integers(len(runs), size=(draws.shape[1], len(runs)))]
    over: Scores = draws[picks, np.arange(draws.shape[1])[:, None]].mean(axis=1)
    return over


def interval(draws: Scores) -> tuple[float, float]:
    """Return both ends of the 95 % interval that draws of a number span."""
    low, high = np.percentile(draws, _LEVELS)
    return float(low), float(high)


def crossed_mean(scores: Scores) -> Interval:
    """Return the mean over runs and episodes; the interval is over both.

    Args:
        scores: Shape (runs, episodes), of at least two episodes.
    """
    return Interval(float(scores.mean()), *interval(_crossed_draws(scores)))


def crossed_difference(first: Scores, second: Scores) -> Interval:
    """Return the mean of ``first`` less that of ``second`` on the same episodes.

    Args:
        first: Shape (runs, episodes), of at least two episodes.
        second: The same episodes. As many runs as ``first`` has are drawn in pairs.
    """
    draws = _crossed_draws(first) - _crossed_draws(second)
    return Interval(float(first.mean() - second.mean()), *interval(draws))


def _crossed_draws(scores: Scores) -> Scores:
    return draws_over_runs(_resample(scores, "crossed"), range(len(scores)))


def sign_flip_test(differences: Scores) -> float:
    """Return the two-sided p value of a mean difference of 0 (Fisher's randomisation test).

    The signs of the differences are exchanged in all ways if there are few, else 20,000 times at
    random from a fixed seed, the differences as they are being one of the ways.

    Args:
        differences: One per episode.
    """
    size = len(differences)
    least = abs(differences.sum()) - 1e-9  # sums in another order differ in the last digits
    if size <= _EXACT:
        bits = np.arange(2**size)[:, None] >> np.arange(size) & 1
        return float((abs((2 * bits - 1) @ differences) >= least).mean())
    rng = np.random.Generator(np.random.PCG64(size))
    extreme = 1
    for _ in range(_FLIPS // _FLIPS_AT_A_TIME):
        signs = 2.0 * rng.integers(2, size=(_FLIPS_AT_A_TIME, size)) - 1
        extreme += int((abs(signs @ differences) >= least).sum())
    return extreme / (_FLIPS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number (Holm 1979), in the given order."""
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda item: p_values[item])):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = reached
    return adjusted


def estimate_mean(
    groups: Sequence[Sequence[Stratum]], methods: Sequence[Sequence[int]] | None = None
) -> list[Estimate]:
    """Return, per method, the plain mean over groups of the plain mean over their strata.

    Args:
        groups: Of at least one stratum each. One group of one stratum gives the stratum's mean.
        methods: Which rows of the strata are runs of each method; without, every row is a method.
    """
    means, draws = macro_means(groups)
    strata = [stratum for group in groups for stratum in group]
    episodes = sum(stratum.episodes for stratum in strata)
    questions = sum(stratum.questions for stratum in strata)
    estimates = []
    for runs in methods or [[row] for row in range(len(means))]:
        mean = float(means[list(runs)].mean())
        low = high = None
        if draws is not None:
            low, high = interval(draws_over_runs(draws, runs))
        estimates.append(Estimate(mean, low, high, episodes, questions))
    return estimates


def _mean_draws(draws: Iterable[Scores | None]) -> Scores | None:
    """Return the mean, or ``None`` if a part has no draws: an interval would be too narrow."""
    found = list(draws)
    known = [draw for draw in found if draw is not None]
    if len(known) < len(found):
        return None
    mean: Scores = np.mean(known, axis=0)
    return mean
