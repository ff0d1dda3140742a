"""What the stages of a run are made of: which episodes are played, and by whom."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from memgym.agents.grpo.engines import open_engine
from memgym.agents.grpo.processes import together
from memgym.agents.grpo.rollouts import Job, Rollouts, by_group, groups, seed_of
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import TrainSettings
from memgym.agents.grpo.updates import Updates
from memgym.tasks.registry import load_source

__all__ = ["Episodes", "Players"]

_RUN_EPISODES = 1_000_000  # of an endless source, that belong to one seed; half are demonstrated


class Episodes:
    """Which episodes of the train split are played when; no other split is ever trained on.

    Args:
        settings: Of the run.
        data: Folder with the raw datasets.

    Attributes:
        judged: Indices of the episodes of the validation split that the policy is judged by.

    Raises:
        UsageError: the source has no such splits.
    """

    def __init__(self, settings: TrainSettings, data: str) -> None:
        environment = settings.environment
        source = environment.get("source", "procedural")
        options: Mapping[str, Any] = environment.get("source_options", {})
        self._set = load_source(source, "train", options, data or None)
        self._size = self._set.size
        self.judged = range(0)
        if settings.optimizer.steps:  # looked for now, not after hours of supervised learning
            size = load_source(source, "validation", options, data or None).size
            self.judged = range(min(settings.evaluation.episodes, size or sys.maxsize))
        self._seed = settings.seed
        self._per_step = settings.rollout.episodes

    def of_step(self, step: int) -> list[int]:
        """Return the indices of the episodes of a training step, counted from 0."""
        first = step * self._per_step
        return [self._place("grpo", first + number) for number in range(self._per_step)]

    def demonstrated(self) -> Iterator[int]:
        """Return the indices that are played for supervised fine-tuning, without end."""
        number = 0
        while True:
            yield self._place("supervised", number)
            number += 1

    def texts(self) -> Iterator[str]:
        """Return the chunks of the demonstrated episodes, without end."""
        for number in self.demonstrated():
            yield from self._set.episode(number).chunks

    def _place(self, stage: str, number: int) -> int:
        if self._size is None:
            half = _RUN_EPISODES // 2 if stage == "supervised" else 0
            return self._seed * _RUN_EPISODES + half + number
        order = list(range(self._size))
        Random(f"{stage}/{self._seed}/{number // self._size}").shuffle(order)
        return order[number % self._size]


class Players:
    """Plays with the policy that is being trained, on the train and on the validation split.

    With several training processes each plays its share of the groups, and all get everything.

    Args:
        updates: The weights.
        settings: Of the run.
        data: Folder with the raw datasets.
    """

    def __init__(self, updates: Updates, settings: TrainSettings, data: str) -> None:
        self._updates = updates
        self._settings = settings
        self._engine: Any  # or what stands for those of other machines
        make: Callable[..., Any]
        if settings.rollout.workers == "ray":
            from memgym.agents.grpo.ray_rollouts import RayWorkers

            self._engine = RayWorkers(settings, updates.policy)
            make = self._engine.rollouts
        else:
            self._engine = open_engine(updates.policy, settings)
            make = partial(Rollouts, settings, self._engine)
        temperature = settings.evaluation.temperature
        self._training = make(data=data)
        self._validation = make(split="validation", temperature=temperature, data=data)

    def take_weights(self, version: int) -> None:
        """Play with the weights as they are now from here on."""
        self._engine.load_weights(self._updates.policy.model, version)

    def rest(self) -> None:
        """Free device memory for an update."""
        self._engine.rest()

    def play(self, episodes: Sequence[int], step: int) -> list[Trajectory]:
        """Return the trajectories of a training step in order: one group per episode."""
        chosen = self._settings
        jobs = groups(episodes, chosen.rollout.group_size, (chosen.seed, step))
        return self._played(self._training, jobs, step)

    def judge(self, episodes: Sequence[int], version: int) -> list[Trajectory]:
        """Return trajectories of episodes of the validation split, one of each, in order."""
        jobs = [Job(index, 0, index, seed_of("validation", index)) for index in episodes]
        return self._played(self._validation, jobs, version)

    def close(self) -> None:
        """Free what generates."""
        self._engine.close()

    def _played(self, rollouts: Any, jobs: Sequence[Job], version: int) -> list[Trajectory]:
        world, rank = self._updates.processes, self._updates.rank
        if world == 1:
            return by_group(list(rollouts.play(jobs, version)))
        from accelerate.utils import gather_object

        if self._settings.rollout.workers == "ray":  # which the first process has
            mine = jobs if rank == 0 else []
        else:
            mine = [job for job in jobs if job.group % world == rank]
        played = together(lambda: list(rollouts.play(mine, version)))
        return by_group(gather_object(played))
