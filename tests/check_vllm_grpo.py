"""Rollout engines that run vLLM, and the weights they are given: ``make vllm-test``.

Not collected by ``pytest tests``: it needs an environment of its own with vLLM in it.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import ChatReply
from memgym.agents.grpo.engines import open_engine
from memgym.agents.grpo.learner import Learner
from memgym.agents.grpo.policy import Policy, load_policy
from memgym.agents.grpo.samples import Sample
from memgym.agents.grpo.settings import PolicySettings, TrainSettings
from memgym.agents.grpo.updates import Updates
from tests.grpo_vllm import ask, requests, settings
from tests.tiny_model import make_tiny_model
from tests.vllm_server import VLLMServer, vllm_environment, vllm_python

# peft asks transformers by a name that will go.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")

LORA = {"r": 4, "target_modules": "all-linear"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return make_tiny_model(folder / "first"), make_tiny_model(folder / "second", seed=1)


@pytest.fixture(scope="module")
def servers(
    models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    log = tmp_path_factory.mktemp("log") / "vllm.log"
    with VLLMServer(models[0], log, {"VLLM_SERVER_DEV_MODE": "1"}) as server:
        yield [f"{server.url}/v1"]


def _policy(model: Path, **given: Any) -> Policy:
    return load_policy(PolicySettings(model=str(model), device="cpu", **given))


def _settings(model: Path, urls: list[str], folder: Path) -> TrainSettings:
    options = {"base_urls": urls, "model": "tiny", "weights_folder": str(folder)}
    return settings(str(model), "servers", options)


def _judged_by_the_trainer(policy: Policy, replies: list[ChatReply]) -> list[list[float]]:
    samples = [
        Sample(0, reply.prompt_ids, reply.token_ids, reply.logprobs, False, 0.0, 0.0)
        for reply in replies
    ]
    run = TrainSettings(policy=PolicySettings(model="any", device="cpu"))
    return Learner(Updates(policy), run).logprobs(samples)


def _agree(policy: Policy, replies: list[ChatReply]) -> None:
    """The rollout's log-probabilities are those that the trainer computes from the same ids."""
    judged = _judged_by_the_trainer(policy, replies)
    for reply, values in zip(replies, judged, strict=True):
        assert reply.logprobs == pytest.approx(values, abs=1e-3)


def test_servers_generate_with_the_weights_they_were_given_last(
    models: tuple[Path, Path], servers: list[str], tmp_path: Path
) -> None:
    first, second = (_policy(model) for model in models)
    engine = open_engine(first, _settings(models[0], servers, tmp_path))
    before = ask(engine)
    _agree(first, before)

    engine.rest()
    engine.load_weights(second.model, 1)
    after = ask(engine)
    _agree(second, after)
    assert [reply.token_ids for reply in after] != [reply.token_ids for reply in before]
    assert list(tmp_path.iterdir()) == []  # what everybody has read is gone

    engine.load_weights(first.model, 2)
    assert [reply.token_ids for reply in ask(engine)] == [reply.token_ids for reply in before]
    engine.close()


def test_adapters_reach_the_servers(
    models: tuple[Path, Path], servers: list[str], tmp_path: Path
) -> None:
    import torch

    policy = _policy(models[0], lora=LORA)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    plain = {name: item.clone() for name, item in policy.model.named_parameters()}
    engine = open_engine(policy, _settings(models[0], servers, tmp_path))
    engine.load_weights(policy.model, 1)
    _agree(policy, ask(engine))
    for name, parameter in policy.model.named_parameters():
        assert parameter.equal(plain[name])  # nothing was merged in place
    engine.close()


def test_vllm_in_process(models: tuple[Path, Path], tmp_path: Path) -> None:
    """In a process of the environment that has vLLM; judged by the trainer in this one."""
    found = tmp_path / "replies.json"
    done = subprocess.run(
        [vllm_python(), "-m", "tests.grpo_vllm", *map(str, models), str(found)],
        env=vllm_environment(),
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        start_new_session=True,  # vLLM, as it goes down, may end what is in its process group
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    rounds: list[list[dict[str, Any]]] = json.loads(found.read_text())
    asked = len(requests())
    for model, replies in zip((models[0], models[1], models[0]), rounds, strict=True):
        _agree(_policy(model), [_reply(entry) for entry in replies])
        assert all(entry["cached_tokens"] for entry in replies[asked:])
        assert not replies[0]["cached_tokens"]  # the cache of the old weights was emptied
    ids = [[entry["token_ids"] for entry in replies] for replies in rounds]
    assert ids[0] == ids[2] != ids[1]


def _reply(entry: dict[str, Any]) -> ChatReply:
    prompt_ids, token_ids, logprobs = (
        tuple(entry[name]) for name in ("prompt_ids", "token_ids", "logprobs")
    )
    return ChatReply("", prompt_ids=prompt_ids, token_ids=token_ids, logprobs=logprobs)
