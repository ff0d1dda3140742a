"""Episodes and questions, and their JSON Lines files."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from memgym.episode import (
    Episode,
    Evidence,
    Question,
    episode_from_dict,
    episode_to_dict,
    read_jsonl,
    write_jsonl,
)
from memgym.errors import UsageError

_QUESTIONS = (
    Question("First?", ("a", "b")),
    Question(
        "Second?",
        ("c",),
        kind="state",
        asked_after=0,
        evidence=(Evidence(0, "It is c."),),
        distractors=("d",),
    ),
    Question("Third?", ("e",), asked_after=1),
)
_EPISODE = Episode(
    "x/1",
    "x",
    "conflict_resolution",
    ("It is c.", "It is d. 你好"),
    _QUESTIONS,
    {"split": "test", "deep": {"b": 1, "a": [None, 2.5]}},
)


class _Lazy(tuple[str, ...]):
    """Stands for a lazy sequence: another type than tuple."""


# --- questions and episodes


def test_questions_come_after_their_chunk_and_by_default_after_the_last() -> None:
    assert _EPISODE.questions_after(0) == (1,)
    assert _EPISODE.questions_after(1) == (0, 2)


def test_tokens_are_counted_over_all_chunks() -> None:
    assert _EPISODE.count_tokens(len) == len("It is c.") + len("It is d. 你好")


def test_the_first_chunks_keep_the_questions_they_can_answer() -> None:
    cut = _EPISODE.first(1)
    assert cut.chunks == ("It is c.",)
    assert [question.question for question in cut.questions] == ["First?", "Second?"]
    assert cut.id == "x/1#1"
    assert _EPISODE.first(2) is _EPISODE
    assert _EPISODE.first(99) is _EPISODE


def test_a_cut_that_leaves_no_question_is_refused() -> None:
    late = Question("Fourth?", ("d",), evidence=(Evidence(1, "It is d."),))
    with pytest.raises(UsageError, match="its first 1 chunks hold no answer to any question"):
        dataclasses.replace(_EPISODE, questions=(late,)).first(1)
    with pytest.raises(UsageError, match="max_chunks must be at least 1, got 0"):
        _EPISODE.first(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": "  "}, "a question is empty"),
        ({"answers": ()}, "answers must be non-empty strings"),
        ({"answers": ("a", " ")}, "answers must be non-empty strings"),
        ({"kind": "lable"}, 'unknown question kind "lable": did you mean "label"'),
    ],
)
def test_impossible_questions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(_QUESTIONS[0], **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ability": "acurate_retrieval"}, 'did you mean "accurate_retrieval"'),
        ({"chunks": ()}, 'episode "x/1": it has no chunks'),
        ({"questions": ()}, 'episode "x/1": it has no questions'),
        ({"chunks": ("only",)}, r"asked_after 1 is outside its chunks 0\.\.0"),
    ],
)
def test_impossible_episodes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(_EPISODE, **change)


# --- JSON


def test_an_episode_comes_back_exactly() -> None:
    record = json.loads(json.dumps(episode_to_dict(_EPISODE)))
    assert episode_from_dict(record) == _EPISODE


def test_defaults_may_be_left_out() -> None:
    record = {
        "id": "a",
        "source": "s",
        "ability": "accurate_retrieval",
        "chunks": ["c"],
        "questions": [{"question": "q", "answers": ["a"]}],
    }
    episode = episode_from_dict(record)
    assert episode.questions == (Question("q", ("a",)),)
    assert episode.metadata == {}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("id",), 3, '"id" must be a string, got int'),
        (("ability",), None, '"ability" must be a string'),
        (("chunks",), "text", '"chunks" must be a list of strings'),
        (("chunks",), [1], '"chunks" must be a list of strings'),
        (("questions",), {}, '"questions" must be a list'),
        (("metadata",), [], '"metadata" must be an object'),
        (("metdata",), {}, 'unknown field "metdata": did you mean "metadata"'),
        (("questions", 1), 3, "question 1: must be an object, got int"),
        (("questions", 1, "question"), None, '"question" must be a string'),
        (("questions", 1, "answers"), "c", '"answers" must be a list of strings'),
        (("questions", 1, "answers"), [], "answers must be non-empty strings"),
        (("questions", 1, "kind"), "txt", 'unknown question kind "txt"'),
        (("questions", 1, "asked_after"), "0", '"asked_after" must be a chunk index or null'),
        (("questions", 1, "asked_after"), True, '"asked_after" must be a chunk index or null'),
        (("questions", 1, "asked_after"), 9, r"asked_after 9 is outside its chunks 0\.\.1"),
        (("questions", 1, "evidence"), [{"chunk": 0}], "each evidence must be"),
        (("questions", 1, "evidence"), ["text"], "each evidence must be"),
        (("questions", 1, "distractors"), [None], '"distractors" must be a list of strings'),
        (("questions", 1, "answer"), "c", 'unknown field "answer": did you mean "answers"'),
    ],
)
def test_wrong_fields_are_named(path: tuple[Any, ...], value: Any, message: str) -> None:
    record = episode_to_dict(_EPISODE)
    target: Any = record
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(UsageError, match=message) as caught:
        episode_from_dict(record, "data.jsonl, line 3")
    assert "data.jsonl, line 3" in str(caught.value)


@pytest.mark.parametrize("name", ["id", "source", "ability", "chunks", "questions"])
def test_missing_fields_are_named(name: str) -> None:
    record = episode_to_dict(_EPISODE)
    del record[name]
    with pytest.raises(UsageError, match=f"missing {name}"):
        episode_from_dict(record)


# --- JSON Lines


def test_files_come_back_and_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    lazy = dataclasses.replace(_EPISODE, id="x/2", chunks=_Lazy(_EPISODE.chunks))
    assert write_jsonl(first, [_EPISODE, lazy]) == 2
    assert list(read_jsonl(first)) == [_EPISODE, dataclasses.replace(_EPISODE, id="x/2")]
    write_jsonl(second, read_jsonl(first))
    assert first.read_bytes() == second.read_bytes()
    assert "你好" in first.read_text(encoding="utf-8")


def test_reading_is_lazy_and_skips_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    write_jsonl(path, [_EPISODE])
    path.write_text("\n" + path.read_text(encoding="utf-8") + "broken\n", encoding="utf-8")
    episodes = read_jsonl(path)
    assert next(episodes) == _EPISODE
    with pytest.raises(UsageError, match="line 3: not JSON"):
        next(episodes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"id": "a"', "line 1: not JSON"),
        (b"[1]", "line 1: must be a JSON object, got list"),
        (b'{"id": "\xff"}', "cannot read episodes"),
        (b'{"id": "a"}', "line 1: missing ability"),
    ],
)
def test_bad_files_are_explained(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        list(read_jsonl(path))
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read episodes from .*none\.jsonl"):
        list(read_jsonl(tmp_path / "none.jsonl"))


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    write_jsonl(path, [_EPISODE])
    before = path.read_bytes()
    unwritable = dataclasses.replace(_EPISODE, metadata={"x": object()})
    with pytest.raises(UsageError, match=r"episode 1 .* no JSON"):
        write_jsonl(path, [_EPISODE, unwritable])
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["own.jsonl"]


def asked(evidence: dict[str, Any]) -> dict[str, Any]:
    return {"questions": [{"question": "q?", "answers": ["a"], "evidence": [evidence]}]}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"chunks": ["text", " "]}, "chunks must be non-empty strings, got a blank one at index 1"),
        (asked({"chunk": True, "text": "t"}), "each evidence must be"),
        (asked({"chunk": 9, "text": "t"}), "outside its chunks"),
    ],
)
def test_empty_chunks_and_impossible_evidence_are_refused(
    change: dict[str, Any], hint: str
) -> None:
    record = {
        "id": "x",
        "source": "x",
        "ability": "accurate_retrieval",
        "chunks": ["text", "more"],
        "questions": [{"question": "q?", "answers": ["a"]}],
    }
    with pytest.raises(UsageError, match=hint):
        episode_from_dict({**record, **change})


def test_writing_reports_what_cannot_be_written(tmp_path: Path) -> None:
    question = Question("q?", ("a",))
    odd = Episode("x", "x", "accurate_retrieval", ("text",), (question,), {"n": {1, 2}})
    with pytest.raises(UsageError, match="no JSON"):
        write_jsonl(tmp_path / "a.jsonl", [odd])
    with pytest.raises(UsageError, match="cannot write"):
        write_jsonl(tmp_path / "missing" / "a.jsonl", [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"answers": "Lund"}, "answers must be a tuple of strings, got a value of type str"),
        ({"answers": ("a", 3)}, "answers must be strings, got a value of type int at index 1"),
        (
            {"distractors": "Lund"},
            "distractors must be a tuple of strings, got a value of type str",
        ),
        ({"evidence": "Lund"}, "evidence must be a tuple of Evidence"),
        ({"evidence": ({"chunk": 0, "text": "Lund"},)}, "evidence must be a tuple of Evidence"),
        ({"question": 3}, "a question must be a string, got int"),
    ],
)
def test_a_question_takes_no_string_for_several(arguments: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        Question(**{"question": "Where?", "answers": ("Lund",), **arguments})


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"chunks": "hello"}, "chunks must be a tuple of strings, got a value of type str"),
        ({"chunks": ["text", 3]}, "chunks must be strings, got a value of type int at index 1"),
        ({"chunks": ("text", "\n")}, "got a blank one at index 1"),
        ({"questions": "Where?"}, "questions must be a tuple of Question"),
    ],
)
def test_an_episode_takes_no_string_for_several(changes: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        dataclasses.replace(_EPISODE, **changes)


class _Untouched(Sequence[str]):
    """A lazy sequence whose chunks may not be made yet."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("a chunk was made")


def test_a_lazy_sequence_is_not_made_to_be_checked() -> None:
    assert len(dataclasses.replace(_EPISODE, chunks=_Untouched()).chunks) == 2


def test_an_unknown_field_is_named_with_the_nearest_one() -> None:
    record = {**episode_to_dict(_EPISODE), "chunk {x}": 1}
    with pytest.raises(UsageError, match=r'unknown field "chunk \{x\}": did you mean "chunks"\?'):
        episode_from_dict(record)


def test_a_lone_surrogate_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    odd = dataclasses.replace(_EPISODE, chunks=("a \ud83d b", "more"))
    with pytest.raises(UsageError, match=r"episode 1 for .*: it holds the lone surrogate '.ud83d'"):
        write_jsonl(path, [_EPISODE, odd])
    assert not list(tmp_path.iterdir())
    whole = dataclasses.replace(_EPISODE, chunks=("a \U0001f600 b", "more"))
    write_jsonl(path, [whole])
    assert list(read_jsonl(path)) == [whole]
