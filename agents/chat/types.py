"""What a chat backend is asked and what it replies; every backend speaks these types.

A message is a mapping in the form of OpenAI's chat completions: ``{"role": ..., "content": ...}``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from memgym.usage import Usage

__all__ = [
    "Backend",
    "ChatError",
    "ChatReply",
    "ChatRequest",
    "ContextLengthError",
    "FinishReason",
    "Message",
    "RefusedError",
    "ServerError",
    "StoppedError",
    "without_words",
]

Message = Mapping[str, Any]
FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One generation.

    Attributes:
        messages: The conversation, oldest first.
        max_tokens: Limit of the reply, in the model's tokens.
        temperature: 0.0 is greedy.
        top_p: Nucleus sampling; 1.0 is off.
        seed: For sampling; replies of one server with one seed need not be equal, but often are.
        stop: The reply ends before the first of these strings.
        tools: OpenAI tool schemas; the reply may then carry ``tool_calls``.
        choices: If given, the reply is exactly one of these texts (constrained decoding).
        prefill: Beginning of the assistant's reply, which the model continues. It is not part of
            :attr:`ChatReply.text`.
        logprobs: Whether token ids and log-probabilities are wanted.
        template_options: Arguments of the model's chat template, e.g. ``enable_thinking``.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 1_024
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    choices: tuple[str, ...] = ()
    prefill: str = ""
    logprobs: bool = False
    template_options: Mapping[str, Any] = field(default_factory=dict)


def without_words(request: ChatRequest) -> ChatRequest:
    """Return a request of the same kind that says nothing.

    If it is answered where the other one was refused, that was about the words; if not, every
    request of this kind is refused (no such model, no tools, no system messages).
    """
    messages = tuple({**message, "content": "Hello."} for message in request.messages)
    return replace(request, messages=messages)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """One generated reply.

    Attributes:
        text: The reply as it was generated, without what the server has parsed out of it
            (``tool_calls``, ``reasoning``).
        tool_calls: Native tool calls in OpenAI's wire form, if the server parsed any.
        finish_reason: ``length`` if the reply was cut off at ``max_tokens``.
        usage: Tokens and seconds of this call.
        reasoning: Thinking text, where the server tells it apart.
        prompt_ids: Token ids of the prompt, where the backend tells them.
        token_ids: Token ids of the reply, where the backend tells them.
        logprobs: Log-probability of each of them under the sampling model, if asked for.
    """

    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    reasoning: str = ""
    prompt_ids: tuple[int, ...] = ()
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


class ChatError(Exception):
    """A request that got no reply. The message says why and never holds a key.

    Attributes:
        usage: What was spent on it: retries, seconds, one failure.
    """

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage or Usage(failures=1)


class ContextLengthError(ChatError):
    """The prompt and the wanted reply do not fit the model; ask again with less."""


class RefusedError(ChatError):
    """This one request is refused for good, whatever is done: by a content filter, for example.

    It stands for a reply of nothing: what asked goes on without one, and the failure is counted.
    """


class ServerError(ChatError):
    """The server could not be reached, gave up, or refuses this kind of request."""


class StoppedError(ChatError):
    """The run is being stopped (by its token budget or its user): nothing more is asked."""


class Backend(Protocol):
    """A language model that completes conversations. Safe to call from several threads."""

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        """Return one reply or fault per request, in order; one request never fails another."""
        ...

    def close(self) -> None:
        """Free connections or device memory; the backend cannot be used afterwards."""
        ...
