"""The CLINC150 builder, on small files in the official layout."""

import json
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.tasks.clinic150 import load
from memgym.tasks.source import ListedEpisodes
from memgym.text import labelled_examples

_SMALL = {"shots": 4, "questions": 6, "instances": 2, "min_tokens": 60, "max_tokens": 120}
_LABELS = {"transfer": "1", "weather": "2", "pin_change": "0"}


def _pairs(start: int, size: int) -> list[list[str]]:
    return [[f"please {intent} {start + i}", intent] for intent in _LABELS for i in range(size)]


def _top(**changes: Any) -> dict[str, Any]:
    lists = {
        "oos_val": [["what is love", "oos"]],
        "val": _pairs(500, 20),
        "train": _pairs(0, 60),
        "oos_test": [["who am i", "oos"], ["why", "oos"]],
        "test": _pairs(1_000, 8),
        "oos_train": [],
    }
    return {**lists, **changes}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    _write(tmp_path, _top())
    return tmp_path


def _write(data: Path, top: Any) -> None:
    (data / "clinic150").mkdir(exist_ok=True)
    (data / "clinic150" / "data_full.json").write_text(json.dumps(top))


def _load(split: str, data: Path, **options: Any) -> ListedEpisodes:
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def test_labels_are_places_in_the_sorted_list_of_intents(data: Path) -> None:
    for split in ("train", "validation", "test"):
        for episode in _load(split, data):
            examples = [x for chunk in episode.chunks for x in labelled_examples(chunk)]
            assert len(examples) == 4 * 3
            assert all(x.label == _LABELS[x.text.split()[1]] for x in examples)
            for question in episode.questions:
                assert question.answers == (_LABELS[question.question.split()[1]],)


def test_each_list_goes_where_the_card_says(data: Path) -> None:
    asked: dict[str, set[str]] = {}
    shown: set[str] = set()
    for split in ("train", "validation", "test"):
        episodes = _load(split, data, questions=1_000, shots=1_000, instances=1)
        asked[split] = {question.question for question in episodes.episode(0).questions}
        chunks = episodes.episode(0).chunks
        shown |= {x.text for chunk in chunks for x in labelled_examples(chunk)}
    assert asked["test"] == {text for text, _ in _pairs(1_000, 8)}
    learned = {text for text, _ in _pairs(0, 60) + _pairs(500, 20)}
    assert shown | asked["train"] | asked["validation"] == learned


def test_out_of_scope_sentences_are_counted_and_left_out(data: Path) -> None:
    episodes = _load("test", data, questions=1_000)
    assert episodes.excluded["out-of-scope sentence"] == 3
    assert not any("love" in chunk for episode in episodes for chunk in episode.chunks)


def test_the_path_may_name_a_file_of_the_same_layout(data: Path, tmp_path: Path) -> None:
    small = {name: rows for name, rows in _top().items() if not name.startswith("oos")}
    (tmp_path / "data_small.json").write_text(json.dumps(small))
    episodes = _load("test", data, path=str(tmp_path / "data_small.json"))
    assert episodes.ids == _load("test", data).ids
    assert episodes.excluded == {}


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ([], 'data_full.json: missing field "train"'),
        (_top(val="x"), 'field "val" must be list, got str'),
        (_top(test=[["hi", "weather"], ["hi"]]), r'list "test", row 1: must be a pair \[text, int'),
        (_top(train=[["", "weather"]]), 'list "train", row 0: must be a pair'),
        (_top(test=[["hi", "wether"]]), 'list "test", row 0: unknown intent "wether": did you mea'),
        (_top(oos_test={}), 'field "oos_test" must be list'),
    ],
)
def test_bad_files_are_explained(top: Any, message: str, data: Path) -> None:
    _write(data, top)
    with pytest.raises(UsageError, match=message) as caught:
        _load("test", data)
    assert "data_full.json" in str(caught.value)
