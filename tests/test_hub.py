"""Where published files are found, and what is said when they are not; the Memalpha sources."""

import builtins
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from memgym.errors import UsageError
from memgym.tasks import load_source
from memgym.tasks.datasets import open_dataset
from memgym.tasks.hub import hub_files, published_files
from memgym.tasks.overlap import find_overlaps, fingerprint
from memgym.tasks.source import ListedEpisodes


def row(number: int, data_source: str, answer: Any = "tea") -> dict[str, Any]:
    """Return a row in exactly the published Memalpha schema."""
    return {
        "instance_id": number,
        "prompt": "You will be given chunks.",
        "chunks": json.dumps([f"[Dialogue at timestamp 1]\nHe likes tea {number}.", "More."]),
        "questions_and_answers": json.dumps([{"question": "What does he like?", "answer": answer}]),
        "data_source": data_source,
        "metadata": json.dumps({"sub_source": data_source}),
        "num_chunks": 2,
        "num_questions": 1,
    }


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def listed(source: str, split: str, data: Path | None, **options: Any) -> ListedEpisodes:
    episodes = load_source(source, split, options, data)
    assert isinstance(episodes, ListedEpisodes)
    return episodes


# --- where files are


def test_files_of_a_split_are_found_in_the_folder_and_in_its_data_folder(tmp_path: Path) -> None:
    top = write(tmp_path / "memalpha" / "train.parquet", row(0, "squad"))
    inner = write(tmp_path / "memalpha" / "data" / "train-00000-of-00001.parquet", row(1, "squad"))
    write(tmp_path / "memalpha" / "test.parquet", row(0, "squad"))
    found = published_files("memalpha", "owner/name", ["train"], tmp_path, "")
    assert found == [top, inner]


def test_a_file_that_is_named_stands_for_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.parquet", row(0, "squad"))
    assert published_files("memalpha", "owner/name", ["train"], None, str(path)) == [path]


def test_a_folder_without_the_split_names_it(tmp_path: Path) -> None:
    write(tmp_path / "memalpha" / "test.parquet", row(0, "squad"))
    with pytest.raises(UsageError, match=r"no file train\*\.parquet in .*hugging.*owner/name"):
        published_files("memalpha", "owner/name", ["train"], tmp_path, "")


def test_a_path_that_is_nowhere_is_named() -> None:
    with pytest.raises(UsageError, match=r"nothing at /no/such/place; name a parquet file"):
        published_files("memalpha", "owner/name", ["train"], None, "/no/such/place")


def test_the_datasets_library_finds_the_files_of_a_split(tmp_path: Path) -> None:
    path = write(tmp_path / "data" / "Accurate_Retrieval-00000-of-00001.parquet", row(0, "squad"))
    write(tmp_path / "data" / "Conflict_Resolution-00000-of-00001.parquet", row(0, "squad"))
    assert hub_files(str(tmp_path), ["Accurate_Retrieval"]) == [path]
    with pytest.raises(
        UsageError, match=r'no split "Conflict_Res": did you mean "Conflict_Resolution'
    ):
        hub_files(str(tmp_path), ["Conflict_Res"])


def test_offline_the_error_says_what_to_download_and_where_to_put_it(tmp_path: Path) -> None:
    code = (
        "from memgym.errors import UsageError\n"
        "from memgym.tasks import load_source\n"
        "try:\n"
        f"    load_source('memalpha', 'train', data={str(tmp_path)!r})\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert "cannot get the hub dataset YuWangX/Memalpha" in done.stdout
    assert "https://huggingface.co/datasets/YuWangX/Memalpha" in done.stdout
    assert str(tmp_path / "memalpha") in done.stdout
    assert done.stdout.count("\n") == 1


def test_without_the_library_the_error_tells_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real_import = builtins.__import__

    def without_datasets(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_datasets)
    with pytest.raises(UsageError, match=r'pip install "memgym\[datasets\]"'):
        hub_files("owner/name", ["train"])
    # Files that are there do not need it.
    write(tmp_path / "memalpha" / "test.parquet", row(0, "squad"))
    assert listed("memalpha", "test", tmp_path).size == 1


# --- the sources in the Memalpha schema


def test_rows_of_several_files_become_episodes_with_their_published_kinds(tmp_path: Path) -> None:
    folder = tmp_path / "memalpha"
    write(folder / "test-0.parquet", row(0, "squad"), row(1, "perltqa", "tea; Paris"))
    write(folder / "test-1.parquet", row(2, "pubmed-rct", "4"))
    episodes = listed("memalpha", "test", tmp_path)
    assert episodes.ids == (
        "memalpha/test/squad/0",
        "memalpha/test/perltqa/1",
        "memalpha/test/pubmed-rct/2",
    )
    kinds = [episode.questions[0].kind for episode in episodes]
    assert kinds == ["text", "keywords", "label"]
    assert episodes.episode("memalpha/test/pubmed-rct/2").chunks[0].endswith("tea 2.")


def test_training_rows_made_of_test_questions_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        row(0, "squad"),
        row(1, "icl_nlu_8296shot_balance", "3"),
        row(2, "ttl_train", "3"),
        row(3, "icl_nlu_8296shot_balance", "3"),
    ]
    for split in ("train", "test"):
        write(tmp_path / "memalpha" / f"{split}.parquet", *rows)
    train = listed("memalpha", "train", tmp_path)
    assert train.ids == ("memalpha/train/squad/0",)
    assert sum(train.excluded.values()) == 3
    assert listed("memalpha", "train", tmp_path, leaks=True).size == 4
    assert listed("memalpha", "test", tmp_path).size == 4


