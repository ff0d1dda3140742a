"""Engines of the rollouts: what they generate is the trainer's own distribution, and stays so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import ChatReply
from memgym.agents.chat.types import ContextLengthError, ServerError
from memgym.agents.grpo.engines import open_engine
from memgym.agents.grpo.learner import Learner
from memgym.agents.grpo.policy import Policy, load_policy
from memgym.agents.grpo.samples import Sample
from memgym.agents.grpo.settings import PolicySettings, TrainSettings
from memgym.agents.grpo.updates import Updates
from memgym.agents.grpo.weights import WeightFolder, copy_weights, named_weights
from memgym.errors import UsageError
from tests.grpo_vllm import ask, requests, settings
from tests.tiny_model import make_tiny_model
from tests.weight_server import ServedModel, weight_server

# peft asks transformers by a name that will go.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")

LORA = {"r": 4, "target_modules": "all-linear"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return make_tiny_model(folder / "first"), make_tiny_model(folder / "second", seed=1)


@pytest.fixture
def served(models: tuple[Path, Path]) -> Iterator[list[ServedModel]]:
    found = [ServedModel(models[0]), ServedModel(models[0])]
    yield found
    for model in found:
        model.close()


@pytest.fixture
def urls(served: list[ServedModel]) -> Iterator[list[str]]:
    with weight_server(served[0]) as first, weight_server(served[1]) as second:
        yield [f"{server.url}/v1" for server in (first, second)]


def _policy(model: Path, **given: Any) -> Policy:
    return load_policy(PolicySettings(model=str(model), device="cpu", **given))


def _adapted(model: Path) -> Policy:
    import torch

    policy = _policy(model, lora=LORA)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2, generator=random)
    return policy


def _agree(policy: Policy, replies: list[ChatReply]) -> None:
    """The rollout's log-probabilities are those that the trainer computes from the same ids."""
    samples = [
        Sample(0, reply.prompt_ids, reply.token_ids, reply.logprobs, False, 0.0, 0.0)
        for reply in replies
    ]
    run = TrainSettings(policy=PolicySettings(model="any", device="cpu"))
    judged = Learner(Updates(policy), run).logprobs(samples)
    for reply, values in zip(replies, judged, strict=True):
        assert len(reply.token_ids) > 0
        assert reply.logprobs == pytest.approx(values, abs=1e-3)


def _servers(policy: Policy, urls: list[str], folder: Path, **options: Any) -> Any:
    given = {"base_urls": urls, "model": "tiny", "weights_folder": str(folder), **options}
    return open_engine(policy, settings("any", "servers", given))


def test_the_trained_weights_generate_without_being_copied(models: tuple[Path, Path]) -> None:
    first, second = (_policy(model) for model in models)
    engine = open_engine(first, settings(str(models[0]), "transformers", {"batch_tokens": 9_000}))
    before = ask(engine)
    _agree(first, before)
    first.model.train()
    copy_weights(first.model, named_weights(second.model))
    engine.rest()
    engine.load_weights(first.model, 1)
    assert not first.model.training
    after = ask(engine)
    _agree(second, after)
    assert [reply.token_ids for reply in after] != [reply.token_ids for reply in before]
    engine.close()


def test_an_adapted_model_generates_as_it_is_trained(models: tuple[Path, Path]) -> None:
    policy = _adapted(models[0])
    engine = open_engine(policy, settings(str(models[0]), "transformers", {}))
    _agree(policy, ask(engine))
    engine.close()


def test_named_weights_are_those_of_the_merged_model(models: tuple[Path, Path]) -> None:
    policy = _adapted(models[0])
    before = {name: item.clone() for name, item in policy.model.named_parameters()}
    named = {name: weight.clone() for name, weight in named_weights(policy.model)}
    for name, parameter in policy.model.named_parameters():
        assert parameter.equal(before[name]), "merged in place"
    merged = dict(policy.model.merge_and_unload().named_parameters())
    assert named.keys() == merged.keys() == dict(_policy(models[0]).model.named_parameters()).keys()
    for name, weight in named.items():
        assert weight.allclose(merged[name], atol=1e-6), name


@pytest.mark.parametrize(("dtype", "kept"), [("", "float32"), ("bfloat16", "bfloat16")])
def test_a_weight_folder_holds_a_model_that_loads(
    models: tuple[Path, Path], tmp_path: Path, dtype: str, kept: str
) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    policy = _policy(models[0])
    folder = WeightFolder(str(tmp_path / "weights"), dtype)
    written = folder.write(policy.model, 3)
    wanted = getattr(torch, kept)
    for weight in load_file(Path(written) / "model.safetensors").values():
        assert weight.dtype == wanted
    loaded: Any = AutoModelForCausalLM.from_pretrained(written)
    for name, weight in policy.model.named_parameters():
        assert loaded.get_parameter(name).equal(weight.to(wanted).float())
    folder.remove(3)
    assert not Path(written).exists()
    folder.close()
    assert (tmp_path / "weights").is_dir()  # it was not made for the time being


