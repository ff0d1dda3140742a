"""A language model that replies as a test says; it stands in for the model, never for our code."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from memgym.agents.chat import Chat, ChatError, ChatReply, ChatRequest, ModelSettings
from memgym.usage import Usage

__all__ = ["ScriptedBackend", "prompt_text", "scripted_chat"]

Reply = str | ChatReply | ChatError


def prompt_text(request: ChatRequest) -> str:
    """Return everything that the model was shown, in order."""
    shown = [str(message.get("content") or "") for message in request.messages]
    return "\n".join([*shown, request.prefill] if request.prefill else shown)


class ScriptedBackend:
    """Replies from a function of the request, or one after another from a sequence.

    Attributes:
        requests: Everything that was asked.
    """

    def __init__(self, replies: Callable[[ChatRequest], Reply] | Iterable[Reply]) -> None:
        self.requests: list[ChatRequest] = []
        self.closed = False
        self._function = replies if callable(replies) else None
        self._sequence = iter(()) if callable(replies) else iter(replies)

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        """Return the scripted replies; tokens are words."""
        return [self._one(request) for request in requests]

    def _one(self, request: ChatRequest) -> ChatReply | ChatError:
        self.requests.append(request)
        reply = self._function(request) if self._function else next(self._sequence)
        if not isinstance(reply, str):
            return reply
        usage = Usage(
            calls=1,
            prompt_tokens=len(prompt_text(request).split()),
            completion_tokens=len(reply.split()),
        )
        return ChatReply(reply, usage=usage)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


def scripted_chat(
    replies: Callable[[ChatRequest], Reply] | Iterable[Reply], **settings: Any
) -> tuple[Chat, ScriptedBackend]:
    """Return a line to a scripted model, and the model."""
    backend = ScriptedBackend(replies)
    return Chat(ModelSettings("scripted", **settings), backend), backend
