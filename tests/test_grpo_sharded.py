"""A run on two processes that share the weights (FSDP2), beside the same run on one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.policy import load_policy
from memgym.agents.grpo.presets import load_config
from memgym.agents.grpo.servers import OPTIONS
from memgym.agents.grpo.settings import PolicySettings
from memgym.agents.grpo.training import train
from memgym.agents.grpo.updates import _sharding
from memgym.agents.grpo.weights import named_weights
from memgym.errors import UsageError
from tests.grpo_sharded import learning_to_say_anything, sharded_settings
from tests.grpo_small import small_policy

ROOT = Path(__file__).parent.parent


class Runs(NamedTuple):
    """The folders of the runs on two processes, and of the one on one."""

    sharded: Path
    alone: RunFolder

    def seen(self, rank: int) -> Any:
        """Return what a process has noted."""
        return json.loads((self.sharded / f"seen-{rank}.json").read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    model = folder / "model"
    # Tied, since two names for one weight are easily lost on the way.
    small_policy(tie_word_embeddings=True).save(model)
    _launch(str(model), folder)
    with learning_to_say_anything():
        alone = train(sharded_settings(str(model)), folder / "alone")
    return Runs(folder, alone)


def _launch(*arguments: object) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "accelerate.commands.launch",
            "--config_file", "docs/accelerate/fsdp2.yaml",
            "--num_processes", "2", "--main_process_port", "0",
            "--module", "tests.grpo_sharded", *map(str, arguments),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1_500,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]


def _weights(folder: Path) -> dict[str, Any]:
    policy = load_policy(PolicySettings(model=str(folder), device="cpu"))
    return dict(named_weights(policy.model))


def _bytes(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_each_process_holds_a_part_and_generates_with_a_copy(runs: Runs) -> None:
    for rank in (0, 1):
        seen = runs.seen(rank)
        assert seen["kinds"] == [["DTensor"], ["DTensor"]] * 2  # policy and reference, two steps
        assert seen["layers"] == ["FSDPQwen3DecoderLayer"] * 2  # gathered one at a time
        assert seen["engines"] == 3


def test_two_processes_with_a_part_each_train_what_one_trains(runs: Runs) -> None:
    """The weights end within a thousandth of the way that training took them."""
    found, alone = RunFolder(runs.sharded / "whole"), runs.alone
    assert found.done
    ours = {"padding_share"}  # passes are cut differently
    for theirs, row in zip(found.rows(), alone.rows(), strict=True):
        assert theirs.keys() == row.keys()
        for name in row.keys() - ours:
            value = row[name]
            near = pytest.approx(value, rel=1e-3, abs=1e-5) if isinstance(value, float) else value
            assert theirs[name] == near, name
    begun = _weights(runs.sharded / "model")
    for kept in ("start", "best", "final"):
        theirs, weights = _weights(found.path / kept), _weights(alone.path / kept)
        assert theirs.keys() == weights.keys() == begun.keys()
        way = sum(float((weights[name] - begun[name]).square().sum()) for name in begun) ** 0.5
        gap = sum(float((weights[name] - theirs[name]).square().sum()) for name in begun) ** 0.5
        assert way > 0.01
        assert gap < 1e-3 * way, kept


def test_a_sharded_run_that_was_killed_ends_as_if_it_had_not_been(runs: Runs) -> None:
    whole, killed = runs.sharded / "whole", runs.sharded / "killed"
    for name in ("metrics.jsonl", "examples.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    for kept in ("start", "best", "final"):
        assert _bytes(killed / kept) == _bytes(whole / kept)
    assert _bytes(whole / "final") != _bytes(whole / "start")


def test_what_one_process_cannot_write_ends_all_and_leaves_nothing_half_written(
    runs: Runs,
) -> None:
    for rank in (0, 1):
        model, folders, part, others = runs.seen(rank)["full"]
        for said in (model, part):
            assert said.startswith("UsageError: cannot write to the run folder")
            assert "No space left on device" in said
        assert folders == str(["best", "checkpoint-supervised-2", "tensorboard"])
        assert others == str(["best", "checkpoint-supervised-2", "start", "tensorboard"])
    assert _bytes(runs.sharded / "full" / "final") == _bytes(runs.sharded / "whole" / "final")


def test_the_configuration_of_the_runbook_is_accepted(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "training_on_many_gpus.md").read_text(encoding="utf-8")
    [text] = re.findall(r"^```toml\n# 4b.toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "4b.toml").write_text(text, encoding="utf-8")
    settings = load_config(tmp_path / "4b.toml")
    assert settings.rollout.engine == "servers"
    assert set(settings.rollout.engine_options) <= set(OPTIONS)


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set what the launcher sets for docs/accelerate/fsdp2.yaml."""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")  # accelerate's own default
    return monkeypatch


def test_gradients_of_sharded_weights_are_added_up_in_float32(
    asked_for: pytest.MonkeyPatch,
) -> None:
    plugin = _sharding(autocast=True)
    plugin.set_mixed_precision("bf16")  # as the accelerator does on GPUs
    assert plugin.mixed_precision_policy.param_dtype == torch.bfloat16
    assert plugin.mixed_precision_policy.reduce_dtype == torch.float32
    assert not plugin.cpu_ram_efficient_loading
    assert _sharding(autocast=False).mixed_precision_policy is None
    asked_for.delenv("ACCELERATE_USE_FSDP")
    assert _sharding(autocast=True) is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("FSDP_VERSION", "1", "set fsdp_version: 2"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "set policy.gradient_checkpointing"),
    ],
)
def test_what_cannot_be_had_is_refused(
    asked_for: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    asked_for.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        _sharding(autocast=False)
