"""A whole training run: from a model to a trained one, in stages that a kill does not undo.

``copying`` (if asked for), ``supervised`` (if agents are named to learn from), ``grpo``. Everything
that is random follows from the run's seed and the number of the step, so that a run that was
stopped goes on as if it had not been.

With several processes each goes through all of it. The first one alone has the log and writes the
folder, but for the checkpoint, of which each writes its part. What one of them cannot write ends
all of them.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from memgym.agents.chat.local_text import LocalText
from memgym.agents.grpo.advantages import advantages
from memgym.agents.grpo.demonstrations import demonstrations
from memgym.agents.grpo.examples import write_example
from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.guards import Guards
from memgym.agents.grpo.learner import Learner, trained_samples
from memgym.agents.grpo.manifest import write_manifest
from memgym.agents.grpo.metrics import MetricsLog, rollout_metrics, step_metrics
from memgym.agents.grpo.policy import (
    Policy,
    device_of,
    ends_of,
    load_policy,
    prepared,
)
from memgym.agents.grpo.processes import from_first, is_first_process, together
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import PolicySettings, TrainSettings
from memgym.agents.grpo.stages import Episodes, Players
from memgym.agents.grpo.supervised import SupervisedLearner, copying, in_passes
from memgym.agents.grpo.tiny import TINY, make_tiny
from memgym.agents.grpo.updates import Updates, open_accelerator
from memgym.agents.grpo.weights import gathered_weights
from memgym.rewards import checked_weights
from memgym.text import split_sentences

__all__ = ["Progress", "train"]

_COPIED_CHUNKS = 2_000
_SAVED_EVERY = 200  # updates of supervised learning


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is.

    Attributes:
        stage: ``copying``, ``demonstrations``, ``supervised`` or ``grpo``.
        step: Steps of it that are done.
        steps: All of its steps.
        row: The latest figures, timings included.
    """

    stage: str
    step: int
    steps: int
    row: Mapping[str, Any] = field(default_factory=dict)


def train(
    settings: TrainSettings,
    path: str | Path,
    *,
    data: str = "",
    progress: Callable[[Progress], None] = lambda progress: None,
    wandb: str = "",
    accelerator: Any = None,
) -> RunFolder:
    """Train a policy; go on where it was if the folder holds the same run, stopped.

    Args:
        settings: What is trained, and how.
        path: Folder of the run.
        data: Folder with the raw datasets.
        progress: Called after every step.
        wandb: Project of Weights & Biases to send the figures to.
        accelerator: An :class:`accelerate.Accelerator`; by default one for what it finds.

    Returns:
        The folder, with the models ``best`` and ``final``.

    Raises:
        UsageError: the folder holds something else, a setting is wrong, or training diverged.
        ChatError: a server that rollouts, reader or judge need cannot be had.
    """
    folder = RunFolder(path)
    chosen = settings.policy
    accelerator = accelerator or open_accelerator(
        cpu=device_of(chosen.device).type == "cpu", autocast=chosen.autocast
    )
    policy = together(lambda: _policy(chosen, settings.seed, accelerator))
    updates = Updates(policy, accelerator)
    with contextlib.ExitStack() as stack:

        def begin() -> MetricsLog | None:
            if not is_first_process():
                return None
            stack.enter_context(folder.alone())
            folder.begin(settings)
            return None if folder.done else stack.enter_context(MetricsLog(folder, wandb=wandb))

        log = together(begin)
        if not from_first(folder.done):
            _Run(settings, updates, folder, log, data=data, progress=progress).go()
    return folder


def _policy(chosen: PolicySettings, seed: int, accelerator: Any) -> Policy:
    if accelerator.is_fsdp2:  # it may not fit a device before it is sharded, which moves it there
        chosen = replace(chosen, device="cpu")
    if chosen.model == TINY:
        return prepared(make_tiny(seed), chosen, seed)
    return load_policy(chosen, seed)


