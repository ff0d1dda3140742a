"""Two agents on the same episodes: difference, interval, p value, episodes that would tell them.

Differences are taken episode by episode, with the weights that the mean gives to episodes, so a
text that is hard for everybody hides nothing. The p value is that of a sign-flip test (Fisher's
randomisation test) over those weighted differences: if neither agent were better, each difference
might as well have had the other sign. Not here: how it is shown (:mod:`.paired_report`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memgym.benchmarks.power import LEVEL, episodes_needed
from memgym.benchmarks.statistics import (
    Scores,
    Stratum,
    draws_over_runs,
    holm,
    interval,
    macro_means,
    sign_flip_test,
)

__all__ = ["Difference", "corrected", "paired_difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """The score of one method less that of another on the same episodes.

    Attributes:
        first: The method.
        second: The other.
        over: What the score is a mean over: ``macro``, an ability or an entry.
        mean: -1.0 to 1.0.
        low: Lower end of its 95 % interval, ``None`` if there is no interval.
        high: Upper end.
        p: Two-sided p value of no difference.
        corrected: The same, corrected for the number of comparisons (Holm).
        episodes: Number of episodes.
        needed: Episodes like these that would show such a difference with 80 % power; ``None`` if
            it is 0, or if some entry has but one episode, whose variance is not known.
    """

    first: str
    second: str
    over: str
    mean: float
    low: float | None
    high: float | None
    p: float
    corrected: float
    episodes: int
    needed: int | None

    @property
    def separated(self) -> bool:
        """Whether the difference is significant at 5 % after correction."""
        return self.corrected < LEVEL


def paired_difference(
    names: tuple[str, str],
    over: str,
    groups: Sequence[Sequence[Stratum]],
    first: Sequence[int],
    second: Sequence[int],
) -> Difference:
    """Return the difference of two methods; its p value is not yet corrected.

    Args:
        names: Of the methods.
        over: What the groups are called together.
        groups: As of :func:`.statistics.estimate_mean`.
        first: Rows of the strata that are runs of the first method.
        second: Those of the other. As many runs are drawn in pairs.
    """
    means, draws = macro_means(groups)
    mean = float(means[list(first)].mean() - means[list(second)].mean())
    low = high = None
    if draws is not None:
        low, high = interval(draws_over_runs(draws, first) - draws_over_runs(draws, second))
    weighted = [
        (_by_episode(stratum, first) - _by_episode(stratum, second)) * weight
        for stratum, weight in _weights(groups)
    ]
    episodes = sum(map(len, weighted))
    p = sign_flip_test(np.concatenate(weighted))
    error = _standard_error(weighted)
    needed = None if error is None else episodes_needed(mean, error, episodes)
    return Difference(*names, over, mean, low, high, p, p, episodes, needed)


def _weights(groups: Sequence[Sequence[Stratum]]) -> Iterable[tuple[Stratum, float]]:
    """Yield each stratum with the weight of one of its episodes in the mean over groups."""
    for group in groups:
        for stratum in group:
            yield stratum, 1 / (len(groups) * len(group) * stratum.episodes)


def _by_episode(stratum: Stratum, runs: Sequence[int]) -> Scores:
    mean: Scores = stratum.by_episode[list(runs)].mean(axis=0)
    return mean


def _standard_error(weighted: Sequence[Scores]) -> float | None:
    """Return that of the sum of all, with a variance of its own for every stratum."""
    if any(len(differences) < 2 for differences in weighted):
        return None
    return math.sqrt(sum(len(found) * float(found.var(ddof=1)) for found in weighted))


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences with p values corrected for how many they are."""
    values = holm([item.p for item in differences])
    return [replace(item, corrected=p) for item, p in zip(differences, values, strict=True)]
