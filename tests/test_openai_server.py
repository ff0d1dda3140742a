"""The backend for OpenAI-compatible servers: what is asked, what is told, keys and closing."""

import base64
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memgym.agents.chat import (
    ChatError,
    ChatReply,
    ModelSettings,
    RefusedError,
    ServerError,
)
from memgym.agents.chat.openai_server import OpenAIServer
from memgym.agents.chat.openai_wire import request_body
from memgym.agents.chat.server_address import ServerAddress
from memgym.errors import UsageError
from memgym.usage import Usage
from tests.chat_server import ChatServer, RawAnswer
from tests.openai_calls import ask, asking, opened, quick_and_without_key

__all__ = ["quick_and_without_key"]

KEY = "sk-test/0123+secret"


def test_replies_come_in_the_order_of_the_requests_with_their_usage() -> None:
    server = ChatServer(lambda body: body["messages"][0]["content"].upper())
    with server, opened(server.base_url) as backend:
        replies = backend.generate([asking(f"number {n} is here") for n in range(20)])
    assert [r.text for r in replies if isinstance(r, ChatReply)] == [
        f"NUMBER {n} IS HERE" for n in range(20)
    ]
    first = replies[0]
    assert isinstance(first, ChatReply)
    assert first.usage.seconds > 0
    assert first.usage - Usage(seconds=first.usage.seconds) == Usage(
        calls=1, prompt_tokens=5, completion_tokens=4
    )


def test_tokens_from_the_prefix_cache_are_counted() -> None:
    long = " ".join(f"w{n}" for n in range(40))
    with ChatServer() as server, opened(server.base_url) as backend:
        found = [backend.generate([asking(text)])[0] for text in (long, long + " more", "other")]
    assert [r.usage.cached_tokens for r in found] == [0, 32, 0]


