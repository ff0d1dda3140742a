"""A real vLLM server and vLLM in process, with a tiny model: ``make vllm-test``.

Not collected by ``pytest tests``: it needs an environment of its own with vLLM in it.
"""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from memgym.agents import AGENTS
from memgym.agents.chat import (
    Backend,
    Chat,
    ChatReply,
    ChatRequest,
    ContextLengthError,
    ModelSettings,
    open_backend,
)
from memgym.agents.chat.transformers_local import TransformersModel
from memgym.evaluation import EpisodeResult, environment_for, play_episode
from memgym.usage import Usage
from tests.fault_proxy import FaultProxy
from tests.tiny_model import make_tiny_model
from tests.vllm_in_process import requests
from tests.vllm_server import VLLMServer, vllm_environment, vllm_python

SOURCE: dict[str, Any] = {
    "source": "procedural",
    "split": "test",
    "source_options": {"tokens": 1_000, "chunk_tokens": 250, "questions": 3},
}
TOOL = {"type": "function", "function": {"name": "note_down", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMServer]:
    with VLLMServer(folder, tmp_path_factory.mktemp("log") / "vllm.log") as started:
        yield started


def _settings(url: str, **given: Any) -> ModelSettings:
    return ModelSettings(
        "tiny", base_url=f"{url}/v1", **{"max_tokens": 48, "max_retries": 2, **given}
    )


@pytest.fixture(scope="module")
def backend(server: VLLMServer) -> Backend:
    return open_backend(_settings(server.url))


def _ask(text: str = "Where does Ada Holm live?", **given: Any) -> ChatRequest:
    return ChatRequest(({"role": "user", "content": text},), **{"max_tokens": 16, **given})


def _replies(backend: Backend, *asked: ChatRequest) -> list[ChatReply]:
    results = backend.generate(asked)
    replies = [result for result in results if isinstance(result, ChatReply)]
    assert len(replies) == len(asked), results
    return replies


def _play(
    name: str, settings: ModelSettings, episode: int = 0, **given: Any
) -> tuple[EpisodeResult, Usage]:
    agent = AGENTS[name](Chat(settings))
    env = environment_for(agent, **SOURCE, **given)
    return play_episode(agent, env, episode), agent.usage


@pytest.mark.parametrize("tool_format", ["hermes", "markers", "native"])
@pytest.mark.parametrize("name", sorted(AGENTS))
def test_every_agent_completes_an_episode(server: VLLMServer, name: str, tool_format: str) -> None:
    """The model writes nonsense: no call is well formed, no block is where it should be."""
    settings = _settings(server.url, tool_format=tool_format, temperature=0.7)
    result, usage = _play(name, settings, answer_mode="agent")
    assert len(result.answers) > 0
    assert 0.0 <= result.score <= 1.0
    assert usage.calls > 0
    assert usage.prompt_tokens > 0
    assert usage.failures == 0 or name == "long_context"


def test_the_reader_answers_with_the_server(server: VLLMServer) -> None:
    options = {"model": "tiny", "base_url": f"{server.url}/v1", "cache": False, "max_tokens": 16}
    result, _ = _play("rag", _settings(server.url), reader="llm", reader_options=options)
    assert len(result.answers) > 0


def test_choices_are_exact(backend: Backend) -> None:
    choices = ("yes", "no", "not sure")
    asked = [_ask(f"{n}?", choices=choices, temperature=1.5, seed=n) for n in range(24)]
    assert {reply.text for reply in _replies(backend, *asked)} <= set(choices)


def test_greedy_replies_are_those_of_transformers(backend: Backend, folder: Path) -> None:
    """Prompt, prefill, tokens and log-probabilities, all through different code."""
    local = TransformersModel(
        ModelSettings(str(folder), "transformers", engine_options={"device": "cpu"})
    )
    asked = [
        _ask(logprobs=True),
        _ask(logprobs=True, prefill="She lives in"),
        _ask("Ada Holm lives in Lund. " * 9, logprobs=True, max_tokens=40),
        _ask(logprobs=True, template_options={"enable_thinking": False}),
    ]
    for ours, theirs in zip(_replies(local, *asked), _replies(backend, *asked), strict=True):
        assert theirs.prompt_ids == ours.prompt_ids
        assert theirs.token_ids == ours.token_ids
        # vLLM keeps the first bytes of a character back that was not finished.
        assert theirs.text == ours.text.rstrip("\ufffd")
        assert theirs.logprobs == pytest.approx(ours.logprobs, abs=1e-3)
        assert theirs.usage.prompt_tokens == ours.usage.prompt_tokens
        assert theirs.usage.completion_tokens == ours.usage.completion_tokens
    local.close()


def test_a_prompt_that_does_not_fit_is_told_apart(backend: Backend) -> None:
    long, fine = backend.generate([_ask("Ada Holm lives in Lund. " * 2_000), _ask()])
    assert isinstance(long, ContextLengthError)
    assert isinstance(fine, ChatReply)


def test_a_repeated_beginning_comes_from_the_cache(backend: Backend) -> None:
    shared = "What everyone is told before they begin. " * 20
    _replies(backend, _ask(shared + "First."))
    [second] = _replies(backend, _ask(shared + "Second."))
    assert second.usage.cached_tokens > second.usage.prompt_tokens / 2


def test_tools_are_offered_to_the_model(backend: Backend) -> None:
    plain, offered = _replies(backend, _ask(), _ask(tools=(TOOL,)))
    assert offered.usage.prompt_tokens > plain.usage.prompt_tokens


@pytest.mark.parametrize("name", ["memagent", "prompt_only"])
def test_a_fifth_of_all_requests_spoilt_changes_nothing(server: VLLMServer, name: str) -> None:
    episodes = range(6)

    def play(url: str) -> list[tuple[EpisodeResult, Usage]]:
        settings = _settings(url, max_retries=30)
        with ThreadPoolExecutor(len(episodes)) as pool:
            played = [pool.submit(_play, name, settings, episode) for episode in episodes]
            return [future.result() for future in played]

    with FaultProxy(server.url, rate=0.2, slow_seconds=1.0) as proxy:
        spoilt = play(proxy.url)
    assert sum(proxy.done.values()) > 0
    for (faulty, faulty_usage), (clean, clean_usage) in zip(spoilt, play(server.url), strict=True):
        assert faulty.record() == clean.record()
        assert faulty_usage.failures == clean_usage.failures == 0
        assert faulty_usage.completion_tokens == clean_usage.completion_tokens
    assert sum(usage.retries for _, usage in spoilt) > 0


def test_vllm_in_process(folder: Path, tmp_path: Path) -> None:
    """In a process of the environment that has vLLM; compared with transformers in this one."""
    found = tmp_path / "replies.json"
    done = subprocess.run(
        [vllm_python(), "-m", "tests.vllm_in_process", str(folder), str(found)],
        env=vllm_environment(),
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    replies: list[dict[str, Any]] = json.loads(found.read_text())
    local = TransformersModel(
        ModelSettings(str(folder), "transformers", engine_options={"device": "cpu"})
    )
    for ours, theirs in zip(_replies(local, *requests()[:4]), replies[:4], strict=True):
        assert theirs["text"] == ours.text.rstrip("\ufffd")
        assert tuple(theirs["prompt_ids"]) == ours.prompt_ids
        assert tuple(theirs["token_ids"]) == ours.token_ids
        assert theirs["logprobs"] == pytest.approx(ours.logprobs, abs=1e-3)
    local.close()
    chosen, drawn, again, long, refused, repeated = replies[4:]
    assert chosen["text"] in ("Alder Hall", "unknown")
    assert drawn["token_ids"] == again["token_ids"]
    assert long["fault"] == "ContextLengthError"
    assert refused["fault"] == "ServerError"
    assert "unknown role" in refused["message"]
    assert repeated["usage"]["cached_tokens"] > 0
