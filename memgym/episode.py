"""Episodes: the chunks an agent reads and the questions its memory is tested on.

An :class:`Episode` is plain data. Its chunks are a ``Sequence[str]``: a tuple for data from disk, a
lazy sequence for procedural tasks, whose text is made chunk by chunk and never held whole.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from memgym.errors import UsageError, nearest

__all__ = [
    "ABILITIES",
    "QUESTION_KINDS",
    "Ability",
    "Episode",
    "Evidence",
    "Question",
    "QuestionKind",
    "episode_from_dict",
    "episode_to_dict",
    "read_jsonl",
    "write_jsonl",
]

Ability = Literal[
    "accurate_retrieval",
    "test_time_learning",
    "long_range_understanding",
    "conflict_resolution",
]
ABILITIES: tuple[Ability, ...] = get_args(Ability)

QuestionKind = Literal["text", "label", "keywords", "order", "state"]
QUESTION_KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where an answer is written: a chunk index and a literal substring of that chunk."""

    chunk: int
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question and everything needed to score an answer to it.

    Attributes:
        question: The bare question, without any preface (it is also the retrieval query).
        answers: Gold strings. ``text``, ``label``, ``state``: alternatives, any one is right.
            ``keywords``: all of them are wanted. ``order``: all of them, in this order.
        kind: How it is scored, see :mod:`memgym.scoring`.
        asked_after: Index of the chunk after which it is asked; ``None`` means after the last.
        evidence: The passages that together give the answer, if known.
        distractors: Strings that make an answer wrong (``state``: values no longer or never true).
    """

    question: str
    answers: tuple[str, ...]
    kind: QuestionKind = "text"
    asked_after: int | None = None
    evidence: tuple[Evidence, ...] = ()
    distractors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.question, str):
            raise UsageError(f"a question must be a string, got {type(self.question).__name__}")
        if not self.question.strip():
            raise UsageError("a question is empty")
        where = f'question "{self.question[:60]}"'
        _check_written(self.answers, f"{where}: answers")
        _check_strings(self.distractors, f"{where}: distractors")
        if not self.answers:
            raise UsageError(f"{where}: answers must be non-empty strings, and at least one")
        if not isinstance(self.evidence, (tuple, list)) or not all(
            isinstance(item, Evidence) for item in self.evidence
        ):
            raise UsageError(f"{where}: evidence must be a tuple of Evidence")
        if self.kind not in QUESTION_KINDS:
            raise UsageError(
                f'unknown question kind "{self.kind}": {nearest(self.kind, QUESTION_KINDS)}'
            )


@dataclass(frozen=True, slots=True)
class Episode:
    """A text to read and the questions asked about it.

    Attributes:
        id: Unique within its source and split; the same id means the same content.
        source: Registry name of the data source, e.g. ``"squad"``.
        ability: One of :data:`ABILITIES`.
        chunks: The text pieces in reading order; non-empty strings.
        questions: In order of asking within each chunk index.
        metadata: JSON-able extras (``split``, ``question_preface``, …).
    """

    id: str
    source: str
    ability: Ability
    chunks: Sequence[str]
    questions: tuple[Question, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f'episode "{self.id}"'
        if self.ability not in ABILITIES:
            raise UsageError(
                f'{where}: unknown ability "{self.ability}": {nearest(self.ability, ABILITIES)}'
            )
        if isinstance(self.chunks, (str, tuple, list)):  # a lazy sequence is not made to be checked
            _check_written(self.chunks, f"{where}: chunks")
        if not len(self.chunks):
            raise UsageError(f"{where}: it has no chunks")
        if not self.questions:
            raise UsageError(f"{where}: it has no questions")
        if not all(isinstance(question, Question) for question in self.questions):
            raise UsageError(f"{where}: questions must be a tuple of Question")
        last = len(self.chunks) - 1
        for question in self.questions:
            asked = question.asked_after
            if asked is not None and not 0 <= asked <= last:
                raise UsageError(f"{where}: asked_after {asked} is outside its chunks 0..{last}")
            for item in question.evidence:
                if not 0 <= item.chunk <= last:
                    raise UsageError(
                        f"{where}: evidence in chunk {item.chunk} is outside its chunks 0..{last}"
                    )

    def questions_after(self, chunk_index: int) -> tuple[int, ...]:
        """Return the indices of the questions asked after chunk ``chunk_index``, in order."""
        last = len(self.chunks) - 1
        return tuple(
            index
            for index, question in enumerate(self.questions)
            if (last if question.asked_after is None else question.asked_after) == chunk_index
        )

    def questions_within(self, chunks: int) -> tuple[Question, ...]:
        """Return the questions that the first ``chunks`` chunks can answer, see :meth:`first`."""
        return tuple(
            question
            for question in self.questions
            if (question.asked_after or 0) < chunks
            and all(item.chunk < chunks for item in question.evidence)
        )

    def first(self, chunks: int) -> "Episode":
        """Return the episode cut after its first ``chunks`` chunks.

        Kept are the questions whose evidence lies there and that are asked there or at the end; a
        question without known evidence is kept.

        Raises:
            UsageError: ``chunks`` is below 1, or no question is left.
        """
        if chunks < 1:
            raise UsageError(f"max_chunks must be at least 1, got {chunks}")
        if chunks >= len(self.chunks):
            return self
        kept = self.questions_within(chunks)
        if not kept:
            raise UsageError(
                f'episode "{self.id}": its first {chunks} chunks hold no answer to any question; '
                f"use more of its {len(self.chunks)} chunks"
            )
        return replace(self, id=f"{self.id}#{chunks}", chunks=self.chunks[:chunks], questions=kept)

    def count_tokens(self, count: Callable[[str], int]) -> int:
        """Return the tokens of all chunks, made and counted one at a time."""
        return sum(count(chunk) for chunk in self.chunks)


def _check_strings(value: Any, where: str) -> None:
    """Refuse what is not a tuple or list of strings; a plain string is a sequence of letters."""
    if not isinstance(value, (tuple, list)):
        raise UsageError(
            f"{where} must be a tuple of strings, got a value of type {type(value).__name__}"
        )
    for index, item in enumerate(value):
        if not isinstance(item, str):
            kind = type(item).__name__
            raise UsageError(
                f"{where} must be strings, got a value of type {kind} at index {index}"
            )


def _check_written(value: Any, where: str) -> None:
    """Refuse what is not a tuple or list of strings that are not blank."""
    _check_strings(value, where)
    for index, item in enumerate(value):
        if not item.strip():
            raise UsageError(f"{where} must be non-empty strings, got a blank one at index {index}")


def episode_to_dict(episode: Episode) -> dict[str, Any]:
    """Return the episode as plain JSON values; :func:`episode_from_dict` is the exact inverse."""
    return {
        "id": episode.id,
        "source": episode.source,
        "ability": episode.ability,
        "chunks": list(episode.chunks),
        "questions": [_question_to_dict(question) for question in episode.questions],
        "metadata": dict(episode.metadata),
    }


def _question_to_dict(question: Question) -> dict[str, Any]:
    return {
        "question": question.question,
        "answers": list(question.answers),
        "kind": question.kind,
        "asked_after": question.asked_after,
        "evidence": [{"chunk": item.chunk, "text": item.text} for item in question.evidence],
        "distractors": list(question.distractors),
    }


def episode_from_dict(record: Mapping[str, Any], where: str = "episode") -> Episode:
    """Build an episode from JSON values, checking every field.

    Args:
        record: As written by :func:`episode_to_dict`; ``questions`` may leave out defaulted keys.
        where: Names the place in error messages, e.g. ``"data.jsonl, line 3"``.

    Raises:
        UsageError: a field is missing, unknown or has the wrong type.
    """
    _check_keys(
        record,
        required={"id", "source", "ability", "chunks", "questions"},
        optional={"metadata"},
        where=where,
    )
    for key in ("id", "source", "ability"):
        if not isinstance(record[key], str):
            raise UsageError(f'{where}: "{key}" must be a string, got {type(record[key]).__name__}')
    chunks = _strings(record["chunks"], f'{where}, "chunks"')
    if not isinstance(record["questions"], list):
        raise UsageError(f'{where}: "questions" must be a list')
    questions = tuple(
        _question_from_dict(item, f"{where}, question {index}")
        for index, item in enumerate(record["questions"])
    )
    metadata = record.get("metadata", {})
    if not isinstance(metadata, dict):
        raise UsageError(f'{where}: "metadata" must be an object')
    try:
        return Episode(
            record["id"], record["source"], record["ability"], chunks, questions, metadata
        )
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _question_from_dict(record: Any, where: str) -> Question:
    if not isinstance(record, dict):
        raise UsageError(f"{where}: must be an object, got {type(record).__name__}")
    optional = {"kind", "asked_after", "evidence", "distractors"}
    _check_keys(record, required={"question", "answers"}, optional=optional, where=where)
    if not isinstance(record["question"], str):
        raise UsageError(f'{where}: "question" must be a string')
    asked_after = record.get("asked_after")
    if asked_after is not None and (
        isinstance(asked_after, bool) or not isinstance(asked_after, int)
    ):
        raise UsageError(f'{where}: "asked_after" must be a chunk index or null')
    evidence = []
    for item in record.get("evidence", []):
        if not (
            isinstance(item, dict)
            and type(item.get("chunk")) is int
            and isinstance(item.get("text"), str)
        ):
            raise UsageError(f'{where}: each evidence must be {{"chunk": int, "text": str}}')
        evidence.append(Evidence(item["chunk"], item["text"]))
    try:
        return Question(
            record["question"],
            _strings(record["answers"], f'{where}, "answers"'),
            record.get("kind", "text"),
            asked_after,
            tuple(evidence),
            _strings(record.get("distractors", []), f'{where}, "distractors"'),
        )
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _check_keys(
    record: Mapping[str, Any], *, required: set[str], optional: set[str], where: str
) -> None:
    missing, unknown = required - record.keys(), record.keys() - required - optional
    if missing:
        raise UsageError(f"{where}: missing {', '.join(sorted(missing))}")
    if unknown:
        first = min(unknown)
        raise UsageError(f'{where}: unknown field "{first}": {nearest(first, required | optional)}')


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{where} must be a list of strings")
    return tuple(value)


def write_jsonl(path: Path | str, episodes: Iterable[Episode]) -> int:
    """Write one episode per line (UTF-8, sorted keys) and return how many; whole or not at all.

    Raises:
        UsageError: the file cannot be written, an episode's metadata are no JSON values, or a text
            holds a lone surrogate, which no UTF-8 file can.
    """
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    count = 0
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            for episode in episodes:
                file.write(
                    json.dumps(episode_to_dict(episode), ensure_ascii=False, sort_keys=True) + "\n"
                )
                count += 1
        partial.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write episodes to {path}: {error}") from error
    except UnicodeEncodeError as error:
        raise UsageError(
            f"episode {count} for {path}: it holds the lone surrogate "
            f"{error.object[error.start]!a}, which UTF-8 cannot write; replace it first"
        ) from error
    except TypeError as error:
        raise UsageError(
            f"episode {count} for {path}: its metadata are no JSON: {error}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def read_jsonl(path: Path | str) -> Iterator[Episode]:
    """Yield the episodes of a JSON Lines file, one at a time.

    Raises:
        UsageError: the file cannot be read, or a line is not an episode (named by line number).
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _parse_line(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read episodes from {path}: {error}") from error


def _parse_line(line: str, where: str) -> Episode:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{where}: not JSON: {error}") from error
    if not isinstance(record, dict):
        raise UsageError(f"{where}: must be a JSON object, got {type(record).__name__}")
    return episode_from_dict(record, where)