def test_every_field_of_a_request_travels() -> None:
    tool = {"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}
    request = asking(
        max_tokens=7, temperature=0.5, top_p=0.9, seed=3, stop=("END",), tools=(tool,),
        prefill="So", logprobs=True, template_options={"enable_thinking": False},
    )  # fmt: skip
    with ChatServer(lambda _: "a b END c") as server:
        reply = ask(server.base_url, request)
    assert server.bodies == [
        {
            "model": "tiny",
            "messages": [
                {"role": "user", "content": "hello there"},
                {"role": "assistant", "content": "So"},
            ],
            "max_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
            "stop": ["END"],
            "tools": [tool],
            "tool_choice": "auto",
            "logprobs": True,
            "return_token_ids": True,
            "chat_template_kwargs": {"enable_thinking": False},
            "continue_final_message": True,
            "add_generation_prompt": False,
        }
    ]
    assert reply.text == "a b "
    assert reply.token_ids == (1, 1)
    assert reply.logprobs == (-0.5, -0.5)
    assert len(reply.prompt_ids) == reply.usage.prompt_tokens


def test_a_plain_request_has_no_field_that_a_strict_server_would_refuse() -> None:
    with ChatServer() as server:
        ask(server.base_url)
    [body] = server.bodies
    assert sorted(body) == ["max_tokens", "messages", "model", "temperature"]
    hosted = request_body(asking(logprobs=True), "tiny", hosted=True)
    assert hosted["extra_body"] is None
    assert hosted["max_completion_tokens"] == 1_024
    assert "max_tokens" not in hosted


def test_only_the_hosts_of_openai_count_as_hosted(monkeypatch: pytest.MonkeyPatch) -> None:
    def hosted(url: str) -> bool:
        return ServerAddress(ModelSettings("m", base_url=url)).hosted

    assert not hosted("http://localhost:8000/v1")
    assert hosted("https://api.openai.com/v1")
    assert hosted("https://mine.openai.azure.com/openai/v1/")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert hosted("")


@pytest.mark.parametrize(("owner", "bare"), [("vllm", True), ("sglang", True), ("other", False)])
def test_a_choice_is_constrained_and_taken_out_of_its_json(owner: str, bare: bool) -> None:
    with ChatServer(owner=owner) as server:
        reply = ask(server.base_url, asking(choices=('"no" é', "yes"), max_tokens=4))
    assert reply.text == '"no" é'
    [body] = server.bodies
    schema = body["response_format"]["json_schema"]["schema"]
    text = {"type": "string", "enum": ['"no" é', "yes"]}
    assert (schema == text) is bare
    assert (schema.get("properties") == {"choice": text}) is not bare
    assert body["max_tokens"] > 16  # the JSON around the choice needs room


def test_what_is_none_of_the_choices_is_asked_for_once_more() -> None:
    plan: list[str] = []
    server = ChatServer(lambda _: plan.pop(0))
    request = asking(choices=("no", "yes"))
    useless = ("yes!", '{"choice": "yes, no"}', '{"choice": ["yes"]}', '"Yes"', "{", "", "null")
    with server, opened(server.base_url, max_retries=8) as backend:
        for reply in useless:
            plan[:] = [reply, '"yes"']
            [good] = backend.generate([request])
            assert isinstance(good, ChatReply)
            assert (good.text, good.usage.retries) == ("yes", 1)
            assert good.usage.prompt_tokens == 2 * 3, "tokens of the useless reply count as well"
            plan[:] = [reply, reply]
            [bad] = backend.generate([request])
            assert isinstance(bad, ChatReply)
            assert (bad.text, bad.usage.retries, plan) == (reply, 1, [])
        plan[:] = [" yes\n"]
        [plain] = backend.generate([request])
        assert isinstance(plain, ChatReply)
        assert plain.text == "yes"


def test_native_tool_calls_and_reasoning_are_told_apart_from_the_text() -> None:
    function = {"name": "note", "arguments": '{"a": 1}'}
    message = {
        "content": None,
        "reasoning_content": "let me see",
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }
    with ChatServer(lambda _: message) as server:
        reply = ask(server.base_url)
    assert reply.text == ""
    assert reply.reasoning == "let me see"
    assert reply.finish_reason == "tool_calls"
    assert reply.tool_calls == ({"id": "c1", "type": "function", "function": function},)


def test_text_with_lone_surrogates_and_nuls_travels_both_ways() -> None:
    with ChatServer(lambda body: body["messages"][0]["content"] + " \ud83d") as server:
        reply = ask(server.base_url, asking("a\x00b \udc00 é"))
    assert reply.text == "a\x00b \ufffd é \ufffd"


def completion(**choice: Any) -> RawAnswer:
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop", **choice}]}
    return RawAnswer(200, json.dumps(body).encode())


def test_finish_reasons() -> None:
    told = {"stop": "stop", "length": "length", "eos": "stop", "content_filter": "none"}
    reasons = list(told)
    server = ChatServer(lambda body: completion(finish_reason=reasons[body["seed"]]))
    with server, opened(server.base_url) as backend:
        *replies, withheld = backend.generate([asking(seed=n) for n in range(4)])
    for meant, reply in zip(told.values(), replies, strict=False):
        assert isinstance(reply, ChatReply)
        assert reply.finish_reason == meant
    assert isinstance(withheld, RefusedError)
    assert str(withheld) == "the server's content filter withheld the reply"
    assert len(server.bodies) == 4


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    batches = [[asking(f"{a} {b}") for b in range(6)] for a in range(4)]
    with (
        ChatServer(seconds=0.01) as server,
        opened(server.base_url, concurrency=3) as backend,
        ThreadPoolExecutor(4) as threads,
    ):
        results = list(threads.map(backend.generate, batches))
    assert [len(batch) for batch in results] == [6] * 4
    assert all(isinstance(reply, ChatReply) for batch in results for reply in batch)
    assert server.most_at_once == 3


def test_one_request_never_fails_another() -> None:
    def reply(body: Mapping[str, Any]) -> Any:
        text = body["messages"][0]["content"]
        return RawAnswer.error(400, "no") if text == "bad" else text

    with ChatServer(reply) as server, opened(server.base_url) as backend:
        first, second, third = backend.generate([asking("a"), asking("bad"), asking("c")])
    assert isinstance(first, ChatReply)
    assert isinstance(second, RefusedError)
    assert isinstance(third, ChatReply)
    assert (first.text, third.text) == ("a", "c")


def test_the_key_is_sent_and_nowhere_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    sent: list[str] = []

    def echo(body: Mapping[str, Any]) -> RawAnswer:
        header = server.headers[-1]["authorization"]
        sent.append(header)
        status, kind, padding = body["messages"][0]["content"].split()
        text = f"{header} {json.dumps(header)} {header!r}" if padding == "0" else header
        text = "x" * int(padding) + text
        if kind == "json":
            return RawAnswer.error(int(status), text)
        return RawAnswer(int(status), text.encode())

    asked = [
        f"{status} {kind} {padding}"  # with the padding, messages are cut within the key
        for status in (200, 400, 401, 404, 413, 429, 500)
        for kind in ("json", "raw")
        for padding in (0, 440, 475)
    ]
    server = ChatServer(echo)
    with server, opened(server.base_url, key_variable="MY_KEY", max_retries=1) as backend:
        shown = repr(backend) + str(vars(backend)) + repr(backend._settings)
        results = backend.generate([asking(text) for text in asked])
    assert set(sent) == {f"Bearer {KEY}"}
    assert all(isinstance(result, ChatError) for result in results)
    for result in results:
        shown += f"{result} {result!r} {vars(result)}"
        assert isinstance(result, ChatError)
        assert result.__cause__ is None
        assert result.__context__ is None
    assert "[key]" in shown
    for secret in (KEY, "0123+secret", base64.b64encode(KEY.encode()).decode(), "sk-test"):
        assert secret not in shown
        assert secret not in caplog.text


def test_credentials_in_the_address_are_not_shown() -> None:
    with ChatServer(lambda _: RawAnswer.error(400, "no")) as server:
        url = server.base_url.replace("//", "//me:hush-hush@")
        error = ask(url)
    assert server.base_url in str(error)
    assert "hush-hush" not in str(error)


def test_without_a_server_there_must_be_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="OTHER_KEY") as caught:
        OpenAIServer(ModelSettings("tiny", key_variable="OTHER_KEY"))
    assert "base_url" in str(caught.value)
    monkeypatch.setenv("OTHER_KEY", "sk-ünicode")
    with pytest.raises(UsageError, match="characters") as caught:
        OpenAIServer(ModelSettings("tiny", key_variable="OTHER_KEY"))
    assert "ünicode" not in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host/v1", "http://", "http://h:x/v1"])
