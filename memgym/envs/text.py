"""``MemAlphaText-v0``: the same task with one string of model text as the action."""

from typing import Any

import gymnasium as gym

from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.spaces import UnicodeText

__all__ = ["ToolCallText", "make_text_env"]


class ToolCallText(gym.ActionWrapper[dict[str, Any], Any, Any], gym.utils.RecordConstructorArgs):
    """Declares that actions are text; the environment itself parses the tool calls in it.

    The text may hold JSON, ``<tool_call>`` blocks or prose with calls in it; prose alone keeps
    nothing, and answers the question when one is asked.

    Args:
        env: A :class:`~memgym.envs.mem_alpha.MemAlphaEnv`, wrapped or not.
        max_characters: Length of the text space.
    """

    def __init__(self, env: gym.Env[dict[str, Any], Any], max_characters: int = 65_536) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, max_characters=max_characters)
        gym.ActionWrapper.__init__(self, env)
        self.action_space = UnicodeText(max_characters)

    def action(self, action: Any) -> str:
        """Pass the text on.

        Raises:
            TypeError: the action is no string.
        """
        if not isinstance(action, str):
            raise TypeError(
                f"MemAlphaText-v0 takes one string of model text, got {type(action).__name__}; "
                "MemAlpha-v0 takes lists of tool calls"
            )
        return action


def make_text_env(**kwargs: Any) -> ToolCallText:
    """Entry point of ``MemAlphaText-v0``: takes what ``MemAlpha-v0`` takes."""
    return ToolCallText(MemAlphaEnv(**kwargs))
