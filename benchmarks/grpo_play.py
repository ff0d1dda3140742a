"""Trained models and baselines play the same episodes; what came out is kept, line by line.

A model plays all its episodes at a time, as in training; baselines play in worker processes. Every
result stands in ``results.jsonl`` under a key made of all it depends on: the model's files or the
agent, the environment, the prompt, the split, the episode. What is there is never played again.
Not here: what the results mean (:mod:`.grpo_results`).
"""

import functools
import hashlib
import json
import os
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import gymnasium as gym

from memgym.agents.chat import ChatError
from memgym.agents.grpo.engines import open_engine
from memgym.agents.grpo.policy import Policy, load_policy
from memgym.agents.grpo.rollouts import Job, Rollouts, seed_of
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import TrainSettings
from memgym.benchmarks.description import code_digest, describe_agent
from memgym.benchmarks.entries import AgentEntry
from memgym.benchmarks.outcome import AgentError
from memgym.benchmarks.plain_runner import Workers
from memgym.benchmarks.runner import Progress
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.errors import UsageError
from memgym.evaluation import play_episode, settings_for

__all__ = ["AgentPlayer", "ModelPlayer", "Played", "Results", "play"]


@dataclass(frozen=True, slots=True)
class Played:
    """One player on one episode.

    Attributes:
        episode_id: Id of the episode.
        ability: The ability that it tests.
        correctness: Reward term r1.
        format: Reward term r2, mean over what was written for each chunk; ``None``: nothing was.
        compression: Reward term r3.
        content: Reward term r4, as r2.
        memory_share: Tokens of the final memory as a share of the text's.
        questions: Their number.
        responses: Responses of a model, actions of a baseline.
        calls: Tool calls by ``tool memory_type``, and ``unreadable``.
        failed_calls: How many of them failed.
        causes: Questions by why they were answered wrongly, and ``right``.
        code: Digest of memgym's own files that it was played with.
    """

    episode_id: str
    ability: str
    correctness: float
    format: float | None
    compression: float
    content: float | None
    memory_share: float
    questions: int
    responses: int
    calls: Mapping[str, int]
    failed_calls: int
    causes: Mapping[str, int]
    code: str


