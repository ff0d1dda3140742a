"""The NLU builder, on the two layouts of its files."""

import csv
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.tasks.nlu import load
from memgym.tasks.source import ListedEpisodes
from memgym.text import labelled_examples

_SMALL = {"shots": 4, "questions": 6, "instances": 2, "min_tokens": 60, "max_tokens": 120}
_LABELS = {"alarm_query": "0", "iot_hue_lightup": "35", "weather_query": "67"}
_Rows = list[tuple[str, str]]


def _rows(start: int, size: int) -> _Rows:
    return [(f"{intent} request {start + i}", intent) for i in range(size) for intent in _LABELS]


def _write_plain(folder: Path, train: _Rows, test: _Rows) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("nlu_train.csv", train), ("nlu_test.csv", test)):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([("text", "intent"), *rows])


def _write_fold(folder: Path, train: _Rows, test: _Rows) -> None:
    header = ("answerid", "scenario", "intent", "answer_annotation", "answer_from_anno", "user")
    for place, rows in ((folder / "trainset", train), (folder / "testset" / "csv", test)):
        place.mkdir(parents=True)
        for wanted in _LABELS:
            scenario, _, name = wanted.partition("_")
            with (place / f"{wanted}.csv").open("w", newline="") as file:
                writer = csv.writer(file, delimiter=";", quoting=csv.QUOTE_NONNUMERIC)
                writer.writerow(header)
                for text, intent in rows:
                    if intent == wanted:
                        writer.writerow((1, scenario, name, f"[a : {text}]", text, text.upper()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    _write_plain(tmp_path / "nlu", _rows(0, 60), _rows(1_000, 8))
    return tmp_path


def _load(split: str, data: Path, **options: Any) -> ListedEpisodes:
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def test_labels_are_places_in_the_list_of_all_68_intents(data: Path) -> None:
    for episode in _load("train", data):
        examples = [x for chunk in episode.chunks for x in labelled_examples(chunk)]
        assert len(examples) == 4 * 3
        assert all(x.label == _LABELS[x.text.split()[0]] for x in examples)
        for question in episode.questions:
            assert question.answers == (_LABELS[question.question.split()[0]],)


def test_the_test_file_is_asked_in_the_test_split_only(data: Path) -> None:
    held_out = {text for text, _ in _rows(1_000, 8)}
    for split in ("train", "validation", "test"):
        episodes = _load(split, data, questions=1_000, shots=1_000)
        asked = {question.question for episode in episodes for question in episode.questions}
        assert (asked == held_out) if split == "test" else not asked & held_out


def test_an_official_fold_gives_the_same_sentences(data: Path, tmp_path: Path) -> None:
    _write_fold(tmp_path / "KFold_1", _rows(0, 60), _rows(1_000, 8))
    everything = {"questions": 1_000, "shots": 1_000, "instances": 1}
    for split in ("train", "test"):
        plain = _load(split, data, **everything).episode(0)
        fold = _load(split, data, path=str(tmp_path / "KFold_1"), **everything).episode(0)
        for one in (plain, fold):
            assert len(one.questions) == len(plain.questions)
        shown = [
            sorted(x for chunk in one.chunks for x in labelled_examples(chunk))
            for one in (plain, fold)
        ]
        assert shown[0] == shown[1]
        assert {q.question for q in plain.questions} == {q.question for q in fold.questions}


def test_bad_files_are_explained(data: Path, tmp_path: Path) -> None:
    bad = [("hello", "weather_query"), ("rain?", "wether_query")]
    _write_plain(data / "nlu", bad, _rows(1_000, 8))
    with pytest.raises(UsageError, match=r'nlu_train.csv, line 3: unknown intent "wether_query"'):
        _load("train", data)
    (data / "nlu" / "nlu_train.csv").write_text("text;intent\nhello;weather_query\n")
    with pytest.raises(UsageError, match=r"nlu_train\.csv: missing column text, intent"):
        _load("train", data)
    (tmp_path / "fold" / "trainset").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"no folder .*testset.csv; put there"):
        _load("train", data, path=str(tmp_path / "fold"))
