"""The BANKING77 builder and what all classification sources share."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.tasks.banking77 import load
from memgym.tasks.classification import ClassificationOptions, classification_episodes
from memgym.tasks.source import ListedEpisodes
from memgym.text import labelled_examples, split_sentences

_CATEGORIES = ["card_lost", "top_up", "exchange_rate"]
_SMALL = {"shots": 4, "questions": 6, "instances": 3, "min_tokens": 60, "max_tokens": 120}


def _rows(start: int, size: int) -> list[tuple[str, str]]:
    return [
        (f"Sentence {start + i} about {category}, what now?", category)
        for i in range(size)
        for category in _CATEGORIES
    ]


def _write(folder: Path, train: list[tuple[str, str]], test: list[tuple[str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train.csv", train), ("test.csv", test)):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows([("text", "category"), *rows])
    (folder / "categories.json").write_text(json.dumps(_CATEGORIES))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    _write(tmp_path / "banking77", _rows(0, 80), _rows(1000, 8))
    return tmp_path


def _load(split: str, data: Path, **options: Any) -> ListedEpisodes:
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def _examples(episodes: ListedEpisodes) -> list[tuple[str, str]]:
    return [
        (example.text, example.label)
        for episode in episodes
        for chunk in episode.chunks
        for example in labelled_examples(chunk)
    ]


def _asked(episodes: ListedEpisodes) -> set[str]:
    return {question.question for episode in episodes for question in episode.questions}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_examples_are_balanced_and_readable(split: str, data: Path) -> None:
    episodes = _load(split, data)
    assert episodes.size == 3
    for episode in episodes:
        shown = [example for chunk in episode.chunks for example in labelled_examples(chunk)]
        assert Counter(example.label for example in shown) == {"0": 4, "1": 4, "2": 4}
        for example in shown:
            assert _CATEGORIES[int(example.label)] in example.text
        units = [unit for chunk in episode.chunks for unit in split_sentences(chunk)]
        assert sum(len(labelled_examples(unit)) == 1 for unit in units) == 12


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_questions_are_bare_sentences_with_their_number(split: str, data: Path) -> None:
    for episode in _load(split, data):
        assert episode.ability == "test_time_learning"
        assert "\\boxed" in episode.metadata["question_preface"]
        assert len(episode.questions) == 6
        for question in episode.questions:
            assert question.kind == "label"
            assert _CATEGORIES[int(question.answers[0])] in question.question


def test_evidence_is_shown_examples_of_the_right_label(data: Path) -> None:
    for episode in _load("test", data, shots=8):
        for question in episode.questions:
            assert len(question.evidence) == 5
            for evidence in question.evidence:
                assert evidence.text in episode.chunks[evidence.chunk]
                (example,) = labelled_examples(evidence.text)
                assert (example.label,) == question.answers


def test_evidence_starts_with_the_most_similar_example(tmp_path: Path) -> None:
    other = [(f"Zebra {i} walks far away.", "card_lost") for i in range(40)]
    near = [(f"My card number {i} is lost.", "card_lost") for i in range(40)]
    _write(tmp_path / "banking77", other + near, [("My card is lost.", "card_lost")])
    episode = _load("test", tmp_path, shots=20).episode(0)
    assert all("card number" in evidence.text for evidence in episode.questions[0].evidence)


def test_labels_are_interleaved_in_the_chunks(data: Path) -> None:
    orders = [
        [example.label for chunk in episode.chunks for example in labelled_examples(chunk)]
        for episode in _load("train", data)
    ]
    assert all(order != sorted(order) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_every_instance_draws_other_examples_and_questions(data: Path) -> None:
    first, second, third = _load("test", data)
    assert len({episode.chunks for episode in (first, second, third)}) == 3
    asked = [q.question for episode in (first, second, third) for q in episode.questions]
    assert len(set(asked)) == 18
    many = _load("test", data, instances=8)
    counts = Counter(q.question for episode in many for q in episode.questions)
    assert set(counts.values()) == {2}
    assert len(counts) == 24


def test_fewer_questions_than_wanted_are_asked_once_each(data: Path) -> None:
    for episode in _load("test", data, questions=100):
        assert len(episode.questions) == len({q.question for q in episode.questions}) == 24


def test_a_label_with_few_rows_shows_all_it_has(data: Path) -> None:
    episode = _load("train", data, shots=1_000).episode(0)
    counts = Counter(e.label for chunk in episode.chunks for e in labelled_examples(chunk))
    assert all(10 < count < 80 for count in counts.values())
    assert episode.metadata["labels_with_fewer_shots"] == 3


# --- splits


def test_no_sentence_is_in_two_splits_or_uses(data: Path) -> None:
    seen: set[str] = set()
    for split in ("train", "validation", "test"):
        episodes = _load(split, data, shots=1_000, questions=1_000)
        for used in ({text for text, _ in _examples(episodes)}, _asked(episodes)):
            assert used
            assert not used & seen
            seen |= used
    assert len(seen) == 80 * 3 + 8 * 3


def test_the_test_file_is_asked_in_the_test_split_only(data: Path) -> None:
    assert _asked(_load("test", data, questions=1_000)) == {text for text, _ in _rows(1000, 8)}


def test_added_rows_move_none_to_another_split(data: Path) -> None:
    everything = {"shots": 1_000, "questions": 1_000}
    before = {s: set(_examples(_load(s, data, **everything))) for s in ("train", "test")}
    _write(data / "banking77", _rows(500, 20) + _rows(0, 80), _rows(1000, 8))
    for split, examples in before.items():
        assert examples < set(_examples(_load(split, data, **everything)))


def test_train_rows_of_the_test_file_are_left_out_and_counted(data: Path) -> None:
    leak = [("sentence 1000  about CARD_LOST, what now?", "card_lost")]
    _write(data / "banking77", _rows(0, 80) + leak + _rows(0, 2), _rows(1000, 8))
    everything: dict[str, Any] = {"shots": 1_000, "questions": 1_000}
    for split in ("train", "validation", "test"):
        episodes = _load(split, data, **everything)
        assert episodes.excluded == {"train row that is a test question": 1, "row met before": 6}
        assert "CARD_LOST" not in str(_examples(episodes)) + str(
            _asked(episodes) if split != "test" else ""
        )


def test_the_same_data_give_the_same_episodes(data: Path) -> None:
    first = _load("train", data)
    assert list(first) == list(_load("train", data))
    assert first.ids != _load("train", data, shots=3).ids
    assert _load("train", data, path=str(data / "banking77")).ids == first.ids


# --- bad input


def test_line_breaks_inside_a_text_stay_one_example(data: Path) -> None:
    rows = [(text.replace(",", ",\nplease:"), category) for text, category in _rows(0, 80)]
    _write(data / "banking77", rows, _rows(1000, 8))
    episode = _load("train", data).episode(0)
    shown = [example for chunk in episode.chunks for example in labelled_examples(chunk)]
    assert len(shown) == 12
    assert all(", please: what now?" in example.text for example in shown)


def test_a_byte_order_mark_is_no_part_of_the_data(data: Path) -> None:
    before = _load("test", data).ids
    for file in (data / "banking77").iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert _load("test", data).ids == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("categories.json", b'["card_lost"', "not JSON, or cut off"),
        ("categories.json", b'{"card_lost": 0}', "must be a list of category names"),
        ("train.csv", b"text,label\nHello,top_up\n", "missing column category; its header is text"),
        ("train.csv", b"", "missing column text, category"),
        ("train.csv", b"text,category\nHello,top_up\n\xff,top_up\n", "not a UTF-8 text file"),
        ("train.csv", b"text,category\nHello\n", "line 2: empty category"),
        ("train.csv", b"text,category\nHello,top_up\n ,top_up\n", "line 3: empty text"),
        ("train.csv", b"text,category\nHello,top_op\n", 'line 2: unknown category "top_op": did y'),
        ("train.csv", b'text,category\n"Hello,top_up\n', "not a CSV file"),
        ("test.csv", b"text,category\n", "0 questions fall into this split"),
    ],
)
def test_bad_files_are_explained(name: str, content: bytes, message: str, data: Path) -> None:
    (data / "banking77" / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        _load("test", data)
    assert "banking77" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(data: Path) -> None:
    (data / "banking77" / "test.csv").unlink()
    with pytest.raises(UsageError, match=r"cannot read .*test\.csv: No such file"):
        _load("test", data)
    (data / "banking77" / "test.csv").mkdir()
    with pytest.raises(UsageError, match=r"cannot read .*test\.csv: Is a directory"):
        _load("test", data)


def test_a_chunk_must_hold_an_example(data: Path) -> None:
    with pytest.raises(UsageError, match=r"max_tokens 10 is too small for an example of \d+ tok"):
        _load("train", data, min_tokens=1, max_tokens=10)


@pytest.mark.parametrize("name", ["shots", "questions", "instances"])
def test_options_below_one_are_refused(name: str, data: Path) -> None:
    with pytest.raises(UsageError, match=f"{name} must be at least 1, got 0"):
        _load("train", data, **{name: 0})


def test_a_split_without_rows_is_explained() -> None:
    with pytest.raises(UsageError, match="own/train: 0 examples and 0 questions"):
        classification_episodes("own", "train", [], [], ClassificationOptions())
