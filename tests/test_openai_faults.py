"""What the backend for OpenAI-compatible servers makes of faults on the way and refusals."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memgym.agents.chat import (
    ChatError,
    ChatReply,
    ChatRequest,
    RefusedError,
    ServerError,
    openai_server,
)
from tests.chat_server import ChatServer, LocalServer, QuietHandler, RawAnswer
from tests.fault_proxy import FAULTS, GARBAGE, FaultProxy
from tests.openai_calls import ask, asking, in_turn, opened, quick_and_without_key

__all__ = ["quick_and_without_key"]


def test_faults_on_the_way_are_asked_again_and_counted() -> None:
    statuses = [RawAnswer.error(status, "trouble") for status in (408, 409, 429, 500, 502, 503)]
    bodies = [RawAnswer(200, body) for body in GARBAGE]
    plan: list[Any] = []
    server = ChatServer(lambda _: plan.pop(0))
    with server, opened(server.base_url, max_retries=2) as backend:
        for answer in statuses + bodies:
            plan[:] = [answer, answer, "fine"]
            [reply] = backend.generate([asking()])
            assert isinstance(reply, ChatReply), answer
            assert (reply.text, reply.usage.retries, reply.usage.failures) == ("fine", 2, 0)
            plan[:] = [answer] * 3
            [error] = backend.generate([asking()])
            assert isinstance(error, ServerError), answer
            assert (error.usage.retries, error.usage.failures, error.usage.calls) == (2, 1, 0)
            assert "gave up after 3 tries" in str(error)
            assert "\n" not in str(error)
            assert not plan


def test_a_server_that_is_not_there_and_one_that_is_too_slow() -> None:
    with ChatServer() as server:
        gone = server.base_url
    error = ask(gone, max_retries=1)
    assert isinstance(error, ServerError)
    assert gone in str(error)
    assert "connection failed" in str(error)
    with ChatServer(seconds=30) as server:
        error = ask(server.base_url, max_retries=1, timeout_seconds=0.1)
    assert isinstance(error, ServerError)
    assert "no reply within 0.1 seconds" in str(error)
    assert error.usage.retries == 1
    assert error.usage.seconds > 0.2


class Dripping(QuietHandler):
    """Sends a byte now and then, and never all that it has promised."""

    def do_POST(self) -> None:  # noqa: N802
        self.read_body()
        self.answer(200, b"{", {"Content-Length": "1000"})
        while not self.server.closing.wait(0.02):  # type: ignore[attr-defined]
            self.wfile.write(b" ")
            self.wfile.flush()


def test_the_limit_is_on_the_whole_request() -> None:
    with LocalServer(Dripping) as server:
        error = ask(f"{server.url}/v1", max_retries=0, timeout_seconds=0.3)
    assert "no reply within 0.3 seconds" in str(error)


def waits(monkeypatch: pytest.MonkeyPatch, *answers: RawAnswer) -> list[float]:
    """Return how long the backend waits after each answer, without waiting."""
    seen: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        seen.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    with ChatServer(in_turn(*answers, "fine")) as server:
        assert ask(server.base_url).text == "fine"
    return [seconds for seconds in seen if seconds]


def test_the_server_may_say_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        RawAnswer.error(429, "busy", Retry_After="7"),
        RawAnswer.error(503, "busy", Retry_After="2.5"),
        RawAnswer.error(429, "busy", Retry_After_ms="40"),
        RawAnswer.error(429, "busy", Retry_After="100000"),
    ]
    assert waits(monkeypatch, *told) == [7.0, 2.5, 0.04, 120.0]


def test_waits_double_up_to_a_limit_and_are_the_same_every_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_server, "BACKOFF_SECONDS", 1.0)
    monkeypatch.setattr(openai_server, "LONGEST_BACKOFF_SECONDS", 4.0)
    answers = [RawAnswer.error(429, "busy", Retry_After="soon")] * 6
    found = waits(monkeypatch, *answers)
    assert found == waits(monkeypatch, *answers)
    assert len(set(found)) == 6
    for longest, seconds in zip([1, 2, 4, 4, 4, 4], found, strict=True):
        assert longest / 2 <= seconds <= longest


def test_a_refusal_is_final_and_tells_why() -> None:
    told = {400: "temperature must not be negative", 401: "no", 403: "never", 501: "no such"}
    server = ChatServer(
        lambda body: RawAnswer.error(body["seed"], told[body["seed"]])  # the seed is the status
    )
    with server, opened(server.base_url) as backend:
        errors = backend.generate([asking(seed=status) for status in told])
    for (status, reason), error in zip(told.items(), errors, strict=True):
        assert isinstance(error, ServerError)
        assert f"{status} {reason}" in str(error)
        asked_about = int(status == 400)
        assert (error.usage.failures, error.usage.retries) == (1, asked_about)
        assert ("OPENAI_API_KEY, which is not set" in str(error)) == (status in (401, 403))
    assert len(server.bodies) == 5


def test_a_refusal_of_what_is_said_is_told_from_that_of_the_whole_kind() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    said = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "a bad word"})
    request = ChatRequest(said, tools=(tool,), choices=("no", "yes"), prefill="Well,", seed=7)

    def strict(body: dict[str, Any]) -> Any:
        bad = "bad word" in json.dumps(body["messages"])
        return RawAnswer.error(422, "flagged as harmful") if bad else '"no"'

    with ChatServer(strict) as server:
        refused = ask(server.base_url, request)
    assert isinstance(refused, RefusedError)
    assert "422 flagged as harmful" in str(refused)
    assert (refused.usage.calls, refused.usage.failures, refused.usage.retries) == (0, 1, 1)
    first, second = server.bodies
    assert [message["content"] for message in second.pop("messages")] == [*["Hello."] * 2, "Well,"]
    assert [message["role"] for message in first.pop("messages")] == ["system", "user", "assistant"]
    assert first == second, "the same kind of request"
    with ChatServer(lambda _: RawAnswer.error(400, "no tool parser")) as server:
        refused = ask(server.base_url, request)
    assert isinstance(refused, ServerError)
    assert "needs a server with a tool parser" in str(refused)


def test_an_unknown_model_is_answered_with_those_that_there_are() -> None:
    reply = RawAnswer.error(404, "The model `tiny` does not exist.")
    with ChatServer(lambda _: reply, model="tiny-2") as server:
        error = ask(server.base_url)
        wrong_path = ask(server.url)
    assert 'did you mean "tiny-2"?' in str(error)
    assert "base_url, which mostly ends in /v1" in str(wrong_path)


def test_used_up_credit_is_not_asked_again() -> None:
    body = {"error": {"message": "no credit left", "code": "insufficient_quota"}}
    with ChatServer(lambda _: RawAnswer(429, json.dumps(body).encode())) as server:
        error = ask(server.base_url)
    assert "no credit left" in str(error)
    assert len(server.bodies) == 1


def timeless(reply: ChatReply | ChatError) -> tuple[Any, ...]:
    if isinstance(reply, ChatError):
        return (type(reply), str(reply))
    counted = reply.usage
    return reply.text, counted.prompt_tokens, counted.completion_tokens, reply.finish_reason


def test_a_fifth_of_the_requests_spoilt_changes_no_reply() -> None:
    requests = [asking(f"question {n} about {n * n}") for n in range(200)]

    def everything(url: str) -> list[ChatReply | ChatError]:
        with opened(url, timeout_seconds=0.7) as backend, ThreadPoolExecutor(8) as threads:
            return [r for [r] in threads.map(lambda r: backend.generate([r]), requests)]

    with ChatServer() as server, FaultProxy(server.url, 0.2, 3, slow_seconds=1.4) as proxy:
        undisturbed = everything(server.base_url)
        disturbed = everything(proxy.base_url)
    assert list(map(timeless, disturbed)) == list(map(timeless, undisturbed))
    assert sorted(proxy.done) == sorted(FAULTS)
    assert proxy.passed >= 200
    retries = sum(reply.usage.retries for reply in disturbed)
    assert retries >= sum(proxy.done.values()) > 20


def test_a_spoilt_list_of_models_changes_no_request() -> None:
    request = asking(choices=("no", "yes"))
    with ChatServer() as server:
        for seed in range(6):
            with FaultProxy(server.url, 0.6, seed, kinds=["garbage", "server_error"]) as proxy:
                assert ask(proxy.base_url, request, max_retries=40).text == "no"
    formats = [body["response_format"]["json_schema"]["schema"]["type"] for body in server.bodies]
    assert formats == ["string"] * 6


class Waking(ChatServer):
    """Cannot list its models the first time."""

    def models(self) -> RawAnswer:
        return super().models() if self.bodies else RawAnswer.error(500, "not yet")


def test_a_list_of_models_that_is_not_there_yet_is_asked_for_again() -> None:
    with Waking() as server, opened(server.base_url, max_retries=0) as backend:
        for _ in range(2):
            backend.generate([asking(choices=("no", "yes"))])
    formats = [body["response_format"]["json_schema"]["schema"]["type"] for body in server.bodies]
    assert formats == ["object", "string"]
