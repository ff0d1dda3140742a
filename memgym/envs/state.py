"""Saving a running episode as JSON values and continuing from it, in this or another process.

A state is checked whole on a copy of the environment, which takes its place only if nothing is
wrong: a refused state leaves the running episode as it was.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from memgym.diagnosis import CAUSES
from memgym.envs.grading import GradedAnswer
from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.execute import ToolResult
from memgym.rewards import REWARD_TERMS
from memgym.tools import ToolCall, ToolFault

if TYPE_CHECKING:
    from memgym.envs.mem_alpha import MemAlphaEnv

__all__ = ["dump_state", "load_state"]

_KEYS = {
    "answers", "chunk_index", "due", "episode_id", "feedback", "max_chunks", "memory",
    "read_tokens", "removed", "rng", "shown", "split", "turn", "turn_results", "version",
}  # fmt: skip
_VERSION = 1


def dump_state(env: "MemAlphaEnv") -> dict[str, Any]:
    """Return everything that the rest of the running episode depends on."""
    return {
        "version": _VERSION,
        "episode_id": env._whole_episode.id,
        "max_chunks": env._max_chunks,
        "split": env._split,
        "chunk_index": env._chunk_index,
        "turn": env._turn,
        "turn_results": [asdict(result) for result in env._turn_results],
        "due": list(env._due),
        "shown": list(env._shown),
        "read_tokens": env._read_tokens,
        "memory": env.memory.snapshot(),
        "removed": list(env._removed),
        "feedback": list(env._feedback),
        "answers": [asdict(answer) for answer in env._sheet.answers],
        "rng": copy.deepcopy(env.np_random.bit_generator.state),
    }


def load_state(env: "MemAlphaEnv", state: Mapping[str, Any]) -> None:
    """Make ``env`` stand where the state was taken (see :meth:`MemAlphaEnv.set_state`).

    Raises:
        UsageError: a field, named in the message, is malformed; ``env`` is then unchanged.
    """
    if not isinstance(state, Mapping) or set(state) != _KEYS or state["version"] != _VERSION:
        raise UsageError(
            f"not an environment state of version {_VERSION}: it has the keys "
            f"{', '.join(sorted(_KEYS))}"
        )
    generator = _checked_rng(env, state["rng"])
    fresh = copy.copy(env)  # every write below goes to attributes of the copy
    episode = _open_episode(fresh, state)
    _open_place(fresh, episode, state)
    fresh.memory.restore(state["memory"])
    fresh._turn_results = tuple(
        _result(item, f"turn_results {index}")
        for index, item in enumerate(_list(state["turn_results"], "turn_results"))
    )
    fresh._shown = _strings(state["shown"], "shown")
    fresh._removed = _strings(state["removed"], "removed")
    fresh._feedback = _strings(state["feedback"], "feedback")
    fresh._sheet.answers = _answers(state["answers"], episode, fresh._due)
    fresh._last = ((), dict.fromkeys(REWARD_TERMS, 0.0))  # what the last step did is not kept
    vars(env).update(vars(fresh))
    env.np_random.bit_generator.state = generator


def _open_episode(fresh: "MemAlphaEnv", state: Mapping[str, Any]) -> Episode:
    """Begin the state's episode on the copy and return it, cut as it was."""
    for key in ("episode_id", "split"):
        if not isinstance(state[key], str):
            raise _wrong(key, "a string", state[key])
    max_chunks = _integer(state["max_chunks"], "max_chunks", 0)
    fresh._split = state["split"]
    fresh._episodes = fresh._load(state["split"])
    running: Any = getattr(fresh, "_whole_episode", None)
    # The running one may have been handed in and be in no source.
    same = running is not None and running.id == state["episode_id"]
    fresh._whole_episode = running if same else fresh._episodes.episode(state["episode_id"])
    fresh._max_chunks = max_chunks
    whole = fresh._whole_episode
    episode = whole.first(max_chunks) if max_chunks else whole
    fresh._begin(episode)
    return episode


