"""Advantages: hand-computed groups, and an independent computation in exact fractions."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.agents.grpo.advantages import Advantages, advantages
from memgym.agents.grpo.samples import Sample, Trajectory
from memgym.agents.grpo.settings import AdvantageSettings
from memgym.errors import UsageError
from memgym.rewards import DEFAULT_WEIGHTS

_EPSILON = 1e-6
_KINDS: tuple[Literal["two_level", "paper"], ...] = ("two_level", "paper")
_Step = tuple[int, float, float]
"""Chunk, format, content."""


def _rollout(
    steps: Sequence[_Step],
    correctness: float,
    compression: float = 0.0,
    *,
    group: int = 0,
    rollout: int = 0,
) -> Trajectory:
    samples = tuple(
        Sample(chunk, (1, 2), (3,), (-0.5,), False, form, content) for chunk, form, content in steps
    )
    return Trajectory(
        group, rollout, f"episode-{group}", "accurate_retrieval", samples, correctness, compression,
        memory_share=0.5,
    )  # fmt: skip


def _advantages(
    rollouts: Sequence[Trajectory],
    kind: Literal["two_level", "paper"] = "two_level",
    *,
    divide: bool = True,
) -> Advantages:
    scale: Literal["level", "none"] = "level" if divide else "none"
    return advantages(rollouts, AdvantageSettings(kind, scale), DEFAULT_WEIGHTS)


def test_two_levels_by_hand() -> None:
    # Trajectory rewards 1.05 and 0: centred 0.525 and -0.525, standard deviation 1.05 / sqrt(2).
    # Chunk 0: 1.1 and 0.5, i.e. 0.3 and -0.3; chunk 1: equal.
    rollouts = [
        _rollout([(0, 1.0, 1.0), (1, 1.0, 0.0)], 1.0, 1.0, rollout=0),
        _rollout([(0, 0.5, 0.0), (1, 1.0, 0.0)], 0.0, 0.0, rollout=1),
    ]
    first, second = _advantages(rollouts, divide=False).values
    assert first == pytest.approx([0.825, 0.525])
    assert second == pytest.approx([-0.825, -0.525])
    half = math.sqrt(0.5)
    found = _advantages(rollouts)
    assert found.values[0] == pytest.approx([2 * half, half], abs=1e-5)
    assert found.values[1] == pytest.approx([-2 * half, -half], abs=1e-5)
    assert found.comparisons == {"trajectory": 1, "step": 2}
    assert found.constant == {"step": 1}
    assert (found.groups, found.dropped_groups) == (1, 0)


def test_answers_are_credited_to_the_chunks_of_their_evidence_by_hand() -> None:
    # Three questions: one of chunk 0, one of chunk 1, one whose evidence is not known. The first
    # rollout answers the first and the third, the second the second.
    rollouts = [
        Trajectory(
            0, number, "a", "accurate_retrieval",
            tuple(
                Sample(chunk, (1,), (2,), (-0.5,), False, 1.0, 1.0, correctness=score)
                for chunk, score in enumerate(scores)
            ),
            correctness, 0.0, memory_share=0.5, unplaced_correctness=unplaced,
        )
        for number, (scores, correctness, unplaced) in enumerate(
            [((1 / 3, 0.0), 2 / 3, 1 / 3), ((0.0, 1 / 3), 1 / 3, 0.0)]
        )
    ]  # fmt: skip

    def credited(credit: float) -> list[float]:
        chosen = AdvantageSettings(scale="none", chunk_credit=credit)
        first, second = advantages(rollouts, chosen, DEFAULT_WEIGHTS).values
        assert second == pytest.approx([-value for value in first])
        return list(first)

    assert credited(0.0) == pytest.approx([1 / 6, 1 / 6])
    # The third question still speaks for the whole rollout: 1/6, and each chunk for itself: 1/6.
    assert credited(1.0) == pytest.approx([1 / 3, 0.0])
    assert credited(0.5) == pytest.approx([1 / 4, 1 / 12])


def test_what_a_chunk_adds_to_the_memory_is_charged_to_it_by_hand() -> None:
    # The first rollout writes a tenth of the text at its first chunk, the second at its second.
    rollouts = [
        Trajectory(
            0, number, "a", "accurate_retrieval",
            tuple(
                Sample(chunk, (1,), (2,), (-0.5,), False, 1.0, 1.0, compression=-share)
                for chunk, share in enumerate(shares)
            ),
            0.5, 1.0 - sum(shares), memory_share=sum(shares), unplaced_correctness=0.5,
        )
        for number, shares in enumerate([(0.1, 0.0), (0.0, 0.3)])
    ]  # fmt: skip

    def charged(credit: float) -> list[float]:
        chosen = AdvantageSettings(scale="none", chunk_credit=credit)
        first, second = advantages(rollouts, chosen, {"compression": 2.0}).values
        return [*first, *second]

    assert charged(0.0) == pytest.approx([0.2, 0.2, -0.2, -0.2])
    assert charged(1.0) == pytest.approx([-0.1, 0.3, 0.1, -0.3])


def test_the_paper_credits_no_chunk() -> None:
    with pytest.raises(UsageError, match="chunk_credit is for two_level"):
        AdvantageSettings("paper", chunk_credit=1.0)


def test_the_papers_flat_group_by_hand() -> None:
    # Rewards 2.15, 2.05 / 0.5, 1.0: mean 1.425, squares that add up to 1.9525.
    rollouts = [
        _rollout([(0, 1.0, 1.0), (1, 1.0, 0.0)], 1.0, 1.0, rollout=0),
        _rollout([(0, 0.5, 0.0), (1, 1.0, 0.0)], 0.0, 0.0, rollout=1),
    ]
    found = _advantages(rollouts, "paper")
    deviation = math.sqrt(1.9525 / 3)
    centred = [(0.725, 0.625), (-0.925, -0.425)]
    assert sum(value**2 for row in centred for value in row) == pytest.approx(1.9525)
    for row, expected in zip(found.values, centred, strict=True):
        assert row == pytest.approx([value / (deviation + _EPSILON) for value in expected])
    undivided = _advantages(rollouts, "paper", divide=False)
    assert undivided.values[1] == pytest.approx(centred[1])
    assert found.comparisons == {"sample": 1}


def test_a_rollout_counts_once_however_many_samples_it_has() -> None:
    long = [(chunk, 1.0, 1.0) for chunk in range(9)]
    rollouts = [_rollout(long, 1.0), _rollout([(0, 1.0, 1.0)], 0.0), _rollout([(0, 1.0, 1.0)], 0.5)]
    found = _advantages(rollouts, divide=False)
    assert [row[0] for row in found.values] == pytest.approx([0.5, -0.5, 0.0])
    assert set(found.values[0]) == {found.values[0][0]}
    # The flat group weighs the long one nine times.
    assert _advantages(rollouts, "paper", divide=False).values[1][0] == pytest.approx(-9.5 / 11)


def test_all_turns_at_a_chunk_are_compared_with_each_other() -> None:
    rollouts = [
        _rollout([(0, 1.0, 0.0), (0, 1.0, 0.0), (1, 0.0, 0.0)], 0.5),
        _rollout([(0, 0.4, 0.0), (1, 0.0, 0.0)], 0.5),
    ]
    found = _advantages(rollouts, divide=False)
    assert found.values[0] == pytest.approx([0.2, 0.2, 0.0])
    assert found.values[1] == pytest.approx([-0.4, 0.0])
    assert found.comparisons == {"trajectory": 1, "step": 2}


@pytest.mark.parametrize("kind", _KINDS)
def test_equal_rewards_give_exactly_nothing(kind: Literal["two_level", "paper"]) -> None:
    # 0.1 + 0.2 and 0.3 differ in their last bit, as means of three parts may.
    rollouts = [
        _rollout([(0, 0.1 + 0.2, 1 / 3)], 0.7, 1 / 3, rollout=0),
        _rollout([(0, 0.3, 1 - 2 / 3)], 0.1 + 0.6, 1 - 2 / 3, rollout=1),
        _rollout([(0, 0.3, 1 / 3)], 0.7, 1 / 3, rollout=2),
    ]
    other = [
        _rollout([(0, 0.3, 0.0)], 1.0, group=4, rollout=0),
        _rollout([(0, 0.3, 0.0)], 0.0, group=4, rollout=1),
    ]
    found = _advantages([*rollouts, *other], kind)
    assert found.values[:3] == ((0.0,), (0.0,), (0.0,))
    assert found.values[3][0] > 0.7
    assert (found.groups, found.dropped, found.dropped_groups) == (2, (0,), 1)


def test_levels_that_cancel_leave_nothing_to_learn() -> None:
    rollouts = [_rollout([(0, 1 - score, 0.0)], score) for score in (0.1, 0.7, 0.3)]
    found = _advantages(rollouts)
    assert found.values == ((0.0,), (0.0,), (0.0,))
    assert found.dropped == (0,)
    assert not found.constant


def test_large_rewards_are_equal_but_for_rounding_too() -> None:
    rollouts = [_rollout([(0, 1.0, 0.0)], score) for score in (0.1 + 0.2, 0.3)]
    found = advantages(rollouts, AdvantageSettings(), {"correctness": 1e9})
    assert found.values == ((0.0,), (0.0,))


@pytest.mark.parametrize("kind", _KINDS)
def test_one_rollout_alone_teaches_nothing(kind: Literal["two_level", "paper"]) -> None:
    found = _advantages([_rollout([(0, 1.0, 1.0)], 1.0)], kind)
    assert found.values == ((0.0,),)
    assert found.dropped == (0,)


def test_a_rollout_without_samples_is_still_an_outcome() -> None:
    rollouts = [_rollout([(0, 1.0, 0.0)], 0.8), _rollout([], 0.0)]
    found = _advantages(rollouts, divide=False)
    assert found.values[0] == pytest.approx((0.4,))
    assert found.values[1] == ()
    assert _advantages(rollouts, "paper").values == ((0.0,), ())


def test_groups_without_any_sample_are_dropped() -> None:
    for kind in _KINDS:
        found = _advantages([_rollout([], 0.0), _rollout([], 1.0)], kind)
        assert (found.values, found.dropped) == (((), ()), (0,))
    assert _advantages([]) == Advantages((), 0, (), {}, {})


def test_groups_do_not_see_each_other_and_need_not_be_in_order() -> None:
    first = [_rollout([(0, 1.0, 0.0)], score, group=7, rollout=n) for n, score in enumerate((1, 0))]
    second = [_rollout([(0, 0.0, 1.0)], score, group=2) for score in (0.25, 0.5)]
    apart = _advantages(first).values + _advantages(second).values
    mixed = _advantages([first[0], second[0], first[1], second[1]])
    assert (mixed.values[0], mixed.values[2], mixed.values[1], mixed.values[3]) == apart
    assert mixed.groups == 2


def test_weights_are_those_of_the_rewards() -> None:
    rollouts = [_rollout([(0, 1.0, 1.0)], 1.0, -3.0), _rollout([(0, 0.0, 0.0)], 0.0, 1.0)]
    settings = AdvantageSettings(scale="none")
    none = {"correctness": 0.0, "format": 0.0, "compression": 0.0, "content": 0.0}
    for term, expected in (
        ("correctness", 0.5), ("format", 0.5), ("compression", -2.0), ("content", 0.5)
    ):  # fmt: skip
        found = advantages(rollouts, settings, {**none, term: 2.0})
        assert found.values[0] == pytest.approx((2 * expected,))
    assert advantages(rollouts, settings, none).dropped == (0,)
    assert advantages(rollouts, settings, {}) == advantages(rollouts, settings, DEFAULT_WEIGHTS)
    with pytest.raises(UsageError, match="contents"):
        advantages(rollouts, settings, {"contents": 1.0})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_reward_that_is_no_number_names_its_trajectory(bad: float) -> None:
    good = _rollout([(0, 1.0, 1.0)], 1.0, group=3)
    where = r"group 3, rollout 5 \(episode episode-3\): "
    for wrong, name in (
        (_rollout([(0, 1.0, 1.0)], bad, group=3, rollout=5), "correctness"),
        (_rollout([(0, 1.0, 1.0)], 1.0, bad, group=3, rollout=5), "compression"),
        (_rollout([(0, 1.0, 1.0), (1, bad, 1.0)], 1.0, group=3, rollout=5), "format of sample 1"),
        (_rollout([(0, 1.0, bad)], 1.0, group=3, rollout=5), "content of sample 0"),
    ):
        with pytest.raises(ValueError, match=where + name):
            _advantages([good, wrong])


# ------------------------------------------------------------------ the same in exact fractions


def _normalised(rewards: list[Fraction], divide: bool) -> list[float]:
    """Compare rewards; fractions are equal or not, so nothing hangs on a tolerance."""
    if len(set(rewards)) < 2:
        return [0.0 for _ in rewards]
    mean = sum(rewards) / len(rewards)
    variance = sum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - 1)
    deviation = math.sqrt(variance) + _EPSILON if divide else 1.0
    return [float(reward - mean) / deviation for reward in rewards]


def _plain(rollouts: Sequence[Trajectory], kind: str, divide: bool) -> list[list[float]]:
    exact = {name: Fraction(str(weight)) for name, weight in DEFAULT_WEIGHTS.items()}

    def tenth(value: float) -> Fraction:
        return Fraction(round(value * 10), 10)

    def ending(rollout: Trajectory) -> Fraction:
        correct, small = tenth(rollout.correctness), tenth(rollout.compression)
        return exact["correctness"] * correct + exact["compression"] * small

    def step(sample: Sample) -> Fraction:
        return exact["format"] * tenth(sample.format) + exact["content"] * tenth(sample.content)

    values = [[0.0 for _ in rollout.samples] for rollout in rollouts]
    for group in {rollout.group for rollout in rollouts}:
        members = [n for n, rollout in enumerate(rollouts) if rollout.group == group]
        cells = [(n, k) for n in members for k in range(len(rollouts[n].samples))]
        if kind == "paper":
            whole = [ending(rollouts[n]) + step(rollouts[n].samples[k]) for n, k in cells]
            for (n, k), value in zip(cells, _normalised(whole, divide), strict=True):
                values[n][k] = value
            continue
        ends = _normalised([ending(rollouts[n]) for n in members], divide)
        for n, k in cells:
            values[n][k] = ends[members.index(n)]
        for chunk in {rollouts[n].samples[k].chunk for n, k in cells}:
            here = [(n, k) for n, k in cells if rollouts[n].samples[k].chunk == chunk]
            steps = _normalised([step(rollouts[n].samples[k]) for n, k in here], divide)
            for (n, k), value in zip(here, steps, strict=True):
                values[n][k] += value
    return values


_TENTHS = st.integers(0, 10).map(lambda tenths: tenths / 10)
_ROLLOUTS = st.lists(
    st.builds(
        lambda steps, correct, small, group: _rollout(steps, correct, small, group=group),
        st.lists(st.tuples(st.integers(0, 3), _TENTHS, _TENTHS), max_size=5),
        _TENTHS,
        st.integers(-20, 10).map(lambda tenths: tenths / 10),
        st.integers(0, 2),
    ),
    max_size=9,
)


@settings(deadline=None)
@given(_ROLLOUTS, st.sampled_from(_KINDS), st.booleans())
def test_as_a_plain_computation(
    rollouts: list[Trajectory], kind: Literal["two_level", "paper"], divide: bool
) -> None:
    found = _advantages(rollouts, kind, divide=divide)
    expected = _plain(rollouts, kind, divide)
    for row, plain in zip(found.values, expected, strict=True):
        assert row == pytest.approx(plain, abs=1e-8)
    groups = {rollout.group for rollout in rollouts}
    learned = {
        rollout.group
        for rollout, row in zip(rollouts, found.values, strict=True)
        if any(row)
    }  # fmt: skip
    assert found.groups == len(groups)
    assert found.dropped == tuple(sorted(groups - learned))


def test_one_scale_for_the_episode_keeps_the_weights() -> None:
    rollouts = [
        _rollout([(0, 1.0, 1.0), (1, 1.0, 0.0)], 1.0, 1.0, rollout=0),
        _rollout([(0, 0.5, 0.0), (1, 1.0, 0.0)], 0.0, 0.0, rollout=1),
    ]
    plain = _advantages(rollouts, divide=False).values
    found = advantages(rollouts, AdvantageSettings(scale="episode"), DEFAULT_WEIGHTS).values
    # 0.825, 0.525 and their negatives: mean 0, sum of squares 1.9125, of four samples.
    deviation = math.sqrt(1.9125 / 3)
    for row, centred in zip(found, plain, strict=True):
        assert row == pytest.approx([value / deviation for value in centred], rel=1e-5)


def test_a_small_term_stays_small_beside_a_large_one() -> None:
    # Answers differ by 0.5, content (weight 0.1) by 1: the answers decide, whoever wrote validly.
    rollouts = [
        _rollout([(0, 1.0, 0.0)], 0.5, rollout=0),
        _rollout([(0, 1.0, 1.0)], 0.0, rollout=1),
    ]
    found = advantages(rollouts, AdvantageSettings(scale="episode"), DEFAULT_WEIGHTS).values
    assert found[0][0] > 0.5 > -0.5 > found[1][0]
    levels = advantages(rollouts, AdvantageSettings(scale="level"), DEFAULT_WEIGHTS)
    assert abs(levels.values[0][0]) < 1e-4  # there both speak equally loudly


def test_the_papers_group_has_one_scale_by_either_name() -> None:
    rollouts = [
        _rollout([(0, 1.0, 1.0), (1, 0.0, 0.5)], 1.0, rollout=0),
        _rollout([(0, 0.5, 0.0), (1, 1.0, 0.0)], 0.2, rollout=1),
    ]
    by_level = advantages(rollouts, AdvantageSettings("paper", "level"), DEFAULT_WEIGHTS)
    by_episode = advantages(rollouts, AdvantageSettings("paper", "episode"), DEFAULT_WEIGHTS)
    for one, other in zip(by_level.values, by_episode.values, strict=True):
        assert one == pytest.approx(other, rel=1e-9)