def test_a_folder_of_its_own_goes_away(models: tuple[Path, Path]) -> None:
    folder = WeightFolder()
    written = Path(folder.write(_policy(models[0]).model, 0))
    assert written.is_dir()
    folder.close()
    assert not written.parent.exists()
    with pytest.raises(UsageError, match='cannot be written as "half an ounce"'):
        WeightFolder("", "half an ounce")


def test_servers_generate_with_the_weights_they_were_given_last(
    models: tuple[Path, Path], served: list[ServedModel], urls: list[str], tmp_path: Path
) -> None:
    first, second = (_policy(model) for model in models)
    engine = _servers(first, urls, tmp_path, weights_dtype="float32")
    before = ask(engine)
    _agree(first, before)
    assert [len(model.asked) for model in served] == [2, 2]
    engine.rest()
    engine.load_weights(second.model, 1)
    after = ask(engine)
    _agree(second, after)
    assert [reply.token_ids for reply in after] != [reply.token_ids for reply in before]
    assert [len(model.loaded) for model in served] == [1, 1]
    assert list(tmp_path.iterdir()) == []
    engine.close()


def test_what_was_dropped_does_not_come_back(
    models: tuple[Path, Path], served: list[ServedModel], urls: list[str], tmp_path: Path
) -> None:
    policy = _policy(models[0])
    engine = _servers(policy, urls, tmp_path)
    engine.start(0, replace(requests()[0], max_tokens=200))
    engine.drop()
    assert engine.step() == []
    engine.load_weights(policy.model, 1)
    assert served[0].answered == 1  # weights are not changed under what is still being written
    wanted = ask(engine)
    engine.start(0, requests()[1])
    [(number, reply)] = engine.step()
    assert (number, reply.token_ids) == (0, wanted[1].token_ids)
    engine.close()


def test_a_prompt_is_measured_before_it_is_sent(
    models: tuple[Path, Path], served: list[ServedModel], urls: list[str], tmp_path: Path
) -> None:
    engine = _servers(_policy(models[0]), urls, tmp_path)
    long = replace(requests()[0], messages=({"role": "user", "content": "Ada. " * 5_000},))
    with pytest.raises(ContextLengthError):
        engine.start(0, long)
    assert engine.step() == []
    assert not any(model.asked for model in served)
    engine.close()


def test_replies_that_cannot_be_trained_on_are_faults(
    models: tuple[Path, Path], served: list[ServedModel], urls: list[str], tmp_path: Path
) -> None:
    engine = _servers(_policy(models[0]), urls[:1], tmp_path)
    served[0].changes = {"token_ids": None}
    engine.start(0, requests()[0])
    [(_, result)] = engine.step()
    assert isinstance(result, ServerError)
    assert "no token ids" in str(result)
    served[0].changes = {}
    served[0]._policy.tokenizer.chat_template += "{{ ' ' }}"
    engine.start(1, requests()[0])
    [(_, result)] = engine.step()
    assert isinstance(result, ServerError)
    assert "other tokens" in str(result)
    engine.close()


def test_weights_that_were_not_taken_are_told(
    models: tuple[Path, Path], served: list[ServedModel], urls: list[str], tmp_path: Path
) -> None:
    policy = _policy(models[0])
    engine = _servers(policy, urls, tmp_path)
    served[1].busy = True
    with pytest.raises(ServerError, match="still generating"):
        engine.load_weights(policy.model, 1)
    served[1].takes_weights = False
    with pytest.raises(ServerError, match="VLLM_SERVER_DEV_MODE=1"):
        engine.load_weights(policy.model, 1)
    engine.close()


def test_a_server_that_is_gone_is_a_fault_of_its_requests(
    models: tuple[Path, Path], served: list[ServedModel], tmp_path: Path
) -> None:
    policy = _policy(models[0])
    with weight_server(served[0]) as server:
        engine = _servers(policy, [f"{server.url}/v1"], tmp_path, max_retries=0)
    engine.start(5, requests()[0])
    [(number, result)] = engine.step()
    assert number == 5
    assert isinstance(result, ServerError)
    with pytest.raises(ServerError, match="collective_rpc failed"):
        engine.load_weights(policy.model, 1)
    engine.close()
    with pytest.raises(UsageError, match="failed"):
        _servers(policy, [f"{server.url}/v1"], tmp_path)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("transformers", {"batch_token": 5}, "no option .*batch_tokens"),
        ("transformers", {"batch_tokens": 0}, "from 1"),
        ("servers", {"base_url": "x"}, "no option .*base_urls"),
        ("servers", {"model": "tiny", "weights_folder": "w"}, 'needs "base_urls"'),
        ("servers", {"base_urls": "x", "model": "m", "weights_folder": "w"}, "must be a list"),
    ],
)
def test_wrong_options_are_told(
    models: tuple[Path, Path], kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        open_engine(_policy(models[0]), settings("any", kind, options))


def test_a_model_that_the_servers_do_not_have_is_told(
    models: tuple[Path, Path], urls: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r'no model "tinny".*tiny'):
        _servers(_policy(models[0]), urls, tmp_path, model="tinny")