def _open_place(fresh: "MemAlphaEnv", episode: Episode, state: Mapping[str, Any]) -> None:
    """Go to the chunk, the turn and the questions of the state."""
    index = _integer(state["chunk_index"], "chunk_index", 0, len(episode.chunks) - 1)
    fresh._open_chunk(index)
    fresh._turn = _integer(state["turn"], "turn", 0, fresh.settings.turns_per_chunk - 1)
    due = [_integer(item, "due", 0) for item in _list(state["due"], "due")]
    asked = list(episode.questions_after(index)) if fresh._asks_agent else []
    if due != asked[len(asked) - len(due) :]:
        raise _wrong("due", f"the last of the questions {asked} that are asked here", due)
    fresh._due = due
    if due:
        fresh._chunk = ""
    fresh._read_tokens = _integer(state["read_tokens"], "read_tokens", 0)


def _answers(value: Any, episode: Episode, due: Sequence[int]) -> list[GradedAnswer]:
    answers = [
        GradedAnswer(**_record(GradedAnswer, item, f"answers {index}"))
        for index, item in enumerate(_list(value, "answers"))
    ]
    for place, answer in enumerate(answers):
        _integer(answer.index, f"answers {place}: index", 0, len(episode.questions) - 1)
        if not 0.0 <= answer.score <= 1.0:
            raise _wrong(f"answers {place}: score", "from 0 to 1", answer.score)
        if answer.cause not in ("", *CAUSES):
            raise _wrong(f"answers {place}: cause", f"one of {', '.join(CAUSES)}", answer.cause)
    given = [answer.index for answer in answers]
    if len(set(given)) < len(given) or set(given) & set(due):
        raise _wrong("answers", "one per question that is no longer due", given)
    return answers


def _result(item: Any, key: str) -> ToolResult:
    if not isinstance(item, Mapping) or not isinstance(item.get("call"), Mapping):
        raise _wrong(key, 'an object with the object "call"', item)
    call = item["call"]
    kind: type[ToolCall] | type[ToolFault] = ToolCall if "arguments" in call else ToolFault
    made = kind(**_record(kind, call, f"{key}: call"))
    rest = {name: value for name, value in item.items() if name != "call"}
    return ToolResult(call=made, **_record(ToolResult, rest, key, without="call"))


def _checked_rng(env: "MemAlphaEnv", value: Any) -> Any:
    """Return a copy of the generator's state that is known to be one."""
    state = copy.deepcopy(value)
    # A generator of the same kind takes the state or refuses it; the running one is left alone.
    probe: Any = type(env.np_random.bit_generator)(0)
    try:
        probe.state = state
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise UsageError(
            f'environment state: "rng" must be a state of {type(probe).__name__}: {error}'
        ) from error
    return state


# ---------------------------------------------------------------------- checks of single values


def _wrong(key: str, wanted: str, value: Any) -> UsageError:
    return UsageError(f'environment state: "{key}" must be {wanted}, got {ascii(value)[:60]}')


def _integer(value: Any, key: str, least: int, most: int | None = None) -> int:
    if type(value) is not int or value < least or (most is not None and value > most):
        limits = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise _wrong(key, f"an integer {limits}", value)
    return value


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(key, "a list", value)
    return list(value)


def _strings(value: Any, key: str) -> list[str]:
    items = _list(value, key)
    if not all(isinstance(item, str) for item in items):
        raise _wrong(key, "a list of strings", value)
    return items


def _record(kind: Any, item: Any, key: str, without: str = "") -> dict[str, Any]:
    """Return the values of a dataclass's fields, each checked against its annotation."""
    names = [part.name for part in fields(kind) if part.name != without]
    if not isinstance(item, Mapping) or set(item) != set(names):
        raise _wrong(key, f"an object with the keys {', '.join(names)}", item)
    hints = get_type_hints(kind)
    return {name: _value(hints[name], item[name], f"{key}: {name}") for name in names}


def _value(hint: Any, value: Any, key: str) -> Any:
    origin = get_origin(hint)
    if origin is tuple:
        return tuple(_strings(value, key))
    if origin is Literal:
        if value not in get_args(hint):
            raise _wrong(key, f"one of {', '.join(get_args(hint))}", value)
    elif origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(key, "an object", value)
        return dict(value)
    elif hint is float:
        if type(value) not in (int, float):
            raise _wrong(key, "a number", value)
    elif type(value) is not hint:
        raise _wrong(key, f"of type {hint.__name__}", value)
    return value
