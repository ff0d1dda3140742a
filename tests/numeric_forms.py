"""The numeric environment in all its forms, on short episodes."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from memgym.envs.numeric import MemAlphaNumericEnv

__all__ = ["FORMS", "SMALL", "numeric", "play"]

SMALL: dict[str, Any] = {
    "source_options": {"tokens": 1_000, "chunk_tokens": 400, "questions": 3},
}
FORMS: list[dict[str, Any]] = [
    {"observation": observation, "actions": actions}
    for observation in ("box", "dict")
    for actions in ("joint", "multi")
] + [{"edits": False}, {"edits": False, "actions": "multi"}]


def numeric(**arguments: Any) -> MemAlphaNumericEnv:
    return MemAlphaNumericEnv(**{**SMALL, **arguments})


def play(env: Any, seed: int, *, legal: float = 1.0) -> Iterator[tuple[Any, ...]]:
    """Play one episode with random actions, ``legal`` of them by the mask; yield every step."""
    draw = np.random.default_rng(seed)
    env.action_space.seed(seed)
    _, info = env.reset(seed=seed)
    terminated = False
    while not terminated:
        if draw.random() < legal:
            action = draw.choice(np.flatnonzero(info["action_mask"]))
        else:
            action = env.action_space.sample()
        observation, reward, terminated, truncated, info = env.step(action)
        assert truncated is False
        yield observation, reward, terminated, info
