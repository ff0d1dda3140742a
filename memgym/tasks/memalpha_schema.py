"""One row of a Memalpha parquet file as an episode, and back; no parquet library is needed here.

One row is one episode. Columns (names and types as published with Mem-alpha, arXiv 2509.25911):

=========================  =======  ==============================================================
column                     type     content
=========================  =======  ==============================================================
``instance_id``            int64    row index
``prompt``                 string   task description for the policy; written, never read
``chunks``                 string   JSON list of strings
``questions_and_answers``  string   JSON list of ``{"question", "answer"}``; answer a string or list
``data_source``            string   scorer key of the published code, our source name
``metadata``               string   JSON object of extras
``num_chunks``             int64    length of ``chunks``
``num_questions``          int64    number of questions
=========================  =======  ==============================================================

Our own files add to each question what the schema lacks (``kind``, ``asked_after``, ``evidence``,
``distractors``; left out where they are the default) and to the metadata an object ``memgym`` with
id, source and ability, so that episodes come back exactly. A published file has none of these:
kind and ability then follow from ``data_source``. JSON is parsed as JSON, never evaluated.
"""

import json
from collections.abc import Mapping
from typing import Any

from memgym.episode import (
    Ability,
    Episode,
    QuestionKind,
    episode_from_dict,
    episode_to_dict,
)
from memgym.errors import UsageError
from memgym.tasks.source import LABEL_PREFACE

__all__ = ["NEEDED", "OPTIONAL", "episode_from_row", "identity", "row_from_episode"]

NEEDED = ("chunks", "questions_and_answers", "data_source")
"""Columns without which a row cannot be read."""
OPTIONAL = ("instance_id", "metadata")
"""Columns that are read where they exist."""

_PROMPT = (
    "You will read a long text chunk by chunk. Keep what may be asked about later in memory, by "
    "calling the memory tools."
)
_MARK = "memgym"  # the metadata object that only our own files have

# Published data sources by the start of their name: ability and question kind. The first match
# counts; what matches nothing is scored by containment, as the published code does.
_PUBLISHED: tuple[tuple[str, Ability, QuestionKind], ...] = (
    ("pubmed-rct", "test_time_learning", "label"),
    ("ttl_train", "test_time_learning", "label"),
    ("icl_", "test_time_learning", "label"),
    ("test_time_learning", "test_time_learning", "label"),
    ("recsys", "test_time_learning", "text"),
    ("booksum", "long_range_understanding", "keywords"),
    ("infbench_sum", "long_range_understanding", "keywords"),
    ("detective_qa", "long_range_understanding", "text"),
    ("long_range_understanding", "long_range_understanding", "keywords"),
    ("factconsolidation", "conflict_resolution", "text"),
    ("conflict_resolution", "conflict_resolution", "text"),
    ("", "accurate_retrieval", "text"),
)


def row_from_episode(episode: Episode, number: int) -> dict[str, Any]:
    """Return the row of an episode, all columns.

    Raises:
        UsageError: its metadata are not JSON values or use the reserved name ``memgym``.
    """
    record = episode_to_dict(episode)
    if _MARK in record["metadata"]:
        raise UsageError(f'episode "{episode.id}": the metadata name "{_MARK}" is reserved')
    mark = {key: record[key] for key in ("id", "source", "ability")}
    return {
        "instance_id": number,
        "prompt": _PROMPT,
        "chunks": json.dumps(record["chunks"]),
        "questions_and_answers": json.dumps([_entry(item) for item in record["questions"]]),
        "data_source": episode.source,
        "metadata": _json_object({**record["metadata"], _MARK: mark}, episode.id),
        "num_chunks": len(record["chunks"]),
        "num_questions": len(record["questions"]),
    }


def _json_object(value: Mapping[str, Any], identifier: str) -> str:
    try:
        return json.dumps(value, sort_keys=True)
    except TypeError as error:
        raise UsageError(
            f'episode "{identifier}": metadata must be JSON values: {error}'
        ) from error


