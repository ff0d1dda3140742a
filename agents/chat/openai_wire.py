"""OpenAI's chat API as data: request bodies, reply bodies, and what refusals say about length.

Nothing here touches the network; see :mod:`memgym.agents.chat.openai_server` for that.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memgym.agents.chat.types import ChatReply, ChatRequest, FinishReason
from memgym.tokens import clean_text
from memgym.usage import Usage

__all__ = ["BadReplyError", "LengthFault", "length_fault", "read_reply", "request_body"]

CHOICE_TOKENS = 64
"""Tokens that a reply gets on top for the JSON around its choice, whitespace included."""

_FINISH: Mapping[str, FinishReason] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_BROKEN_OFF = ("abort", "error")


class BadReplyError(Exception):
    """A body that holds no reply.

    Attributes:
        usage: Tokens that the body says were spent, if it does.
        final: Whether asking again is no use.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.usage = Usage()
        self.final = final


def request_body(
    request: ChatRequest, model: str, *, hosted: bool, bare: bool = False
) -> dict[str, Any]:
    """Return the body of a request; fields beyond OpenAI's API are under ``extra_body``.

    Args:
        request: What is asked.
        model: Name of the model at the server.
        hosted: Whether the server is OpenAI's own, which refuses fields that it does not know and
            takes the limit as ``max_completion_tokens``. Other servers all know ``max_tokens``.
        bare: Whether a choice comes as a JSON string. Between the braces of an object, the grammars
            of vLLM and SGLang let a model write white space until it is cut off; others may take
            objects only.
    """
    messages = [dict(message) for message in request.messages]
    body: dict[str, Any] = {"model": model, **_sampling(request)}
    extra: dict[str, Any] = {}
    if request.tools:
        body |= {"tools": [dict(tool) for tool in request.tools], "tool_choice": "auto"}
    if request.choices:
        body["response_format"] = _choice_format(request.choices, bare)
    if request.template_options:
        extra["chat_template_kwargs"] = dict(request.template_options)
    if request.prefill:
        messages.append({"role": "assistant", "content": request.prefill})
        extra |= {"continue_final_message": True, "add_generation_prompt": False}
    if request.logprobs:
        body["logprobs"] = True
        if not hosted:
            extra["return_token_ids"] = True
    limit = request.max_tokens + (CHOICE_TOKENS if request.choices else 0)
    body["max_completion_tokens" if hosted else "max_tokens"] = limit
    body["messages"] = messages
    body["extra_body"] = extra or None
    cleaned: dict[str, Any] = _clean(body)
    return cleaned


