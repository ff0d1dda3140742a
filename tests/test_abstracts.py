"""PubMed RCT and CSAbstruct: their two formats and the part they share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.tasks import csabstruct, pubmed_rct
from memgym.tasks.source import ListedEpisodes
from memgym.text import labelled_examples

_SMALL = {"chunks": 4, "questions": 8, "instances": 3, "min_tokens": 80, "max_tokens": 200}
_ALL = {"chunks": 10_000, "questions": 10_000, "instances": 1}
_ROLES = ("BACKGROUND", "OBJECTIVE", "METHODS", "RESULTS", "CONCLUSIONS")
_PUBMED = {"BACKGROUND": "0", "CONCLUSIONS": "1", "METHODS": "2", "OBJECTIVE": "3", "RESULTS": "4"}
_CS = {"background": "0", "method": "1", "objective": "2", "other": "3", "result": "4"}
_Abstracts = list[list[tuple[str, str]]]


def _abstracts(start: int, size: int) -> _Abstracts:
    return [
        [(f"Study {number} has a {role} line . It is short .", role) for role in _ROLES]
        for number in range(start, start + size)
    ]


def _pubmed(abstracts: _Abstracts) -> str:
    blocks = (
        f"###{number:08}\n" + "".join(f"{role}\t{text}\n" for text, role in abstract)
        for number, abstract in enumerate(abstracts)
    )
    return "\n".join(blocks)


def _csabstruct(abstracts: _Abstracts) -> str:
    names = dict(zip(_ROLES, ("background", "objective", "method", "result", "other"), strict=True))
    records = (
        {
            "abstract_id": 0,
            "sentences": [text for text, _ in abstract],
            "labels": [names[role] for _, role in abstract],
            "confs": [1.0 for _ in abstract],
        }
        for abstract in abstracts
    )
    return "".join(json.dumps(record) + "\n" for record in records)


_Writer = Callable[[_Abstracts], str]
_SOURCES = [("pubmed-rct", "txt", _pubmed), ("csabstruct", "jsonl", _csabstruct)]


def _fill(
    data: Path, source: str, suffix: str, write: _Writer, files: dict[str, _Abstracts]
) -> None:
    folder = data / source.replace("-", "_")
    folder.mkdir(exist_ok=True)
    for name, abstracts in files.items():
        (folder / f"{name}.{suffix}").write_text(write(abstracts))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    files = {
        "train": _abstracts(0, 150),
        "dev": _abstracts(1_000, 100),
        "test": _abstracts(2_000, 60),
    }
    for source, suffix, write in _SOURCES:
        _fill(tmp_path, source, suffix, write, files)
    return tmp_path


def _load(source: str, split: str, data: Path, **options: Any) -> ListedEpisodes:
    load = pubmed_rct.load if source == "pubmed-rct" else csabstruct.load
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def _shown(episodes: ListedEpisodes) -> list[str]:
    chunks = [chunk for episode in episodes for chunk in episode.chunks]
    return [x.text for chunk in chunks for x in labelled_examples(chunk)]


def _asked(episodes: ListedEpisodes) -> set[str]:
    return {question.question for episode in episodes for question in episode.questions}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("source", ["pubmed-rct", "csabstruct"])
def test_every_episode_is_sound(source: str, split: str, data: Path) -> None:
    episodes = _load(source, split, data)
    assert episodes.size == 3
    assert len({episode.chunks for episode in episodes}) == 3
    for episode in episodes:
        assert (episode.source, episode.ability) == (source, "test_time_learning")
        assert len(episode.chunks) == 4
        assert len({question.question for question in episode.questions}) == 8
        assert "\\boxed" in episode.metadata["question_preface"]
        for question in episode.questions:
            assert question.kind == "label"
            assert question.evidence
            for evidence in question.evidence:
                assert evidence.text in episode.chunks[evidence.chunk]
                assert [x.label for x in labelled_examples(evidence.text)] == [*question.answers]


def test_labels_are_numbered_alphabetically(data: Path) -> None:
    for episode in _load("pubmed-rct", "train", data):
        for chunk in episode.chunks:
            assert all(_PUBMED[x.text.split()[4]] == x.label for x in labelled_examples(chunk))
    names = dict(zip(_ROLES, ("background", "objective", "method", "result", "other"), strict=True))
    for question in _load("csabstruct", "train", data).episode(0).questions:
        assert question.answers == (_CS[names[question.question.split()[4]]],)


@pytest.mark.parametrize("source", ["pubmed-rct", "csabstruct"])
def test_the_lines_of_an_abstract_stay_together_in_order(source: str, data: Path) -> None:
    for chunk in _load(source, "train", data).episode(0).chunks:
        words = [x.text.split() for x in labelled_examples(chunk)]
        assert len(words) % 5 == 0
        for start in range(0, len(words), 5):
            group = words[start : start + 5]
            assert len({line[1] for line in group}) == 1
            assert tuple(line[4] for line in group) == _ROLES


@pytest.mark.parametrize("source", ["pubmed-rct", "csabstruct"])
def test_no_sentence_is_in_two_splits_or_uses(source: str, data: Path) -> None:
    seen: set[str] = set()
    for split in ("train", "validation", "test"):
        episodes = _load(source, split, data, **_ALL)
        for used in (set(_shown(episodes)), _asked(episodes)):
            assert used
            assert not used & seen
            seen |= used
    assert len(seen) == 310 * 5


def test_the_test_split_uses_the_test_file_alone(data: Path) -> None:
    episodes = _load("pubmed-rct", "test", data, **_ALL)
    studies = {int(text.split()[1]) for text in {*_shown(episodes), *_asked(episodes)}}
    assert studies == set(range(2_000, 2_060))
    for name in ("train", "dev"):
        (data / "pubmed_rct" / f"{name}.txt").unlink()
    assert (
        _load("pubmed-rct", "test", data, instances=3).ids
        == _load("pubmed-rct", "test", data, path=str(data / "pubmed_rct")).ids
    )


def test_train_and_validation_need_only_one_of_their_files(data: Path) -> None:
    (data / "pubmed_rct" / "train.txt").unlink()
    for split in ("train", "validation"):
        studies = {
            int(text.split()[1]) for text in _shown(_load("pubmed-rct", split, data, **_ALL))
        }
        assert studies <= set(range(1_000, 1_100))
    (data / "pubmed_rct" / "dev.txt").unlink()
    with pytest.raises(UsageError, match=r"no file train\*\.txt in .*; put there train.txt, dev"):
        _load("pubmed-rct", "train", data)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_added_abstracts_move_none_to_another_split(split: str, data: Path) -> None:
    before = _load("pubmed-rct", split, data, **_ALL)
    used = (set(_shown(before)), _asked(before))
    source, suffix, write = _SOURCES[0]
    more = {
        "train": _abstracts(5_000, 30) + _abstracts(0, 150),
        "test": _abstracts(6_000, 10) + _abstracts(2_000, 60),
    }
    _fill(data, source, suffix, write, more)
    after = _load(source, split, data, **_ALL)
    assert used[0] < set(_shown(after)) or split == "validation"
    assert used[0] <= set(_shown(after))
    assert used[1] <= _asked(after)


def test_a_stock_sentence_has_one_use(tmp_path: Path) -> None:
    stock = [("Trial registration : NCT@ .", "CONCLUSIONS")]
    source, suffix, write = _SOURCES[0]
    files = {
        "train": [abstract + stock for abstract in _abstracts(0, 100)],
        "test": [abstract + stock for abstract in _abstracts(2_000, 60)],
    }
    _fill(tmp_path, source, suffix, write, files)
    used, left_out = {}, {}
    for split in ("train", "validation", "test"):
        episodes = _load(source, split, tmp_path, **_ALL)
        used[split] = (stock[0][0] in _shown(episodes), stock[0][0] in _asked(episodes))
        left_out[split] = sum(episodes.excluded.values())
    assert used == {"train": (False, False), "validation": (False, False), "test": (False, True)}
    assert left_out["test"] == 59
    assert left_out["train"] + left_out["validation"] == 100


def test_the_same_data_give_the_same_episodes(data: Path) -> None:
    first = _load("pubmed-rct", "train", data)
    again = _load("pubmed-rct", "train", data, path=str(data / "pubmed_rct"))
    assert list(first) == list(again)
    assert first.ids != _load("pubmed-rct", "train", data, chunks=3).ids


def test_questions_repeat_only_once_all_have_been_asked(data: Path) -> None:
    asked = [q.question for e in _load("pubmed-rct", "test", data) for q in e.questions]
    assert len(set(asked)) == 24


def test_an_abstract_longer_than_a_chunk_is_left_out_and_counted(tmp_path: Path) -> None:
    long = [
        [(f"Line {i} of long study {number} is here .", "METHODS") for i in range(60)]
        for number in range(20)
    ]
    _fill(tmp_path, *_SOURCES[0], {"test": _abstracts(0, 60) + long})
    episodes = _load("pubmed-rct", "test", tmp_path, **_ALL)
    asked_about = {text.split()[5] for text in _asked(episodes) if "long study" in text}
    assert len(asked_about) < 20
    assert episodes.excluded == {"abstract of more than 200 tokens": 20 - len(asked_about)}
    assert not any("long study" in text for text in _shown(episodes))


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        ("pubmed-rct", "METHODS\tWe tried .\n", r"test\.txt, line 1: a sentence before the first"),
        ("pubmed-rct", "###1\nMETHODS We tried .\n", r"line 2: wanted LABEL<tab>sentence, got"),
        ("pubmed-rct", "###1\nMETHODS\t\n", "line 2: wanted LABEL<tab>sentence"),
        ("pubmed-rct", "###1\nMETHOD\tWe .\n", 'line 2: unknown label "METHOD": did you mean "M'),
        ("pubmed-rct", "", "0 example abstracts and 0 questions fall into this split"),
        ("csabstruct", '{"sentences": ["A."]}\n', r'test\.jsonl, line 1: missing field "labels"'),
        ("csabstruct", '{"sentences": ["A."], "lab', "line 1: not a JSON line in UTF-8"),
        (
            "csabstruct",
            '{"sentences": ["A."], "labels": []}\n',
            "line 1: 1 sentences but 0 labels",
        ),
        (
            "csabstruct",
            '{"sentences": [" "], "labels": ["method"]}\n',
            "line 1: sentences must be non-empty strings",
        ),
        (
            "csabstruct",
            '\n{"sentences": ["A."], "labels": [["method"]]}\n',
            "line 2: unknown label",
        ),
    ],
)
def test_bad_files_are_explained(source: str, content: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / source.replace("-", "_")
    folder.mkdir()
    suffix = "txt" if source == "pubmed-rct" else "jsonl"
    (folder / f"test.{suffix}").write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        _load(source, "test", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_zip_where_a_folder_was_expected_is_explained(tmp_path: Path) -> None:
    (tmp_path / "pubmed_rct").write_bytes(b"PK\x03\x04")
    with pytest.raises(UsageError, match=r"pubmed_rct is an archive; unpack it"):
        _load("pubmed-rct", "test", tmp_path)


@pytest.mark.parametrize("name", ["chunks", "questions", "instances"])
def test_options_below_one_are_refused(name: str, data: Path) -> None:
    with pytest.raises(UsageError, match=f"{name} must be at least 1, got 0"):
        _load("csabstruct", "train", data, **{name: 0})
