"""A line to a model: what it fills in, counts, keeps on disk and finds there, and when it stops."""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import (
    Chat,
    ChatError,
    ChatReply,
    ChatRequest,
    ContextLengthError,
    ModelSettings,
    RefusedError,
    ReplyStore,
    RunMeter,
    ServerError,
    StoppedError,
    close_backends,
)
from memgym.agents.chat.store import default_cache_folder
from memgym.errors import UsageError
from memgym.usage import Usage
from tests.chat_server import ChatServer
from tests.scripted import ScriptedBackend, scripted_chat

HELLO = [{"role": "user", "content": "hello there"}]


def echo(request: ChatRequest) -> str:
    return str(request.messages[-1]["content"]).upper()


def test_settings_fill_in_what_a_request_leaves_open() -> None:
    chat, backend = scripted_chat(
        echo,
        temperature=0.5,
        top_p=0.9,
        max_tokens=100,
        template_options={"enable_thinking": False},
    )
    chat.ask(HELLO, max_tokens=5_000, stop=("x",))
    [request] = backend.requests
    assert (request.temperature, request.top_p, request.max_tokens) == (0.5, 0.9, 100)
    assert request.template_options == {"enable_thinking": False}
    assert request.stop == ("x",)
    chat.ask(HELLO, max_tokens=7)
    assert backend.requests[1].max_tokens == 7


def test_sampling_seeds_depend_on_episode_and_call_only() -> None:
    def seeds(seed: int = 0, **settings: Any) -> list[int | None]:
        chat, backend = scripted_chat(echo, seed=seed, **settings)
        for episode in ("a", "b"):
            chat.begin(episode, 0)
            chat.ask(HELLO)
            chat.ask(HELLO)
        return [request.seed for request in backend.requests]

    first = seeds(temperature=1.0)
    assert len(set(first)) == 4
    assert seeds(temperature=1.0) == first
    assert seeds(seed=1, temperature=1.0) != first
    assert seeds() == [None] * 4


def test_a_batch_asks_and_draws_like_the_same_calls_one_by_one(tmp_path: Path) -> None:
    """However long before the requests were made, and whatever was asked meanwhile."""
    asked = []
    for batched in (True, False):
        chat, backend = scripted_chat(echo, temperature=1.0)
        chat.begin("e", 0)
        requests = [chat.request(HELLO) for _ in range(3)]
        if batched:
            chat.ask(HELLO)
            chat.generate(requests)
        else:
            for request in [*requests, chat.request(HELLO)]:
                chat.generate([request])
        asked.append([request.seed for request in backend.requests])
    assert asked[0] == asked[1]
    assert len(set(asked[0])) == 4


def test_usage_adds_up_and_a_fault_counts_as_a_failure() -> None:
    chat, _ = scripted_chat(["one two", ServerError("gone"), ContextLengthError("long")])
    assert chat.ask(HELLO).text == "one two"
    with pytest.raises(ServerError, match="gone"):
        chat.ask(HELLO)
    with pytest.raises(ContextLengthError):
        chat.ask(HELLO)
    assert chat.usage == Usage(calls=1, prompt_tokens=2, completion_tokens=2, failures=2)
    assert chat.usage - chat.usage == Usage()
    assert chat.usage.tokens == 4


def test_a_cache_answers_equal_requests_of_any_line(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path / "cache")
    backend = ScriptedBackend(echo)
    for _ in range(2):
        chat = Chat(ModelSettings("m"), backend, store=store)
        assert chat.ask(HELLO).text == "HELLO THERE"
    assert len(backend.requests) == 1
    assert chat.usage == Usage(1, prompt_tokens=2, completion_tokens=2, from_disk=1)
    for other in (
        Chat(ModelSettings("other"), backend, store=store),
        Chat(ModelSettings("m", max_tokens=3), backend, store=store),
    ):
        other.ask(HELLO)
    chat.ask(HELLO, choices=("A", "B"))
    chat.ask([{"role": "user", "content": "\ud800 lone"}])
    assert len(backend.requests) == 5


OTHER: dict[str, Any] = {
    "messages": ({"role": "user", "content": "another"},),
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.5,
    "seed": 5,
    "stop": ("x",),
    "tools": ({"type": "function", "function": {"name": "f"}},),
    "choices": ("A", "HELLO THERE"),
    "prefill": "Well, ",
    "logprobs": True,
    "template_options": {"enable_thinking": False},
}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(ChatRequest)])
@pytest.mark.parametrize("scope", [(), ("episode", 0)])
def test_every_part_of_a_request_makes_another_one(
    name: str, scope: tuple[str | int, ...], tmp_path: Path
) -> None:
    backend = ScriptedBackend(echo)
    plain = ChatRequest(tuple(HELLO))
    for request in (plain, dataclasses.replace(plain, **{name: OTHER[name]}), plain):
        chat = Chat(ModelSettings("m"), backend, store=ReplyStore(tmp_path))
        if scope:
            chat.begin(*scope)
        chat.generate([request])
    assert len(backend.requests) == 2