def _entry(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question as published, with what the schema lacks where it is not the default."""
    answers = question["answers"]
    entry = {
        "question": question["question"],
        "answer": answers[0] if len(answers) == 1 else answers,
    }
    extras: dict[str, Any] = {
        "kind": "text",
        "asked_after": None,
        "evidence": [],
        "distractors": [],
    }
    entry.update({key: question[key] for key, usual in extras.items() if question[key] != usual})
    return entry


def episode_from_row(row: Mapping[str, Any], where: str, number: int) -> Episode:
    """Return the episode of a row.

    Args:
        row: At least the columns :data:`NEEDED`.
        where: Names the row in messages.
        number: Its position, used for the id if the row has no ``instance_id``.

    Raises:
        UsageError: a cell is not the JSON it should be (names row, column and entry).
    """
    chunks = _cell(row, "chunks", list, where)
    entries = _cell(row, "questions_and_answers", list, where)
    metadata = _metadata(row, where)
    own = _MARK in metadata
    identifier, source, ability = identity(row, where, number)
    metadata.pop(_MARK, None)
    kind = next(kind for prefix, _, kind in _PUBLISHED if source.startswith(prefix))
    if not own and kind == "label":
        metadata.setdefault("question_preface", LABEL_PREFACE)
    questions = []
    for index, entry in enumerate(entries):
        place = f'{where}, column "questions_and_answers", entry {index}'
        if not isinstance(entry, dict) or not {"question", "answer"} <= entry.keys():
            raise UsageError(f'{place}: must be an object with "question" and "answer"')
        answers = _answers(entry["answer"], place)
        if own:
            extras = {key: entry[key] for key in entry if key != "answer"}
            questions.append({**extras, "answers": answers})
        else:
            questions.append(_published(entry["question"], answers, kind, source))
    record = {
        "id": identifier,
        "source": source,
        "ability": ability,
        "chunks": chunks,
        "questions": questions,
        "metadata": metadata,
    }
    return episode_from_dict(record, where)


def _answers(value: Any, place: str) -> list[str]:
    """Return the golds of an entry: a string, a number (a label) or a list of them."""
    values = value if isinstance(value, list) else [value]
    if not values or any(isinstance(v, bool) or not isinstance(v, (str, int)) for v in values):
        raise UsageError(f'{place}: "answer" must be a string or a list of strings')
    return [str(item) for item in values]


def _published(
    question: Any, answers: list[str], kind: QuestionKind, source: str
) -> dict[str, Any]:
    """Return a published question; keyword lists are written there as one string."""
    separator = ";" if source == "perltqa" else "," if kind == "keywords" else ""
    if separator and len(answers) == 1 and (kind == "keywords" or separator in answers[0]):
        kind = "keywords"
        answers = [word.strip() for word in answers[0].split(separator) if word.strip()]
    return {"question": question, "answers": answers, "kind": kind}


def identity(row: Mapping[str, Any], where: str, number: int) -> tuple[str, str, Ability]:
    """Return id, source and ability: our own, or what follows from the published columns.

    Raises:
        UsageError: ``data_source`` or our metadata are malformed.
    """
    source = row.get("data_source")
    if not isinstance(source, str):
        raise UsageError(f'{where}: column "data_source" must hold strings')
    mark = _metadata(row, where).get(_MARK)
    if mark is not None:
        if not isinstance(mark, dict) or not all(
            isinstance(mark.get(key), str) for key in ("id", "source", "ability")
        ):
            raise UsageError(f'{where}: metadata "{_MARK}" needs the strings id, source, ability')
        return mark["id"], mark["source"], mark["ability"]
    ability = next(ability for prefix, ability, _ in _PUBLISHED if source.startswith(prefix))
    instance = row.get("instance_id")
    return f"{source}/{number if instance is None else instance}", source, ability


def _metadata(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    if row.get("metadata") in (None, ""):
        return {}
    metadata: dict[str, Any] = _cell(row, "metadata", dict, where)
    return metadata


def _cell(row: Mapping[str, Any], column: str, kind: type, where: str) -> Any:
    """Return the JSON value of a cell, of the wanted type."""
    value = row[column]
    if not isinstance(value, str):
        raise UsageError(f'{where}, column "{column}": must hold JSON text, got {value!r:.40}')
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise UsageError(f'{where}, column "{column}": not JSON: {error}') from error
    if not isinstance(parsed, kind):
        raise UsageError(f'{where}, column "{column}": must be a JSON {kind.__name__}')
    return parsed