def _sampling(request: ChatRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {"temperature": request.temperature}
    if request.temperature:
        # Said even when it is off: vLLM would otherwise take the value that the model recommends.
        fields["top_p"] = request.top_p
    if request.seed is not None:
        fields["seed"] = request.seed
    if request.stop:
        fields["stop"] = list(request.stop)
    return fields


def _choice_format(choices: Sequence[str], bare: bool) -> dict[str, Any]:
    text = {"type": "string", "enum": list(choices)}
    framed = {
        "type": "object",
        "properties": {"choice": text},
        "required": ["choice"],
        "additionalProperties": False,
    }
    schema = text if bare else framed
    return {
        "type": "json_schema",
        "json_schema": {"name": "choice", "strict": True, "schema": schema},
    }


def _clean(value: Any) -> Any:
    """Replace lone surrogates throughout: they have no UTF-8 form."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def read_reply(content: bytes, request: ChatRequest) -> ChatReply:
    """Return the reply that a response body holds.

    If there were choices, its text is one of them, or else whatever a server has sent that does not
    keep to them.

    Raises:
        BadReplyError: it holds none: it is cut, or of another form.
    """
    body = _decoded(content)
    usage = _usage(body.get("usage"))
    try:
        return _reply(body, usage, request)
    except BadReplyError as error:
        error.usage = usage
        raise


def _decoded(content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise BadReplyError("an empty body")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise BadReplyError(f"a body that is not JSON: {_start(content)}") from None
    if not isinstance(body, dict):
        raise BadReplyError(f"a body that is not a JSON object: {_start(content)}")
    if not (isinstance(body.get("choices"), list) and body["choices"]):
        raise BadReplyError(f"a body without choices: {_start(content)}")
    return body


def _start(content: bytes) -> str:
    return " ".join(content[:2_000].decode("utf-8", "replace").split())


def _reply(body: Mapping[str, Any], usage: Usage, request: ChatRequest) -> ChatReply:
    choice = _typed(body["choices"][0], dict, "choice")
    message = _typed(choice.get("message"), dict, "message")
    finish = _typed(choice.get("finish_reason"), str, "finish_reason")
    if finish in _BROKEN_OFF:
        raise BadReplyError(f'a reply that broke off (finish_reason "{finish}")')
    if finish == "content_filter":
        # Neither the model's words nor a fault on the way: it must not be taken for either.
        raise BadReplyError("the server's content filter withheld the reply", final=True)
    calls = tuple(_tool_call(call) for call in _optional(message, "tool_calls", list) or ())
    reasoning = (
        _optional(message, "reasoning_content", str) or _optional(message, "reasoning", str) or ""
    )
    if not ("content" in message or calls or reasoning):
        raise BadReplyError("a message without content")
    text = _optional(message, "content", str) or _optional(message, "refusal", str) or ""
    text = clean_text(_chosen(text, request.choices) if request.choices else text)
    ids, logprobs = _tokens(choice)
    return ChatReply(
        text,
        tool_calls=calls,
        finish_reason=_FINISH.get(finish, "tool_calls" if calls else "stop"),
        usage=usage,
        reasoning=clean_text(reasoning),
        prompt_ids=_ids(body.get("prompt_token_ids") or choice.get("prompt_token_ids")),
        token_ids=ids,
        logprobs=logprobs,
    )


def _chosen(text: str, choices: Sequence[str]) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = text.strip()
    chosen = found.get("choice") if isinstance(found, dict) else found
    return str(chosen) if chosen in choices else text


def _tool_call(call: Any) -> dict[str, Any]:
    function = _typed(_typed(call, dict, "tool call").get("function"), dict, "function")
    name = _typed(function.get("name"), str, "function name")
    arguments = function.get("arguments", "")
    if not isinstance(arguments, str | dict):
        raise BadReplyError("a tool call whose arguments are neither text nor an object")
    cleaned = {"name": clean_text(name), "arguments": _clean(arguments)}
    return {"id": str(call.get("id") or ""), "type": "function", "function": cleaned}


def _tokens(choice: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return ids and log-probabilities of the reply's tokens, as far as the server tells them."""
    told = _optional(choice, "logprobs", dict) or {}
    entries = _optional(told, "content", list) or []
    values = [_typed(_typed(e, dict, "logprob").get("logprob"), float, "logprob") for e in entries]
    return _ids(choice.get("token_ids")), tuple(float(value) for value in values)


def _ids(value: Any) -> tuple[int, ...]:
    ids = () if value is None else _typed(value, list, "token ids")
    return tuple(_typed(token, int, "token id") for token in ids)


def _usage(value: Any) -> Usage:
    """Return the counts of a reply; a server that tells none counts as none."""
    told = value if isinstance(value, dict) else {}
    details = told.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(
        prompt_tokens=_count(told.get("prompt_tokens")),
        cached_tokens=_count(cached),
        completion_tokens=_count(told.get("completion_tokens")),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _optional(mapping: Mapping[str, Any], name: str, kind: type) -> Any:
    value = mapping.get(name)
    return None if value is None else _typed(value, kind, name)


def _typed(value: Any, kind: type, name: str) -> Any:
    kinds = (int, float) if kind is float else (kind,)
    if isinstance(value, bool) or not isinstance(value, kinds):
        got = "no" if value is None else f"a {type(value).__name__} as"
        raise BadReplyError(f"a reply with {got} {name}")
    return value


@dataclass(frozen=True, slots=True)
class LengthFault:
    """What a server has said when prompt and reply did not fit.

    Attributes:
        message: Its words.
        window: Tokens that fit the model, prompt and reply together; 0 if it was not said.
        prompt: Tokens of the prompt; 0 if it was not said.
        hopeless: Whether the prompt alone is too long.
    """

    message: str
    window: int = 0
    prompt: int = 0
    hopeless: bool = False


# The words of vLLM, SGLang, TGI, llama.cpp, OpenAI and of hosts that pass them on.
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|string_above_max_length|prompt_too_long"
    r"|maximum context|(model'?s|the) context (length|window|size)|available context size"
    r"|max_model_len|maximum model length|input validation error: `inputs`|prompt is too long"
    r"|reduce the length of the (messages|input|prompt)|maximum allowed input length",
    re.IGNORECASE,
)
_WINDOW = re.compile(
    r"(?:context (?:length|window|size)|max_model_len|model length|allowed input length)"
    r"(?: is| of|=| =|:)?[ (]*(\d+)|must be <= (\d+)",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"prompt contains (?P<least>at least )?(?P<a>\d+) input tokens"
    r"|(?P<b>\d+) (?:tokens )?(?:from|in) (?:the input|the|your) (?:messages|prompt)"
    r"|\bthe input \((?P<c>\d+) tokens|resulted in (?P<d>\d+) tokens"
    r"|prompt \(length (?P<e>\d+)|input length \(?(?P<f>\d+)|request \((?P<g>\d+) tokens"
    r"|given: (?P<h>\d+) `inputs`",
    re.IGNORECASE,
)


def length_fault(status: int, code: str, message: str) -> LengthFault | None:
    """Return what a refusal says about length, ``None`` if it is about something else.

    Args:
        status: HTTP status.
        code: The server's own error code, e.g. ``context_length_exceeded``.
        message: Its words.
    """
    if status == 413:
        return LengthFault(message, hopeless=True)
    if status not in (400, 422) or not _TOO_LONG.search(f"{code} {message}"):
        return None
    window = int(found[1] or found[2]) if (found := _WINDOW.search(message)) else 0
    stated = _PROMPT.search(message)
    prompt = next(int(n) for n in stated.group(*"abcdefgh") if n) if stated else 0
    too_long = bool(window and prompt >= window) or "characters" in message
    if stated and stated["least"]:
        prompt = 0  # vLLM stops counting where the reply would begin
    return LengthFault(message, window, prompt, too_long)
