"""Behaviour of the suites: what they resolve to and what their hashes depend on."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memgym.benchmarks.suites import SUITES, Entry, Suite, get_suite, load_episode, resolve
from memgym.episode import ABILITIES, Episode, Question, write_jsonl
from memgym.errors import UsageError
from memgym.tasks.registry import get_source, source_names
from tests.test_hub import row as memalpha_row
from tests.test_hub import write as write_rows

SMALL = {"tokens": 1_000, "questions": 3}
ENTRY = Entry("facts", "procedural-accurate-retrieval", "test", 2, SMALL)
SUITE = Suite("small", "1", "two short episodes", (ENTRY,))


def test_mini_covers_every_ability_at_two_lengths_on_the_test_split() -> None:
    mini = get_suite("mini")
    sources = {f"procedural-{ability.replace('_', '-')}" for ability in ABILITIES}
    assert {entry.source for entry in mini.entries} == sources
    assert {entry.split for entry in mini.entries} == {"test"}
    assert {entry.source_options["tokens"] for entry in mini.entries} == {8_000, 32_000}
    assert len({entry.name for entry in mini.entries}) == len(mini.entries) == 8


def test_procedural_covers_every_ability_from_4k_to_512k() -> None:
    entries = get_suite("procedural").entries
    lengths = {4_000, 16_000, 64_000, 256_000, 512_000}
    assert {(e.source, e.source_options["tokens"]) for e in entries} == {
        (f"procedural-{ability.replace('_', '-')}", tokens)
        for ability in ABILITIES
        for tokens in lengths
    }
    assert all(entry.split == "test" and entry.episodes >= 2 for entry in entries)


def test_length_stretches_the_same_episodes() -> None:
    suite = get_suite("length")
    entries = [e for e in suite.entries if e.source == "procedural-conflict-resolution"]
    assert [entry.source_options["stretch"] for entry in entries] == [1, 4, 16, 64]
    first = resolve(dataclasses.replace(suite, entries=(entries[0],)))
    longer = resolve(dataclasses.replace(suite, entries=(entries[1],)))
    for short, long in zip(first.episodes, longer.episodes, strict=True):
        one, other = load_episode(short), load_episode(long)
        assert [q.answers for q in one.questions] == [q.answers for q in other.questions]
        assert len(other.chunks) == 4 * len(one.chunks)


def test_real_has_every_source_built_from_raw_data_that_has_a_test_split() -> None:
    names = list(dict.fromkeys(entry.source for entry in get_suite("real").entries))
    assert names[:3] == ["squad", "hotpotqa", "banking77"]
    assert names == [
        name
        for name in source_names()
        if get_source(name).needs_data
        and "test" in get_source(name).splits
        and name not in ("memalpha", "memalpha-memoryagentbench", "memoryagentbench")
    ]


@pytest.mark.parametrize("name", sorted(SUITES))
def test_every_suite_is_described_and_names_sources_that_exist(name: str) -> None:
    suite = get_suite(name)
    assert suite.summary
    assert suite.version.isdigit()
    assert len({entry.name for entry in suite.entries}) == len(suite.entries)
    for entry in suite.entries:
        assert entry.split in get_source(entry.source).splits


def test_memalpha_val_plays_the_published_file(tmp_path: Path) -> None:
    names = [str(entry.source_options["name"]) for entry in get_suite("memalpha-val").entries]
    rows = [memalpha_row(number, name) for number, name in enumerate(names * 2)]
    write_rows(tmp_path / "memalpha" / "test.parquet", *rows)
    resolved = resolve(get_suite("memalpha-val"), tmp_path)
    assert len(resolved.episodes) == 14
    assert {load_episode(reference).source for reference in resolved.episodes} == set(names)


def test_a_changed_cell_of_a_published_file_changes_the_hash(tmp_path: Path) -> None:
    suite = Suite("one", "1", "", (Entry("x", "memalpha", "test", 5),))
    hashes: list[str] = []
    for answer in ("tea", "coffee"):
        path = write_rows(tmp_path / "memalpha" / "test.parquet", memalpha_row(0, "squad", answer))
        os.utime(path, ns=(len(hashes), len(hashes)))
        entry = Entry("x", "memalpha", "test", 5, {"path": str(path)})
        hashes.append(resolve(dataclasses.replace(suite, entries=(entry,)), tmp_path).content_hash)
    assert hashes[0] != hashes[1]


def test_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UsageError, match='did you mean "mini"'):
        get_suite("mni")


def test_references_lead_to_their_episodes() -> None:
    resolved = resolve(SUITE)
    assert [reference.index for reference in resolved.episodes] == [0, 1]
    for reference in resolved.episodes:
        episode = load_episode(reference)
        assert episode.id == reference.id
        assert episode.ability == reference.ability == "accurate_retrieval"


def test_reference_whose_data_changed_is_refused() -> None:
    reference = dataclasses.replace(resolve(SUITE).episodes[0], id="something else")
    with pytest.raises(UsageError, match="the data changed"):
        load_episode(reference)


def test_hash_depends_on_content_and_settings_not_on_names() -> None:
    base = resolve(SUITE).content_hash
    renamed = dataclasses.replace(
        SUITE, name="other", version="9", entries=(dataclasses.replace(ENTRY, name="other"),)
    )
    assert resolve(renamed).content_hash == base
    changes = [
        dataclasses.replace(SUITE, settings={"memory_budget": 100}),
        dataclasses.replace(SUITE, entries=(dataclasses.replace(ENTRY, episodes=1),)),
        dataclasses.replace(
            SUITE, entries=(dataclasses.replace(ENTRY, source_options={**SMALL, "filler": 0.2}),)
        ),
    ]
    hashes = [resolve(suite).content_hash for suite in changes]
    assert len({base, *hashes}) == 4


def test_hash_is_the_same_in_another_process() -> None:
    program = (
        "from memgym.benchmarks.suites import Entry, Suite, resolve\n"
        f"entry = Entry('facts', 'procedural-accurate-retrieval', 'test', 2, {SMALL!r})\n"
        "print(resolve(Suite('small', '1', '', (entry,))).content_hash)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "42"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() == resolve(SUITE).content_hash


def jsonl_suite(tmp_path: Path, *episodes: Episode) -> Suite:
    write_jsonl(tmp_path / "own.jsonl", episodes)
    entry = Entry("own", "jsonl", "test", 10, {"path": str(tmp_path / "own.jsonl")})
    return Suite("own", "1", "", (entry,))


def episode(identifier: str, text: str = "Ada keeps bees.", gold: str = "bees") -> Episode:
    question = Question("What does Ada keep?", (gold,))
    metadata = {"split": "test"}
    return Episode(identifier, "own", "accurate_retrieval", (text,), (question,), metadata)


def test_hash_sees_text_and_golds(tmp_path: Path) -> None:
    hashes = set()
    for number, changed in enumerate(
        [episode("a"), episode("a", text="Ada keeps wasps."), episode("a", gold="wasps")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        hashes.add(resolve(jsonl_suite(folder, changed)).content_hash)
    assert len(hashes) == 3


def test_fewer_episodes_than_wanted_is_no_error(tmp_path: Path) -> None:
    resolved = resolve(jsonl_suite(tmp_path, episode("a"), episode("b")))
    assert [reference.id for reference in resolved.episodes] == ["a", "b"]


def test_same_episode_twice_is_an_error() -> None:
    twice = Suite("twice", "1", "", (ENTRY, dataclasses.replace(ENTRY, name="again")))
    with pytest.raises(UsageError, match="is in facts and in again"):
        resolve(twice)


def write_squad(folder: Path) -> None:
    text = " ".join(f"The {name} was built in {1900 + i}." for i, name in enumerate(BUILDINGS))
    questions = [
        {
            "id": str(i),
            "question": f"When was the {name} built?",
            "answers": [{"text": str(1900 + i), "answer_start": text.index(str(1900 + i))}],
        }
        for i, name in enumerate(BUILDINGS)
    ]
    articles = [{"title": "Town", "paragraphs": [{"context": text, "qas": questions}]}]
    folder.mkdir(parents=True)
    (folder / "dev-v1.1.json").write_text(json.dumps({"version": "1.1", "data": articles}))


_NOUNS = ("mill", "hall", "tower", "school", "bridge", "bank", "inn", "shop", "barn", "fort")
BUILDINGS = [f"{kind} {noun}" for kind in ("old", "new", "red", "tall") for noun in _NOUNS]


def test_entries_without_data_are_left_out_and_named(tmp_path: Path) -> None:
    write_squad(tmp_path / "squad")
    resolved = resolve(get_suite("real"), tmp_path)
    assert {reference.entry for reference in resolved.episodes} == {"squad"}
    entries = [entry.name for entry in get_suite("real").entries]
    assert len(resolved.skipped) == len(entries) - 1
    for name, line in zip(entries[1:], resolved.skipped, strict=True):
        assert line.startswith(name)
    assert f"no folder {tmp_path / 'hotpotqa'}" in resolved.skipped[0]
    assert load_episode(resolved.episodes[0]).source == "squad"


@pytest.mark.parametrize("named", [None, "empty", "missing"])
def test_no_data_at_all_says_what_to_do(tmp_path: Path, named: str | None) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"squad/, hotpotqa/, banking77/"):
        resolve(get_suite("real"), tmp_path / named if named else None)
