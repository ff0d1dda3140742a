"""The source registry: names, options, data folders, caching, the jsonl source."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from memgym.episode import ABILITIES, Episode, Question, write_jsonl
from memgym.errors import UsageError
from memgym.tasks import get_source, load_source, source_names
from memgym.tasks.source import ListedEpisodes, parse_options


def _episode(identifier: str, text: str = "A fact.") -> Episode:
    questions = (Question("What?", ("fact",)),)
    return Episode(identifier, "own", "accurate_retrieval", (text,), questions)


def _jsonl(path: Path, *identifiers: str) -> Path:
    write_jsonl(path, [_episode(name, f"Text of {name}.") for name in identifiers])
    return path


# --- the table


def test_every_source_has_a_complete_entry() -> None:
    assert len(set(source_names())) == len(source_names())
    for name in source_names():
        source = get_source(name)
        assert source.name == name
        assert source.summary
        assert "\n" not in source.summary
        assert source.licence
        assert "test" in source.splits
        assert set(source.splits) <= {"train", "validation", "test"}
        assert source.ability is None or source.ability in ABILITIES


def test_the_sources_of_the_first_table_are_there() -> None:
    wanted = {"procedural", "squad", "hotpotqa", "banking77", "jsonl", "parquet"}
    wanted |= {f"procedural-{ability.replace('_', '-')}" for ability in ABILITIES}
    assert wanted <= set(source_names())


def test_label_sources_tell_how_to_answer() -> None:
    for name in ("banking77", "clinic150", "nlu", "trec-coarse", "trec-fine"):
        assert "\\boxed" in get_source(name).question_preface
    for name in ("pubmed-rct", "csabstruct"):
        assert "\\boxed" in get_source(name).question_preface
    assert get_source("squad").question_preface == ""


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r'unknown source "sqad": did you mean "squad"\?'):
        load_source("sqad", "train")


def test_an_unknown_split_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r'"squad" has no split "tests": did you mean "test"\?'):
        load_source("squad", "tests")


def test_importing_the_registry_imports_no_builder() -> None:
    code = (
        "import sys, memgym.tasks; "
        "print([m for m in sys.modules if m.startswith('memgym.tasks.') and "
        "m.split('.')[2] not in ('registry', 'source')], 'pyarrow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


# --- data folder


def test_missing_data_say_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    with pytest.raises(UsageError, match=r"set MEMGYM_DATA .* holds squad/ with train-v1\.1\.json"):
        load_source("squad", "train")


@pytest.mark.parametrize("name", ["squad", "hotpotqa", "banking77"])
def test_a_missing_folder_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=f"nothing at .*{name}; put there .* hub dataset"
    ) as caught:
        load_source(name, "train", data=tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_data_folder_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMGYM_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="nothing at") as caught:
        load_source("squad", "train")
    assert str(tmp_path / "squad") in str(caught.value)
    with pytest.raises(UsageError, match="nothing at") as caught:
        load_source("squad", "train", data=tmp_path / "other")
    assert str(tmp_path / "other" / "squad") in str(caught.value)


def test_a_file_instead_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "squad").write_text("a zip, say")
    with pytest.raises(UsageError, match=r"no file train\*\.json in .*squad"):
        load_source("squad", "train", data=tmp_path)
    (tmp_path / "data").write_text("a zip, say")
    with pytest.raises(UsageError, match="nothing at"):
        load_source("squad", "train", data=tmp_path / "data")


# --- options


@dataclass(frozen=True)
class _Options:
    size: int = 1
    share: float = 0.5
    name: str = ""
    flag: bool = False
    mode: Literal["one", "two"] = "one"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"size must be at least 1, got {self.size}")


@dataclass(frozen=True)
class _Required:
    path: str


def test_options_of_the_right_type_are_taken() -> None:
    given = {"size": 3, "share": 1, "name": "x", "flag": True, "mode": "two"}
    assert parse_options(_Options, given, "s") == _Options(3, 1.0, "x", True, "two")
    assert isinstance(parse_options(_Options, given, "s").share, float)
    assert parse_options(_Options, {}, "s") == _Options()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sizes": 1}, 'source "s" has no option "sizes": did you mean "size"?'),
        ({"size": "3"}, 'source "s", option "size" must be int, got str \'3\''),
        ({"size": True}, 'option "size" must be int, got bool'),
        ({"size": 1.0}, 'option "size" must be int, got float'),
        ({"share": "x"}, 'option "share" must be float'),
        ({"share": False}, 'option "share" must be float'),
        ({"flag": 1}, 'option "flag" must be bool, got int'),
        ({"name": None}, 'option "name" must be str, got NoneType'),
        ({"mode": "tow"}, 'unknown value "tow": did you mean "two"?'),
        ({"size": 0}, 'source "s": size must be at least 1, got 0'),
    ],
)
def test_wrong_options_are_explained(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options(_Options, given, "s")
    assert message in str(caught.value)


def test_a_missing_option_is_named() -> None:
    with pytest.raises(UsageError, match='source "s" needs the option "path"'):
        parse_options(_Required, {}, "s")


def test_options_that_are_not_plain_values_are_refused() -> None:
    with pytest.raises(UsageError, match='options of source "squad" must be plain values'):
        load_source("squad", "train", {"chunks": object()})


# --- jsonl and caching


def test_own_files_play_whatever_the_split(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "own.jsonl", "a", "b", "c")
    for split in ("train", "test"):
        episodes = load_source("jsonl", split, {"path": path})
        assert episodes.size == 3
        assert episodes.episode(1) == episodes.episode("b") == _episode("b", "Text of b.")


def test_blank_lines_and_unicode_in_own_files(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    write_jsonl(path, [_episode("é", "Ünïcode 你好."), _episode("b")])
    first, second = path.read_text(encoding="utf-8").splitlines()
    path.write_text(f"\n{first}\n\n{second}\n", encoding="utf-8")
    episodes = load_source("jsonl", "train", {"path": str(path)})
    assert [episodes.episode(i).id for i in (0, 1)] == ["é", "b"]
    assert episodes.episode("é").chunks == ("Ünïcode 你好.",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"id": "a"', "line 1: not a JSON line in UTF-8"),
        (b'{"id": "\xff"}', "line 1: not a JSON line in UTF-8"),
        (b"[1]", "line 1: must be a JSON object, got list"),
        (b'{"id": 3}', 'line 1: "id" must be a string'),
        (b'{"id": "a"}\n{"id": "a"}', 'episode id "a" occurs twice'),
        (b"\n", "the data give no episode"),
    ],
)
def test_bad_own_files_are_explained(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        load_source("jsonl", "train", {"path": str(path)})
    assert str(path) in str(caught.value)


def test_a_line_with_a_missing_field_is_named_when_played(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"id": "a"}\n')
    with pytest.raises(UsageError, match="line 1: missing ability, chunks"):
        load_source("jsonl", "train", {"path": str(path)}).episode(0)


def test_a_missing_own_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(UsageError, match=f"cannot read episodes from {path}"):
            load_source("jsonl", "train", {"path": str(path)})
    with pytest.raises(UsageError, match='"jsonl" needs the option "path"'):
        load_source("jsonl", "train")


def test_loading_is_kept_per_arguments(tmp_path: Path) -> None:
    one = _jsonl(tmp_path / "one.jsonl", "a")
    two = _jsonl(tmp_path / "two.jsonl", "a")
    kept = load_source("jsonl", "train", {"path": one})
    assert load_source("jsonl", "train", {"path": str(one)}) is kept
    assert load_source("jsonl", "test", {"path": one}) is not kept
    assert load_source("jsonl", "train", {"path": two}) is not kept
    assert load_source("jsonl", "train", {"path": one}, data=tmp_path) is not kept


def test_a_file_written_anew_is_loaded_anew(tmp_path: Path) -> None:
    path = _jsonl(tmp_path / "own.jsonl", "a")
    assert load_source("jsonl", "train", {"path": path}).size == 1
    _jsonl(path, "a", "b")
    assert load_source("jsonl", "train", {"path": path}).size == 2


def test_relative_places_follow_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        os.utime(_jsonl(tmp_path / name / "own.jsonl", name), (0, 0))
    monkeypatch.chdir(tmp_path / "one")
    first = load_source("jsonl", "train", {"path": "own.jsonl"})
    monkeypatch.chdir(tmp_path / "two")
    second = load_source("jsonl", "train", {"path": "own.jsonl"})
    assert [first.episode(0).id, second.episode(0).id] == ["one", "two"]
    with pytest.raises(UsageError, match="nothing at") as caught:
        load_source("squad", "train", data="data")
    assert str(tmp_path / "two" / "data" / "squad") in str(caught.value)


# --- episode sets


def _listed(*ids: str) -> ListedEpisodes:
    return ListedEpisodes("own/train", ids, lambda index: _episode(ids[index]), {"too short": 2})


def test_listed_episodes_by_index_and_id() -> None:
    episodes = _listed("a", "b")
    assert episodes.size == 2
    assert [episode.id for episode in episodes] == ["a", "b"]
    assert episodes.episode(np.int64(1)).id == "b"  # type: ignore[arg-type]
    assert episodes.excluded == {"too short": 2}


@pytest.mark.parametrize("key", [2, -1])
def test_listed_episodes_name_the_valid_indices(key: int) -> None:
    with pytest.raises(UsageError, match=f"own/train: no episode {key}: indices go from 0 to 1"):
        _listed("a", "b").episode(key)


def test_listed_episodes_name_the_nearest_id() -> None:
    with pytest.raises(UsageError, match='no episode "apple/1": did you mean "apple/0"'):
        _listed("apple/0", "pear/0").episode("apple/1")


def test_an_empty_set_says_what_was_left_out() -> None:
    with pytest.raises(UsageError, match=r"own/train: the data give no episode \(2 x too short\)"):
        _listed()


def test_sampling_reaches_every_episode_and_follows_the_generator() -> None:
    episodes = _listed("a", "b", "c")
    drawn = [episodes.sample(np.random.default_rng(seed)).id for seed in range(40)]
    assert set(drawn) == {"a", "b", "c"}
    assert drawn == [episodes.sample(np.random.default_rng(seed)).id for seed in range(40)]


# --- procedural sources


def test_each_ability_has_its_procedural_source() -> None:
    for ability in ABILITIES:
        name = f"procedural-{ability.replace('_', '-')}"
        episodes = load_source(name, "test", {"tokens": 1_000, "questions": 2})
        episode = episodes.episode(5)
        assert episodes.size is None
        assert episode.ability == ability == get_source(name).ability
        assert episode.source == name
        assert episodes.episode(episode.id) == episode


def test_the_mix_takes_the_abilities_in_turn() -> None:
    episodes = load_source("procedural", "train", {"tokens": 1_000})
    drawn = [episodes.episode(index) for index in range(8)]
    assert [episode.ability for episode in drawn] == [*ABILITIES, *ABILITIES]
    assert len({episode.id for episode in drawn}) == 8
    assert episodes.episode(drawn[6].id) == drawn[6]


def test_procedural_episodes_are_the_same_wherever_they_are_loaded() -> None:
    mix = load_source("procedural", "train", {"tokens": 1_000})
    own = load_source("procedural-test-time-learning", "train", {"tokens": 1_000})
    assert mix.episode(1) == own.episode(1)
    assert mix.episode(1) != load_source("procedural", "test", {"tokens": 1_000}).episode(1)


def test_procedural_sampling_follows_the_generator() -> None:
    episodes = load_source("procedural", "train", {"tokens": 1_000})
    drawn = [episodes.sample(np.random.default_rng(7)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    generator = np.random.default_rng(7)
    index = int(generator.integers(2**31))
    assert drawn[0].id.endswith(f"/{index}")
    assert episodes.sample(generator).id != drawn[0].id


@pytest.mark.parametrize("key", ["nonsense", "procedural/x/1", "", "/٣", f"/{'9' * 40}"])
def test_an_unknown_procedural_id_shows_what_ids_look_like(key: str) -> None:
    episodes = load_source("procedural", "train", {"tokens": 1_000})
    with pytest.raises(UsageError, match=r"ids look like procedural/\w+/train/t1000-"):
        episodes.episode(key)


def test_procedural_options_are_checked() -> None:
    with pytest.raises(UsageError, match='no option "token": did you mean "tokens"'):
        load_source("procedural", "train", {"token": 5})
    with pytest.raises(UsageError, match=r'source "procedural": .*tokens must be from 300'):
        load_source("procedural", "train", {"tokens": 5})
    with pytest.raises(UsageError, match="no episode -1: indices start at 0"):
        load_source("procedural", "train").episode(-1)