class _Run:
    """The stages of one run, one after the other; see :func:`train`."""

    def __init__(
        self,
        settings: TrainSettings,
        updates: Updates,
        folder: RunFolder,
        log: MetricsLog | None,
        *,
        data: str,
        progress: Callable[[Progress], None],
    ) -> None:
        self._settings = settings
        self._updates = updates
        self._folder = folder
        self._log = log
        self._data = data
        self._tell = progress
        self._episodes = Episodes(settings, data)
        self._weights = checked_weights(settings.environment.get("reward_weights"))
        self._scores: list[float] = []  # on the validation split, of this stage so far

    @property
    def _policy(self) -> Policy:
        return self._updates.policy

    def go(self) -> None:
        """Do what has not been done yet."""
        found = from_first(self._folder.latest() if self._log else None)
        stage, step, path = found if found else ("", 0, None)
        rows = self._folder.rows() if found and self._log else []
        judged = [row["validation/r1"] for row in rows if "validation/r1" in row]
        self._scores = from_first(judged)
        if path:
            self._updates.load(path)
        stages = ("copying", "supervised", "grpo")
        begun = stages.index(stage) if stage else 0
        if begun == 0:
            self._copying(step if stage == "copying" else 0)
        if begun <= 1:
            self._supervised(step if stage == "supervised" else 0)
        if self._settings.optimizer.steps:
            self._grpo(step if stage == "grpo" else -1)
        else:
            self._save_model(self._folder.save_best)
        self._save_model(self._folder.save_final)
        together(lambda: self._folder.finish() if self._log else None)

    # ------------------------------------------------------------------ supervised stages

    def _copying(self, done: int) -> None:
        chosen = self._settings.supervised
        if not chosen.copying_steps:
            return
        special = set(self._policy.tokenizer.all_special_ids)
        tokens = [number for number in range(len(self._policy.tokenizer)) if number not in special]
        learner = SupervisedLearner(
            self._updates,
            copying(tokens, self._texts(), chosen, self._settings.seed),
            steps=chosen.copying_steps,
            learning_rate=chosen.copying_learning_rate,
            warmup_share=0.0,
            micro_batch_tokens=self._settings.optimizer.micro_batch_tokens,
        )
        self._learn("copying", learner, chosen.copying_steps, done)

    def _texts(self) -> list[list[tuple[int, ...]]]:
        """Return chunks of the episodes that are demonstrated, as token ids of their sentences."""
        encode = LocalText(self._policy.tokenizer, 0).encode
        chunks = islice(self._episodes.texts(), _COPIED_CHUNKS)
        return [[encode(sentence) for sentence in split_sentences(chunk)] for chunk in chunks]

    def _supervised(self, done: int) -> None:
        chosen = self._settings.supervised
        if not chosen.agents or done == chosen.steps:
            return
        shown = demonstrations(
            self._settings,
            LocalText(self._policy.tokenizer, self._settings.prompt.context_tokens),
            ends_of(self._policy)[0],
            self._episodes.demonstrated(),
            data=self._data,
            progress=lambda at, of: self._tell(Progress("demonstrations", at, of)),
        )
        learner = SupervisedLearner(
            self._updates,
            in_passes(shown, chosen, self._settings.seed),
            steps=chosen.steps,
            learning_rate=chosen.learning_rate,
            warmup_share=chosen.warmup_share,
            micro_batch_tokens=self._settings.optimizer.micro_batch_tokens,
        )
        self._learn("supervised", learner, chosen.steps, done)

    def _learn(self, stage: str, learner: SupervisedLearner, steps: int, done: int) -> None:
        if done:
            learner.done = done
        else:
            learner.begin()
        while learner.done < steps:
            start = time.perf_counter()
            loss = learner.update()
            row = {"stage": stage, "step": learner.done, "loss": loss}
            seconds = {"seconds": time.perf_counter() - start}
            self._note(row, seconds)
            self._tell(Progress(stage, learner.done, steps, {**row, **seconds}))
            if learner.done % _SAVED_EVERY == 0 or learner.done == steps:
                self._checkpoint(stage, learner.done)

    # ------------------------------------------------------------------ reinforcement

    def _grpo(self, done: int) -> None:
        chosen = self._settings
        learner = Learner(self._updates, chosen)
        players = Players(self._updates, chosen, self._data)
        try:
            players.take_weights(max(done, 0))
            if done < 0:
                learner.begin()
                self._before(players, learner)
            else:
                learner.version = done
                self._refer(learner)
            guards = self._guards()
            while learner.version < chosen.optimizer.steps and not self._out_of_patience():
                self._step(learner, players, guards)
        finally:
            players.close()

    def _before(self, players: Players, learner: Learner) -> None:
        """Judge the policy as it is before the first step."""
        row, seconds = self._judged(players, 0, "before")
        self._save_model(self._folder.save_start)
        self._note({"stage": "grpo", "step": 0, **row}, seconds)
        self._tell(Progress("grpo", 0, self._settings.optimizer.steps, row))
        self._checkpoint("grpo", 0)

    def _refer(self, learner: Learner) -> None:
        """Take back the reference model of the run that was stopped: the one that it began with."""
        if self._settings.loss.kl_weight and not self._policy.adapted:
            chosen = replace(self._settings.policy, model=str(self._folder.start), device="cpu")
            learner.refer_to(load_policy(chosen).model)

    def _guards(self) -> Guards:
        budget = self._settings.environment.get("memory_budget", 0.0)
        share = float(budget) if isinstance(budget, float) else 0.0
        guards = Guards(self._settings.prompt.max_tokens, share)
        if self._log:
            for row in self._folder.rows():
                if row["stage"] == "grpo" and row["step"]:
                    guards.check(row)
        return guards

    def _step(self, learner: Learner, players: Players, guards: Guards) -> None:
        step, steps = learner.version, self._settings.optimizer.steps
        start = time.perf_counter()
        trajectories = players.play(self._episodes.of_step(step), step)
        played = time.perf_counter()
        found = advantages(trajectories, self._settings.advantage, self._weights)
        players.rest()
        updated = learner.update(trained_samples(trajectories, found))
        trained = time.perf_counter()
        players.take_weights(learner.version)
        row: dict[str, Any] = {
            "stage": "grpo",
            "step": step + 1,
            **step_metrics(trajectories, found, updated, self._weights),
        }
        timings = _timings(trajectories, updated, played - start, trained - played)
        last = step + 1 == steps
        judge = last or (step + 1) % self._settings.evaluation.every == 0
        if judge:
            judged, seconds = self._judged(players, step + 1, "after")
            row |= judged
            timings |= seconds
        warnings = guards.check(row)
        if warnings:
            row["warnings"] = warnings
        self._note(row, timings)
        self._tell(Progress("grpo", step + 1, steps, {**row, **timings}))
        if judge:
            self._checkpoint("grpo", step + 1)

    def _judged(
        self, players: Players, step: int, side: str
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """Return the figures of the validation split; keep the model if it is the best so far.

        The example shows the policy before training beside the best one since then, which may be
        worse: a run that taught nothing is one to look at, too.
        """
        start = time.perf_counter()
        trajectories = players.judge(self._episodes.judged, step)
        found = rollout_metrics(trajectories, self._weights)
        seconds = time.perf_counter() - start
        if found["r1"] > max(self._scores, default=-1.0):
            self._save_model(self._folder.save_best)
        if found["r1"] > max(self._scores[1:], default=-1.0):
            together(lambda: self._show(side, trajectories[0]))
        self._scores.append(found["r1"])
        named = {f"validation/{name}": value for name, value in found.items()}
        return named, {"validation_seconds": seconds}

    def _show(self, side: str, played: Trajectory) -> None:
        if self._log:
            write_example(
                self._folder,
                side,
                played,
                policy=self._policy,
                settings=self._settings,
                data=self._data,
            )

    def _out_of_patience(self) -> bool:
        patience, scores = self._settings.evaluation.patience, self._scores
        return bool(patience and scores) and len(scores) - 1 - scores.index(max(scores)) >= patience

    # ------------------------------------------------------------------ what is kept

    def _note(self, row: Mapping[str, Any], timings: Mapping[str, float]) -> None:
        together(lambda: self._log.append(row, timings) if self._log else None)

    def _save_model(self, keep: Callable[[Callable[[Path], None]], None]) -> None:
        """Keep the model as it is now.

        Args:
            keep: Has a folder written, by what it is given.
        """
        weights = gathered_weights(self._policy.model)

        def write(folder: Path) -> None:
            self._policy.save(folder, weights)
            write_manifest(folder, self._settings)

        together(lambda: keep(write) if self._log else None)

    def _checkpoint(self, stage: str, step: int) -> None:
        if self._log:
            together(lambda: self._write_checkpoint(stage, step))
        else:
            together(self._take_part_in_checkpoint)

    def _write_checkpoint(self, stage: str, step: int) -> None:
        told = False

        def write(folder: Path) -> None:
            nonlocal told
            told = True
            from_first(str(folder))
            self._updates.save(folder)

        try:
            self._folder.save_checkpoint(stage, step, write)
        finally:
            if not told:  # there is nothing to take part in
                from_first("")

    def _take_part_in_checkpoint(self) -> None:
        folder = from_first("")
        if folder:
            self._updates.save(Path(folder))


def _timings(
    trajectories: Sequence[Trajectory],
    updated: Mapping[str, float],
    rollout_seconds: float,
    update_seconds: float,
) -> dict[str, float]:
    written = sum(len(item.response_ids) for one in trajectories for item in one.samples)
    return {
        "rollout_seconds": rollout_seconds,
        "update_seconds": update_seconds,
        "tokens_per_second": written / rollout_seconds,
        "trained_tokens_per_second": updated["trained_tokens"] / update_seconds,
    }
