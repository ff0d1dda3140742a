"""Saving a running episode as JSON values and continuing from it, in this or another process."""

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from memgym.envs.grading import GradedAnswer
from memgym.errors import UsageError

if TYPE_CHECKING:
    from memgym.envs.mem_alpha import MemAlphaEnv

__all__ = ["dump_state", "load_state"]

_KEYS = {
    "answers", "chunk_index", "due", "episode_id", "feedback", "max_chunks", "memory",
    "read_tokens", "removed", "rng", "split", "turn", "version",
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
        "due": list(env._due),
        "read_tokens": env._read_tokens,
        "memory": env.memory.snapshot(),
        "removed": list(env._removed),
        "feedback": list(env._feedback),
        "answers": [asdict(answer) for answer in env._sheet.answers],
        "rng": copy.deepcopy(env.np_random.bit_generator.state),
    }


def load_state(env: "MemAlphaEnv", state: Mapping[str, Any]) -> None:
    """Make ``env`` stand where the state was taken (see :meth:`MemAlphaEnv.set_state`)."""
    if not isinstance(state, Mapping) or set(state) != _KEYS or state["version"] != _VERSION:
        raise UsageError(
            f"not an environment state of version {_VERSION}: it has the keys "
            f"{', '.join(sorted(_KEYS))}"
        )
    wanted: Any = state["episode_id"]
    running = getattr(env, "_whole_episode", None)
    if running is not None and running.id == wanted:
        wanted = running  # it may have been handed in and be in no source
    env.reset(
        options={"episode": wanted, "split": state["split"], "max_chunks": state["max_chunks"]}
    )
    env.memory.restore(state["memory"])
    env._open_chunk(int(state["chunk_index"]))
    env._turn = int(state["turn"])
    env._due = [int(index) for index in state["due"]]
    if env._due:
        env._chunk = ""
    env._read_tokens = int(state["read_tokens"])
    env._removed = list(state["removed"])
    env._feedback = list(state["feedback"])
    env._sheet.answers = [_answer(item) for item in state["answers"]]
    env.np_random.bit_generator.state = copy.deepcopy(state["rng"])


def _answer(item: Mapping[str, Any]) -> GradedAnswer:
    lists = {key: tuple(item[key]) for key in ("gold", "memory_ids")}
    return GradedAnswer(**{**item, **lists})
