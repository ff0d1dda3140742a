"""``MemAlpha-v0`` for TRL's ``GRPOTrainer``: the environment as tools, and rows for the dataset.

An example, not our learner, and it imports neither TRL nor torch. TRL writes one conversation per
episode, so the context grows with every chunk that is read, where our own learner
(:mod:`.training`) begins each chunk afresh. docs/training_with_trl.md trains with it.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import gymnasium as gym

from memgym.errors import UsageError
from memgym.prompts import task_text
from memgym.tools import TOOLS

__all__ = ["MemoryTools", "episode_rows"]

_DONE = "The text is over. Reply without a call."
_TASK = """\
Read the text piece by piece. Store what is worth keeping of a piece, then call next_chunk to see
the next one; one reply may hold several calls. The first piece:
"""

_Method = TypeVar("_Method", bound=Callable[..., str])


def _described(method: _Method) -> _Method:
    """Give a method the docstring that the table of tools has for it, which TRL shows the model."""
    tool = TOOLS[method.__name__]
    lines = [f"    {item.name}: {item.description}" for item in tool.arguments]
    method.__doc__ = "\n".join([tool.description, "", "Args:", *lines])
    return method


class MemoryTools:
    """One episode of ``MemAlpha-v0`` after the other, each public method a tool for the model.

    TRL calls ``reset`` before a conversation and ``get_reward`` after it, and offers every other
    public method. What it refuses itself (a tool or an argument that there is not) it tells the
    model, but the environment never hears of it, so that no reward term counts it.

    Args:
        **settings: Of ``MemAlpha-v0``; with ``answer_mode="agent"`` it cannot be played here.

    Raises:
        UsageError: a setting is unknown or invalid.
    """

    def __init__(self, **settings: Any) -> None:
        if settings.get("answer_mode", "reader") != "reader":
            raise UsageError('answer_mode must be "reader": there is no tool to answer with')
        self._env = gym.make("MemAlpha-v0", **settings)
        self._ended = True
        self._return = 0.0
        self._calls: list[dict[str, Any]] = []

    def reset(self, episode: int, **row: Any) -> str:
        """Start an episode and return its first chunk, which TRL appends to the last message.

        Args:
            episode: Its index in the split.
            **row: The other columns of the dataset, ignored.
        """
        observation, _ = self._env.reset(options={"episode": episode})
        self._ended, self._return, self._calls = False, 0.0, []
        return f"\n{observation['chunk']}"

    @_described
    def new_memory_insert(  # noqa: D102 - described by the table of tools, as the next two
        self, memory_type: Literal["core", "semantic", "episodic"], content: str
    ) -> str:
        return self._collect("new_memory_insert", memory_type=memory_type, content=content)

    @_described
    def memory_update(  # noqa: D102
        self,
        memory_type: Literal["core", "semantic", "episodic"],
        new_content: str,
        memory_id: str | None = None,
    ) -> str:
        return self._collect(
            "memory_update", memory_type=memory_type, new_content=new_content, memory_id=memory_id
        )

    @_described
    def memory_delete(  # noqa: D102
        self,
        memory_type: Literal["core", "semantic", "episodic"],
        memory_id: str | None = None,
    ) -> str:
        return self._collect("memory_delete", memory_type=memory_type, memory_id=memory_id)

    def next_chunk(self) -> str:
        """Apply the calls made so far, tell what became of them and show the next piece."""
        observation = self._step()
        # Not the memory: all that was written is in the conversation, its ids in the feedback.
        parts = (observation["feedback"], _DONE if self._ended else observation["chunk"])
        return "\n".join(part for part in parts if part)

    def get_reward(self) -> float:
        """Return the return of the episode.

        Calls that were made are applied; chunks that the model did not get to pass by unread.
        """
        while not self._ended:
            self._step()
        return self._return

    def _collect(self, name: str, **arguments: Any) -> str:
        if self._ended:
            raise ValueError(_DONE)
        self._calls.append({"name": name, "arguments": arguments})
        return "Noted; next_chunk applies it."

    def _step(self) -> dict[str, Any]:
        if self._ended:
            raise ValueError(_DONE)
        observation, reward, self._ended, _, _ = self._env.step(self._calls)
        self._return += float(reward)
        self._calls = []
        return dict(observation)


def episode_rows(episodes: range) -> list[dict[str, Any]]:
    """Return the rows of a dataset that plays the episodes with these indices.

    TRL repeats a row for each rollout of its group, so the group plays the same episode.
    """
    tools = ("new_memory_insert", "memory_update", "memory_delete")
    prompt = [
        {"role": "system", "content": task_text(tools)},
        {"role": "user", "content": _TASK},
    ]
    return [{"prompt": prompt, "episode": number} for number in episodes]
