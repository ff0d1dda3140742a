"""Training runs on a sharded model, as each of several processes goes through them.

``python -m tests.grpo_sharded MODEL FOLDER``, started by :mod:`tests.test_grpo_sharded` through
``accelerate launch`` with ``docs/accelerate/fsdp2.yaml``. What is not in the folders of the runs is
written to ``seen-<rank>.json``.
"""

import errno
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.grpo import training
from memgym.agents.grpo.advantages import advantages
from memgym.agents.grpo.engines import CopyEngine
from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.learner import Learner
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import TrainSettings
from memgym.agents.grpo.training import Progress, train
from memgym.agents.grpo.updates import Updates
from memgym.errors import UsageError
from tests.grpo_small import small_settings

__all__ = ["learning_to_say_anything", "sharded_settings"]

KILLS = [
    ("supervised", 1),  # before the first checkpoint
    ("grpo", 0),
    ("grpo", 1),  # after a checkpoint in which the optimizer has no step behind it
    ("grpo", 2),  # after one with a step
]


class KilledError(Exception):
    """Stands for a kill."""


def sharded_settings(model: str) -> TrainSettings:
    """Return a run with a warm-up, two steps, and a reference model."""
    return small_settings(
        policy={"model": model, "gradient_checkpointing": True},
        supervised={"agents": ["beginner"], "episodes": 1, "steps": 2, "batch_size": 2},
        loss={"kl_weight": 0.01},
        optimizer={"steps": 2, "learning_rate": 1e-3, "weight_decay": 0.1},
        evaluation={"every": 1, "episodes": 2},
    )


@contextmanager
def learning_to_say_anything() -> Iterator[pytest.MonkeyPatch]:
    """Pay for tokens: a model that writes nonsense would get 0 for everything."""

    def scored(trajectories: Sequence[Trajectory], *given: Any) -> Any:
        return advantages([replace(one, correctness=_digest(one)) for one in trajectories], *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "advantages", scored)
        yield patch


def _digest(one: Trajectory) -> float:
    responses = str([sample.response_ids for sample in one.samples])
    return hashlib.sha256(responses.encode()).digest()[0] / 255


def _killed_at(stage: str, step: int) -> Callable[[Progress], None]:
    def progress(now: Progress) -> None:
        if (now.stage, now.step) == (stage, step):
            raise KilledError

    return progress


def _whole(settings: TrainSettings, folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Go through a run and return how its models lay in memory."""
    seen: dict[str, Any] = {"kinds": [], "engines": 0}
    update, load = Learner.update, CopyEngine.load_weights

    def looked(self: Learner, samples: Any) -> dict[str, float]:
        seen["kinds"] += [
            sorted({type(item).__name__ for item in model.parameters()})
            for model in (self._updates.policy.model, self.reference)
        ]
        seen["layers"] = [
            type(item).__name__
            for item in self._updates.policy.model.modules()
            if type(item).__name__.startswith("FSDP")
        ]
        return update(self, samples)

    def counted(self: CopyEngine, model: Any, version: int) -> None:
        seen["engines"] += 1
        load(self, model, version)

    with patch.context() as inner:
        inner.setattr(Learner, "update", looked)
        inner.setattr(CopyEngine, "load_weights", counted)
        train(settings, folder)
    return seen


def _killed(settings: TrainSettings, folder: Path) -> None:
    for stage, step in KILLS:
        with pytest.raises(KilledError):
            train(settings, folder, progress=_killed_at(stage, step))
    train(settings, folder)


def _full(settings: TrainSettings, folder: Path, rank: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Let the disk be full for one process at a time; return what this one heard of it."""
    said = []
    start, save = RunFolder.save_start, Updates.save

    def model(self: RunFolder, write: Callable[[Path], None]) -> None:
        start(self, _full_disk)

    def part(self: Updates, where: Path) -> None:
        whole = self.accelerator.save_state

        def short(*given: Any, **named: Any) -> None:
            whole(*given, **named)
            if rank == 1:
                _full_disk()

        with patch.context() as inner:
            inner.setattr(self.accelerator, "save_state", short)
            save(self, where)

    for owner, name, broken in ((RunFolder, "save_start", model), (Updates, "save", part)):
        with patch.context() as inner:
            inner.setattr(owner, name, broken)
            with pytest.raises(UsageError) as error:
                train(settings, folder)
        said.append(f"{type(error.value).__name__}: {error.value}")
        said.append(str(sorted(item.name for item in folder.iterdir() if item.is_dir())))
    train(settings, folder)
    return said


def _full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def main(model: str, folder: Path) -> None:
    """Go through all runs in this process."""
    from torch import distributed

    settings = sharded_settings(model)
    with learning_to_say_anything() as patch:
        seen = _whole(settings, folder / "whole", patch)
        rank = distributed.get_rank()
        _killed(settings, folder / "killed")
        seen["full"] = _full(settings, folder / "full", rank, patch)
    (folder / f"seen-{rank}.json").write_text(json.dumps(seen))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
