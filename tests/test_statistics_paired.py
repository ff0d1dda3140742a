"""Behaviour of paired differences and of the number of episodes that would show them."""

import itertools

import numpy as np
import pytest

from memgym.benchmarks.paired import Difference, corrected, paired_difference
from memgym.benchmarks.power import episodes_needed
from memgym.benchmarks.statistics import Stratum, estimate_mean

NAMES = ("first", "second")
HARD = Stratum(
    "hard",
    [
        [[0.5, 0.0], [0.5, 0.5], [1.0, 0.0]],
        [[0.0, 0.0], [0.5, 0.0], [0.0, 0.0]],
        [[1.0, 0.0], [1.0, 0.5], [1.0, 0.5]],
    ],
)
EASY = Stratum("easy", [[[1.0], [0.8]], [[0.9], [0.9]], [[0.6], [1.0]]])


def difference(*groups: list[Stratum], first: list[int], second: list[int]) -> Difference:
    return paired_difference(NAMES, "macro", groups, first, second)


def test_a_difference_is_that_of_the_means() -> None:
    found = difference([HARD], [EASY], first=[0], second=[1])
    one, two, _ = estimate_mean([[HARD], [EASY]])
    assert found.mean == pytest.approx(one.mean - two.mean)
    assert found.episodes == 5
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high


def test_what_is_hard_for_both_does_not_widen_the_interval() -> None:
    scores = [[0.0, 0.1], [0.9, 0.8], [0.4, 0.6], [1.0, 0.9]]
    better = [[score + 0.1 for score in episode] for episode in scores]
    stratum = Stratum("a", [better, scores])
    found = difference([stratum], first=[0], second=[1])
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.p == 2 / 16
    assert found.needed == 2


def test_the_p_value_flips_differences_with_the_weights_of_the_mean() -> None:
    found = difference([HARD], [EASY], first=[0], second=[1])
    # A hard episode counts 1/2 * 1/3, an easy one 1/2 * 1/2.
    weighted = [0.25 / 6, 0.25 / 6, 0.5 / 6, 0.1 / 4, -0.1 / 4]
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, weighted, strict=True)))
        for signs in itertools.product((-1, 1), repeat=5)
    ]
    assert found.mean == pytest.approx(sum(weighted))
    assert found.p == sum(total >= sum(weighted) - 1e-12 for total in sums) / 32


def test_sources_of_one_ability_share_its_weight() -> None:
    lone = Stratum("lone", [[[0.9]], [[0.1]], [[0.0]]])
    found = difference([HARD, EASY], [lone], first=[0], second=[1])
    weighted = [0.25 / 12, 0.25 / 12, 0.5 / 12, 0.1 / 8, -0.1 / 8, 0.8 / 2]
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, weighted, strict=True)))
        for signs in itertools.product((-1, 1), repeat=6)
    ]
    assert found.mean == pytest.approx(sum(weighted))
    assert found.p == sum(total >= sum(weighted) - 1e-12 for total in sums) / 64
    pairs = [Stratum(name, [[[0.9], [0.4], [0.5]], [[0.1], [0.2], [0.5]]]) for name in "abc"]
    together = difference([pairs[0], pairs[1]], [pairs[2]], first=[0], second=[1])
    # Two sources at a quarter and one at a half: 3 episodes each, differences of equal variance.
    error = np.sqrt(np.var([0.8, 0.2, 0.0], ddof=1) / 3 * (2 / 16 + 1 / 4))
    assert together.needed == episodes_needed(together.mean, float(error), 9)


def test_of_several_runs_the_means_are_compared() -> None:
    found = difference([HARD], [EASY], first=[0, 2], second=[1])
    means = [estimate.mean for estimate in estimate_mean([[HARD], [EASY]])]
    assert found.mean == pytest.approx((means[0] + means[2]) / 2 - means[1])


def test_the_other_way_round_everything_but_the_sign_is_the_same() -> None:
    there = difference([HARD], [EASY], first=[0], second=[1])
    back = difference([HARD], [EASY], first=[1], second=[0])
    assert back.mean == -there.mean
    assert (back.low, back.high) == pytest.approx((-(there.high or 0), -(there.low or 0)))
    assert (back.p, back.needed) == (there.p, there.needed)


def test_one_question_has_no_interval_and_one_episode_no_variance() -> None:
    lone = Stratum("lone", [[[1.0]], [[0.0]]])
    found = difference([lone], first=[0], second=[1])
    assert (found.mean, found.low, found.high, found.p, found.needed) == (
        1.0,
        None,
        None,
        1.0,
        None,
    )
    several = Stratum("questions", [[[1.0, 0.5]], [[0.0, 0.5]]])
    found = difference([several], first=[0], second=[1])
    assert found.low is not None
    assert found.needed is None


def test_equal_agents_are_not_separated_by_any_number() -> None:
    same = Stratum("same", [[[0.1, 0.7], [0.5, 0.4]]] * 2)
    found = difference([same], first=[0], second=[1])
    assert (found.mean, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert found.needed is None
    assert not found.separated


def test_p_values_are_corrected_over_the_family() -> None:
    made = [
        Difference(*NAMES, "macro", 0.1, 0.0, 0.2, p, p, 10, 20) for p in (0.01, 0.04, 0.03, 0.2)
    ]
    found = corrected(made)
    assert [item.corrected for item in found] == pytest.approx([0.04, 0.09, 0.09, 0.2])
    assert [item.p for item in found] == [0.01, 0.04, 0.03, 0.2]
    assert [item.separated for item in found] == [True, False, False, False]


# ---------------------------------------------------------------------- power


@pytest.mark.parametrize(("effect", "episodes"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_numbers_are_those_of_published_tables(effect: float, episodes: int) -> None:
    # The paired t test, two-sided 5 %, power 80 %: G*Power 3.1 has the same.
    assert episodes_needed(effect, 1 / np.sqrt(10), 10) == episodes
    assert episodes_needed(-effect, 1 / np.sqrt(70), 70) == episodes
    assert episodes_needed(effect / 100, 0.01 / np.sqrt(10), 10) == episodes


def test_so_many_episodes_show_the_difference_four_times_in_five() -> None:
    needed = episodes_needed(0.5, 1 / np.sqrt(10), 10)
    assert needed == 34
    samples = np.random.default_rng(3).normal(0.5, 1.0, (4_000, needed))
    t = samples.mean(axis=1) / samples.std(axis=1, ddof=1) * np.sqrt(needed)
    critical = 2.0345  # of Student's t with 33 degrees of freedom
    assert (abs(t) > critical).mean() == pytest.approx(0.8, abs=0.02)


def test_no_difference_needs_no_number_and_no_spread_needs_the_least() -> None:
    assert episodes_needed(0.0, 0.1, 10) is None
    assert episodes_needed(1e-16, 0.1, 10) is None
    assert episodes_needed(0.3, 0.0, 10) == 2


def test_strata_keep_their_shares_when_there_are_more_episodes() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.normal(mean, 0.2, (2, 12)) for mean in (0.5, 0.45))
    strata = [
        Stratum(str(number), [[[score] for score in scores] for scores in pair])
        for number, pair in enumerate(zip(first, second, strict=True))
    ]
    found = difference([strata[0]], [strata[1]], first=[0], second=[1])
    variance = sum((one - two).var(ddof=1) / 12 / 4 for one, two in zip(first, second, strict=True))
    assert found.needed == episodes_needed(found.mean, float(np.sqrt(variance)), 24)
