"""Behaviour of the means and bootstrap intervals."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.benchmarks.statistics import (
    RESAMPLES,
    Estimate,
    Interval,
    Stratum,
    crossed_difference,
    crossed_mean,
    estimate_mean,
    holm,
    sign_flip_test,
)

Scores = list[list[float]]


def one(*strata: Stratum) -> Estimate:
    return estimate_mean([strata])[0]


def test_stratum_mean_is_over_episodes_not_questions() -> None:
    found = one(Stratum("a", [[[1.0], [0.0, 0.0, 0.0]]]))
    assert found.mean == 0.5
    assert (found.episodes, found.questions) == (2, 4)


def test_macro_mean_is_plain_over_groups_of_plain_over_strata() -> None:
    big = Stratum("big", [[[1.0]] * 10])
    small = Stratum("small", [[[0.0]] * 2])
    other = Stratum("other", [[[0.2]] * 3])
    found = estimate_mean([[big, small], [other]])[0]
    assert found.mean == pytest.approx((0.5 + 0.2) / 2)
    assert (found.episodes, found.questions) == (15, 15)


def test_equal_scores_give_an_interval_of_no_width() -> None:
    found = one(Stratum("a", [[[0.5, 0.5]] * 4]))
    assert (found.low, found.high) == (0.5, 0.5)


def test_interval_agrees_with_the_normal_approximation() -> None:
    rng = np.random.default_rng(7)
    means = rng.normal(0.5, 0.1, size=400)
    found = one(Stratum("a", [[[float(mean)] for mean in means]]))
    assert found.low is not None
    assert found.high is not None
    standard_error = means.std() / 20
    assert found.high - found.low == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert (found.low + found.high) / 2 == pytest.approx(found.mean, abs=standard_error / 3)


def test_interval_of_a_mean_of_independent_strata_is_narrower() -> None:
    scores: Scores = [[0.0], [1.0]] * 10
    single = one(Stratum("a", [scores]))
    double = one(Stratum("a", [scores]), Stratum("b", [scores]))
    width = [item.high - item.low for item in (single, double) if item.high and item.low]
    assert width[1] < 0.85 * width[0]


def test_one_episode_resamples_its_questions() -> None:
    stratum = Stratum("a", [[[0.0, 1.0] * 20]])
    found = one(stratum)
    assert stratum.single
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


def test_one_question_has_no_interval_nor_has_what_contains_it() -> None:
    alone = Stratum("alone", [[[1.0]]])
    many = Stratum("many", [[[0.0], [1.0], [1.0]]])
    assert one(alone) == Estimate(1.0, None, None, 1, 1)
    macro = estimate_mean([[alone], [many]])[0]
    assert (macro.low, macro.high) == (None, None)
    assert macro.mean == pytest.approx((1 + 2 / 3) / 2)


def test_draws_do_not_depend_on_the_other_strata_but_on_the_name() -> None:
    scores: list[Scores] = [[[0.1], [0.4], [0.9]]]
    first, again, other = Stratum("a", scores), Stratum("a", scores), Stratum("b", scores)
    assert first.draws is not None
    assert again.draws is not None
    assert other.draws is not None
    assert np.array_equal(first.draws, again.draws)
    assert not np.array_equal(first.draws, other.draws)
    assert first.draws.shape == (1, RESAMPLES)


def test_agents_share_the_draws() -> None:
    scores = [[0.1], [0.4], [0.9]]
    stratum = Stratum("a", [scores, [[value + 0.05] for [value] in scores]])
    assert stratum.draws is not None
    assert np.allclose(stratum.draws[1] - stratum.draws[0], 0.05)


@given(
    st.lists(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4), min_size=1, max_size=6).filter(
        lambda episodes: len(episodes) > 1 or len(episodes[0]) > 1
    )
)
def test_interval_holds_the_mean_and_stays_within_the_scores(episodes: Scores) -> None:
    found = one(Stratum("x", [episodes]))
    scores = [score for episode in episodes for score in episode]
    assert found.low is not None
    assert found.high is not None
    tolerance = 1e-9
    assert min(scores) - tolerance <= found.low <= found.high <= max(scores) + tolerance
    # With few units the middle of the draws can lie off the mean, never beyond the units.
    assert min(scores) - tolerance <= found.mean <= max(scores) + tolerance


# ---------------------------------------------------------------------- both levels

UNEVEN: Scores = [[1.0, 0.0, 0.5], [0.0, 0.0], [1.0, 1.0, 1.0, 0.0, 0.25], [0.5], [0.75, 1.0]]


def test_intervals_agree_with_a_bootstrap_written_out_draw_by_draw() -> None:
    chance = random.Random(5)
    means = []
    for _ in range(6_000):
        drawn = [chance.choice(UNEVEN) for _ in UNEVEN]
        inner = [sum(chance.choice(scores) for _ in scores) / len(scores) for scores in drawn]
        means.append(sum(inner) / len(inner))
    found = one(Stratum("a", [UNEVEN]))
    low, high = np.percentile(means, (2.5, 97.5))
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)


def test_draws_spread_as_episodes_and_questions_do_together() -> None:
    stratum = Stratum("a", [UNEVEN])
    assert stratum.draws is not None
    within = [np.var(episode) / len(episode) for episode in UNEVEN]
    between = np.var([np.mean(episode) for episode in UNEVEN])
    expected = (between + np.mean(within)) / len(UNEVEN)
    assert stratum.draws.var() == pytest.approx(expected, rel=0.1)
    assert stratum.draws.mean() == pytest.approx(stratum.means[0], abs=0.01)


def test_questions_alike_leave_the_spread_between_episodes_alone() -> None:
    stratum = Stratum("a", [[[0.2] * 5, [0.8] * 3, [0.5] * 4]])
    assert stratum.draws is not None
    assert stratum.draws.var() == pytest.approx(np.var([0.2, 0.8, 0.5]) / 3, rel=0.1)


def test_agents_share_the_draws_of_questions_too() -> None:
    lower: Scores = [[0.1, 0.4, 0.2], [0.9, 0.3]]
    stratum = Stratum("a", [lower, [[score + 0.05 for score in row] for row in lower]])
    assert stratum.draws is not None
    assert np.allclose(stratum.draws[1] - stratum.draws[0], 0.05)


@pytest.mark.parametrize(("deviation", "least"), [(0.0, 0.95), (0.25, 0.88)])
def test_intervals_hold_the_true_mean_about_as_often_as_they_say(
    deviation: float, least: float
) -> None:
    # Episodes are drawn around a true mean of 0.6, questions right or wrong within each.
    rng = np.random.default_rng(1)
    shape = 0.24 / deviation**2 - 1 if deviation else 0.0
    held = 0
    for trial in range(150):
        ability = rng.beta(0.6 * shape, 0.4 * shape, 12) if deviation else np.full(12, 0.6)
        scores = (rng.random((12, 10)) < ability[:, None]).astype(float)
        found = one(Stratum(f"trial {trial}", [scores.tolist()]))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.6 <= found.high
    assert held / 150 >= least


# ---------------------------------------------------------------------- several runs


def test_runs_of_a_method_are_one_estimate() -> None:
    strata = [Stratum("a", [[[0.0], [0.4]], [[0.2], [0.6]], [[1.0], [1.0]]])]
    both, other = estimate_mean([strata], [[0, 1], [2]])
    assert both.mean == pytest.approx(0.3)
    assert other.mean == 1.0
    assert (both.low, both.high) == pytest.approx((0.0, 0.6), abs=0.05)
    assert estimate_mean([strata])[0] == estimate_mean([strata], [[0], [1], [2]])[0]


def ends(found: Interval) -> tuple[float, float, float]:
    return found.mean, found.low, found.high


def test_a_mean_of_runs_varies_with_runs_and_with_episodes() -> None:
    runs = np.repeat([[0.2], [0.8]], 50, axis=1)
    assert ends(crossed_mean(runs)) == pytest.approx((0.5, 0.2, 0.8))
    episodes = np.tile(np.array([0.0, 1.0]), (5, 50))
    # The standard error of a mean over 100 episodes is 0.05; runs that are alike add nothing.
    assert ends(crossed_mean(episodes)) == pytest.approx((0.5, 0.402, 0.598), abs=0.02)


def test_a_difference_is_between_the_same_episodes() -> None:
    easy_and_hard = np.tile(np.array([0.0, 1.0]), (3, 20))
    several = crossed_difference(easy_and_hard + 0.1, easy_and_hard)
    assert ends(several) == pytest.approx((0.1, 0.1, 0.1))
    one = crossed_difference(easy_and_hard, easy_and_hard[:1] - 0.3)
    assert ends(one) == pytest.approx((0.3, 0.3, 0.3))


def test_seeds_are_drawn_in_pairs() -> None:
    seeds = np.array([[0.1], [0.5], [0.9]]).repeat(4, axis=1)
    assert ends(crossed_difference(seeds + 0.05, seeds)) == pytest.approx((0.05, 0.05, 0.05))


def test_the_sign_flip_test_counts_all_signs() -> None:
    # Of the 8 sums only 1 + 2 + 3 and its opposite are as far from 0 as the one found.
    assert sign_flip_test(np.array([1.0, 2.0, 3.0])) == 2 / 8
    # 1 - 2 + 3 = 2: of the 8 sums 6, 4, 2, 0, 0, -2, -4, -6 six are as far from 0.
    assert sign_flip_test(np.array([1.0, -2.0, 3.0])) == 6 / 8
    assert sign_flip_test(np.zeros(5)) == 1.0


def test_of_many_differences_some_signs_are_tried() -> None:
    differences = np.array([1.0] * 14 + [-1.0] * 6)
    # Twice the binomial tail P(X >= 14), X of 20 fair coins.
    assert sign_flip_test(differences) == pytest.approx(0.1153, abs=0.007)
    assert sign_flip_test(np.ones(40)) == pytest.approx(1 / 20_001)
    assert sign_flip_test(differences) == sign_flip_test(-differences)


def test_p_values_are_corrected_for_their_number() -> None:
    # Holm: 4 * 0.005, 3 * 0.01, then 2 * 0.03, and never less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
