"""Playing a trace again: the memory, the retrieval and the scores are computed anew and compared.

The actions of a record are given to an environment with the record's settings, on the episode as
the source makes it. Everything that is not an agent's choice must come out as the record says, to
the last bit. Of language models the outputs are taken from the record (:mod:`.parts`), and what
follows from them is computed. What no replay can tell: who chose the actions, with which seed and
versions, and at which cost.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.memory import Memory
from memgym.tasks.registry import load_source
from memgym.traces.actions import replayable
from memgym.traces.compare import differences
from memgym.traces.digests import RunningDigest, episode_hash, observation_digest
from memgym.traces.parts import RecordedAnswerJudge, RecordedContentJudge, RecordedReader
from memgym.traces.schema import PARTS

__all__ = [
    "MOST_DIFFERENCES",
    "ReplayReport",
    "ReplayedStep",
    "episode_of",
    "replay",
    "replay_on",
    "replayed",
]

MOST_DIFFERENCES = 20
"""So many differences of a record are told; where the memory differs, all that follows does."""

_SHORTEST_SOURCE: Mapping[str, Any] = {
    "source": "procedural",
    "split": "train",
    "source_options": {"tokens": 1_000},
}


@dataclass(frozen=True, slots=True)
class ReplayedStep:
    """One step, computed anew.

    Attributes:
        index: Place among the record's steps, from 0.
        chunk: Index of the chunk in the observation.
        question: The question that was asked, ``""`` where a chunk was read.
        observation: Digest of the observation.
        action: What was done, as it stands in the record.
        results: The tool results, as in ``info["tool_results"]``.
        reward: The step's reward.
        terms: The reward terms.
        memory: The live memory after the step; it changes with the next one.
        memory_digest: Digest of the memory after the step.
        metrics: Those of the episode, empty before the last step.
        answers: One per question, empty before the last step.
    """

    index: int
    chunk: int
    question: str
    observation: str
    action: Any
    results: tuple[Mapping[str, Any], ...]
    reward: float
    terms: Mapping[str, float]
    memory: Memory
    memory_digest: str
    metrics: Mapping[str, float]
    answers: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What replaying a record showed.

    Attributes:
        episode_id: Id of the episode.
        agent: Name of the agent.
        differences: What differs, first things first, at most :data:`MOST_DIFFERENCES`; empty if
            the record is what the environment makes of its actions, bit for bit.
        score: Mean answer score, computed anew.
        reward: Sum of the step rewards, computed anew.
        metrics: The episode's metrics, computed anew.
        answers: One record per question, computed anew.
        memory_digest: Digest of the final memory, computed anew.
        recorded: Parts whose outputs were taken from the record.
        steps: Steps that were replayed.
    """

    episode_id: str
    agent: str
    differences: tuple[str, ...]
    score: float
    reward: float
    metrics: Mapping[str, float]
    answers: tuple[Mapping[str, Any], ...]
    memory_digest: str
    recorded: tuple[str, ...]
    steps: int


def episode_of(record: Mapping[str, Any], data: Path | str | None = None) -> Episode:
    """Return the episode that a record was made on.

    Args:
        record: As :func:`~memgym.traces.format.read_traces` yields it.
        data: Folder with one subfolder per real source; by default what ``MEMGYM_DATA`` names.

    Raises:
        UsageError: there is no such episode here, or it has another content.
    """
    told = record["episode"]
    found = load_source(told["source"], told["split"], told["source_options"], data)
    episode = found.episode(told["id"] if told["index"] is None else told["index"])
    if episode.id != told["id"] or episode_hash(episode) != told["hash"]:
        raise UsageError(
            f'episode "{told["id"]}": the {told["source"]} data here has another content; the '
            "trace was made on other data, or with another version of memgym"
        )
    return episode


def replayed(record: Mapping[str, Any], episode: Episode) -> Iterator[ReplayedStep]:
    """Yield the steps of a record, computed anew on its episode.

    It ends where the record ends, or where the environment's episode does.

    Raises:
        UsageError: no environment can be made with the record's settings.
    """
    return _Replay(record).steps(episode)


def replay(record: Mapping[str, Any], data: Path | str | None = None) -> ReplayReport:
    """Replay a record on the episode that it names, and compare everything in it.

    Args:
        record: As :func:`~memgym.traces.format.read_traces` yields it.
        data: See :func:`episode_of`.

    Raises:
        UsageError: it cannot be replayed: its episode is not here, or its settings are none.
    """
    return replay_on(record, episode_of(record, data))


