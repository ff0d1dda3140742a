"""Files of datasets: whole or not at all, resumable, the same bytes either way; size figures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from memgym.episode import Episode, Evidence, Question, read_jsonl, write_jsonl
from memgym.errors import UsageError
from memgym.tasks.building import build, write_episodes
from memgym.tasks.datasets import ENDLESS_EPISODES, Dataset, is_available, open_dataset
from memgym.tasks.parquet import read_parquet
from memgym.tasks.registry import get_source
from memgym.tasks.source import ListedEpisodes
from memgym.tasks.statistics import PUBLISHED, measure


def episode(index: int) -> Episode:
    questions = (
        Question("What?", ("a fact",), evidence=(Evidence(0, "A fact."),)),
        Question("Who?", ("Ada é",)),
    )
    return Episode(f"own/{index}", "own", "accurate_retrieval", ("A fact.", "More é."), questions)


class Interrupted(ListedEpisodes):
    """Episodes of which one cannot be made the first time it is asked for."""

    def __init__(self, size: int, failing: int | None = None) -> None:
        self.made: list[int] = []

        def make(index: int) -> Episode:
            if index == failing and self.made.count(index) == 0:
                self.made.append(index)
                raise KeyboardInterrupt
            self.made.append(index)
            return episode(index)

        super().__init__("own", [f"own/{index}" for index in range(size)], make)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_interrupted_build_goes_on_and_gives_the_same_bytes(ending: str, tmp_path: Path) -> None:
    whole, target = tmp_path / f"whole.{ending}", tmp_path / "sub" / f"file.{ending}"
    assert build(Dataset("own:test", Interrupted(6), 6), whole, {}) == 6
    with pytest.raises(KeyboardInterrupt):
        build(Dataset("own:test", Interrupted(6, failing=3), 6), target, {})
    assert not target.exists()
    (partial,) = target.parent.iterdir()
    with partial.open("ab") as file:
        file.write(b'{"id": "cut o')  # killed while it wrote a line
    again = Interrupted(6)
    seen: list[tuple[int, int]] = []
    build(Dataset("own:test", again, 6), target, {}, lambda *state: seen.append(state))
    assert again.made == [5, 3, 4, 5]  # the last one names the content
    assert seen == [(3, 6), (4, 6), (5, 6), (6, 6)]
    assert target.read_bytes() == whole.read_bytes()
    assert list(target.parent.iterdir()) == [target]


def test_another_build_does_not_go_on_with_these_episodes(tmp_path: Path) -> None:
    target = tmp_path / "file.jsonl"
    with pytest.raises(KeyboardInterrupt):
        build(Dataset("own:test", Interrupted(6, failing=3), 6), target, {"shots": 1})
    other = Interrupted(6)
    build(Dataset("own:test", other, 6), target, {"shots": 2})
    assert sorted(set(other.made)) == list(range(6))


def test_export_round_trip_is_byte_stable(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    table = tmp_path / "a.parquet"
    episodes = [episode(index) for index in range(3)]
    write_episodes(first, episodes)
    write_episodes(table, read_jsonl(first))
    write_episodes(second, read_parquet(table))
    assert first.read_bytes() == second.read_bytes()
    assert list(read_parquet(table)) == episodes


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.jsonl or \.parquet"):
        build(Dataset("own:test", Interrupted(1), 1), tmp_path / "file.csv", {})
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*file/x\.jsonl"):
        build(Dataset("own:test", Interrupted(1), 1), tmp_path / "file" / "x.jsonl", {})


# --- datasets by name


def test_a_dataset_is_a_split_or_a_file(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "own.jsonl", [_plain(i) for i in range(3)])
    found = open_dataset(str(tmp_path / "own.jsonl"))
    assert [item.id for item in found] == ["own/0", "own/1", "own/2"]
    assert open_dataset(str(tmp_path / "own.jsonl"), limit=2).size == 2
    endless = open_dataset("procedural:train", options={"tokens": 1_000})
    assert endless.size == ENDLESS_EPISODES
    assert open_dataset("procedural:train", limit=50).size == 50
    assert next(iter(endless)).metadata["split"] == "train"


def _plain(index: int) -> Episode:
    return Episode(
        f"own/{index}", "own", "accurate_retrieval", ("A fact.",), (Question("What?", ("fact",)),)
    )


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("squad", r"names no split; write one of squad:train, squad:validation, squad:test"),
        ("sqad:test", 'did you mean "squad"'),
        ("squad:tests", 'did you mean "test"'),
        ("/no/file.jsonl", "cannot read episodes from /no/file.jsonl"),
    ],
)
def test_a_reference_to_nothing_is_explained(reference: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_dataset(reference)


def test_the_number_of_episodes_must_be_positive() -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        open_dataset("procedural:train", limit=0)


def test_what_is_available_depends_on_the_folder(tmp_path: Path) -> None:
    assert is_available("procedural", None)
    assert not is_available("squad", None)
    assert not is_available("squad", tmp_path)
    assert not is_available("jsonl", tmp_path)
    (tmp_path / "squad").mkdir()
    assert is_available("squad", tmp_path)


# --- figures


def test_figures_are_means_over_episodes_and_chunks() -> None:
    def made() -> Iterator[Episode]:
        yield _plain(0)
        chunks = ("one two three", "one")
        asked = tuple(Question(f"{n}?", ("x",), evidence=(Evidence(0, "one"),)) for n in range(3))
        yield Episode("b", "own", "accurate_retrieval", chunks, asked)

    figures = measure(made())
    assert figures.instances == 2
    assert figures.chunks == 1.5
    assert figures.chunk_tokens == pytest.approx((3 + 3 + 1) / 3)
    assert figures.questions == 2.0
    assert figures.with_evidence == 0.75


def test_published_figures_belong_to_sources_and_splits() -> None:
    for source, split in PUBLISHED:
        assert split in get_source(source).splits
    # Table 6 of the paper counts 4,139 training instances in eight sources.
    train = {
        name: PUBLISHED[name, "train"].instances for name, split in PUBLISHED if split == "train"
    }
    assert sum(train.values()) + 45 == 4_139  # LME-Train is not published, so it has no row
    assert np.isclose(PUBLISHED["squad", "train"].chunk_tokens, 1078)
