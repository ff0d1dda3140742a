"""Guards: what goes wrong in training, said early, with the number that shows it.

A guard reads the rows of :mod:`.metrics` and changes nothing. Rows of a run that is resumed are
given to it again, so it says the same as in a run that was never stopped.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from memgym.errors import UsageError

__all__ = ["Guards", "TrainingDivergedError"]

_PAUSE_STEPS = 10
_FIRST_ROWS = 3
_DIVERGED_ROWS = 3

_LEAST_CALLS = 0.05
_COPIED_SHARE = 0.9
_FULL_SHARE = 0.95
_FAILED_SHARE = 0.25
_LONG_SHARE = 0.9
_TRUNCATED_SHARE = 0.5
_GROWTH = 2.0
_GROWN_SHARE = 0.25  # of the limit; short responses may well double
_ENTROPY_SHARE = 0.1
_LEAST_ENTROPY = 0.01
_DIFFERENCE = 0.05
_LARGEST_DIFFERENCE = 5.0


class TrainingDivergedError(UsageError):
    """Losses or gradients were no finite numbers several steps in a row."""


class Guards:
    """Checks the rows of one training stage, in order.

    Args:
        max_tokens: Limit of a response, in the model's tokens.
        memory_budget: Limit of the memory as a share of the text, 0 for none.
    """

    def __init__(self, max_tokens: int, memory_budget: float = 0.0) -> None:
        self._max_tokens = max_tokens
        self._budget = memory_budget
        self._first: dict[str, list[float]] = {"response_tokens": [], "entropy": []}
        self._told: dict[str, int] = {}
        self._rows = self._not_finite = 0

    def check(self, row: Mapping[str, Any]) -> list[str]:
        """Return warnings about a step, each kind at most once in 10 steps.

        Args:
            row: The figures of the step; what it lacks is not checked. ``None`` is read as a number
                that is not finite.

        Raises:
            TrainingDivergedError: it is the third step in a row without a finite loss or gradient.
        """
        self._rows += 1
        for name, values in self._first.items():
            if len(values) < _FIRST_ROWS and _number(row, name) is not None:
                values.append(float(row[name]))
        warnings = []
        for kind, words in self._found(row):
            if self._rows - self._told.get(kind, -_PAUSE_STEPS) >= _PAUSE_STEPS:
                self._told[kind] = self._rows
                warnings.append(words)
        if self._not_finite >= _DIVERGED_ROWS:
            raise TrainingDivergedError(
                f"training diverged: step {row.get('step', self._rows)} is the "
                f"{_DIVERGED_ROWS}rd in a row whose loss or gradient is no finite number; lower "
                "optimizer.learning_rate, or go on from best/ with policy.model"
            )
        return warnings

    def _found(self, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from self._finite(row)
        yield from self._writing(row)
        yield from self._lengths(row)
        yield from self._learning(row)

    def _finite(self, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        bad = [n for n in ("loss", "gradient_norm") if n in row and _number(row, n) is None]
        self._not_finite = self._not_finite + 1 if bad else 0
        for name in bad:
            yield name, f"{name.replace('_', ' ')} is {_shown(row[name])}: the update was skipped"

    def _writing(self, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        calls, share = _number(row, "calls"), _number(row, "memory_share")
        failed = _number(row, "failed_call_share")
        if calls is not None and calls < _LEAST_CALLS:
            yield "empty", f"the policy hardly writes: {calls:.3f} tool calls per response"
        if share is None:
            return
        if share >= _COPIED_SHARE:
            yield "copy", f"the policy copies everything: its memory is {share:.0%} of the text"
        full = self._budget and share >= _FULL_SHARE * self._budget
        if full and share < _COPIED_SHARE and failed is not None and failed >= _FAILED_SHARE:
            yield (
                "full",
                f"the policy goes on writing into a full memory: {share:.0%} of the text of "
                f"{self._budget:.0%} allowed, and {failed:.0%} of its calls fail",
            )

    def _lengths(self, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        length, cut = _number(row, "response_tokens"), _number(row, "truncated_share")
        limit, first = self._max_tokens, _mean(self._first["response_tokens"])
        if length is not None and length > _LONG_SHARE * limit:
            yield "long", f"responses run into their limit: {length:.0f} of {limit} tokens"
        elif length is not None and length > max(_GROWTH * first, _GROWN_SHARE * limit) and first:
            yield "grown", f"responses grow: {length:.0f} tokens, {first:.0f} in the first steps"
        if cut is not None and cut > _TRUNCATED_SHARE:
            yield "cut", f"{cut:.0%} of the responses were cut off at {limit} tokens"

    def _learning(self, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        entropy, first = _number(row, "entropy"), _mean(self._first["entropy"])
        if entropy is not None and entropy < max(_ENTROPY_SHARE * first, _LEAST_ENTROPY):
            yield (
                "entropy",
                f"entropy collapsed: {entropy:.4f} nats per token, {first:.4f} in the first steps",
            )
        groups = _number(row, "groups")
        if groups and row.get("dropped_groups") == groups:
            yield "groups", f"nothing to learn from: in all {groups:.0f} groups rollouts are alike"
        mean, largest = (
            _number(row, name) for name in ("rollout_difference", "rollout_difference_max")
        )
        if (mean or 0) > _DIFFERENCE or (largest or 0) > _LARGEST_DIFFERENCE:
            yield (
                "mismatch",
                "log-probabilities of rollouts and trainer differ: by "
                f"{_shown(mean)} nats per token on average, {_shown(largest)} at most; are the "
                "engine's weights those of the policy?",
            )


def _number(row: Mapping[str, Any], name: str) -> float | None:
    """Return a finite number, ``None`` if there is none."""
    value = row.get(name)
    return float(value) if value is not None and math.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "not a finite number" if value is None or not math.isfinite(value) else f"{value:.3g}"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
