"""Numbers and names of a submission as a reader wants to see them."""

import re
from collections.abc import Mapping

from memgym.benchmarks.statistics import Estimate
from memgym.leaderboard.standings import OVERALL
from memgym.submissions import Verified

__all__ = [
    "VIEW_TITLES", "budget", "cause", "compact", "cost", "interval", "model_size", "percent",
    "points", "size_class", "tokens_used", "track",
]  # fmt: skip

VIEW_TITLES: Mapping[str, str] = {
    OVERALL: "All abilities",
    "accurate_retrieval": "Accurate retrieval",
    "test_time_learning": "Test-time learning",
    "long_range_understanding": "Long-range understanding",
    "conflict_resolution": "Conflict resolution",
}
_TRACKS = {
    "verbatim": "Verbatim reader",
    "llm-reader": "LLM reader",
    "agent-answered": "Agent answers",
}
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_SIZES = ((2e9, "to 2B"), (10e9, "2B to 10B"), (40e9, "10B to 40B"))
_LARGEST, _WITHOUT, _UNKNOWN = "over 40B", "no model", "not stated"


def percent(share: float) -> str:
    """Return a share in per cent, without the sign."""
    return f"{100 * share:.1f}"


def interval(estimate: Estimate) -> str:
    """Return the 95 % interval in per cent, ``""`` if there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def points(difference: float) -> str:
    """Return a difference of two shares in points, always with a sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def compact(number: float) -> str:
    """Return a number in three digits and a unit: 1.23k, 45.6M."""
    for size, unit in _UNITS:
        if number >= size * 0.9995:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def tokens_used(submission: Verified) -> float:
    """Return tokens of all language models, prompts and replies, per episode."""
    used = sum(
        part.get("prompt_tokens", 0) + part.get("completion_tokens", 0)
        for part in submission.usage.values()
    )
    return used / len(submission.episodes)


def cost(submission: Verified) -> str:
    """Return :func:`tokens_used` in words."""
    return compact(tokens_used(submission)) if submission.usage else "none"


def model_size(submission: Verified) -> str:
    """Return the parameters of the largest model of the agent."""
    if submission.model_size is None:
        return _UNKNOWN
    return compact(submission.model_size) if submission.model_size else _WITHOUT


def size_class(submission: Verified) -> str:
    """Return the class of model sizes that the filter offers."""
    if not submission.model_size:
        return model_size(submission)
    return next((name for most, name in _SIZES if submission.model_size <= most), _LARGEST)


def budget(submission: Verified) -> str:
    """Return the limit of the memory."""
    limit = submission.memory_budget
    if not limit:
        return "no limit"
    return f"{100 * limit:g} % of the text" if isinstance(limit, float) else f"{limit:,} tokens"


def track(name: str) -> str:
    """Return what a track is called."""
    return _TRACKS[name]


def cause(name: str) -> str:
    """Return a cause of failure in words."""
    return re.sub("_", " ", name)
