"""An episode as it is looked at: what was shown, done and changed at every step, and the answers.

The steps hold changes, never a whole memory, so that a view grows with what happened and not with
steps times items. Not here: how it is drawn (:mod:`.page`, :mod:`.frames`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.episode import Episode
from memgym.traces.replay import ReplayedStep, episode_of, replay_on, replayed
from memgym.viewer.changes import Change, MemoryWatch

__all__ = [
    "CallView",
    "EpisodeView",
    "EvidenceView",
    "QuestionView",
    "StepView",
    "memory_after",
    "view_of",
]


@dataclass(frozen=True, slots=True)
class CallView:
    """One tool call and its result.

    Attributes:
        name: The tool, ``""`` if the call could not be read.
        status: ``ok``, ``skipped`` or ``error``.
        target: Id of the item, else the memory type, else ``""``.
        message: What the agent was told.
    """

    name: str
    status: str
    target: str
    message: str


@dataclass(frozen=True, slots=True)
class StepView:
    """One step.

    Attributes:
        chunk: Index of the chunk it belongs to.
        question: The question that the agent was asked, ``""`` where it read a chunk.
        action: The action as given: text, or JSON values.
        calls: Its tool calls.
        changes: What they did to the memory.
        terms: Reward terms, 0.0 where one is not paid.
        reward: Their weighted sum.
        memory_tokens: Tokens of the memory after the step.
        memory_items: Its items; a core counts as one.
    """

    chunk: int
    question: str
    action: Any
    calls: tuple[CallView, ...]
    changes: tuple[Change, ...]
    terms: Mapping[str, float]
    reward: float
    memory_tokens: int
    memory_items: int


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """A passage that the answer needs: index of its chunk, and its text."""

    chunk: int
    text: str


@dataclass(frozen=True, slots=True)
class QuestionView:
    """One question and what became of it.

    Attributes:
        question: The bare question.
        gold: Gold strings.
        evidence: Passages that give the answer, where they are known.
        step: Index of the step after which the memory was as it was when the question was asked.
        prediction: The answer.
        score: 0.0 to 1.0.
        cause: Why it is below 1 (see :mod:`memgym.diagnosis`), else ``""``.
        memory_ids: Retrieved items, best first.
        failed: Whether the reader broke down.
    """

    question: str
    gold: tuple[str, ...]
    evidence: tuple[EvidenceView, ...]
    step: int
    prediction: str
    score: float
    cause: str
    memory_ids: tuple[str, ...]
    failed: bool


@dataclass(frozen=True, slots=True)
class EpisodeView:
    """All there is to look at.

    Attributes:
        id: Id of the episode.
        agent: Name of the agent.
        facts: Names and values of what else is recorded, in words.
        score: Mean answer score, 0.0 to 1.0.
        reward: Sum of the rewards.
        metrics: The environment's, see ``info["metrics"]``.
        chunks: The text.
        steps: In order.
        questions: In order of the episode.
        recorded: Parts with a language model, whose outputs are the recorded ones.
        differences: Where a replay comes to other results than the trace claims.
    """

    id: str
    agent: str
    facts: tuple[tuple[str, str], ...]
    score: float
    reward: float
    metrics: Mapping[str, float]
    chunks: tuple[str, ...]
    steps: tuple[StepView, ...]
    questions: tuple[QuestionView, ...]
    recorded: tuple[str, ...]
    differences: tuple[str, ...]


def view_of(record: Mapping[str, Any], *, data: Path | None = None) -> EpisodeView:
    """Replay a record of a trace and return what there is to see.

    Args:
        record: As :func:`memgym.traces.format.read_traces` yields it.
        data: Folder with one subfolder per real source; by default what ``MEMGYM_DATA`` names.

    Raises:
        UsageError: the episode cannot be had here, or is another one than the recorded.
    """
    whole = episode_of(record, data)
    report = replay_on(record, whole)
    watch = MemoryWatch()
    steps = tuple(_step(step, watch) for step in replayed(record, whole))
    most = record["environment"]["max_chunks"]
    episode = whole.first(most) if most else whole
    return EpisodeView(
        id=episode.id,
        agent=report.agent,
        facts=tuple(_facts(record)),
        score=report.score,
        reward=report.reward,
        metrics=dict(report.metrics),
        chunks=tuple(episode.chunks),
        steps=steps,
        questions=tuple(_questions(report.answers, episode, steps)),
        recorded=report.recorded,
        differences=report.differences,
    )


def memory_after(view: EpisodeView, index: int) -> dict[str, str]:
    """Return what the memory held after a step: texts by id, oldest first, and the core."""
    texts: dict[str, str] = {}
    for step in view.steps[: index + 1]:
        for change in step.changes:
            if change.kind == "deleted":
                del texts[change.memory_id]
            else:
                texts[change.memory_id] = change.text
    return texts


def _step(step: ReplayedStep, watch: MemoryWatch) -> StepView:
    touched = [result["memory_id"] for result in step.results if result["memory_id"]]
    return StepView(
        chunk=step.chunk,
        question=step.question,
        action=step.action,
        calls=tuple(_call(result) for result in step.results),
        changes=watch.changes(step.memory, touched),
        terms=dict(step.terms),
        reward=step.reward,
        memory_tokens=step.memory.total_tokens,
        memory_items=len(step.memory),
    )


def _call(result: Mapping[str, Any]) -> CallView:
    return CallView(
        name=result["name"],
        status=result["status"],
        target=result["memory_id"] or result["memory_type"],
        message=result["message"],
    )


def _questions(
    answers: Iterable[Mapping[str, Any]], episode: Episode, steps: Sequence[StepView]
) -> Iterable[QuestionView]:
    """Yield the questions; from the asking to the end of its chunk no step changes the memory."""
    last_step = {step.chunk: index for index, step in enumerate(steps)}
    for answer in sorted(answers, key=lambda answer: answer["index"]):
        question = episode.questions[answer["index"]]
        asked = question.asked_after
        yield QuestionView(
            question=question.question,
            gold=tuple(question.answers),
            evidence=tuple(EvidenceView(item.chunk, item.text) for item in question.evidence),
            step=last_step[len(episode.chunks) - 1 if asked is None else asked],
            prediction=answer["prediction"],
            score=answer["score"],
            cause=answer["cause"],
            memory_ids=tuple(answer["memory_ids"]),
            failed=answer["failed"],
        )


def _facts(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield what the record says beside the steps: names and values, nested ones with dots."""
    for part in (
        "suite",
        "episode",
        "agent",
        "environment",
        "seed",
        "versions",
        "metrics",
        "usage",
    ):
        yield from _flat(part, record.get(part))


def _flat(name: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif value not in (None, "", [], ()):
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