def test_an_address_must_be_one(url: str) -> None:
    with pytest.raises(UsageError, match="base_url"):
        OpenAIServer(ModelSettings("tiny", base_url=url))


def test_a_closed_backend_says_so_and_closing_twice_is_harmless() -> None:
    with ChatServer() as server:
        backend = OpenAIServer(ModelSettings("tiny", base_url=server.base_url))
        backend.generate([asking()])
        backend.close()
        backend.close()
        [error] = backend.generate([asking()])
    assert isinstance(error, ServerError)
    assert "closed" in str(error)


def test_closing_frees_those_who_wait() -> None:
    others = set(threading.enumerate())  # of tests before, which may have left a backend open
    with ChatServer(seconds=30) as server:
        backend = OpenAIServer(ModelSettings("tiny", base_url=server.base_url))
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(backend.generate, [asking(), asking()])
            while len(server.bodies) < 2:
                time.sleep(0.005)
            backend.close()
            results = waiting.result()
    assert [type(result) for result in results] == [ServerError, ServerError]
    left = set(threading.enumerate()) - others
    assert not [thread for thread in left if thread.name == "memgym-openai"]


SCRIPT = """
import sys
from memgym.agents.chat import ChatRequest, ModelSettings, open_backend
from memgym.agents.chat.openai_server import OpenAIServer
settings = ModelSettings("tiny", base_url=sys.argv[1])
for backend in (open_backend(settings), OpenAIServer(settings)):  # the second is never closed
    print(backend.generate([ChatRequest(({"role": "user", "content": "bye"},))])[0].text)
"""


def test_the_interpreter_ends_quietly() -> None:
    with ChatServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, server.base_url],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "bye\nbye\n", "")