def test_a_cache_tells_models_servers_and_engines_apart_a_journal_no_servers(
    tmp_path: Path,
) -> None:
    def asked(kind: str, *all_given: dict[str, Any]) -> int:
        backend = ScriptedBackend(echo)
        for given in all_given:
            chat = Chat(ModelSettings(**given), backend, store=ReplyStore(tmp_path / kind))
            if kind == "journal":
                chat.begin("e", 0)
            chat.ask(HELLO)
        return len(backend.requests)

    checkpoints = []
    for run in ("a", "b"):
        folder = tmp_path / run / "checkpoint-1"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(f'{{"run": "{run}"}}')
        checkpoints.append({"model": str(folder), "backend": "transformers"})
    served = [{"model": f"/{run}/checkpoint-1", "base_url": "http://s/v1"} for run in "ab"]
    servers = [{"model": "m", "base_url": f"http://{host}/v1"} for host in "cd"]
    same = [{"model": "n", "base_url": url} for url in ("http://c/v1", "http://c/v1/")]
    wide = {**checkpoints[0], "engine_options": {"dtype": "float32"}}
    for kind in ("cache", "journal"):
        assert asked(kind, *checkpoints, wide) == 3
        assert asked(kind, *served) == 2
        assert asked(kind, *servers) == (2 if kind == "cache" else 1)
        assert asked(kind, *same) == 1


def test_a_cached_reply_is_the_reply(tmp_path: Path) -> None:
    reply = ChatReply(
        "text", ({"id": "1", "function": {"name": "f"}},), "length", Usage(1, 2, 3, 4, 0.5),
        "thought", (1, 2), (3,), (-0.25,),
    )  # fmt: skip
    chat = Chat(ModelSettings("m"), ScriptedBackend([reply]), store=ReplyStore(tmp_path))
    assert chat.ask(HELLO) == chat.ask(HELLO) == reply
    assert chat.usage == Usage(2, 4, 6, 8, 1.0, from_disk=1)


def test_a_journal_answers_the_same_calls_of_the_same_episode(tmp_path: Path) -> None:
    numbers = iter(range(100))
    backend = ScriptedBackend(lambda request: f"reply {next(numbers)}")

    def play(label: str, episode: str, calls: int) -> list[str]:
        chat = Chat(ModelSettings("m"), backend, store=ReplyStore(tmp_path), label=label)
        chat.begin(episode, 0)
        texts = [chat.ask(HELLO).text for _ in range(calls)]
        assert chat.usage.prompt_tokens == 2 * calls, "a resumed episode reports its whole cost"
        return texts

    assert play("a", "e1", 2) == ["reply 0", "reply 1"]
    assert play("a", "e1", 3) == ["reply 0", "reply 1", "reply 2"]
    assert play("a", "e2", 1) == ["reply 3"]
    assert play("b", "e1", 1) == ["reply 4"]


def test_a_batch_asks_only_what_is_missing_and_keeps_the_order(tmp_path: Path) -> None:
    def reply(request: ChatRequest) -> str | ChatError:
        text = str(request.messages[0]["content"])
        return ContextLengthError("too long") if text == "long" else text.upper()

    backend = ScriptedBackend(reply)
    chat = Chat(ModelSettings("m"), backend, store=ReplyStore(tmp_path))

    def texts(*contents: str) -> list[str]:
        requests = [chat.request([{"role": "user", "content": content}]) for content in contents]
        return [getattr(item, "text", "fault") for item in chat.generate(requests)]

    assert texts("a", "long", "b") == ["A", "fault", "B"]
    backend.requests.clear()
    assert texts("b", "long", "c", "a") == ["B", "fault", "C", "A"]
    assert [request.messages[0]["content"] for request in backend.requests] == ["long", "c"]


def test_a_journal_keeps_refusals_and_a_cache_does_not(tmp_path: Path) -> None:
    refusal = RefusedError("filtered", Usage(retries=1, failures=1))
    for scope, times in ((("e", 0), 1), ((), 2)):
        backend = ScriptedBackend([refusal] * 2)
        store = ReplyStore(tmp_path / str(times))
        for _ in range(2):
            chat = Chat(ModelSettings("m"), backend, store=store)
            if scope:
                chat.begin(*scope)
            with pytest.raises(RefusedError, match=r"^filtered$"):
                chat.ask(HELLO)
            assert chat.usage == refusal.usage
        assert len(backend.requests) == times


@pytest.mark.parametrize("error", [ServerError("gone"), ContextLengthError("too long")])
def test_no_other_fault_is_kept(error: ChatError, tmp_path: Path) -> None:
    backend = ScriptedBackend([error, "fine"])
    for text in ("", "fine"):
        chat = Chat(ModelSettings("m"), backend, store=ReplyStore(tmp_path))
        chat.begin("e", 0)
        [result] = chat.generate([chat.request(HELLO)])
        assert getattr(result, "text", "") == text