class Results:
    """The results in a folder.

    Args:
        folder: Made if it does not exist.

    Raises:
        UsageError: a line in it is no result.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "results.jsonl"
        self._found: dict[str, Played] = {}
        for number, line in enumerate(self._lines(), 1):
            try:
                value = json.loads(line)
                key = value.pop("key")
                self._found[key] = Played(**value)
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    f"{self._file}, line {number}: no result; delete that line to have it played "
                    "again"
                ) from error

    def _lines(self) -> list[bytes]:
        """Return the lines after cutting off a half-written last one."""
        content = self._file.read_bytes() if self._file.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self._file, whole)
        return content[:whole].split(b"\n")[:-1]

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Played:
        return self._found[key]

    def append(self, key: str, result: Played) -> None:
        """Add a result and flush it."""
        with self._file.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"key": key, **asdict(result)}, sort_keys=True) + "\n")
        self._found[key] = result


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


# ---------------------------------------------------------------------- models


@dataclass(frozen=True)
class ModelPlayer:
    """A trained model on the first episodes of a split.

    Attributes:
        folder: Where it is.
        settings: Of its run; the environment is that which is played.
        split: Of the environment's source.
        data: Folder with the raw datasets.
    """

    folder: Path
    settings: TrainSettings
    split: str
    data: str = ""

    def key(self, episode: int) -> str:
        """Return what its result on an episode is kept under."""
        environment, prompt = self.settings.environment, asdict(self.settings.prompt)
        return _key(_digest(self.folder), environment, prompt, self.split, episode)

    def play(self, policy: Policy, episodes: Sequence[int]) -> Iterator[tuple[int, Played]]:
        """Play greedily and yield each result as it ends.

        Args:
            policy: The model, loaded.
            episodes: Indices in the source.
        """
        engine = open_engine(policy, self.settings)
        engine.load_weights(policy.model, 0)
        rollouts = Rollouts(
            self.settings, engine, split=self.split, temperature=0.0, data=self.data
        )
        jobs = [Job(item, 0, item, seed_of(self.split, item)) for item in episodes]
        for trajectory in rollouts.play(jobs):
            yield trajectory.group, _of_trajectory(trajectory)

    def load(self) -> Policy:
        """Return the model, ready to play.

        Raises:
            UsageError: it cannot be loaded.
        """
        return load_policy(
            replace(
                self.settings.policy, model=str(self.folder), lora={}, gradient_checkpointing=False
            )
        )


@functools.cache
def _digest(folder: Path) -> str:
    """Return a digest of all files of a model."""
    content = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file():
            content.update(f"{file.name}\n".encode())
            with file.open("rb") as stream:
                content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()


def _of_trajectory(trajectory: Trajectory) -> Played:
    return Played(
        episode_id=trajectory.episode_id,
        ability=trajectory.ability,
        correctness=trajectory.correctness,
        format=_mean(sample.format for sample in trajectory.samples),
        compression=trajectory.compression,
        content=_mean(sample.content for sample in trajectory.samples),
        memory_share=trajectory.memory_share,
        questions=len(trajectory.answers),
        responses=len(trajectory.samples),
        calls=dict(trajectory.calls),
        failed_calls=trajectory.failed_calls,
        causes=dict(trajectory.causes),
        code=code_digest(),
    )


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None


# ---------------------------------------------------------------------- baselines


@dataclass(frozen=True)
class AgentPlayer:
    """A baseline on the first episodes of a split.

    Attributes:
        entry: The agent.
        environment: Settings of the environment.
        split: Of the environment's source.
        data: Folder with the raw datasets.
    """

    entry: AgentEntry
    environment: Mapping[str, Any]
    split: str
    data: str = ""

    def key(self, episode: int) -> str:
        """Return what its result on an episode is kept under."""
        return _key(describe_agent(self.entry), self.environment, self.split, episode)

    def play(self, episode: int) -> Played:
        """Play an episode of the source.

        Raises:
            UsageError: what the user can put right.
            ChatError: the reader's or judge's language model could not be had.
            AgentError: every other exception.
        """
        settings = settings_for(self.entry.declared, self.environment)
        watch = _Watch(MemAlphaEnv(**{**settings, "split": self.split, "data": self.data}))
        try:
            result = play_episode(self.entry.make(), watch, episode)
        except (UsageError, ChatError):
            raise
        except Exception as error:
            raise AgentError(
                f'{traceback.format_exc()}\nagent "{self.entry.name}" raised '
                f"{type(error).__name__} on episode {episode}"
            ) from error
        return Played(
            episode_id=result.episode_id,
            ability=result.ability,
            correctness=result.score,
            format=_mean(terms["format"] for terms in watch.paid),
            compression=result.metrics["compression"],
            content=_mean(terms["content"] for terms in watch.paid),
            memory_share=result.metrics["memory_share"],
            questions=len(result.answers),
            responses=watch.actions,
            calls=dict(sorted(watch.calls.items())),
            failed_calls=result.calls - result.valid_calls,
            causes=dict(
                sorted(Counter(item["cause"] or "right" for item in result.answers).items())
            ),
            code=code_digest(),
        )


class _Watch(gym.Wrapper[dict[str, Any], Any, dict[str, Any], Any]):
    """Keeps what the end of an episode does not tell: the calls by tool, and the step terms."""

    def __init__(self, env: MemAlphaEnv) -> None:
        super().__init__(env)
        self.calls: Counter[str] = Counter()
        self.paid: list[Mapping[str, float]] = []
        self.actions = 0

    def reset(self, **given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        observation, info = self.env.reset(**given)
        self._chunk = info["chunk_index"]
        return observation, info

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        for result in info["tool_results"]:
            self.calls[f"{result['name']} {result['memory_type']}".strip() or "unreadable"] += 1
        self.actions += 1
        if info["chunk_index"] != self._chunk:
            self.paid.append(info["reward_terms"])
        self._chunk = info["chunk_index"]
        return observation, reward, terminated, truncated, info


# ---------------------------------------------------------------------- all of them


def play(
    players: Sequence[ModelPlayer | AgentPlayer],
    episodes: Sequence[int],
    results: Results,
    *,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> None:
    """Play what is missing: the baselines, then one model after the other.

    Args:
        players: Those that are equal are played once.
        episodes: Indices in their sources.
        results: Where the results are kept.
        jobs: Worker processes for the baselines.
        progress: Told the numbers of results there are and there will be.

    Raises:
        UsageError: what the user can put right.
        ChatError: the reader's or judge's language model could not be had.
        AgentError: a baseline raised an exception.
    """
    asked = {player.key(item): (player, item) for player in players for item in episodes}
    done = sum(key in results for key in asked)
    progress(done, len(asked))
    for key, result in _play_missing(
        [(key, *asked[key]) for key in asked if key not in results], jobs
    ):
        results.append(key, result)
        done += 1
        progress(done, len(asked))


_Task = tuple[str, AgentPlayer, int]


def _play_missing(
    missing: Sequence[tuple[str, ModelPlayer | AgentPlayer, int]], jobs: int
) -> Iterator[tuple[str, Played]]:
    tasks: list[_Task] = []
    models: dict[Path, list[tuple[ModelPlayer, int]]] = {}
    for key, player, episode in missing:
        if isinstance(player, AgentPlayer):
            tasks.append((key, player, episode))
        else:
            models.setdefault(player.folder, []).append((player, episode))
    if tasks:
        yield from _play_agents(tasks, jobs)
    for wanted in models.values():
        policy = wanted[0][0].load()
        for player in {id(player): player for player, _ in wanted}.values():
            indices = [episode for other, episode in wanted if other is player]
            for episode, result in player.play(policy, indices):
                yield player.key(episode), result


def _play_agents(tasks: Sequence[_Task], jobs: int) -> Iterator[tuple[str, Played]]:
    with Workers(_play_task, tasks, jobs, alone=True) as workers:
        workers.start()
        while workers.running:
            for future in wait(workers.running, return_when=FIRST_COMPLETED).done:
                yield workers.take(future)
            workers.start()


def _play_task(task: _Task) -> tuple[str, Played]:
    key, player, episode = task
    return key, player.play(episode)
