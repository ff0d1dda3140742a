"""What one training run is: algorithm, episodes, budget, seed, length, evaluation.

A :class:`TrainingSettings` is ``run.json`` of the run's folder; two runs with equal settings on one
machine train the same model.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memgym.baselines.sb3.algorithms import Algorithm, algorithm_from_json
from memgym.envs.settings import Settings, merged_settings
from memgym.errors import UsageError, nearest

__all__ = ["DEFAULT_ENVIRONMENT", "FORM_ARGUMENTS", "TrainingSettings", "settings_from_json"]

FORM_ARGUMENTS = ("observation", "actions", "words", "similar_items", "edits", "embeddings")
"""The arguments of ``MemAlphaNumeric-v0`` that say what a policy sees and does."""

DEFAULT_ENVIRONMENT: Mapping[str, Any] = {
    "words": 512,
    "similar_items": 1,
    "edits": False,
    "shaping": 1.0,
    "room_price": 1.2,
    "reward_weights": {"format": 0.0, "content": 0.0, "compression": 0.0},
}
"""Arguments of the environment that teach fastest.

With fewer hashed words too many share a bucket to tell facts from filler in words that training did
not have. There are no actions that destroy: most of them lose evidence when they are tried at
random, and few can be used well, as the items most like a sentence are about the same things and
rarely those that should make room. The evidence that is kept is paid for at once and the room that
an item takes is charged at once, at a little more than what a sentence taken blindly is worth, less
where more of the text fits (much more, and learners stop writing before they know what to write;
less, and they take whatever comes). Only answers count in the end; the other terms pay for leaving
room in the memory until the last chunk.
"""

_SHORT_TEXTS = {"tokens": 2_000}  # four times the episodes, so four times the rewards
_SHAPING = ("shaping", "room_price")  # what concerns rewards only, and so training only
_OURS = ("source", "split", "source_options", "data", "memory_budget", "answer_mode")
_LEAST = {"steps": 1, "seed": 0, "envs": 1, "evaluate_every": 1, "evaluation_episodes": 1}


@dataclass(frozen=True)
class TrainingSettings:
    """What is trained, on what, and how it is evaluated on the way.

    Args:
        algorithm: Algorithm and its settings.
        steps: Micro-steps (sentences decided about) of all environments together.
        seed: Of everything random.
        envs: Environments played side by side in one process.
        memory_budgets: Limits of the memory, as the environment takes them (a share, an integer
            number of tokens, 0 for none). With several, environments take turns, so there must be
            at least as many of them.
        source: Data source; it must have the splits ``train`` and ``validation``.
        source_options: Options of the source.
        training_options: Further options of the source in training only. For procedural sources
            whose ``tokens`` are not given, texts of 2,000 tokens.
        environment: Other arguments of ``MemAlphaNumeric-v0``, over :data:`DEFAULT_ENVIRONMENT`.
        evaluate_every: Micro-steps between two evaluations, which are also the checkpoints.
        evaluation_episodes: Episodes of the validation split per budget and evaluation.

    Raises:
        UsageError: a value is of the wrong type or out of range.
    """

    algorithm: Algorithm
    steps: int = 200_000
    seed: int = 0
    envs: int = 8
    memory_budgets: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)
    source: str = "procedural"
    source_options: Mapping[str, Any] = field(default_factory=dict)
    training_options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    evaluate_every: int = 50_000
    evaluation_episodes: int = 16

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name} must be a whole number from {least}, got {value!r}")
        self._check_environment()
        self._fill_in()
        object.__setattr__(self, "memory_budgets", _budgets(self.memory_budgets))
        if self.envs < len(self.memory_budgets):
            raise UsageError(
                f"{len(self.memory_budgets)} memory budgets need at least as many environments, "
                f"got envs={self.envs}: take more of these or fewer budgets"
            )
        if self.algorithm.joint_only and self.environment.get("actions", "joint") != "joint":
            raise UsageError(f'{self.algorithm.kind} takes actions="joint" only')

    def _check_environment(self) -> None:
        known = [item.name for item in dataclasses.fields(Settings)]
        accepted = [
            *FORM_ARGUMENTS,
            *_SHAPING,
            "preset",
            *(name for name in known if name not in _OURS),
        ]
        for name in self.environment:
            if name not in accepted:
                raise UsageError(
                    f'environment has no argument "{name}" to be set here: '
                    f"{nearest(str(name), accepted)}"
                )

    def _fill_in(self) -> None:
        environment = merged_settings(DEFAULT_ENVIRONMENT, self.environment)
        object.__setattr__(self, "environment", environment)
        sized = "tokens" in {**self.source_options, **self.training_options}
        if self.source.startswith("procedural") and not sized:
            training = {**self.training_options, **_SHORT_TEXTS}
            object.__setattr__(self, "training_options", training)

    @property
    def form(self) -> dict[str, Any]:
        """The arguments of :class:`memgym.envs.numeric_form.NumericForm`, but the token counter."""
        return {name: self.environment[name] for name in FORM_ARGUMENTS if name in self.environment}

    def text_settings(self, budget: float, data: str = "") -> dict[str, Any]:
        """Return the arguments of ``MemAlpha-v0`` for evaluation on the validation split.

        Args:
            budget: One of :attr:`memory_budgets`.
            data: Folder with raw datasets.
        """
        numeric = (*FORM_ARGUMENTS, *_SHAPING)
        return {
            **{name: v for name, v in self.environment.items() if name not in numeric},
            "source": self.source,
            "split": "validation",
            "source_options": dict(self.source_options),
            "memory_budget": budget,
            "data": data,
        }

    def numeric_settings(self, budget: float, data: str = "") -> dict[str, Any]:
        """Return the arguments of ``MemAlphaNumeric-v0`` for training on the train split."""
        return {
            **self.text_settings(budget, data),
            **self.environment,
            "split": "train",
            "source_options": merged_settings(self.source_options, self.training_options),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {
            **values,
            "algorithm": self.algorithm.to_json(),
            "memory_budgets": list(self.memory_budgets),
        }


def _budgets(given: Any) -> tuple[float, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise UsageError(f"memory_budgets must list shares or tokens, got {given!r}")
    for budget in given:
        number = isinstance(budget, (int, float)) and not isinstance(budget, bool)
        if not number or budget < 0:
            raise UsageError(f"memory_budgets must list shares or tokens, got {budget!r}")
    return tuple(given)


def settings_from_json(value: Any, where: str) -> TrainingSettings:
    """Return what :meth:`TrainingSettings.to_json` was called on.

    Args:
        value: JSON value.
        where: Where it is from, for messages.

    Raises:
        UsageError: it is no such value.
    """
    names = [item.name for item in dataclasses.fields(TrainingSettings)]
    if not isinstance(value, dict) or set(value) != set(names):
        raise UsageError(f"{where} does not describe a training run of memgym train-sb3")
    try:
        algorithm = algorithm_from_json(value["algorithm"])
        return TrainingSettings(**{**value, "algorithm": algorithm})
    except (UsageError, TypeError) as error:
        raise UsageError(f"{where}: {error}") from error
