"""A bounded exchange with a model that calls tools of its method's own.

It carries what is said there and back; what the tools are and do is the agent's business, reading
calls out of what a model writes is :mod:`memgym.actions`'s.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from memgym.actions import parse_action
from memgym.agents.chat import Chat, ChatReply, ContextLengthError, Message, RefusedError
from memgym.agents.llm_agent import without_thinking
from memgym.envs.view import clip
from memgym.tools import Tool, ToolCall, ToolFault, openai_tools

__all__ = ["RESULT_CHARACTERS", "ToolLoop", "ask_together"]

RESULT_CHARACTERS = 6_000
"""Longest result of a call that a model is shown (MemGPT's published limit)."""

_MAX_CALLS = 32  # per reply; what goes beyond is an error result


class ToolLoop:
    """A conversation: an opening, then steps of calls by the model and their results.

    What once did not fit the model is gone for good: first the oldest steps, then the opening gives
    way to the next shorter one. The last step always stays.

    Args:
        openings: The same opening, shorter each time; at least one.
        table: The tools that the model may call.
        tool_format: How calls travel, see :class:`memgym.agents.chat.ModelSettings`.

    Attributes:
        options: What every request needs besides the messages.
    """

    def __init__(
        self, openings: Iterable[Sequence[Message]], table: Mapping[str, Tool], tool_format: str
    ) -> None:
        self._openings = iter(openings)
        self._opening = next(self._openings)
        self._steps: list[list[Message]] = []
        self._table = table
        schemas = tuple(openai_tools(table, table)) if tool_format == "native" else ()
        self.options: Mapping[str, Any] = {"tools": schemas}

    def prompts(self) -> Iterator[list[Message]]:
        """Yield the conversation; who asks for another one says that the last did not fit."""
        while True:
            yield [*self._opening, *(message for step in self._steps for message in step)]
            if len(self._steps) > 1:
                del self._steps[0]
                continue
            shorter = next(self._openings, None)
            if shorter is None:
                return
            self._opening = shorter

    def read(self, reply: ChatReply) -> tuple[ToolCall | ToolFault, ...]:
        """Return the calls in a reply, in order; what cannot be read as one is a fault."""
        native = [dict(call) for call in reply.tool_calls]
        names = tuple(self._table)
        action = native or reply.text
        return parse_action(action, max_calls=_MAX_CALLS, tools=names, table=self._table).calls

    def add(
        self, reply: ChatReply, calls: Sequence[ToolCall | ToolFault], results: Sequence[str]
    ) -> None:
        """Go on with the results of the calls of a reply, each cut at 6,000 characters."""
        shown = [clip(result, RESULT_CHARACTERS) for result in results]
        text = without_thinking(reply.text)
        if reply.tool_calls:
            self._steps.append(self._native_step(text, calls, shown))
            return
        named = zip(calls, shown, strict=True)
        lines = [f"{number}. {c.name or 'call'}: {r}" for number, (c, r) in enumerate(named, 1)]
        results_text = "\n".join(["Results of your calls:", *lines])
        self._steps.append(
            [{"role": "assistant", "content": text}, {"role": "user", "content": results_text}]
        )

    def _native_step(
        self, text: str, calls: Sequence[ToolCall | ToolFault], shown: Sequence[str]
    ) -> list[Message]:
        # Written anew: servers refuse a conversation in which a call's arguments are no JSON.
        listed = [
            {
                "id": f"call_{len(self._steps)}_{number}",
                "type": "function",
                "function": {
                    "name": call.name or "unknown",
                    "arguments": json.dumps(call.arguments if isinstance(call, ToolCall) else {}),
                },
            }
            for number, call in enumerate(calls)
        ]
        results: list[Message] = [
            {"role": "tool", "tool_call_id": call["id"], "content": result}
            for call, result in zip(listed, shown, strict=True)
        ]
        return [{"role": "assistant", "content": text, "tool_calls": listed}, *results]


def ask_together(chat: Chat, loops: Sequence[ToolLoop]) -> list[ChatReply | None]:
    """Ask several conversations in one batch; ``None`` where there is no reply to be had.

    That is where nothing fits the model, or where it is refused for good. Only those that did not
    fit are asked again, shorter.

    Raises:
        ServerError: there is no answer to be had.
        StoppedError: the run is being stopped.
    """
    replies: list[ChatReply | None] = [None] * len(loops)
    prompts = [loop.prompts() for loop in loops]
    waiting = list(range(len(loops)))
    while waiting:
        found = {index: next(prompts[index], None) for index in waiting}
        asked = {index: messages for index, messages in found.items() if messages is not None}
        requests = [chat.request(asked[index], **loops[index].options) for index in asked]
        waiting = []
        for index, result in zip(asked, chat.generate(requests), strict=True):
            if isinstance(result, ChatReply):
                replies[index] = result
            elif isinstance(result, ContextLengthError):
                waiting.append(index)
            elif not isinstance(result, RefusedError):
                raise result
    return replies
