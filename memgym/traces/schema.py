"""The schema of a trace's record: which fields it has, of which types, and nothing else.

A record is checked whole before anything is done with it. What it holds may still be false; that
is found by replaying it (:mod:`.replay`). ``docs/traces.md`` says what the fields mean.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from memgym.diagnosis import CAUSES
from memgym.envs.settings import Settings
from memgym.episode import ABILITIES
from memgym.errors import UsageError, nearest
from memgym.rewards import REWARD_TERMS
from memgym.traces.actions import MOST_CALLS

__all__ = ["EPISODE_SETTINGS", "FORMAT", "PARTS", "check_record", "recorded_parts"]

FORMAT = "memgym-trace/1"
"""Name and version of the format."""

EPISODE_SETTINGS = ("source", "split", "source_options", "data")
"""Settings of the environment that a record has under ``episode``, or not at all (``data``)."""

PARTS = {"reader": "verbatim", "content_judge": "rules", "answer_judge": "exact"}
"""The parts of an environment that may have a language model, with the built-in without one."""

Check = Callable[[Any, str], None]


def _refuse(where: str, wanted: str, value: Any) -> UsageError:
    return UsageError(f"{where} must be {wanted}, got {_shown(value)}")


def _shown(value: Any) -> str:
    text = ascii(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= 60 else text[:59] + "…"


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise _refuse(where, "a string", value)


def _digest(digits: int) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or len(value) != digits or set(value) - set(_HEX):
            raise _refuse(where, f"{digits} hexadecimal digits", value)

    return check


_HEX = "0123456789abcdef"


def _number(value: Any, where: str) -> None:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _refuse(where, "a finite number", value)


def _whole(least: int = 0, most: int = 2**53) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) is not int or not least <= value <= most:
            raise _refuse(where, f"a whole number from {least}", value)

    return check


def _share(value: Any, where: str) -> None:
    _number(value, where)
    if not 0.0 <= value <= 1.0:
        raise _refuse(where, "a number from 0 to 1", value)


def _flag(value: Any, where: str) -> None:
    if type(value) is not bool:
        raise _refuse(where, "true or false", value)


def _one_of(*choices: str) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or value not in choices:
            raise _refuse(where, " or ".join(f'"{choice}"' for choice in choices), value)

    return check


def _any_object(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise _refuse(where, "an object", value)


def _list(item: Check, least: int = 0) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, list):
            raise _refuse(where, "a list", value)
        if len(value) < least:
            raise UsageError(f"{where} must not be empty")
        for index, inner in enumerate(value):
            item(inner, f"{where}[{index}]")

    return check


def _nullable(check: Check) -> Check:
    return lambda value, where: None if value is None else check(value, where)


def _map(item: Check) -> Check:
    """Accept any names."""

    def check(value: Any, where: str) -> None:
        _any_object(value, where)
        for name, inner in value.items():
            item(inner, f"{where}.{_shown(name)}")

    return check


def _object(wanted: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    known = {**wanted, **(optional or {})}

    def check(value: Any, where: str) -> None:
        _any_object(value, where)
        for name in wanted:
            if name not in value:
                raise UsageError(f'{where}: the field "{name}" is missing')
        for name, inner in value.items():
            if name not in known:
                raise UsageError(f"{where}: unknown field {_shown(name)}: {nearest(name, known)}")
            known[name](inner, f"{where}.{name}")

    return check


def _anything(value: Any, where: str) -> None:
    """Accept what is checked by whoever uses it."""


def _action(value: Any, where: str) -> None:
    if not (value is None or isinstance(value, str | list | dict)):
        raise _refuse(where, "calls, text or null", value)


def _call(value: Any, where: str) -> None:
    fault = isinstance(value, dict) and "fault" in value
    kind: dict[str, Check] = {"fault": _text} if fault else {"arguments": _any_object}
    _object({"name": _text, "id": _text, **kind})(value, where)


_RESULT = _object(
    {
        "id": _text,
        "name": _text,
        "status": _one_of("ok", "skipped", "error"),
        "message": _text,
        "memory_type": _text,
        "memory_id": _text,
        "truncated": _flag,
    }
)
_CALLS = _object({"total": _whole(0, MOST_CALLS), "taken": _list(_call)})
_STEP_FIELDS: Mapping[str, Check] = {
    "chunk": _whole(),
    "observation": _digest(16),
    "results": _list(_RESULT),
    "reward": _number,
    "terms": _object(dict.fromkeys(REWARD_TERMS, _number)),
    "memory": _digest(16),
    "memory_tokens": _whole(),
}
_STEP_WITH_ACTION = _object({**_STEP_FIELDS, "action": _action}, {"verdicts": _list(_flag)})
_STEP_WITH_CALLS = _object({**_STEP_FIELDS, "calls": _CALLS}, {"verdicts": _list(_flag)})


def _step(value: Any, where: str) -> None:
    with_calls = isinstance(value, dict) and "calls" in value
    (_STEP_WITH_CALLS if with_calls else _STEP_WITH_ACTION)(value, where)


_ANSWER = _object(
    {
        "index": _whole(),
        "question": _text,
        "gold": _list(_text),
        "prediction": _text,
        "score": _share,
        "cause": _one_of("", *CAUSES),
        "memory_ids": _list(_text),
        "failed": _flag,
    }
)
_SETTINGS = [item.name for item in fields(Settings) if item.name not in EPISODE_SETTINGS]
_RECORD = _object(
    {
        "format": _one_of(FORMAT),
        "suite": _nullable(
            _object({"name": _text, "version": _text, "hash": _digest(64), "entry": _text})
        ),
        "episode": _object(
            {
                "id": _text,
                "source": _text,
                "split": _text,
                "source_options": _any_object,
                "index": _nullable(_whole()),
                "ability": _one_of(*ABILITIES),
                "hash": _digest(64),
                "chunks": _whole(1),
                "questions": _whole(1),
            }
        ),
        "agent": _any_object,
        # Settings has its own checks, which an environment made from them goes through.
        "environment": _object(dict.fromkeys(_SETTINGS, _anything)),
        "models": _map(_any_object),
        "seed": _whole(),
        "versions": _map(_text),
        "steps": _list(_step, least=1),
        "answers": _list(_ANSWER, least=1),
        "metrics": _map(_number),
        "score": _share,
        "reward": _number,
        "memory_digest": _digest(64),
        "usage": _map(_map(_whole())),
        "recorded": _list(_one_of(*PARTS)),
    }
)


def check_record(record: Any, where: str) -> None:
    """Check a record against the schema.

    Args:
        record: JSON values.
        where: Names the place in messages, e.g. ``"traces.jsonl.gz, record 3"``.

    Raises:
        UsageError: a field is missing, unknown or of another type; the message names it.
    """
    version = record.get("format") if isinstance(record, dict) else None
    if isinstance(version, str) and version != FORMAT and version.startswith("memgym-trace/"):
        raise UsageError(f"{where}: its format is {_shown(version)}; this memgym reads {FORMAT}")
    _RECORD(record, where)
    name = record["agent"].get("name")
    if not isinstance(name, str) or not name:
        raise UsageError(f"{where}.agent.name must be the agent's name, got {_shown(name)}")
    recorded = recorded_parts(record["environment"])
    if record["recorded"] != recorded:
        raise UsageError(f"{where}.recorded must be {recorded}, as its environment says")


def recorded_parts(environment: Mapping[str, Any]) -> list[str]:
    """Return the parts of an environment whose outputs are recorded, not computed anew.

    Those are all but the built-in ones without a language model. An agent that answers itself has
    no reader.
    """
    answers_itself = environment.get("answer_mode") == "agent"
    return [
        part
        for part, plain in PARTS.items()
        if environment.get(part) != plain and not (part == "reader" and answers_itself)
    ]
