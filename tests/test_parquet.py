"""Memalpha parquet files: published rows as they are, our own rows there and back."""

import builtins
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from memgym.episode import (
    ABILITIES,
    QUESTION_KINDS,
    Episode,
    Evidence,
    Question,
    read_jsonl,
    write_jsonl,
)
from memgym.errors import UsageError
from memgym.tasks import load_source
from memgym.tasks.memalpha_schema import episode_from_row, row_from_episode
from memgym.tasks.parquet import read_parquet, write_parquet

_FULL = Episode(
    "own/7",
    "my-source",
    "conflict_resolution",
    ("Mara moved to Alder Hall.", "Mara moved to Birch House. 你好"),
    (
        Question("Where is Mara?", ("Birch House", "Birch")),
        Question(
            "Where was Mara?",
            ("Alder Hall",),
            kind="state",
            asked_after=0,
            evidence=(Evidence(0, "Mara moved to Alder Hall."),),
            distractors=("Birch House",),
        ),
        Question("Which label?", ("7",), kind="label"),
    ),
    {"split": "test", "nested": {"b": [1, 2.5, None], "a": "é"}},
)


def _published(data_source: str, answer: Any, **cells: Any) -> dict[str, Any]:
    """Return a row in exactly the published schema."""
    row = {
        "instance_id": 3,
        "prompt": "You will be given chunks.",
        "chunks": json.dumps(["[Dialogue] first", "second"]),
        "questions_and_answers": json.dumps([{"question": "What?", "answer": answer}]),
        "data_source": data_source,
        "metadata": json.dumps({"sub_source": "x"}),
        "num_chunks": 2,
        "num_questions": 1,
    }
    return {**row, **cells}


def _write(path: Path, *rows: dict[str, Any]) -> Path:
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


# --- published files


@pytest.mark.parametrize(
    ("source", "answer", "kind", "answers", "ability"),
    [
        ("squad", "Rollo", "text", ["Rollo"], "accurate_retrieval"),
        ("hotpotqa", "a, b", "text", ["a, b"], "accurate_retrieval"),
        ("ruler_qa1_197K", ["France", "in France"], "text", ["France", "in France"], None),
        ("longmemeval_s*", "two; or three", "text", ["two; or three"], "accurate_retrieval"),
        ("lme_train", "7", "text", ["7"], "accurate_retrieval"),
        ("perltqa", "tea", "text", ["tea"], "accurate_retrieval"),
        ("perltqa", "tea; Paris;", "keywords", ["tea", "Paris"], "accurate_retrieval"),
        ("pubmed-rct", "4", "label", ["4"], "test_time_learning"),
        ("ttl_train", 4, "label", ["4"], "test_time_learning"),
        ("icl_nlu_8296shot_balance", ["17"], "label", ["17"], "test_time_learning"),
        ("icl_banking77_5900shot_balance", "17", "label", ["17"], "test_time_learning"),
        ("booksum", "Pip, a ship,Joe", "keywords", ["Pip", "a ship", "Joe"], None),
        ("infbench_sum_eng_shots2", "Pip, Joe", "keywords", ["Pip", "Joe"], None),
        ("factconsolidation_sh_6k", ["Rome"], "text", ["Rome"], "conflict_resolution"),
        ("never_heard_of", "x", "text", ["x"], "accurate_retrieval"),
    ],
)
def test_kind_and_ability_follow_from_the_published_source(
    *, source: str, answer: Any, kind: str, answers: list[str], ability: str | None, tmp_path: Path
) -> None:
    path = _write(tmp_path / "test.parquet", _published(source, answer))
    (episode,) = read_parquet(path)
    assert episode.id == f"{source}/3"
    assert episode.source == source
    assert episode.ability == (ability or episode.ability)
    assert episode.chunks == ("[Dialogue] first", "second")
    assert episode.questions == (Question("What?", tuple(answers), kind),)  # type: ignore[arg-type]
    assert episode.metadata["sub_source"] == "x"
    assert ("question_preface" in episode.metadata) == (kind == "label")


