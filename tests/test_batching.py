"""Requests of many threads through one engine: nobody waits for nothing, nobody is lost."""

import threading
from collections.abc import Callable

import pytest

from memgym.agents.chat import ChatError, ChatReply, ChatRequest, ContextLengthError, ServerError
from memgym.agents.chat.batching import Batcher
from memgym.usage import Usage

Result = ChatReply | ChatError


class Echo:
    """An engine that writes one letter of the request's text per step."""

    def __init__(self, before_step: Callable[["Echo"], None] = lambda engine: None) -> None:
        self.running: dict[int, tuple[str, int]] = {}
        self.most = 0
        self.steps = 0
        self.dropped = 0
        self.closed = 0
        self.before_step = before_step

    def start(self, number: int, request: ChatRequest) -> None:
        text = request.messages[0]["content"]
        if text == "long":
            raise ContextLengthError("too long")
        if text == "odd":
            raise KeyError("odd")
        self.running[number] = text, 0
        self.most = max(self.most, len(self.running))

    def step(self) -> list[tuple[int, Result]]:
        self.steps += 1
        self.before_step(self)
        self.running = {n: (text, done + 1) for n, (text, done) in self.running.items()}
        ended = [n for n, (text, done) in self.running.items() if done >= len(text)]
        return [(n, _reply(self.running.pop(n)[0])) for n in ended]

    def drop(self) -> None:
        self.dropped += 1
        self.running.clear()

    def close(self) -> None:
        self.closed += 1


def _reply(text: str) -> ChatReply:
    return ChatReply(text.upper(), usage=Usage(calls=1, completion_tokens=len(text)))


def _request(text: str) -> ChatRequest:
    return ChatRequest(({"role": "user", "content": text},))


def _text(result: Result) -> str:
    assert isinstance(result, ChatReply), result
    return result.text


def test_replies_come_back_in_order_whatever_ends_first() -> None:
    batcher = Batcher(Echo(), 8)
    results = batcher.generate([_request(text) for text in ("abcd", "a", "abc")])
    assert [_text(result) for result in results] == ["ABCD", "A", "ABC"]
    assert all(result.usage.seconds > 0 for result in results)
    assert results[0].usage.completion_tokens == 4
    assert batcher.generate([]) == []
    batcher.close()


def test_only_so_many_run_at_a_time_and_a_free_place_is_filled_at_once() -> None:
    engine = Echo()
    batcher = Batcher(engine, 2)
    results = batcher.generate([_request(text) for text in ("aaaa", "b", "c", "d", "e")])
    assert [_text(result) for result in results] == ["AAAA", "B", "C", "D", "E"]
    # Batches that wait for their slowest member would need 4 + 1 + 1 steps.
    assert (engine.most, engine.steps) == (2, 4)
    batcher.close()


def test_a_request_that_comes_later_joins_what_runs() -> None:
    joined = threading.Event()

    def wait(engine: Echo) -> None:
        if engine.steps == 1:
            running.set()
            assert joined.wait(10)

    running = threading.Event()
    engine = Echo(wait)
    batcher = Batcher(engine, 4)
    results: list[str] = []
    first = threading.Thread(
        target=lambda: results.append(_text(batcher.generate([_request("abcdefgh")])[0]))
    )
    first.start()
    assert running.wait(10)
    second = threading.Thread(
        target=lambda: results.append(_text(batcher.generate([_request("b")])[0]))
    )
    second.start()
    while batcher._waiting.empty():
        pass
    joined.set()
    first.join(10)
    second.join(10)
    assert sorted(results) == ["ABCDEFGH", "B"]
    assert (engine.most, engine.steps) == (2, 8)
    batcher.close()


def test_a_refused_request_fails_alone() -> None:
    batcher = Batcher(Echo(), 8)
    good, long, odd, last = batcher.generate(
        [_request(text) for text in ("good", "long", "odd", "last")]
    )
    assert [_text(good), _text(last)] == ["GOOD", "LAST"]
    assert isinstance(long, ContextLengthError)
    assert isinstance(odd, ServerError)
    assert "KeyError" in str(odd)
    assert (long.usage.failures, odd.usage.failures) == (1, 1)
    batcher.close()


def test_a_failing_step_fails_what_runs_and_nothing_later() -> None:
    def fail_once(engine: Echo) -> None:
        if engine.steps == 2:
            raise RuntimeError("out of memory\nand more that nobody needs")

    engine = Echo(fail_once)
    batcher = Batcher(engine, 8)
    results = batcher.generate([_request("a"), _request("abc"), _request("abcd")])
    assert _text(results[0]) == "A"
    assert [str(result) for result in results[1:]] == [
        "the model failed: RuntimeError: out of memory"
    ] * 2
    assert results[1] is not results[2]
    assert engine.dropped == 1
    assert _text(batcher.generate([_request("again")])[0]) == "AGAIN"
    batcher.close()


def test_closing_fails_what_is_under_way_and_what_comes_later() -> None:
    started, go_on = threading.Event(), threading.Event()

    def wait(engine: Echo) -> None:
        started.set()
        assert go_on.wait(10)

    engine = Echo(wait)
    batcher = Batcher(engine, 1)
    results: list[Result] = []
    thread = threading.Thread(
        target=lambda: results.extend(batcher.generate([_request("abc"), _request("waits")]))
    )
    thread.start()
    assert started.wait(10)
    closer = threading.Thread(target=batcher.close)
    closer.start()
    while not batcher._closed:
        pass
    go_on.set()
    closer.join(10)
    thread.join(10)
    later = batcher.generate([_request("later")])
    assert [str(result) for result in [*results, *later]] == ["the model is closed"] * 3
    assert engine.closed == 1
    batcher.close()
    assert engine.closed == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_dies_leaves_nobody_waiting() -> None:
    def die(engine: Echo) -> None:
        raise SystemExit

    batcher = Batcher(Echo(die), 1)
    results = batcher.generate([_request("abc"), _request("waits")])
    assert [str(result) for result in results] == ["the model is closed"] * 2
    batcher.close()