def test_what_is_none_of_the_choices_is_kept_by_a_journal_only(tmp_path: Path) -> None:
    for scope, times in ((("e", 0), 1), ((), 2)):
        backend = ScriptedBackend(["maybe"] * 2)
        for _ in range(2):
            chat = Chat(ModelSettings("m"), backend, store=ReplyStore(tmp_path / str(times)))
            if scope:
                chat.begin(*scope)
            assert chat.ask(HELLO, choices=("no", "yes")).text == "maybe"
        assert len(backend.requests) == times


def test_an_unreadable_reply_on_disk_is_asked_again(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path)
    store._cache.set("key", {"words": 1})
    assert store.get("key") is None
    store._cache.set("key", [1])
    assert store.get("key") is None


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x78\x9c\x03"])
def test_a_long_reply_whose_file_was_spoilt_is_asked_again(junk: bytes, tmp_path: Path) -> None:
    store = ReplyStore(tmp_path)
    long = ChatReply("".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(40_000)))
    store.put("key", long)
    assert store.get("key") == long
    [file] = tmp_path.rglob("*.val")
    file.write_bytes(junk)
    assert store.get("key") is None
    store.put("key", long)
    assert store.get("key") == long


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path)
    store.put("key", ChatReply("short"))
    store._cache._sql("PRAGMA max_page_count = 1").fetchall()  # sqlite finds the disk full
    with pytest.raises(UsageError, match=r"cannot keep replies in .*full"):
        store.put("another", ChatReply("".join(chr(0x4E00 + n) for n in range(6_000))))
    assert store.get("key") == ChatReply("short")


def test_a_spoilt_database_is_told(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path)
    for number in range(200):
        store.put(str(number), ChatReply(f"reply {number}"))
    store.close()
    path = tmp_path / "cache.db"
    content = path.read_bytes()
    path.write_bytes(content[:4_096] + b"?" * (len(content) - 4_096))
    with pytest.raises(UsageError, match="cannot keep replies in"):
        ReplyStore(tmp_path).get("7")


def test_nothing_is_ever_evicted(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path)
    store._cache.reset("size_limit", 1)
    for number in range(30):
        store.put(str(number), ChatReply("x" * number))
    assert all(store.get(str(number)) for number in range(30))


def test_a_folder_that_cannot_hold_replies_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot keep replies in"):
        ReplyStore(tmp_path / "file")


def test_the_cache_folder_is_chosen_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path))
    assert default_cache_folder() == tmp_path
    monkeypatch.delenv("MEMGYM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_cache_folder() == tmp_path / "x" / "memgym"


def test_a_token_limit_stops_before_the_next_call() -> None:
    meter = RunMeter(limit_tokens=8)
    chat, backend = scripted_chat(echo)
    chat.join(meter)
    chat.ask(HELLO)
    assert not meter.stopped
    chat.ask(HELLO)
    with pytest.raises(StoppedError, match="limit of 8 tokens"):
        chat.ask(HELLO)
    assert len(backend.requests) == 2
    assert meter.total.tokens == 8


def test_replies_from_disk_do_not_count_towards_the_limit(tmp_path: Path) -> None:
    meter = RunMeter(limit_tokens=5)
    chat = Chat(ModelSettings("m"), ScriptedBackend(echo), store=ReplyStore(tmp_path), meter=meter)
    for _ in range(10):
        chat.begin("e", 0)
        chat.ask(HELLO)
    assert meter.total.tokens == 4


def test_the_first_reason_to_stop_is_kept() -> None:
    meter = RunMeter()
    meter.check()
    meter.stop("first")
    meter.stop("second")
    with pytest.raises(StoppedError, match="first"):
        meter.check()


def test_the_meter_loses_nothing_between_threads() -> None:
    meter = RunMeter()

    def spend() -> None:
        for _ in range(2_000):
            meter.add(Usage(calls=1, prompt_tokens=2))

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.total == Usage(calls=8_000, prompt_tokens=16_000)


def test_a_line_opens_its_backend_at_once_and_again_after_it_was_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="no server is named"):
        Chat(ModelSettings("tiny"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ChatServer() as server:
        chat = Chat(ModelSettings("tiny", base_url=server.base_url))
        for _ in range(2):
            assert chat.ask(HELLO).text == "hello there"
            close_backends()
    assert chat.usage.calls == 2


def test_what_is_opened_while_a_run_stops_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = ScriptedBackend(echo)
    meter = RunMeter()
    opened = []

    def open_late(settings: ModelSettings) -> ScriptedBackend:
        opened.append(settings)
        if len(opened) == 2:
            meter.stop("enough")
        return backend

    monkeypatch.setattr("memgym.agents.chat.chat.open_backend", open_late)
    chat = Chat(ModelSettings("m"), meter=meter)
    with pytest.raises(StoppedError, match="enough"):
        chat.ask(HELLO)
    assert backend.requests == []
