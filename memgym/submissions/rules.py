"""Which settings are the benchmark's and which are the player's.

What the text is, who scores and how, and how much a reader is shown belong to the suite: with any
of these changed it is another benchmark. What a policy sees of its memory, how often it may look,
and a limit on the memory that makes the task harder, belong to the method; they are reported.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from memgym.benchmarks.suites import Suite
from memgym.envs.settings import Settings, make_settings
from memgym.errors import UsageError
from memgym.submissions.refusal import RefusedError, quoted
from memgym.submissions.verified import Track

__all__ = ["changed_settings", "checked_settings", "track_of"]

_EPISODE = ("source", "split", "source_options", "data")
_FIXED = (
    "max_chunks", "max_calls", "max_text_characters", "token_counter", "tokeniser",
    "reward_weights", "reward_rules", "answer_judge", "answer_judge_options",
    "content_judge", "content_judge_options",
)  # fmt: skip
_READERS = ("verbatim", "llm")
_READING = {"budget_tokens": 1_024, "top_k": 20}  # defaults of both readers


def checked_settings(environment: object, suite: Suite) -> Settings:
    """Return the settings of an episode if they are the suite's in all that makes the benchmark.

    Nothing that they name is imported or opened.

    Args:
        environment: The settings as recorded, defaults left out or not.
        suite: The suite that is claimed to have been played.

    Raises:
        RefusedError: a setting is unknown, malformed, or decided otherwise by the suite.
    """
    if not isinstance(environment, dict):
        raise RefusedError(f"the environment's settings must be an object: {quoted(environment)}")
    given = {name: value for name, value in environment.items() if name not in _EPISODE}
    try:
        settings = make_settings("default", given)
    except UsageError as error:
        raise RefusedError(f"the environment's settings: {quoted(str(error))}") from error
    wanted = make_settings("default", suite.settings)
    for name in _FIXED:
        found, right = getattr(settings, name), getattr(wanted, name)
        if type(found) is not type(right) or found != right:
            raise RefusedError(
                f'the setting "{name}" is {quoted(found)}, '
                f"in the suite {suite.name} it is {right!r}"
            )
    if settings.answer_mode == "reader":
        _check_reading(settings, wanted)
    return settings


def _check_reading(settings: Settings, wanted: Settings) -> None:
    """Check that the reader is one of ours and is shown no more than the suite allows."""
    if settings.reader not in _READERS:
        raise RefusedError(
            f"the reader {quoted(settings.reader)} cannot be checked; "
            f"there are tracks for {' and '.join(_READERS)}"
        )
    limits = {**_READING, **{k: v for k, v in wanted.reader_options.items() if k in _READING}}
    shown = {**limits, **{k: v for k, v in settings.reader_options.items() if k in _READING}}
    for name, value in shown.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise RefusedError(f'the reader\'s "{name}" is {quoted(value)}, not a count from 1')
    if shown["top_k"] > limits["top_k"]:
        raise RefusedError(
            f"the reader retrieves {shown['top_k']} items per store, "
            f"the suite allows {limits['top_k']}"
        )
    # The core is always shown beside what is retrieved, so both count; a memory that is nothing
    # but a core may be as long as the two together.
    stores = set(settings.memory_types) - {"core"}
    total = settings.core_capacity * ("core" in settings.memory_types)
    total += shown["budget_tokens"] * bool(stores)
    allowed = wanted.core_capacity + limits["budget_tokens"]
    if total > allowed:
        raise RefusedError(
            f"the reader is shown up to {total:,} tokens (core and retrieved text), the suite "
            f"allows {allowed:,}; with another reading budget it is another benchmark"
        )


def track_of(settings: Settings) -> Track:
    """Return the track of checked settings."""
    if settings.answer_mode == "agent":
        return "agent-answered"
    return "verbatim" if settings.reader == "verbatim" else "llm-reader"


def changed_settings(settings: Settings, suite: Suite) -> dict[str, Any]:
    """Return what the method has set otherwise than the suite, as JSON values, by name."""
    wanted = make_settings("default", suite.settings)
    changed = {}
    for item in dataclasses.fields(Settings):
        value, right = getattr(settings, item.name), getattr(wanted, item.name)
        if item.name == "reader_options":  # records have the limits written out
            value, right = {**_READING, **value}, {**_READING, **right}
        if item.name not in _EPISODE and value != right:
            plain = dict(value) if isinstance(value, Mapping) else value
            changed[item.name] = json.loads(json.dumps(plain))
    return changed
