"""Plays episodes with the policy that is being trained, and keeps what it was shown and wrote.

Many rollouts are played at a time on one engine. As soon as a response has ended, its rollout goes
on to the next chunk, and as soon as a rollout has ended, the next one begins: none waits for a
longer one. What a rollout does depends on its job alone, not on what is played beside it.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from memgym.agents.chat import ChatError, ChatReply, ChatRequest, Message
from memgym.agents.chat.batching import Engine
from memgym.agents.chat.types import ContextLengthError, RefusedError
from memgym.agents.grpo.play import Play
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import TrainSettings
from memgym.envs.mem_alpha import MemAlphaEnv

__all__ = ["Job", "Rollouts", "by_group", "groups", "seed_of"]


@dataclass(frozen=True, slots=True)
class Job:
    """One rollout to be played.

    Attributes:
        group: Number of its group; its rollouts play the same episode.
        rollout: Its number in the group.
        episode: Index or id in the source.
        seed: Of all that is random in it.
    """

    group: int
    rollout: int
    episode: int | str
    seed: int


def seed_of(*names: str | int) -> int:
    """Return a number below 2**31 that depends on the names alone."""
    return int.from_bytes(hashlib.sha256(json.dumps(names).encode()).digest()[:4]) >> 1


class Rollouts:
    """Plays jobs on an engine.

    Args:
        settings: The environment, the prompt, and how many rollouts are played at a time.
        engine: What generates; used by the thread that iterates.
        split: Of the environment's source.
        temperature: Of sampling; 0: greedy. By default that of ``settings.rollout``.
        data: Folder with the raw datasets.
    """

    def __init__(
        self,
        settings: TrainSettings,
        engine: Engine,
        *,
        split: str = "train",
        temperature: float | None = None,
        data: str = "",
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._environment = {**settings.environment, "split": split, "data": data}
        self._free: list[MemAlphaEnv] = []
        chosen = settings.prompt
        self._request = ChatRequest(
            (),
            max_tokens=chosen.max_tokens,
            temperature=settings.rollout.temperature if temperature is None else temperature,
            logprobs=True,
            template_options=chosen.template_options,
        )
        self._number = 0

    def play(self, jobs: Sequence[Job], version: int = 0) -> Iterator[Trajectory]:
        """Play all jobs and yield each trajectory as it ends.

        Args:
            jobs: Begun in this order.
            version: Noted in the samples: updates that the policy has seen.

        Raises:
            ChatError: a response could not be had, or the environment's reader or judge failed.
            UsageError: there is no such episode.
        """
        waiting = deque(jobs)
        writing: dict[int, Play] = {}
        with ThreadPoolExecutor(self._settings.rollout.concurrency) as pool:
            stepping: dict[Future[Trajectory | None], Play] = {}
            try:
                while waiting or writing or stepping:
                    while waiting and len(writing) + len(stepping) < self._concurrency:
                        play = self._begin(waiting.popleft(), version)
                        yield from self._go_on(play, writing, stepping, pool)
                    if writing:
                        for play, result in self._generated(writing):
                            play.hear(result)
                            yield from self._go_on(play, writing, stepping, pool)
                    elif stepping:
                        wait(stepping, return_when=FIRST_COMPLETED)
                    for future in [future for future in stepping if future.done()]:
                        play = stepping.pop(future)
                        yield from self._after_step(play, future.result(), writing, stepping, pool)
            finally:
                if writing:  # left by an error or by who iterates
                    self._engine.drop()

    @property
    def _concurrency(self) -> int:
        return self._settings.rollout.concurrency

    def _begin(self, job: Job, version: int) -> Play:
        env = self._free.pop() if self._free else MemAlphaEnv(**self._environment)
        return Play(
            env,
            group=job.group,
            rollout=job.rollout,
            episode=job.episode,
            seed=job.seed,
            version=version,
            prompt=self._settings.prompt,
        )

    def _go_on(
        self,
        play: Play,
        writing: dict[int, Play],
        stepping: "dict[Future[Trajectory | None], Play]",
        pool: ThreadPoolExecutor,
    ) -> Iterator[Trajectory]:
        """Ask for the next response, or let the environment act on the one that has come."""
        while True:
            if not play.heard and self._ask(play, writing):
                return
            if play.slow:  # a language model answers or judges: several of them at a time
                stepping[pool.submit(play.step)] = play
                return
            trajectory = play.step()
            if trajectory:
                self._free.append(play.env)
                yield trajectory
                return

    def _after_step(
        self,
        play: Play,
        trajectory: Trajectory | None,
        writing: dict[int, Play],
        stepping: "dict[Future[Trajectory | None], Play]",
        pool: ThreadPoolExecutor,
    ) -> Iterator[Trajectory]:
        if trajectory:
            self._free.append(play.env)
            yield trajectory
        else:
            yield from self._go_on(play, writing, stepping, pool)

    def _ask(self, play: Play, writing: dict[int, Play]) -> bool:
        """Give the first prompt that fits to the engine; tell whether there is one."""
        for messages in play.prompts():
            try:
                self._engine.start(self._number, self._asked(play, messages))
            except ContextLengthError:
                continue
            except RefusedError:
                break
            writing[self._number] = play
            self._number += 1
            return True
        play.hear(None)
        return False

    def _asked(self, play: Play, messages: Sequence[Message]) -> ChatRequest:
        seed = seed_of(play.seed, play.asked) if self._request.temperature else None
        return replace(self._request, messages=tuple(messages), tools=play.tools, seed=seed)

    def _generated(self, writing: dict[int, Play]) -> Iterator[tuple[Play, ChatReply | None]]:
        for number, result in self._engine.step():
            play = writing.pop(number)
            if isinstance(result, ContextLengthError | RefusedError):
                yield play, None
            elif isinstance(result, ChatError):
                raise result
            else:
                yield play, result


def groups(episodes: Sequence[int | str], group_size: int, scope: Sequence[str | int]) -> list[Job]:
    """Return the jobs of a training step, the rollouts of a group side by side.

    Args:
        episodes: One group each.
        group_size: Rollouts of each.
        scope: What the seeds depend on besides: the run's seed, the step.
    """
    return [
        Job(group, rollout, episode, seed_of(*scope, episode, rollout))
        for group, episode in enumerate(episodes)
        for rollout in range(group_size)
    ]


def by_group(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Return trajectories in the order of their jobs, whatever the order in which they ended."""
    return sorted(trajectories, key=lambda one: (one.group, one.rollout))