def test_long_range_sources_have_their_ability(tmp_path: Path) -> None:
    rows = [_published("booksum", "a"), _published("infbench_sum_eng_shots2", "a")]
    path = _write(tmp_path / "test.parquet", *rows)
    assert {e.ability for e in read_parquet(path)} == {"long_range_understanding"}


def test_extra_keys_of_published_questions_are_not_taken_for_ours(tmp_path: Path) -> None:
    entry = {"question": "What?", "answer": "a", "evidence": "raw text", "evidence_idx": [0]}
    row = _published("squad", "", questions_and_answers=json.dumps([entry]))
    (episode,) = read_parquet(_write(tmp_path / "t.parquet", row))
    assert episode.questions == (Question("What?", ("a",)),)


def test_data_are_never_evaluated(tmp_path: Path) -> None:
    target = tmp_path / "evaluated"
    row = _published("squad", "a", chunks=f"[open({str(target)!r}, 'w').write('x') or 'chunk']")
    with pytest.raises(UsageError, match='row 0, column "chunks": not JSON'):
        list(read_parquet(_write(tmp_path / "t.parquet", row)))
    assert not target.exists()


def test_a_row_without_optional_columns_is_named_by_its_place(tmp_path: Path) -> None:
    rows = [_published("squad", "a"), _published("squad", "b")]
    for row in rows:
        del row["instance_id"], row["metadata"], row["prompt"], row["num_chunks"]
    path = _write(tmp_path / "t.parquet", *rows)
    assert [episode.id for episode in read_parquet(path)] == ["squad/0", "squad/1"]
    assert load_source("parquet", "train", {"path": path}).episode("squad/1").id == "squad/1"


# --- round trip


def test_an_episode_comes_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    assert write_parquet(path, [_FULL]) == 1
    assert list(read_parquet(path)) == [_FULL]


def test_our_files_have_the_published_columns_and_types(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    write_parquet(path, [_FULL, _FULL])
    table = parquet.read_table(path)
    text, number = pyarrow.string(), pyarrow.int64()
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "instance_id": number,
        "prompt": text,
        "chunks": text,
        "questions_and_answers": text,
        "data_source": text,
        "metadata": text,
        "num_chunks": number,
        "num_questions": number,
    }
    row = table.to_pylist()[1]
    assert (row["instance_id"], row["num_chunks"], row["num_questions"]) == (1, 2, 3)
    assert json.loads(row["chunks"]) == list(_FULL.chunks)
    entries = json.loads(row["questions_and_answers"])
    assert entries[0] == {"question": "Where is Mara?", "answer": ["Birch House", "Birch"]}
    assert entries[2] == {"question": "Which label?", "answer": "7", "kind": "label"}


def test_the_same_episodes_give_the_same_bytes(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    write_parquet(one, [_FULL, _FULL])
    write_parquet(two, read_parquet(one))
    write_jsonl(three, read_parquet(one))
    assert one.read_bytes() == two.read_bytes()
    write_parquet(two, read_jsonl(three))
    assert one.read_bytes() == two.read_bytes()


_words = st.text(max_size=20).filter(str.strip)
_questions = st.builds(
    Question,
    _words,
    st.lists(_words, min_size=1, max_size=3).map(tuple),
    st.sampled_from(QUESTION_KINDS),
    st.sampled_from([None, 0]),
    st.lists(st.builds(Evidence, st.just(0), st.text(max_size=5)), max_size=2).map(tuple),
    st.lists(st.text(max_size=5), max_size=2).map(tuple),
)
_episodes = st.builds(
    Episode,
    _words,
    _words,
    st.sampled_from(ABILITIES),
    st.lists(_words, min_size=1, max_size=3).map(tuple),
    st.lists(_questions, min_size=1, max_size=3).map(tuple),
    st.dictionaries(
        st.text(max_size=5).filter(lambda name: name != "memgym"),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers()),
        max_size=3,
    ),
)


@given(_episodes)
def test_any_episode_survives_a_row(episode: Episode) -> None:
    assert episode_from_row(row_from_episode(episode, 0), "here", 0) == episode


# --- the parquet source


