"""``prompt_only``: Mem-alpha's policy as a model plays it, trained or not, told by a prompt alone.

The published checkpoint runs through it by name (``--model memalpha-4b``). The learner is
elsewhere; this asks a model and changes nothing about it.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from memgym.agent import Briefing
from memgym.agents.chat import Chat
from memgym.agents.llm_agent import LLMAgent
from memgym.agents.writing import (
    INSTRUCTIONS,
    WRITING_PROMPTS,
    Instructions,
    WritingPrompts,
    reply_action,
)
from memgym.errors import UsageError, nearest

__all__ = ["PromptOnly"]


class PromptOnly(LLMAgent):
    """Reads a chunk beside the visible memory and makes all its calls in one reply.

    What the model is shown, and what is left out when that does not fit it, is
    :class:`memgym.agents.writing.WritingPrompts`. A chunk of which not even its beginning fits is
    passed over without a call. Mem-alpha, section 3 and appendix C.

    Args:
        chat: The line to the model.
        instructions: ``full`` describes the task and the tools; ``none`` leaves both out, for a
            model that was trained so.

    Raises:
        UsageError: ``instructions`` is neither.
    """

    name = "prompt_only"
    prompts: ClassVar[Mapping[str, str]] = WRITING_PROMPTS

    def __init__(self, chat: Chat, instructions: Instructions = "full") -> None:
        super().__init__(chat)
        if instructions not in INSTRUCTIONS:
            raise UsageError(
                f'unknown instructions "{instructions}": {nearest(str(instructions), INSTRUCTIONS)}'
            )
        self._instructions = instructions

    def reset(self, briefing: Briefing) -> None:
        """Begin an episode: write the system message that all of its prompts share."""
        super().reset(briefing)
        model = self.chat.settings
        self._writing = WritingPrompts(
            briefing,
            tool_format=model.tool_format,
            instructions=self._instructions,
            max_tokens=model.max_tokens,
        )

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Return the model's reply to the chunk; the environment finds the calls in it."""
        if not observation["chunk"]:
            return ()
        prompts = self._writing.prompts(observation, info)
        reply = self.ask(prompts, tools=self._writing.tools)
        return () if reply is None else reply_action(reply)
