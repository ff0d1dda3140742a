"""Actions in a trace: as the policy gave them, or, where JSON cannot say that, the calls in them.

An agent may give anything that ``env.step`` takes: tuples, objects, numbers that are not finite.
What JSON holds without loss stands in the trace as it is. Of anything else the trace has the calls
that were read out of it, faults included, which leads to the same results.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from memgym.actions import parse_action
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.tools import MAX_CHARACTERS, ToolCall, ToolFault

__all__ = ["MOST_CALLS", "action_fields", "replayable"]

MOST_CALLS = 1_000_000
"""Calls of one action that are told apart by their number in messages; more never are."""

_MOST_VALUES = 100_000
_MOST_CHARACTERS = 64 * MAX_CHARACTERS
_LONGEST_TEXT = 4 * MAX_CHARACTERS  # a longer one is a single fault, see parse_action
_DEEPEST = 50
_MOST_BITS = 199  # integers above are not shown in messages


class _Lossy(Exception):  # noqa: N818 - no error: the other form is taken
    """A value that JSON cannot hold, or not within reason."""


class _Plain:
    """Copies an action into JSON values, within limits."""

    def __init__(self) -> None:
        self._values = _MOST_VALUES
        self._characters = _MOST_CHARACTERS

    def action(self, action: Any) -> Any:
        """Return a copy; a tuple of calls counts as a list, as it does for the environment."""
        if type(action) is tuple:
            action = list(action)
        return self._copy(action, 0)

    def _copy(self, value: Any, depth: int) -> Any:
        self._values -= 1
        if self._values < 0 or depth > _DEEPEST:
            raise _Lossy
        kind = type(value)
        if value is None or kind is bool:
            return value
        if issubclass(kind, str):
            return self._text(str.__str__(value))
        if kind is int and value.bit_length() <= _MOST_BITS:
            return value
        if kind is float and math.isfinite(value):
            return value
        if kind is list:
            return [self._copy(item, depth + 1) for item in value]
        if kind is dict and all(type(key) is str for key in value):
            return {self._text(key): self._copy(value[key], depth + 1) for key in value}
        raise _Lossy

    def _text(self, text: str) -> str:
        self._characters -= len(text)
        if len(text) > _LONGEST_TEXT or self._characters < 0:
            raise _Lossy
        return text


def action_fields(action: Any, env: MemAlphaEnv) -> dict[str, Any]:
    """Return the field of a step that holds its action: ``action``, or else ``calls``.

    Args:
        action: What ``env.step`` was given.
        env: That environment; its settings say how an action is read.
    """
    try:
        return {"action": _Plain().action(action)}
    except _Lossy:
        return {"calls": _calls(action, env)}


def _calls(action: Any, env: MemAlphaEnv) -> dict[str, Any]:
    most = env.settings.max_calls
    options: Mapping[str, Any] = {"repair": env.settings.repair, "tools": env.tool_names}
    total = len(parse_action(action, max_calls=MOST_CALLS // 2, **options).calls)
    taken = parse_action(action, max_calls=most, **options).calls[:most]
    return {"total": total, "taken": [_call(call) for call in taken]}


def _call(call: ToolCall | ToolFault) -> dict[str, Any]:
    if isinstance(call, ToolFault):
        return {"name": call.name, "fault": call.message, "id": call.id}
    return {**call.as_dict(), "id": call.id}


def replayable(step: Mapping[str, Any]) -> Any:
    """Return what ``env.step`` is to be given for a step of a trace, by its fields."""
    if "action" in step:
        return step["action"]
    taken: Sequence[Mapping[str, Any]] = step["calls"]["taken"]
    calls = [
        ToolFault(call["name"], call["fault"], call["id"]) if "fault" in call else dict(call)
        for call in taken
    ]
    # Calls over the limit are faults that tell the total, whatever they were.
    return calls + [{}] * (step["calls"]["total"] - len(calls))