def test_a_part_of_the_training_file_is_held_out_for_validation(tmp_path: Path) -> None:
    folder = tmp_path / "memalpha"
    write(folder / "train.parquet", *(row(number, "squad") for number in range(200)))
    write(folder / "test.parquet", row(0, "squad"))
    train, validation = (listed("memalpha", split, tmp_path) for split in ("train", "validation"))
    rows = [{name.rsplit("/", 1)[1] for name in split.ids} for split in (train, validation)]
    assert rows[0].isdisjoint(rows[1])
    assert sorted(map(int, rows[0] | rows[1])) == list(range(200))
    assert 1 <= len(rows[1]) <= 12
    assert all(name.startswith("memalpha/validation/squad/") for name in validation.ids)
    # A row stays where it is when others are added.
    write(folder / "train.parquet", *(row(number, "squad") for number in range(400)))
    assert set(validation.ids) <= set(listed("memalpha", "validation", tmp_path).ids)


def test_one_data_source_can_be_picked(tmp_path: Path) -> None:
    folder = tmp_path / "memalpha-memoryagentbench"
    write(
        folder / "test.parquet",
        row(0, "ruler_qa1_197K", ["tea", "green tea"]),
        row(1, "longmemeval_s*"),
        row(2, "longmemeval_s*"),
    )
    source = "memalpha-memoryagentbench"
    episodes = listed(source, "test", tmp_path, name="longmemeval_s*")
    assert [episode.source for episode in episodes] == ["longmemeval_s*"] * 2
    (first,) = listed(source, "test", tmp_path, name="ruler_qa1_197K")
    assert first.questions[0].answers == ("tea", "green tea")
    with pytest.raises(UsageError, match=r'no row of "longmemeval".* did you mean "longmemeval_s'):
        listed(source, "test", tmp_path, name="longmemeval")


def test_the_test_benchmark_has_no_split_to_train_on(tmp_path: Path) -> None:
    for source in ("memalpha-memoryagentbench", "memoryagentbench"):
        with pytest.raises(UsageError, match='has no split "train"'):
            load_source(source, "train", data=tmp_path)


def test_the_published_leak_is_found_by_the_check_and_not_in_the_default_split(
    tmp_path: Path,
) -> None:
    example = "Sentence: play some jazz now\nLabel: 3"
    taught = row(1, "icl_nlu_8296shot_balance", "3") | {
        "chunks": json.dumps([f"[Dialogue between User and Assistant]\n<User>{example}"]),
        "questions_and_answers": json.dumps([{"question": "skip this song", "answer": "5"}]),
    }
    write(tmp_path / "memalpha" / "train.parquet", row(0, "squad"), taught)
    write(tmp_path / "memalpha-memoryagentbench" / "test.parquet", taught)
    test = fingerprint("test", open_dataset("memalpha-memoryagentbench:test", data=tmp_path))
    leaking = open_dataset("memalpha:train", data=tmp_path, options={"leaks": True})
    found = find_overlaps(fingerprint("train", leaking), test)
    assert [item.text for item in found] == ["skip this song", "play some jazz now"]
    clean = open_dataset("memalpha:train", data=tmp_path)
    assert find_overlaps(fingerprint("train", clean), test) == []
