"""Guards: each way in which training goes wrong is told, with its number, and not too often."""

import math
from typing import Any

import pytest

from memgym.agents.grpo.guards import Guards, TrainingDivergedError
from memgym.errors import UsageError

FINE = {
    "stage": "grpo", "step": 1, "loss": 0.1, "gradient_norm": 0.5, "calls": 2.0,
    "memory_share": 0.4, "failed_call_share": 0.1, "response_tokens": 40.0,
    "truncated_share": 0.02, "entropy": 0.5, "groups": 8, "dropped_groups": 1,
    "rollout_difference": 0.001, "rollout_difference_max": 0.2,
}  # fmt: skip


def guards() -> Guards:
    return Guards(max_tokens=100, memory_budget=0.5)


def checked(*rows: dict[str, Any]) -> list[str]:
    """Return what is said about the last of some rows."""
    guard = guards()
    for row in rows[:-1]:
        guard.check(row)
    return guard.check(rows[-1])


def test_a_healthy_run_is_left_alone() -> None:
    guard = guards()
    assert [guard.check(FINE) for _ in range(30)] == [[]] * 30


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"loss": float("nan")}, "loss is not a finite number: the update was skipped"),
        ({"loss": None}, "loss is not a finite number"),
        ({"gradient_norm": math.inf}, "gradient norm is not a finite number"),
        ({"calls": 0.01}, "hardly writes: 0.010 tool calls per response"),
        ({"memory_share": 0.97}, "copies everything: its memory is 97% of the text"),
        (
            {"memory_share": 0.49, "failed_call_share": 0.4},
            "full memory: 49% of the text of 50% allowed, and 40% of its calls fail",
        ),
        ({"response_tokens": 95.0}, "run into their limit: 95 of 100 tokens"),
        ({"response_tokens": 85.0}, "responses grow: 85 tokens, 40 in the first steps"),
        ({"truncated_share": 0.6}, "60% of the responses were cut off at 100 tokens"),
        ({"entropy": 0.04}, "entropy collapsed: 0.0400 nats per token, 0.5000 in the first"),
        ({"dropped_groups": 8}, "in all 8 groups rollouts are alike"),
        ({"rollout_difference": 0.2}, "differ: by 0.2 nats per token on average, 0.2 at most"),
        ({"rollout_difference_max": 9.0}, "differ: by 0.001 nats per token on average, 9 at most"),
    ],
)
def test_what_goes_wrong_is_told_with_its_number(changed: dict[str, Any], words: str) -> None:
    found = checked(FINE, FINE, FINE, {**FINE, **changed})
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"memory_share": 0.49},  # a full memory is what a budget is for
        {"failed_call_share": 0.4},
        {"response_tokens": 75.0},
        {"truncated_share": 0.5},
        {"entropy": 0.06},
        {"groups": 0, "dropped_groups": 0},
    ],
)
def test_what_is_within_bounds_is_not(changed: dict[str, Any]) -> None:
    assert checked(FINE, FINE, FINE, {**FINE, **changed}) == []


def test_short_responses_may_double() -> None:
    short = {**FINE, "response_tokens": 10.0}
    assert checked(short, short, short, {**FINE, "response_tokens": 24.0}) == []
    assert checked(short, short, short, {**FINE, "response_tokens": 26.0})


def test_a_row_without_figures_is_not_checked() -> None:
    assert checked({"stage": "supervised", "step": 1}) == []
    assert checked({"stage": "supervised", "step": 1, "loss": 2.0}) == []


def test_each_kind_is_told_once_in_ten_steps() -> None:
    guard = guards()
    said = [len(guard.check({**FINE, "calls": 0.0})) for _ in range(21)]
    assert said == [1, *[0] * 9] * 2 + [1]
    assert guard.check({**FINE, "calls": 0.0, "entropy": 0.0}) != []


def test_three_steps_that_are_not_finite_end_the_run() -> None:
    guard = guards()
    bad = {**FINE, "loss": float("nan")}
    for row in (bad, bad, FINE, bad, bad):
        guard.check(row)
    with pytest.raises(TrainingDivergedError, match=r"step 7 is the 3rd in a row.*learning_rate"):
        guard.check({**bad, "step": 7})
    assert issubclass(TrainingDivergedError, UsageError)


def test_a_resumed_run_says_the_same() -> None:
    rows = [{**FINE, "step": step, "entropy": 0.5 / step} for step in range(1, 31)]
    whole = guards()
    said = [whole.check(row) for row in rows]
    resumed = guards()
    for row in rows[:17]:
        resumed.check(row)
    assert [resumed.check(row) for row in rows[17:]] == said[17:]
    assert any(said[17:])
