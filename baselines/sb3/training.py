"""Training a policy, going on with a run that was stopped, and evaluating a policy.

What of a stopped run is restored: parameters, optimiser, schedules, replay buffer, best model and
figures. What is not: the episodes in progress and the states of the random number generators; they
need not be, because they begin anew at every checkpoint (see :mod:`.course`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.agent import Agent
from memgym.baselines.sb3.agent import PolicyPlayer
from memgym.baselines.sb3.folder import TrainingFolder
from memgym.baselines.sb3.settings import TrainingSettings
from memgym.evaluation import EpisodeResult, environment_for, play_episode

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.logger import Logger

    from memgym.baselines.sb3.course import Progress

__all__ = ["evaluate", "summarise", "train"]


def train(
    settings: TrainingSettings,
    folder: str | Path,
    *,
    data: str = "",
    progress: "Progress | None" = None,
) -> TrainingFolder:
    """Train, or go on training, and return the folder with the models and figures.

    torch computes with one thread: networks of this size gain nothing from more, and with one the
    same settings give the same model.

    Args:
        settings: What to train.
        folder: Where everything is written; if it holds part of this very run, the rest is trained.
        data: Folder with raw datasets, for sources that need it.
        progress: Told how the run goes.

    Raises:
        UsageError: Stable-Baselines3 is missing, a setting is invalid, or the folder holds another
            run.
    """
    settings.algorithm.load_class()
    run = TrainingFolder(folder)
    run.begin(settings)
    if run.ended:
        run.end()  # it may have been stopped on its last line
        return run
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _learn(settings, run, data, progress or (lambda steps, row: None))
    finally:
        torch.set_num_threads(threads)
    return run


def _learn(
    settings: TrainingSettings, run: TrainingFolder, data: str, progress: "Progress"
) -> None:
    from memgym.baselines.sb3.course import Course
    from memgym.baselines.sb3.models import make_environments

    environments = make_environments(settings, data)
    try:
        model, start = _model(settings, run, environments)
        model.set_logger(_logger(run.path))
        player = PolicyPlayer(settings.algorithm, settings.form, model.policy)
        course = Course(
            settings, run, lambda: summarise(evaluate(player, settings, data)), progress, start
        )
        left = settings.steps - (start or 0)
        model.learn(left, callback=course, reset_num_timesteps=start is None)
        model.logger.close()
    finally:
        environments.close()


def _model(
    settings: TrainingSettings, run: TrainingFolder, environments: Any
) -> "tuple[BaseAlgorithm, int | None]":
    """Return a new model, or that of the checkpoint and its steps."""
    from memgym.baselines.sb3.course import REPLAY
    from memgym.baselines.sb3.models import load_model, make_model

    checkpoint = run.checkpoint()
    if checkpoint is None:
        return make_model(settings, environments), None
    start, saved = checkpoint
    model: Any = load_model(saved / "model.zip", settings, environments)
    if (saved / REPLAY).is_file():
        model.load_replay_buffer(saved / REPLAY)
    return model, start


def _logger(folder: Path) -> "Logger":
    """Return a logger that writes for TensorBoard, if that is installed, and nowhere else."""
    from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

    writers: list[KVWriter] = []
    try:
        writers.append(TensorBoardOutputFormat(str(folder / "tensorboard")))
    except AssertionError:  # the library's way to say that TensorBoard is missing
        writers = []
    return Logger(str(folder), writers)


def evaluate(
    agent: Agent, settings: TrainingSettings, data: str = "", *, split: str = "validation"
) -> list[EpisodeResult]:
    """Play the run's first episodes of a split, under each of its memory budgets.

    It is the benchmark's own evaluation: the text form, the same reader and scorer as everybody's.

    Args:
        agent: Who plays; any agent, so that a baseline can be compared.
        settings: Of a training run.
        data: Folder with raw datasets.
        split: Which episodes.
    """
    results = []
    for budget in settings.memory_budgets:
        env = environment_for(agent, **{**settings.text_settings(budget, data), "split": split})
        results += [
            play_episode(agent, env, index, seed=settings.seed)
            for index in range(settings.evaluation_episodes)
        ]
    return results


def summarise(results: list[EpisodeResult]) -> dict[str, Any]:
    """Return the means over episodes: score, return, memory share, and the score by ability."""
    abilities: dict[str, list[float]] = {}
    for result in results:
        abilities.setdefault(result.ability, []).append(result.score)
    return {
        "score": _mean([result.score for result in results]),
        "return": _mean([result.reward for result in results]),
        "memory_share": _mean([result.metrics["memory_share"] for result in results]),
        "abilities": {name: _mean(abilities[name]) for name in sorted(abilities)},
    }


def _mean(values: list[float]) -> float:
    # Rounded: the sum's last digits are no finding, and lines stay short.
    return round(sum(values) / len(values), 6)
