"""The course of a training run: evaluation, checkpoints and figures at every mark on the way.

A run is cut into legs of ``evaluate_every`` steps. At the mark between two, at the end of an
update, the policy is evaluated and all is saved; then every source of random numbers is seeded anew
from the run's seed and the steps so far, and every environment begins a new episode. So a leg is a
function of the checkpoint it begins with, and a run that was stopped and continued trains the same
model as one that was not. The price is the episodes that are cut off at a mark.

Imports Stable-Baselines3: import this module inside functions.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from memgym.baselines.sb3.folder import TrainingFolder
from memgym.baselines.sb3.settings import TrainingSettings

__all__ = ["REPLAY", "Course", "Progress"]

REPLAY = "replay.pkl"

Progress = Callable[[int, Mapping[str, Any]], None]
"""Told the steps so far and the latest figures (as in ``metrics.jsonl``; some may be missing)."""

_TOLD_EVERY = 256  # steps


class Course(BaseCallback):
    """Follows one run (see the module).

    Args:
        settings: Of the run.
        folder: Of the run.
        evaluate: Returns the figures of the policy as it is now on the validation split; ``score``
            is the one that the best model is chosen by.
        progress: Told how the run goes.
        start: Steps at the checkpoint the run goes on from, ``None`` for a new run.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        folder: TrainingFolder,
        evaluate: Callable[[], dict[str, Any]],
        progress: Progress,
        start: int | None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._folder = folder
        self._evaluate = evaluate
        self._progress = progress
        self._start = start
        self._rows = [
            row for row in folder.metrics() if start is not None and row["steps"] <= start
        ]
        self._seconds = folder.seconds()[: len(self._rows)]
        self._before = self._seconds[-1] if self._seconds else 0.0
        self._began = time.perf_counter()
        self._mark = 0
        self._told = 0
        self._episodes: list[tuple[float, float]] = []

    def _on_rollout_start(self) -> None:
        """Begin a leg if the time has come; nothing of the rollout has been read yet."""
        if self.num_timesteps >= self._mark:
            if self.num_timesteps != self._start:
                self._take_stock()
                self._write_metrics()  # before the checkpoint: what is there of later is dropped
                self._folder.write_checkpoint(self.num_timesteps, self._save_checkpoint)
            every = self._settings.evaluate_every
            self._mark = (self.num_timesteps // every + 1) * every
            self._begin_leg()

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self._episodes.append((info["episode"]["r"], info["metrics"]["correctness"]))
        if self.num_timesteps - self._told >= _TOLD_EVERY:
            self._told = self.num_timesteps
            self._progress(self.num_timesteps, {**self._latest(), **self._in_training()})
        return True

    def _on_training_end(self) -> None:
        """Evaluate the last model; the run has ended when its file is there."""
        self._take_stock()
        self._write_metrics()
        self._folder.write_model(self._folder.last, self.model.save)
        self._folder.end()

    # ------------------------------------------------------------------ at a mark

    def _take_stock(self) -> None:
        """Evaluate the policy, note the figures, keep the model if it is the best so far."""
        best = max((row["score"] for row in self._rows), default=-1.0)
        found = self._evaluate()
        row = {"steps": self.num_timesteps, **self._in_training(), **found}
        self._rows.append(row)
        self._seconds.append(self._before + time.perf_counter() - self._began)
        if row["score"] > best:
            self._folder.write_model(self._folder.best, self.model.save)
        for name, value in row.items():
            if isinstance(value, float):
                self.logger.record(f"memgym/{name}", value)
        self.logger.dump(self.num_timesteps)
        self._progress(self.num_timesteps, row)

    def _write_metrics(self) -> None:
        self._folder.write_metrics(self._rows, self._seconds)

    def _in_training(self) -> dict[str, Any]:
        """Return the means over the episodes that ended in this leg, if any did."""
        if not self._episodes:
            return {}
        returns, scores = zip(*self._episodes, strict=True)
        return {
            "training_episodes": len(self._episodes),
            "training_return": round(float(np.mean(returns)), 6),
            "training_score": round(float(np.mean(scores)), 6),
        }

    def _latest(self) -> Mapping[str, Any]:
        return self._rows[-1] if self._rows else {}

    def _save_checkpoint(self, folder: Path) -> None:
        self.model.save(folder / "model.zip")
        if isinstance(self.model, OffPolicyAlgorithm):
            self.model.save_replay_buffer(folder / REPLAY)

    def _begin_leg(self) -> None:
        """Seed everything from here on, and begin new episodes."""
        seeds = np.random.SeedSequence([self._settings.seed, self.num_timesteps])
        # The library adds the environment's number to the seed, and numpy's limit is 2**32.
        seed = int(seeds.generate_state(1)[0]) >> 1
        model: Any = self.model
        model.set_random_seed(seed)
        model._last_obs = self.training_env.reset()
        model._last_episode_starts = np.ones(self.training_env.num_envs, dtype=bool)
        model.ep_info_buffer.clear()
        self._episodes = []
