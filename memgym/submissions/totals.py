"""From replayed episodes to the numbers of a submission, by the formulas of ``memgym bench``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from memgym.benchmarks.statistics import Estimate, estimate_mean
from memgym.benchmarks.suites import EpisodeReference, ResolvedSuite
from memgym.benchmarks.summary import strata_of
from memgym.diagnosis import CAUSES
from memgym.submissions.refusal import RefusedError
from memgym.submissions.verified import EpisodeScore

__all__ = ["Played", "Totals", "add_up", "check_model_size", "differing"]

_TOLERANCE = 1e-9  # sums of another machine may differ in the last digits


@dataclass(frozen=True, slots=True)
class Played:
    """One episode of a submission.

    Attributes:
        reference: Which.
        answers: The graded answers, as in a trace.
        metrics: The metrics of its last step.
        calls: Tool calls made.
        valid_calls: Those of them that succeeded.
        usage: What language models used, by part.
    """

    reference: EpisodeReference
    answers: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, float]
    calls: int
    valid_calls: int
    usage: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, reference: EpisodeReference, record: Mapping[str, Any]) -> "Played":
        """Return what a trace says of an episode."""
        results = [result for step in record["steps"] for result in step["results"]]
        return cls(
            reference=reference,
            answers=record["answers"],
            metrics=record["metrics"],
            calls=len(results),
            valid_calls=sum(result["status"] == "ok" for result in results),
            usage=record["usage"],
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """The numbers of a whole submission; see :class:`memgym.submissions.verified.Verified`."""

    macro: Estimate
    abilities: Mapping[str, Estimate]
    entries: Mapping[str, Estimate]
    questions: int
    memory_tokens: float
    memory_share: float
    invalid_calls: float
    causes: Mapping[str, float]
    failed: float
    usage: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return asdict(self)


def add_up(suite: ResolvedSuite, played: Sequence[Played]) -> tuple[Totals, list[EpisodeScore]]:
    """Return the totals of every episode of a suite, and the episodes' own.

    Args:
        suite: The suite.
        played: Every episode of it, in its order.
    """
    records = {("", item.reference.id): {"answers": item.answers} for item in played}
    strata = strata_of(suite, [""], records)
    macro = estimate_mean(list(strata.values()))[0]
    metrics = [item.metrics for item in played]
    questions = sum(len(item.answers) for item in played)
    calls = sum(item.calls for item in played)
    totals = Totals(
        macro=macro,
        abilities={name: estimate_mean([group])[0] for name, group in strata.items()},
        entries={
            stratum.name: estimate_mean([[stratum]])[0]
            for group in strata.values()
            for stratum in group
        },
        questions=questions,
        memory_tokens=_mean([item["memory_tokens"] for item in metrics]),
        memory_share=_mean([item["memory_share"] for item in metrics]),
        invalid_calls=1 - sum(item.valid_calls for item in played) / calls if calls else 0.0,
        causes={name: sum(item[name] for item in metrics) / questions for name in CAUSES},
        failed=sum(item["failed"] for item in metrics) / questions,
        usage=_added([item.usage for item in played]),
    )
    return totals, [_episode(item) for item in played]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _episode(item: Played) -> EpisodeScore:
    scores = [answer["score"] for answer in item.answers]
    return EpisodeScore(
        id=item.reference.id,
        entry=item.reference.entry,
        ability=item.reference.ability,
        score=_mean(scores),
        questions=len(scores),
        memory_tokens=int(item.metrics["memory_tokens"]),
    )


def _added(
    episodes: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
    total: dict[str, dict[str, float]] = {}
    for parts in episodes:
        for part, used in parts.items():
            counts = total.setdefault(part, {})
            for name, count in used.items():
                counts[name] = counts.get(name, 0) + count
    return total


def differing(claimed: Any, found: Any, where: str) -> str:
    """Return where claimed numbers differ from those found, and how, ``""`` if nowhere."""
    if isinstance(found, Mapping):
        if not isinstance(claimed, Mapping) or claimed.keys() != found.keys():
            return f"{where} has other fields than {', '.join(found)}"
        parts = (differing(claimed[name], found[name], f"{where}.{name}") for name in found)
        return next((part for part in parts if part), "")
    if isinstance(found, float) and isinstance(claimed, int | float):
        same = math.isclose(claimed, found, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    else:
        same = type(claimed) is type(found) and claimed == found
    return "" if same else f"{where} is {claimed!a:.60}, the replay gives {found!r}"


def check_model_size(model_size: int | None, totals: Totals) -> None:
    """Check that "no model" is not said of an agent whose calls of one are recorded.

    Args:
        model_size: Parameters as the author states them, 0 for no model.
        totals: Of the submission.

    Raises:
        RefusedError: it is.
    """
    calls = totals.usage.get("agent", {}).get("calls", 0)
    if model_size == 0 and calls:
        raise RefusedError(
            f"the model size is 0, which means no model, but the agent made {calls:,.0f} calls of "
            "one: state its parameters"
        )
