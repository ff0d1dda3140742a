"""The TREC builder: two labellings of the same questions, on small files in the official format."""

from pathlib import Path
from typing import Any

import pytest

from memgym.errors import UsageError
from memgym.tasks.source import ListedEpisodes
from memgym.tasks.trec import load_coarse, load_fine
from memgym.text import labelled_examples

_SMALL = {"shots": 4, "questions": 6, "instances": 3, "min_tokens": 60, "max_tokens": 120}
_ALL = {"shots": 1_000, "questions": 1_000}
_TAGS = {"NUM:dist": "how far", "NUM:date": "when", "HUM:ind": "who", "LOC:city": "which town"}
_COARSE = {"NUM": "5", "HUM": "3", "LOC": "4"}
_FINE = {"NUM:dist": "40", "NUM:date": "39", "HUM:ind": "29", "LOC:city": "32"}


def _lines(start: int, size: int) -> str:
    return "".join(
        f"{tag} Question {start + i} asks {words} , is it so ?\n"
        for i in range(size)
        for tag, words in _TAGS.items()
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "trec"
    folder.mkdir()
    (folder / "train_5500.label").write_text(_lines(0, 80))
    (folder / "TREC_10.label").write_text(_lines(1_000, 8))
    return tmp_path


def _load(name: str, split: str, data: Path, **options: Any) -> ListedEpisodes:
    load = {"coarse": load_coarse, "fine": load_fine}[name]
    episodes = load(split, {**_SMALL, **options}, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


def _shown(episodes: ListedEpisodes) -> set[tuple[str, str]]:
    chunks = [chunk for episode in episodes for chunk in episode.chunks]
    return {(x.text, x.label) for chunk in chunks for x in labelled_examples(chunk)}


def _asked(episodes: ListedEpisodes) -> set[str]:
    return {question.question for episode in episodes for question in episode.questions}


def _tag(text: str) -> str:
    return next(tag for tag, words in _TAGS.items() if words in text)


def test_coarse_labels_are_those_of_the_hub_dataset(data: Path) -> None:
    shown = _shown(_load("coarse", "train", data, **_ALL))
    assert {label for _, label in shown} == {"5", "3", "4"}
    assert all(label == _COARSE[_tag(text).split(":")[0]] for text, label in shown)


def test_fine_labels_are_those_of_the_hub_dataset(data: Path) -> None:
    episodes = _load("fine", "test", data, **_ALL)
    assert all(label == _FINE[_tag(text)] for text, label in _shown(episodes))
    for question in episodes.episode(0).questions:
        assert question.answers == (_FINE[_tag(question.question)],)


def test_an_episode_has_the_shots_and_the_questions_asked_for(data: Path) -> None:
    for episode in _load("fine", "train", data):
        examples = [x for chunk in episode.chunks for x in labelled_examples(chunk)]
        assert len(examples) == 4 * 4
        assert len(episode.questions) == 6
        assert (episode.source, episode.ability) == ("trec-fine", "test_time_learning")
        assert all(question.kind == "label" for question in episode.questions)


def test_default_sizes_are_those_of_the_published_set(data: Path) -> None:
    for load in (load_coarse, load_fine):
        episodes = load("train", {"instances": 1}, data)
        assert len(episodes.episode(0).chunks) > 1


def test_a_question_has_the_same_split_in_both_labellings(data: Path) -> None:
    used = {
        (name, split): {text for text, _ in _shown(_load(name, split, data, **_ALL))}
        | _asked(_load(name, split, data, **_ALL))
        for name in ("coarse", "fine")
        for split in ("train", "validation", "test")
    }
    for split in ("train", "validation", "test"):
        assert used["coarse", split] == used["fine", split]
        others = [other for other in ("train", "validation", "test") if other != split]
        assert not any(used["coarse", split] & used["fine", other] for other in others)
    assert len(set().union(*used.values())) == 88 * 4


def test_a_question_whose_label_is_never_shown_is_left_out_and_counted(data: Path) -> None:
    with (data / "trec" / "TREC_10.label").open("a") as file:
        file.write("NUM:weight How heavy is it ?\n")
    episodes = _load("fine", "test", data, **_ALL)
    assert episodes.excluded == {"question whose label has no example in the split": 1}
    assert len(episodes.episode(0).questions) == 8 * 4
    assert _load("coarse", "test", data, **_ALL).excluded == {}


def test_the_stray_byte_of_the_official_file_is_a_space(data: Path) -> None:
    path = data / "trec" / "TREC_10.label"
    path.write_bytes(b"LOC:city What sister\xf0city of Rome is nearest ?\n")
    assert _asked(_load("fine", "test", data)) == {"What sister city of Rome is nearest ?"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("LOC:citi Which ?", r'line 2: unknown tag "LOC:citi": did you mean "LOC:city"'),
        ("LOC Which ?", 'line 2: unknown tag "LOC"'),
        ("LOC:city ", "line 2: no question after the tag LOC:city"),
    ],
)
def test_bad_lines_are_explained(line: str, message: str, data: Path) -> None:
    (data / "trec" / "TREC_10.label").write_text(f"HUM:ind Who ?\n{line}\n\nHUM:ind Whose ?\n")
    for name in ("coarse", "fine"):
        with pytest.raises(UsageError, match=message) as caught:
            _load(name, "test", data)
        assert "TREC_10.label" in str(caught.value)


def test_missing_files_and_folders_are_named(data: Path, tmp_path: Path) -> None:
    (data / "trec" / "TREC_10.label").unlink()
    with pytest.raises(UsageError, match=r"cannot read .*TREC_10\.label: No such file"):
        _load("coarse", "test", data)
    with pytest.raises(
        UsageError, match=r'"trec-fine": nothing at .*; put there train_5500\.label'
    ):
        _load("fine", "test", tmp_path / "elsewhere")
    with pytest.raises(UsageError, match='source "trec-coarse": shots must be at least 1'):
        _load("coarse", "test", data, shots=0)
