"""Settings of a model: what is checked, what tells models apart, which lines share a backend."""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import (
    MODEL_PRESETS,
    ModelSettings,
    close_backends,
    model_settings,
    models,
    open_backend,
)
from memgym.agents.chat.model_folder import folder_digest
from memgym.errors import UsageError
from tests.scripted import ScriptedBackend


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


def test_a_model_is_told_by_its_folders_content_not_by_its_place(tmp_path: Path) -> None:
    def identity(folder: Path, **given: Any) -> dict[str, Any]:
        return ModelSettings(str(folder), backend="transformers", **given).identity()

    weights = bytearray(os.urandom(3_000_000))
    first = tmp_path / "runA" / "checkpoint-1"
    (first / "parts").mkdir(parents=True)
    (first / "config.json").write_text("{}")
    (first / "parts" / "model.safetensors").write_bytes(weights)
    told = identity(first)
    assert told["model"] == "checkpoint-1"
    assert told["backend"] == "transformers"
    second = tmp_path / "runB" / "checkpoint-1"
    shutil.copytree(first, second)
    (second / ".cache").mkdir()
    (second / ".cache" / "log").write_text("downloaded")
    assert identity(second) == told
    for change in (slice(0, 4_096), slice(2_995_904, None), slice(1_480_000, 1_520_000)):
        changed = bytearray(weights)
        changed[change] = bytes(len(changed[change]))
        (second / "parts" / "model.safetensors").write_bytes(changed)
        assert identity(second) != told
    (second / "parts" / "model.safetensors").write_bytes(weights)
    assert identity(second) == told
    (second / "config.json").write_text("[]")
    assert identity(second) != told
    (second / "config.json").write_text("{}")
    (second / "parts").rename(second / "shards")
    assert identity(second) != told
    assert identity(first, engine_options={"dtype": "bfloat16"}) != told


def test_a_folder_is_looked_at_once_per_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def count(folder: Path) -> str:
        looked.append(folder)
        return folder_digest(folder)

    monkeypatch.setattr(models, "folder_digest", count)
    settings = ModelSettings(str(tmp_path), backend="transformers")
    assert settings.identity() == settings.identity()
    assert looked == [tmp_path]


def test_a_folder_of_the_same_name_does_not_change_a_served_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ModelSettings("Qwen/Qwen3-4B", base_url="http://s/v1")
    told = settings.identity()
    (tmp_path / "Qwen" / "Qwen3-4B").mkdir(parents=True)
    again = ModelSettings("Qwen/Qwen3-4B", base_url="http://s/v1")
    assert again.identity() == told
    assert (again.title, again.digest) == ("Qwen/Qwen3-4B", "")
    local = ModelSettings("Qwen/Qwen3-4B", backend="vllm")
    assert local.title == "Qwen3-4B"
    assert local.digest


def test_a_path_at_a_server_is_shown_by_its_last_part_and_told_apart() -> None:
    one, two = (ModelSettings(f"/data/{run}/checkpoint-1") for run in "ab")
    assert one.title == two.title == "checkpoint-1"
    assert one.identity() != two.identity()
    assert "/data" not in str(one.identity())


def test_paths_in_options_are_shortened(tmp_path: Path) -> None:
    options = {
        "download_dir": str(tmp_path / "hub"),
        "speculative_config": {"model": "org/draft", "folders": [str(tmp_path), "cuda:0"]},
    }
    told = ModelSettings("m", backend="vllm", engine_options=options).identity()
    assert told["engine_options"] == {
        "download_dir": "hub",
        "speculative_config": {"model": "org/draft", "folders": [tmp_path.name, "cuda:0"]},
    }


@pytest.mark.parametrize(
    "given",
    [
        {"key_variable": "sk-hush-hush"},
        {"key_variable": ""},
        {"engine_options": {"hf_token": "hush-hush"}},
        {"engine_options": {"load": [{"deep": {"api-key": "hush-hush"}}]}},
        {"template_options": {"Authorization": "hush-hush"}},
        {"template_options": {"x": {"openai_api_key": "hush-hush"}}},
        {"engine_options": {"proxy": "http://me:hush-hush@host/"}},
    ],
)
def test_settings_hold_no_key_and_do_not_repeat_one(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="key") as caught:
        ModelSettings("m", **given)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_only_sounds_like_a_key_is_none() -> None:
    options = {"max_num_batched_tokens": 8_192, "tokenizer_mode": "auto", "skip_tokenizer": False}
    assert ModelSettings("m", backend="vllm", engine_options=options).engine_options == options