def test_rows_are_found_by_index_and_id_in_any_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    rows = [_published("squad", f"a{i}", instance_id=i) for i in range(10)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=4)
    episodes = load_source("parquet", "test", {"path": str(path)})
    assert episodes.size == 10
    for index in (9, 0, 4, 3, 7):
        assert episodes.episode(index).questions[0].answers == (f"a{index}",)
        assert episodes.episode(f"squad/{index}") == episodes.episode(index)


def test_own_ids_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    write_parquet(path, [_FULL])
    assert load_source("parquet", "test", {"path": path}).episode("own/7") == _FULL


def test_only_the_needed_columns_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "t.parquet", _published("squad", "a", prompt="p" * 100))
    asked: list[Any] = []
    original = parquet.ParquetFile.iter_batches

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", spy)
    load_source("parquet", "train", {"path": path}).episode(0)
    assert [kwargs["batch_size"] for kwargs in asked] == [1, 1]
    assert sorted(asked[0]["columns"]) == ["data_source", "instance_id", "metadata"]
    assert "prompt" not in asked[1]["columns"]


# --- bad input


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"chunks": '["a"'}, 'row 0, column "chunks": not JSON'),
        ({"chunks": None}, 'row 0, column "chunks": must hold JSON text, got None'),
        ({"chunks": '"text"'}, 'column "chunks": must be a JSON list'),
        ({"chunks": "[1]"}, 'row 0, "chunks" must be a list of strings'),
        ({"chunks": "[]"}, "it has no chunks"),
        ({"questions_and_answers": "[]"}, "it has no questions"),
        ({"questions_and_answers": '[{"question": "Q"}]'}, 'entry 0: must be an object with "qu'),
        ({"questions_and_answers": "[1]"}, "entry 0: must be an object"),
        (
            {"questions_and_answers": '[{"question": "Q", "answer": {"a": 1}}]'},
            'entry 0: "answer" must be a string or a list',
        ),
        ({"questions_and_answers": '[{"question": "Q", "answer": []}]'}, 'entry 0: "answer" must'),
        (
            {"questions_and_answers": '[{"question": "Q", "answer": ""}]'},
            "answers must be non-empty strings",
        ),
        ({"metadata": "[]"}, 'column "metadata": must be a JSON dict'),
        ({"metadata": '{"memgym": {"id": 1}}'}, "needs the strings id, source, ability"),
        ({"data_source": None}, 'column "data_source" must hold strings'),
    ],
)
def test_bad_rows_are_explained(cells: dict[str, Any], message: str, tmp_path: Path) -> None:
    row = {**_published("squad", "a"), **cells}
    columns = ("chunks", "questions_and_answers", "data_source", "metadata")
    schema = pyarrow.schema([(column, pyarrow.string()) for column in columns])
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([row], schema=schema), path)
    with pytest.raises(UsageError, match=message) as caught:
        list(read_parquet(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_files_are_explained(tmp_path: Path) -> None:
    text = tmp_path / "text.parquet"
    text.write_text("not parquet at all, just text")
    whole = tmp_path / "whole.parquet"
    write_parquet(whole, [_FULL])
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-100])
    for path in (text, cut, tmp_path / "none.parquet", tmp_path):
        with pytest.raises(UsageError, match=r"cannot read .* as a parquet file") as caught:
            load_source("parquet", "train", {"path": path})
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damaged_pages_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    write_parquet(path, [_FULL])
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(bytes(content))
    with pytest.raises(UsageError, match="damaged parquet file"):
        list(read_parquet(path))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.parquet", {"context": "x", "data_source": "y"})
    with pytest.raises(UsageError, match="missing column chunks, questions_and_answers; its col"):
        load_source("parquet", "train", {"path": path})


def test_a_reserved_or_unwritable_metadata_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    for metadata, message in (({"memgym": 1}, "reserved"), ({"x": {1}}, "must be JSON values")):
        bad = Episode("a", "s", "accurate_retrieval", ("c",), (Question("q", ("a",)),), metadata)
        with pytest.raises(UsageError, match=message):
            write_parquet(tmp_path / "own.parquet", [_FULL, bad])
        assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*none"):
        write_parquet(tmp_path / "none" / "own.parquet", [_FULL])


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r'pip install "memgym\[parquet\]"'):
        load_source("parquet", "train", {"path": str(tmp_path / "none.parquet")})
