"""``mem1``: one block of internal state, continued by the model with every chunk.

MEM1 carries a single ``<think>`` block from turn to turn. As Mem-alpha evaluates it, the state is
the beginning of the model's own reply to the next chunk; the first complete block of what the model
goes on to write takes its place, and if there is none the state stays as it is. The final block is
given to the reader, or with ``answer_mode="agent"`` the same model answers from it, in the
``<answer>`` that MEM1 was trained to write.

The block is kept in the core memory, without its tags. Kept: 1,024 new tokens, the stop strings, no
question while reading (MEM1 was trained to search for one). Different: the prompts are our own, and
a chunk that is too long for the model loses its centre.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from memgym.agents.chat import ChatReply, Message
from memgym.agents.flat_memory import (
    FLAT_MEMORY_TOKENS,
    FLAT_SETTINGS,
    reading_task,
    rewrite_core,
)
from memgym.agents.llm_agent import LLMAgent, conversation, without_thinking
from memgym.agents.passages import shortened

__all__ = ["Mem1"]

READING = """\
You read a long text chunk by chunk. Between chunks you keep nothing but a summary inside <think>
and </think>; the one that you have so far, if any, is how your reply begins. Go on with one new
block, <think>your new summary</think>, that replaces it: put in all that is worth keeping of the
old summary and of the new chunk, in few words."""

ANSWERING = """\
You have read a long text. Your reply begins with the summary that you kept of it, inside <think>
and </think>. Answer the question from it: <answer>the answer, as short as it can be</answer>."""

_STOP = ("</search>", "</answer>")
# The innermost tags: a template that parses thinking would drop what stands before a second one.
_BLOCK = re.compile(r"<think>((?:(?!<think>).)*?)</think>", re.DOTALL)


class Mem1(LLMAgent):
    """Replaces its state by the block that the model writes after reading a chunk."""

    name = "mem1"
    settings: ClassVar[Mapping[str, Any]] = FLAT_SETTINGS
    prompts: ClassVar[Mapping[str, str]] = {"reading a chunk": READING}
    answer_prompts: ClassVar[Mapping[str, str]] = {"answering (answer_mode=agent)": ANSWERING}

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Let the model continue its state with the chunk in view; adopt the block it writes."""
        reply = self.ask(
            self._readings(observation["chunk"]),
            prefill=self._state(),
            max_tokens=FLAT_MEMORY_TOKENS,
            stop=_STOP,
        )
        block = _BLOCK.search(_written(reply)) if reply else None
        return rewrite_core(self.briefing, block[1]) if block else ()

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        """Let the model continue its state with an answer."""
        reply = self.ask(
            [conversation(ANSWERING, f"Question: {observation['question']}")],
            prefill=f"{self._state()}<answer>",
            max_tokens=FLAT_MEMORY_TOKENS,
            stop=_STOP,
        )
        return without_thinking(reply.text) if reply else ""

    def _readings(self, chunk: str) -> Iterator[list[Message]]:
        task = reading_task(self.briefing)
        for part in shortened(chunk, self.briefing.counter):
            yield conversation(READING, f"Task: {task}\n\nNew chunk:\n{part}")

    def _state(self) -> str:
        """Return the state as the beginning of a reply."""
        state = self.briefing.memory.core.strip()
        # The line breaks are those that Qwen's template puts around thinking: it refuses to
        # continue a reply that it would have to reformat.
        return f"<think>\n{state}\n</think>\n\n" if state else ""


def _written(reply: ChatReply) -> str:
    """Return what the model wrote, with the block that the server may have taken out of it."""
    if reply.reasoning and (reply.text.strip() or reply.finish_reason != "length"):
        return f"<think>{reply.reasoning}</think>{reply.text}"
    return reply.text