def replay_on(
    record: Mapping[str, Any],
    episode: Episode,
    watch: Callable[[ReplayedStep], None] | None = None,
) -> ReplayReport:
    """Replay a record on an episode at hand, and compare everything in it; see :func:`replay`.

    Args:
        record: As :func:`~memgym.traces.format.read_traces` yields it.
        episode: The one it was made on.
        watch: Is shown every step, whose memory changes with the next.
    """
    replaying = _Replay(record)
    found = list(_facts(record, episode))
    reward = 0.0
    for step in replaying.steps(episode):
        reward += step.reward
        if watch is not None:
            watch(step)
        if len(found) < MOST_DIFFERENCES:
            found += _step_differences(record["steps"][step.index], step)
            found += replaying.complaints(step.index)
    computed: dict[str, Any] = {
        "answers": tuple(_plain(answer) for answer in step.answers),
        "metrics": step.metrics,
        "score": step.metrics.get("correctness", 0.0),
        "reward": reward,
        "memory_digest": step.memory.digest(),
    }
    found += _length_differences(record["steps"], step)
    for name, value in computed.items():
        found += differences(record[name], value, name)
    return ReplayReport(
        episode_id=record["episode"]["id"],
        agent=record["agent"]["name"],
        differences=tuple(found[:MOST_DIFFERENCES]),
        recorded=tuple(record["recorded"]),
        steps=step.index + 1,
        **computed,
    )


class _Replay:
    """The environment of a record, with recorded parts in it."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record
        settings = dict(record["environment"])
        recorded = record["recorded"]
        replaced = [*recorded, *(["reader"] if settings["answer_mode"] == "agent" else [])]
        for part in replaced:
            settings |= {part: PARTS[part], f"{part}_options": {}}
        self._env = MemAlphaEnv(**_SHORTEST_SOURCE, **settings)
        self._judge = RecordedContentJudge()
        self._reader = RecordedReader(record["answers"], _retrieval(record["environment"]))
        if "content_judge" in recorded:
            self._env.content_judge = self._judge
        if "answer_judge" in recorded:
            sources = _judged_sources(record["environment"])
            self._env.answer_judge = RecordedAnswerJudge(record["answers"], sources)
        if "reader" in recorded:
            self._env.reader = self._reader

    def steps(self, episode: Episode) -> Iterator[ReplayedStep]:
        """Yield what the environment does."""
        env = self._env
        observation, info = env.reset(seed=self._record["seed"], options={"episode": episode})
        digest = RunningDigest(env.memory)
        for index, recorded in enumerate(self._record["steps"]):
            self._judge.verdicts = recorded.get("verdicts", ())
            seen, chunk = observation, info["chunk_index"]
            observation, reward, terminated, _, info = env.step(replayable(recorded))
            yield ReplayedStep(
                index=index,
                chunk=chunk,
                question=seen.get("question", ""),
                observation=observation_digest(seen),
                action=recorded.get("action", recorded.get("calls")),
                results=info["tool_results"],
                reward=float(reward),
                terms=info["reward_terms"],
                memory=env.memory,
                memory_digest=digest.after(info["tool_results"]),
                metrics=info.get("metrics", {}),
                answers=info.get("answers", ()),
            )
            if terminated:
                return

    def complaints(self, index: int) -> list[str]:
        """Return what the recorded parts found wrong since they were last asked."""
        told = [f"step {index}: {text}" for text in self._judge.complaints]
        told += self._reader.complaints
        self._judge.complaints, self._reader.complaints = [], []
        return told


def _retrieval(environment: Mapping[str, Any]) -> dict[str, int] | None:
    options = environment["reader_options"]
    if environment["reader"] != "llm":
        return None
    limits = {name: options.get(name) for name in ("top_k", "budget_tokens")}
    for name, value in limits.items():
        if type(value) is not int or value < 1:
            raise UsageError(f"environment.reader_options.{name} must be a whole number from 1")
    return {name: int(value) for name, value in limits.items() if value is not None}


def _judged_sources(environment: Mapping[str, Any]) -> Sequence[str] | None:
    if environment["answer_judge"] != "llm":
        return None
    sources: Sequence[str] = environment["answer_judge_options"].get("sources", ())
    return sources


def _facts(record: Mapping[str, Any], episode: Episode) -> Iterator[str]:
    """Yield where the record says something else of its episode than the episode itself."""
    computed = {
        "ability": episode.ability,
        "chunks": len(episode.chunks),
        "questions": len(episode.questions),
    }
    told = {name: record["episode"][name] for name in computed}
    yield from differences(told, computed, "episode")


def _length_differences(recorded: Sequence[Any], last: ReplayedStep) -> Iterator[str]:
    """Yield whether the record has fewer or more steps than the episode."""
    steps = last.index + 1
    if steps < len(recorded):
        yield f"steps: recorded {len(recorded)}, the episode is over after {steps}"
    elif not last.metrics:
        yield f"steps: recorded {steps}, after which the episode is not over"


def _step_differences(recorded: Mapping[str, Any], step: ReplayedStep) -> Iterator[str]:
    computed = {
        "chunk": step.chunk,
        "observation": step.observation,
        "results": list(step.results),
        "terms": step.terms,
        "reward": step.reward,
        "memory": step.memory_digest,
        "memory_tokens": step.memory.total_tokens,
    }
    for name, value in computed.items():
        yield from differences(recorded[name], value, f"step {step.index}: {name}")


def _plain(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer as it stands in a record, with lists for tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in answer.items()
    }
