"""Planted overlaps are found, in every kind; what only looks alike is not reported."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.episode import Episode, Evidence, Question
from memgym.tasks.datasets import open_dataset
from memgym.tasks.overlap import RUN_WORDS, Overlap, find_overlaps, fingerprint
from memgym.tasks.registry import source_names
from memgym.text import format_example

LINE = "The old mill by the river was sold to a baker from the next town in spring."
OTHER = "Nobody in the village could say who had painted the door of the chapel blue and red."


def episode(identifier: str, *chunks: str, **question: Any) -> Episode:
    asked = {"question": f"What of {identifier}?", "answers": (identifier,), **question}
    return Episode(identifier, "own", "accurate_retrieval", chunks, (Question(**asked),))


def overlaps(first: Episode, second: Episode) -> list[Overlap]:
    return find_overlaps(fingerprint("first", [first]), fingerprint("second", [second]))


def test_unrelated_datasets_share_nothing() -> None:
    assert overlaps(episode("a", LINE), episode("b", OTHER)) == []


def test_the_same_question_and_gold_is_found_whatever_its_case_and_punctuation() -> None:
    one = episode("a", LINE, question="Who bought the mill?", answers=("a baker", "the baker"))
    other = episode("b", OTHER, question="who bought the MILL", answers=("A baker.", "the baker"))
    (found,) = overlaps(one, other)
    assert found.kind == "question"
    assert found.text == "Who bought the mill?"
    assert (found.first.episode, found.second.episode) == ("a", "b")
    assert found.first.part == "question 0"


def test_the_same_question_with_another_gold_is_no_overlap() -> None:
    one = episode("a", LINE, question="Summarise the meeting.", answers=("mill",))
    assert overlaps(one, episode("b", OTHER, question="Summarise the meeting.")) == []


def test_a_labelled_sentence_is_found_as_example_and_as_question() -> None:
    example = format_example("Where is my card?", "3")
    asked = {"question": "where is my card", "answers": ("7",), "kind": "label"}
    shown = episode("a", f"[Conversation of 2024-01-01 09:00]\nUser: Learn.\n{example}")
    for second in (episode("b", example), episode("b", OTHER, **asked)):
        assert [found.kind for found in overlaps(shown, second)] == ["labelled sentence"]
    assert overlaps(shown, episode("b", format_example("Where is my cat?", "3"))) == []


def test_the_same_passage_is_found_in_another_conversation() -> None:
    one = episode("a", f"[Conversation of 2024-01-01 09:00]\nUser: Note this.\n{LINE}")
    other = episode("b", OTHER, f"<User>{LINE.upper()}\nAssistant: Done.")
    (found,) = overlaps(one, other)
    assert (found.kind, found.first.part, found.second.part) == ("passage", "chunk 0", "chunk 1")


@pytest.mark.parametrize(("shared", "expected"), [(RUN_WORDS, 1), (RUN_WORDS - 1, 0)])
def test_passages_are_near_from_thirteen_words_in_common(shared: int, expected: int) -> None:
    run = " ".join(LINE.split()[:shared])
    other = f"{OTHER[:-1]} {run} and so it went on for long"
    found = overlaps(episode("a", LINE), episode("b", other))
    assert [item.kind for item in found] == ["near passage"] * expected
    assert [item.text for item in found] == [run.casefold()] * expected


def test_a_passage_that_both_have_whole_is_reported_once() -> None:
    longer = f"{LINE[:-1]} and nobody minded"
    found = overlaps(episode("a", LINE), episode("b", longer, LINE))
    assert [(item.kind, item.second.part) for item in found] == [("passage", "chunk 1")]


def test_a_run_across_two_lines_is_no_run() -> None:
    words = LINE.split()
    broken = f"{' '.join(words[:8])}\n{' '.join(words[8:])}"
    assert overlaps(episode("a", LINE), episode("b", broken)) == []


def test_what_stands_around_a_text_is_no_passage() -> None:
    header = "[Conversation of 2024-01-01 09:00]"
    opener = "User: I will want to look this up again, so please note it."
    one, other = (episode(name, f"{header}\n{opener}\n{text}") for name, text in
                  (("a", LINE), ("b", OTHER)))  # fmt: skip
    assert overlaps(one, other) == []


@given(st.lists(st.sampled_from(LINE.split()), min_size=30, max_size=60), st.integers(0, 40))
def test_every_shared_run_is_found(words: list[str], start: int) -> None:
    run = words[start : start + RUN_WORDS]
    if len(run) == RUN_WORDS:
        found = overlaps(episode("a", " ".join(words)), episode("b", f"{OTHER} {' '.join(run)}"))
        assert {item.kind for item in found} <= {"passage", "near passage"}
        assert found


def test_hashes_do_not_depend_on_the_process() -> None:
    assert fingerprint("x", [episode("a", LINE)]).runs[0] == 1168044056701489380


def procedural(split: str) -> Iterator[Episode]:
    for name in source_names():
        if name.startswith("procedural-"):
            yield from open_dataset(f"{name}:{split}", limit=6)


def test_procedural_splits_share_nothing() -> None:
    prints = [fingerprint(split, procedural(split)) for split in ("train", "validation", "test")]
    assert all(len(found.statements) > 100 and len(found.sentences) > 100 for found in prints)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert find_overlaps(prints[one], prints[other]) == []


def test_a_procedural_statement_in_both_is_found() -> None:
    def made(name: str, gold: str) -> Episode:
        question = Question(f"{name}?", (gold,), evidence=(Evidence(0, "Mara owns a kite."),))
        return Episode(
            name, "procedural-x", "accurate_retrieval", ("Mara owns a kite.",), (question,)
        )

    assert [item.kind for item in overlaps(made("a", "x"), made("b", "y"))] == ["passage"]