# ------------------------------------------------------------------ backends


class Opening:
    """Opens scripted backends in place of real ones, as slowly as a test wants.

    Attributes:
        opened: The settings for which one was opened, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[ModelSettings] = []
        self.made: list[ScriptedBackend] = []
        self.wait: dict[str, threading.Event] = {}
        self.faults: list[Exception] = []
        monkeypatch.setattr(models, "_opened", self)
        monkeypatch.setattr(models, "_backends", {})

    def __call__(self, settings: ModelSettings) -> ScriptedBackend:
        self.opened.append(settings)
        if settings.model in self.wait:
            assert self.wait[settings.model].wait(10)
        if self.faults:
            raise self.faults.pop()
        self.made.append(ScriptedBackend(()))
        return self.made[-1]


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Opening:
    return Opening(monkeypatch)


@pytest.mark.parametrize("backend", ["openai", "transformers", "vllm"])
def test_agents_readers_and_judges_share_one_model(opening: Opening, backend: Any) -> None:
    first = open_backend(ModelSettings("m", backend=backend))
    other: dict[str, Any] = {
        "max_tokens": 16, "temperature": 0.7, "top_p": 0.9, "seed": 3, "tool_format": "native",
        "template_options": {"enable_thinking": False},
    }  # fmt: skip
    assert open_backend(ModelSettings("m", backend=backend, **other)) is first
    reading: dict[str, Any] = {"concurrency": 3}
    if backend == "openai":
        reading |= {"base_url": "http://s", "key_variable": "K", "timeout_seconds": 9}
        reading["max_retries"] = 1
    else:
        reading["engine_options"] = {"dtype": "float32"}
    for name, value in reading.items():
        changed: dict[str, Any] = {name: value}
        assert open_backend(ModelSettings("m", backend=backend, **changed)) is not first


@pytest.mark.parametrize("backend", ["transformers", "vllm"])
def test_a_checkpoint_that_was_overwritten_is_loaded_anew(
    opening: Opening, tmp_path: Path, backend: Any
) -> None:
    (tmp_path / "config.json").write_text("{}")
    first = open_backend(ModelSettings(str(tmp_path), backend=backend))
    assert open_backend(ModelSettings(str(tmp_path), backend=backend)) is first
    (tmp_path / "config.json").write_text("[]")
    assert open_backend(ModelSettings(str(tmp_path), backend=backend)) is not first


def test_a_model_is_loaded_once_and_holds_up_no_other(opening: Opening) -> None:
    opening.wait["slow"] = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(open_backend, ModelSettings("slow")) for _ in range(4)]
        quick = open_backend(ModelSettings("quick"))
        opening.wait["slow"].set()
        slow = {id(future.result()) for future in waiting}
    assert len(slow) == 1
    assert id(quick) not in slow
    assert sorted(settings.model for settings in opening.opened) == ["quick", "slow"]


def test_closing_waits_for_no_model_that_is_being_loaded(opening: Opening) -> None:
    opening.wait["slow"] = threading.Event()
    quick = open_backend(ModelSettings("quick"))
    with ThreadPoolExecutor(1) as threads:
        loading = threads.submit(open_backend, ModelSettings("slow"))
        while len(opening.opened) < 2:
            time.sleep(0.001)
        close_backends()
        assert opening.made == [quick]
        assert opening.made[0].closed
        opening.wait["slow"].set()
        loading.result()
    assert opening.made[1].closed
    assert open_backend(ModelSettings("slow")) is not opening.made[1]


def test_a_model_that_cannot_be_loaded_fails_all_who_wait_at_once(opening: Opening) -> None:
    opening.wait["bad"] = threading.Event()
    opening.faults = [UsageError("no such model")]
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(open_backend, ModelSettings("bad")) for _ in range(3)]
        while not models._backends:
            time.sleep(0.001)
        [loading] = models._backends.values()
        while len(loading._condition._waiters) < 2:  # type: ignore[attr-defined]
            time.sleep(0.001)
        opening.wait["bad"].set()
        assert [str(future.exception()) for future in waiting] == ["no such model"] * 3
    assert len(opening.opened) == 1
    assert open_backend(ModelSettings("bad")) is opening.made[0]  # who asks later tries again
