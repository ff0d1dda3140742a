"""The prompt with which a model writes its memory: what ``prompt_only`` asks and GRPO trains on.

Each chunk is a conversation of its own: no earlier chunk, reply or result is in it. The chunk comes
before the memory, so that all rollouts of a group share the prompt up to its end (the published
code of Mem-alpha has it the other way round).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from memgym.agent import Briefing
from memgym.agents.chat import ChatReply, Message
from memgym.envs.view import render_memory
from memgym.prompts import CALL_FORMATS, TASK_TEXT, calling_text, task_text
from memgym.tools import openai_tools

__all__ = ["INSTRUCTIONS", "WRITING_PROMPTS", "Instructions", "WritingPrompts", "reply_action"]

Instructions = Literal["full", "none"]
"""Whether the model is told the task and the tools; one that was trained can do without."""
INSTRUCTIONS: tuple[Instructions, ...] = ("full", "none")

WRITING_PROMPTS: Mapping[str, str] = {
    "system, task": TASK_TEXT,
    **{f"system, calls ({form})": text for form, text in CALL_FORMATS.items()},
    "system, room": "Keep your whole reply under {tokens} tokens: what is cut off is lost.",
    "user": "The piece to read now:\n{chunk}\n\nYour memory so far:\n{memory}{results}",
    "user, results": "\n\nWhat your calls on this piece have given so far:\n{results}\n\nMake "
    "the calls that are still missing.",
}

_FEWER_ITEMS = (5, 2, 1, 0)  # most recent items of each store, when the whole view does not fit
_LEAST_CHUNK_TOKENS = 32  # a shorter beginning of a chunk is not worth a call


class WritingPrompts:
    """The prompts of one episode, in its order.

    Only where the environment grants further turns on a chunk (after a search; none in the
    ``paper`` preset) are the results of the earlier turns on that same chunk shown. What became of
    the calls on the chunk *before* is not: it is about another text, and the memory shows what was
    stored.

    Args:
        briefing: Of the episode.
        tool_format: How the model writes calls (see :data:`memgym.prompts.CALL_FORMATS`).
        instructions: See :data:`Instructions`.
        max_tokens: Limit of a reply, in the model's tokens; told with the instructions.

    Attributes:
        tools: OpenAI schemas to send along; none unless calls are ``native``.
    """

    def __init__(
        self, briefing: Briefing, *, tool_format: str, instructions: Instructions, max_tokens: int
    ) -> None:
        tools = [name for name in briefing.tools if name != "answer"]  # a question is no chunk
        self._briefing = briefing
        self.tools = tuple(openai_tools(tools)) if tool_format == "native" else ()
        self._system = ""
        if instructions == "full":
            parts = [
                task_text(tools, briefing.memory.memory_types),
                calling_text(tools, tool_format),
                WRITING_PROMPTS["system, room"].format(tokens=max_tokens * 4 // 5),
            ]
            self._system = "\n\n".join(parts)
        self._chunk_index = -1
        self._results: list[str] = []

    def prompts(
        self, observation: Mapping[str, Any], info: Mapping[str, Any]
    ) -> Iterator[list[Message]]:
        """Return the prompt for the chunk, then shorter ones, for when it does not fit the model.

        Left out are, in this order: items but the 5, 2, 1 and 0 most recent of each store (the
        published rule; the core stays), results of earlier turns, then the end of the chunk by
        halves. No prompt is left when not even the beginning of the chunk fits.

        Args:
            observation: Of the environment, with a chunk; each is to be given once.
            info: That came with it.
        """
        if info["chunk_index"] == self._chunk_index:
            self._results.append(observation["feedback"])
        else:
            self._chunk_index, self._results = info["chunk_index"], []
        return self._shorter_and_shorter(observation["chunk"], observation["memory"])

    def _shorter_and_shorter(self, chunk: str, view: str) -> Iterator[list[Message]]:
        results = "\n".join(self._results)
        yield self._messages(chunk, view, results)
        for recent in _FEWER_ITEMS:
            fewer = self._view(chunk, recent, len(view))
            if len(fewer) < len(view):
                view = fewer
                yield self._messages(chunk, view, results)
        if results:
            yield self._messages(chunk, view, "")
        counter = self._briefing.counter
        tokens = counter.count(chunk) // 2
        while tokens >= _LEAST_CHUNK_TOKENS:
            yield self._messages(counter.head(chunk, tokens), view, "")
            tokens //= 2

    def _view(self, chunk: str, recent: int, characters: int) -> str:
        return render_memory(
            self._briefing.memory,
            chunk,
            recent=recent,
            relevant=0,
            item_characters=characters,
            max_characters=characters,
        )

    def _messages(self, chunk: str, view: str, results: str) -> list[Message]:
        told = WRITING_PROMPTS["user, results"].format(results=results) if results else ""
        shown = WRITING_PROMPTS["user"].format(chunk=chunk, memory=view, results=told)
        user: Message = {"role": "user", "content": shown}
        return [{"role": "system", "content": self._system}, user] if self._system else [user]


def reply_action(reply: ChatReply) -> dict[str, Any]:
    """Return a reply as the environment takes it, which finds the calls in it."""
    return {
        "role": "assistant",
        "content": reply.text,  # thinking, too: no call is read out of it
        "tool_calls": [dict(call) for call in reply.tool_calls],
    }
