"""What the backend for OpenAI-compatible servers does about prompts and replies that do not fit."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from memgym.agents.chat import (
    ChatReply,
    ContextLengthError,
)
from memgym.agents.chat.openai_wire import length_fault
from tests.chat_server import ChatServer, RawAnswer
from tests.openai_calls import ask, asking, quick_and_without_key

__all__ = ["quick_and_without_key"]


def test_a_prompt_that_does_not_fit_is_a_fault_of_its_own() -> None:
    with ChatServer(max_model_len=50) as server:
        error = ask(server.base_url, asking("w " * 60))
    assert isinstance(error, ContextLengthError)
    assert error.usage.failures == 1
    assert len(server.bodies) == 1


@pytest.mark.parametrize("shorten", [False, True])
def test_a_reply_gets_the_room_that_is_left_or_is_refused(shorten: bool) -> None:
    with ChatServer(lambda _: "r " * 500, max_model_len=200, shorten=shorten) as server:
        fits, tight = asking("w " * 99), asking("w " * 149)
        reply, error = (ask(server.base_url, r) for r in (fits, tight))
        small = ask(server.base_url, asking("w " * 149, max_tokens=30))
    assert isinstance(reply, ChatReply)
    assert 64 <= reply.usage.completion_tokens <= 100
    assert reply.finish_reason == "length"
    assert isinstance(error, ContextLengthError)
    assert small.usage.completion_tokens == 30


def test_a_server_that_does_not_count_the_prompt_is_asked_for_one_token() -> None:
    refusal = (
        "This model's maximum context length is 200 tokens. However, you requested 1024 output "
        "tokens and your prompt contains at least 1 input tokens, for a total of at least 1025."
    )

    def reply(body: Mapping[str, Any]) -> Any:
        return RawAnswer.error(400, refusal) if body["max_tokens"] > 150 else "r " * 500

    with ChatServer(reply) as server:
        found = ask(server.base_url, asking("w " * 99))
    assert [body["max_tokens"] for body in server.bodies] == [1_024, 1, 99]
    assert found.usage.completion_tokens == 1 + 99
    assert found.usage.retries == 2


def test_the_window_is_looked_up_where_the_refusal_does_not_tell_it() -> None:
    body = {"error": {"message": "too long", "code": "context_length_exceeded"}}
    refusal = RawAnswer(400, json.dumps(body).encode())

    def reply(body: Mapping[str, Any]) -> Any:
        return refusal if body["max_tokens"] > 150 else "r " * 500

    with ChatServer(reply, max_model_len=200, shorten=True) as server:
        assert ask(server.base_url, asking("w " * 99)).usage.completion_tokens == 1 + 99
    with ChatServer(lambda _: refusal) as server:
        assert isinstance(ask(server.base_url), ContextLengthError)


VLLM = "This model's maximum context length is 1024 tokens. However, "


@pytest.mark.parametrize(
    ("message", "window", "prompt", "hopeless"),
    [
        (
            VLLM + "your prompt contains at least 1025 input tokens, which exceeds this limit.",
            1024, 0, True,
        ),
        (
            VLLM + "your prompt contains 90000 characters (more than 8192 characters, which is "
            "the upper bound for 1024 input tokens). Please reduce the length of the input prompt.",
            1024, 0, True,
        ),
        (
            VLLM + "you requested 512 output tokens and your prompt contains 600 input tokens",
            1024, 600, False,
        ),
        (
            VLLM + "you requested 512 output tokens and your prompt contains at least 513 input "
            "tokens, for a total of at least 1025 tokens.",
            1024, 0, False,
        ),
        (
            VLLM + "you requested 1200 tokens (700 in the messages, 500 in the completion).",
            1024, 700, False,
        ),
        (VLLM + "your messages resulted in 1300 tokens.", 1024, 1300, True),
        (
            "max_tokens=2048 cannot be greater than max_model_len=1024. Please request fewer "
            "output tokens.",
            1024, 0, False,
        ),
        (
            "The decoder prompt (length 1024) plus the number of requested output tokens (at least "
            "1) is longer than the maximum model length of 1024.",
            1024, 1024, True,
        ),
        ("Input length (2000) exceeds model's maximum context length (1024).", 1024, 2000, True),
        (
            "The input (1300 tokens) is longer than the model's context length (1024 tokens).",
            1024, 1300, True,
        ),
        (
            "Requested token count exceeds the model's maximum context length of 1024 tokens. You "
            "requested a total of 1112 tokens: 600 tokens from the input messages and 512 tokens "
            "for the completion.",
            1024, 600, False,
        ),
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 1024. Given: "
            "900 `inputs` tokens and 500 `max_new_tokens`",
            1024, 900, False,
        ),
        (
            "request (5000 tokens) exceeds the available context size (1024 tokens), try "
            "increasing it",
            1024, 5000, True,
        ),
    ],
)  # fmt: skip
def test_the_words_of_servers_about_length(
    message: str, window: int, prompt: int, hopeless: bool
) -> None:
    fault = length_fault(400, "", message)
    assert fault is not None
    assert (fault.window, fault.prompt, fault.hopeless) == (window, prompt, hopeless)
    assert length_fault(500, "", message) is None


def test_other_refusals_are_not_about_length() -> None:
    assert length_fault(400, "", "The model `x` does not exist.") is None
    assert length_fault(400, "", "Unsupported parameter: 'max_tokens'.") is None
    assert length_fault(413, "", "") is not None
    assert length_fault(400, "context_length_exceeded", "") is not None
