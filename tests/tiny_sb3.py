"""Training runs small enough for tests: short texts, small networks, 2,000 steps."""

import zipfile
from pathlib import Path
from typing import Any

from memgym.baselines.sb3 import ALGORITHMS, TrainingFolder, TrainingSettings, get_algorithm

SHORT = {"tokens": 1_000, "chunk_tokens": 300, "questions": 3}
_ON_POLICY = {"n_steps": 128, "batch_size": 128}
_OFF_POLICY = {"learning_starts": 200, "buffer_size": 1_000, "batch_size": 32}
_SMALL: dict[str, dict[str, Any]] = {
    "ppo": {**_ON_POLICY, "n_epochs": 2},
    "maskable_ppo": {**_ON_POLICY, "n_epochs": 2},
    "recurrent_ppo": {**_ON_POLICY, "n_epochs": 1, "lstm_hidden_size": 8},
    "a2c": {},
    "trpo": _ON_POLICY,
    "dqn": _OFF_POLICY,
    "qrdqn": {**_OFF_POLICY, "n_quantiles": 5},
}

assert set(_SMALL) == set(ALGORITHMS)


def small(kind: str, **changed: Any) -> TrainingSettings:
    """Return settings of a run of 2,000 steps with two evaluations after the first."""
    algorithm = get_algorithm(kind, {"net_arch": [16], **_SMALL[kind]})
    given: dict[str, Any] = {
        "steps": 2_000,
        "envs": 4,
        "memory_budgets": (0.25,),
        "source_options": SHORT,
        "evaluate_every": 1_000,
        "evaluation_episodes": 2,
    }
    return TrainingSettings(algorithm, **{**given, **changed})


def parameters(model: Path) -> bytes:
    """Return what a model's file holds of its policy."""
    with zipfile.ZipFile(model) as archive:
        return archive.read("policy.pth")


class StoppedError(Exception):
    """Stands for a kill."""


def stop_after(steps: int) -> Any:
    """Return a progress callback that stops the run."""

    def progress(done: int, row: object) -> None:
        if done > steps:
            raise StoppedError

    return progress


def names_in(folder: TrainingFolder) -> list[str]:
    """Return what lies in the folder but TensorBoard's, which is there if it is installed."""
    return sorted(item.name for item in folder.path.iterdir() if item.name != "tensorboard")
