"""``MemAlphaText-v0``: the same task with one string of model text as the action."""

from typing import Any

from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.errors import UsageError
from memgym.spaces import UnicodeText

__all__ = ["MemAlphaTextEnv"]


class MemAlphaTextEnv(MemAlphaEnv):
    """``MemAlpha-v0`` for policies that emit text.

    ## Action Space
    `UnicodeText(65536)`: model text. Tool calls in it are found as JSON, as `<tool_call>` blocks or
    in the marker form of Qwen-Agent; prose alone keeps nothing, and answers the question when one
    is asked (`answer_mode="agent"`).

    Everything else is as in :class:`~memgym.envs.mem_alpha.MemAlphaEnv`.

    ## Version History
    - v0: first release.
    """

    def __init__(self, **settings: Any) -> None:
        """Take what :class:`~memgym.envs.mem_alpha.MemAlphaEnv` takes."""
        super().__init__(**settings)
        self.action_space = UnicodeText(65_536)

    def action_mask(self) -> dict[str, Any]:
        """There is none for text.

        Raises:
            UsageError: always; ``MemAlpha-v0`` has one.
        """
        raise UsageError(
            "MemAlphaText-v0 has no action mask: any text is an action; see MemAlpha-v0"
        )

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Apply the calls found in the text.

        Raises:
            TypeError: the action is no string.
        """
        if not isinstance(action, str):
            raise TypeError(
                f"MemAlphaText-v0 takes one string of model text, got {type(action).__name__}; "
                "MemAlpha-v0 takes lists of tool calls"
            )
        return super().step(action)
