"""The same training step under ``accelerate launch`` with two processes and with one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.grpo_processes import UPDATES, take_step
from tests.tiny_model import make_tiny_model

ROOT = Path(__file__).parent.parent
FILES = {"data-parallel": "data_parallel.yaml", "fsdp2": "fsdp2.yaml"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def _launch(model: Path, folder: Path, mode: str) -> tuple[Any, list[dict[str, Any]]]:
    """Return what the first process wrote, and the weights of both."""
    import torch

    done = subprocess.run(
        [
            sys.executable, "-m", "accelerate.commands.launch",
            "--config_file", f"docs/accelerate/{FILES[mode]}",
            "--num_processes", "2", "--main_process_port", "0", "--module",
            "tests.grpo_processes", str(model), str(folder), mode,
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1_500,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]
    return torch.load(folder / "step.pt"), [
        torch.load(folder / f"weights-{rank}.pt") for rank in range(2)
    ]


@pytest.mark.parametrize("mode", list(FILES))
def test_two_processes_take_the_step_that_one_takes(model: Path, tmp_path: Path, mode: str) -> None:
    """Seven samples of very different lengths, so that neither samples nor tokens share evenly."""
    gradients, weights, figures = take_step(str(model), "alone")
    found, (first, second) = _launch(model, tmp_path, mode)
    assert len(found["gradients"]) == len(gradients) == UPDATES
    for theirs, ours in zip(found["gradients"], gradients, strict=True):
        assert theirs.keys() == ours.keys()
        for name, gradient in ours.items():
            assert gradient.abs().max() > 0
            difference = (theirs[name] - gradient).abs().max()
            assert difference < 1e-4 * gradient.abs().max(), name
    assert first.keys() == second.keys() == weights.keys()
    for name, weight in weights.items():
        assert first[name].equal(second[name])
        # Adam divides by the gradient's size: where that is next to nothing, rounding shows.
        assert ((first[name] - weight).abs() > 1e-5).float().mean() < 1e-3, name
    ours_only = {"padding_share"}  # passes are cut differently
    for name in figures.keys() - ours_only:
        assert found["figures"][name] == pytest.approx(figures[name], rel=1e-3, abs=1e-6), name
