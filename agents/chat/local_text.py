"""Text and token ids for models in this process: a request as a prompt, and a reply out of ids.

What a server does around its model: the chat template, the limit of the context, and native tool
calls. It knows nothing of how tokens are generated.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memgym.agents.chat.models import ModelSettings
from memgym.agents.chat.types import (
    ChatReply,
    ChatRequest,
    ContextLengthError,
    FinishReason,
    Message,
    RefusedError,
    ServerError,
    without_words,
)
from memgym.errors import UsageError
from memgym.model_text import UnreadableError, load_json
from memgym.usage import Usage

__all__ = ["LocalText", "Prompt", "load_tokenizer", "split_tool_calls"]

LEAST_ROOM = 64
"""Tokens of reply for which it is still worth asking, if more were wanted."""

_BLOCK = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request as the model sees it: its token ids, and the tokens left for the reply."""

    ids: tuple[int, ...]
    max_tokens: int

    @property
    def most_tokens(self) -> int:
        """Tokens of the prompt and of the longest reply."""
        return len(self.ids) + self.max_tokens


def load_tokenizer(settings: ModelSettings) -> Any:
    """Return the tokenizer of a model (``engine_options["revision"]`` included).

    Raises:
        UsageError: transformers is missing, there is no such tokenizer, or it has no chat template.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise UsageError(
            'a model in this process needs transformers: pip install "memgym[transformers]"'
        ) from error
    revision = settings.engine_options.get("revision") or "main"
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(settings.model, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f'cannot load a tokenizer for model "{settings.model}" (a folder or a name on the '
            f"model hub): {str(error).strip().splitlines()[0]}"
        ) from error
    if not tokenizer.chat_template:
        raise UsageError(
            f'the model "{settings.model}" has no chat template; take its chat or instruct version'
        )
    return tokenizer


class LocalText:
    """A tokenizer with the rules around it.

    Args:
        tokenizer: As :func:`load_tokenizer` returns it.
        limit: Most tokens of prompt and reply together; 0: no limit.
    """

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self._tokenizer = tokenizer
        self._limit = limit

    def prompt(self, request: ChatRequest) -> Prompt:
        """Return the prompt of a request, ending in the prefill that the model continues.

        Raises:
            ContextLengthError: too little room is left for the reply.
            RefusedError: the template refuses what this conversation says.
            ServerError: it refuses every conversation of this kind.
        """
        try:
            ids = self._rendered(request)
        except Exception as error:  # a template is a program of others: anything may come out
            kind = RefusedError if self._renders(without_words(request)) else ServerError
            raise kind(
                f"the chat template cannot render this conversation: {type(error).__name__}: "
                f"{str(error).strip()[:300]}"
            ) from error
        return Prompt(ids, self._room(request, len(ids)))

    def _rendered(self, request: ChatRequest) -> tuple[int, ...]:
        text = self._tokenizer.apply_chat_template(
            [_for_template(message) for message in request.messages],
            tools=[dict(tool) for tool in request.tools] or None,
            add_generation_prompt=True,
            tokenize=False,
            **request.template_options,
        )
        return self.encode(text + request.prefill)

    def _renders(self, request: ChatRequest) -> bool:
        try:
            self._rendered(request)
        except Exception:  # as above
            return False
        return True

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text, with nothing added."""
        return tuple(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, special tokens left out."""
        text: str = self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def reply(
        self,
        request: ChatRequest,
        prompt: Prompt,
        text: str,
        *,
        finish: FinishReason,
        token_ids: Sequence[int],
        logprobs: Sequence[float],
        cached_tokens: int = 0,
    ) -> ChatReply:
        """Return the reply with its native tool calls, if tools were offered, and its usage."""
        text, calls = split_tool_calls(text) if request.tools else (text, ())
        return ChatReply(
            text,
            tool_calls=calls,
            finish_reason="tool_calls" if calls and finish == "stop" else finish,
            usage=Usage(
                calls=1,
                prompt_tokens=len(prompt.ids),
                cached_tokens=cached_tokens,
                completion_tokens=len(token_ids),
            ),
            prompt_ids=prompt.ids,
            token_ids=tuple(token_ids),
            logprobs=tuple(logprobs),
        )

    def _room(self, request: ChatRequest, used: int) -> int:
        """Return how long the reply may be; a choice is never cut off."""
        wanted, least = request.max_tokens, min(request.max_tokens, LEAST_ROOM)
        if request.choices:  # a token is at least a byte, and one ends the reply
            wanted = least = 1 + max(len(choice.encode()) for choice in request.choices)
        if not self._limit:
            return wanted
        left = self._limit - used
        if left < least:
            raise ContextLengthError(
                f"the prompt has {used:,} tokens and the reply needs {least:,} or more; the model "
                f"takes {self._limit:,} together"
            )
        return min(wanted, left)


def split_tool_calls(text: str) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    """Take well-formed ``<tool_call>`` blocks out of a text; malformed ones stay in it.

    Returns:
        The rest of the text, and the calls in OpenAI's wire form, numbered from 0.
    """
    calls: list[Mapping[str, Any]] = []

    def take(block: re.Match[str]) -> str:
        try:
            value = load_json(block[1])
        except UnreadableError:
            return block[0]
        name = value.get("name") if isinstance(value, dict) else None
        arguments = value.get("arguments", {}) if isinstance(value, dict) else None
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return block[0]
        function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
        calls.append({"id": f"call_{len(calls)}", "type": "function", "function": function})
        return ""

    rest = _BLOCK.sub(take, text)
    return (rest.strip() if calls else text), tuple(calls)


def _for_template(message: Message) -> dict[str, Any]:
    """Return a message as templates want it: the arguments of calls as objects, not JSON text."""
    plain = dict(message)
    if not plain.get("tool_calls"):
        return plain
    plain["tool_calls"] = [_for_template_call(dict(call)) for call in plain["tool_calls"]]
    return plain


def _for_template_call(call: dict[str, Any]) -> dict[str, Any]:
    function = dict(call["function"])
    if isinstance(function["arguments"], str):
        with contextlib.suppress(UnreadableError):  # what a model once wrote is shown as it was
            function["arguments"] = load_json(function["arguments"])
    return {**call, "function": function}
