import threading
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import (
    MODEL_PRESETS,
    Chat,
    ChatError,
    ChatReply,
    ChatRequest,
    ContextLengthError,
    ModelSettings,
    ReplyStore,
    RunMeter,
    ServerError,
    StoppedError,
    close_backends,
    model_settings,
    open_backend,
)
from memgym.agents.chat.store import default_cache_folder
from memgym.errors import UsageError
from memgym.usage import Usage
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
    assert chat.usage == Usage(calls=1, from_disk=1)
    for other in (
        Chat(ModelSettings("other"), backend, store=store),
        Chat(ModelSettings("m", max_tokens=3), backend, store=store),
    ):
        other.ask(HELLO)
    chat.ask(HELLO, choices=("A", "B"))
    chat.ask([{"role": "user", "content": "\ud800 lone"}])
    assert len(backend.requests) == 5


def test_a_cached_reply_is_the_reply(tmp_path: Path) -> None:
    reply = ChatReply(
        "text", ({"id": "1", "function": {"name": "f"}},), "length", Usage(1, 2, 3, 4, 0.5),
        "thought", (1, 2), (3,), (-0.25,),
    )  # fmt: skip
    chat = Chat(ModelSettings("m"), ScriptedBackend([reply]), store=ReplyStore(tmp_path))
    assert chat.ask(HELLO) == chat.ask(HELLO) == reply


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


def test_an_unreadable_reply_on_disk_is_asked_again(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path)
    store._cache.set("key", {"words": 1})
    assert store.get("key") is None


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


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize("preset", MODEL_PRESETS)
def test_presets_are_valid_and_can_be_overridden(preset: str) -> None:
    settings = model_settings(preset, max_tokens=77)
    assert settings.model == MODEL_PRESETS[preset]["model"]
    assert "/" in settings.model
    assert settings.max_tokens == 77
    assert model_settings(preset.upper()).model == settings.model


def test_models_and_servers_are_found_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMGYM_MODEL", "qwen3-8b")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://b/v1")
    assert model_settings().model == "Qwen/Qwen3-8B"
    assert model_settings().base_url == "http://b/v1"
    monkeypatch.setenv("MEMGYM_BASE_URL", "http://a/v1")
    assert model_settings().base_url == "http://a/v1"
    assert model_settings(base_url="http://c/v1").base_url == "http://c/v1"
    assert model_settings("x", backend="transformers").base_url == ""
    monkeypatch.delenv("MEMGYM_MODEL")
    with pytest.raises(UsageError, match="no model is named"):
        model_settings()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temprature": 1}, 'no setting "temprature": did you mean "temperature"'),
        ({"temperature": -0.1}, "at least 0"),
        ({"temperature": "hot"}, "of type int or float"),
        ({"top_p": 0}, "above 0"),
        ({"max_tokens": 0}, "at least 1"),
        ({"max_tokens": True}, "of type int"),
        ({"backend": "openia"}, 'unknown value "openia"'),
        ({"template_options": 3}, "of type mapping"),
        ({"concurrency": 0}, "at least 1"),
    ],
)
def test_wrong_settings_are_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model_settings("m", **given)


def test_identity_holds_no_path_server_or_key_variable(tmp_path: Path) -> None:
    settings = model_settings(
        str(tmp_path), backend="transformers", base_url="http://secret/v1", key_variable="MY_KEY"
    )
    assert settings.title == tmp_path.name
    text = str(settings.identity())
    assert tmp_path.name in text
    for hidden in (str(tmp_path), "secret", "MY_KEY"):
        assert hidden not in text


def test_equal_settings_share_a_backend_until_it_is_closed() -> None:
    given = {"base_url": "http://127.0.0.1:9/v1"}
    first = open_backend(model_settings("m", **given))
    assert open_backend(model_settings("m", **given)) is first
    assert open_backend(model_settings("n", **given)) is not first
    close_backends()
    assert open_backend(model_settings("m", **given)) is not first
    close_backends()
