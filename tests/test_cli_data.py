"""``memgym data``: tables, files, one episode to read, overlaps and exit codes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memgym.cli.data_views import episode_text
from memgym.cli.main import main
from memgym.episode import Episode, Evidence, Question, read_jsonl, write_jsonl
from memgym.tasks import load_source
from memgym.tasks.registry import source_names
from tests.test_suites import write_squad

SMALL = ["--option", "tokens=1000", "--option", "questions=3"]
TEXT = "The old mill by the river was sold to a baker from the next town in spring."


@pytest.fixture(autouse=True)
def _small_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def data(*arguments: str) -> int:
    return main(["data", *arguments])


def write(path: str, identifier: str, text: str) -> str:
    question = Question(f"What of {identifier}?", (identifier,))
    write_jsonl(path, [Episode(identifier, "own", "accurate_retrieval", (text,), (question,))])
    return path


# --- list and stats


def test_list_says_what_is_here_and_what_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert data("list") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert set(source_names()) <= set(lines)
    assert "embedded" in lines["procedural"]
    assert "wants squad/ in a data folder" in lines["squad"]
    assert "CC BY-SA 4.0" in lines["squad"]
    assert "train, validation, test" in lines["squad"]
    assert "option path" in lines["jsonl"]
    (tmp_path / "squad").mkdir()
    assert data("list", "--data", str(tmp_path)) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert lines["squad"].rstrip().endswith("here")
    assert lines["hotpotqa"].rstrip().endswith("no hotpotqa/")


def test_stats_stand_beside_the_paper(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_squad(tmp_path / "squad")
    assert data("stats", "squad:test", "procedural:test", "--data", ".") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "RULER-QA1: 1 / 103 / 2,104 / 100" in lines["squad:test"]
    assert lines["squad:test"].split()[1:3] == ["1", "1.0"]
    assert lines["procedural:test"].split()[1] == "10"


def test_the_sources_page_is_written_by_one_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_squad(tmp_path / "squad")
    assert data("stats", "--markdown", "--data", ".", "--episodes", "1") == 0
    shown = capsys.readouterr()
    for name in source_names():
        assert f"| `{name}` |" in shown.out
    assert "| `squad:test` | 1 | 1.0 |" in shown.out
    assert "| `procedural:train` |" in shown.out
    # There are no train files here: said, not hidden.
    assert "left out squad:train: no file train*.json" in shown.err


# --- build and export


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_build_writes_the_episodes_of_a_source(
    ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"out.{ending}"
    assert data("build", "procedural:train", "--episodes", "3", "--out", out, *SMALL) == 0
    assert "3 episodes of procedural:train" in capsys.readouterr().out
    built = load_source(ending, "test", {"path": out})
    source = load_source("procedural", "train", {"tokens": 1_000, "questions": 3})
    assert built.size == 3
    assert [built.episode(n).questions for n in range(3)] == [
        source.episode(n).questions for n in range(3)
    ]
    assert list(built.episode(0).chunks) == list(source.episode(0).chunks)
    assert sorted(path.name for path in Path().iterdir()) == [out]


def test_a_killed_build_continues(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "memgym", "data", "build", "procedural:train"]
    command += ["--episodes", "150", "--option", "tokens=4000", "--out", "out.jsonl"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        partial = list(Path().glob("out.jsonl.*.partial"))
        # Beyond the first episodes: an interrupt while Python runs the exec() of an import is
        # reported as unhandled (exit status -2) even where it is caught.
        if partial and partial[0].stat().st_size > 200_000:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "give the same command again to continue" in shown
    assert not Path("out.jsonl").exists()
    assert 1 < partial[0].read_bytes().count(b"\n") < 150
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "150 episodes" in done.stdout
    ids = [episode.id for episode in read_jsonl("out.jsonl")]
    assert len(set(ids)) == 150
    assert os.listdir() == ["out.jsonl"]


def test_what_is_left_out_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_squad(tmp_path / "squad")
    shorter = ["--option", "max_answer_words=1", "--data", "."]
    assert data("build", "squad:test", "--out", "out.jsonl", *shorter) == 0
    assert data("build", "squad:test", "--out", "out.jsonl", "--option", "chunks=1", *shorter) == 0
    assert "1 episodes of squad:test in out.jsonl" in capsys.readouterr().out


def test_export_goes_there_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.jsonl", "a", TEXT)
    assert data("export", "a.jsonl", "b.parquet") == 0
    assert data("export", "b.parquet", "c.jsonl") == 0
    assert Path("a.jsonl").read_bytes() == Path("c.jsonl").read_bytes()
    assert "1 episodes of b.parquet in c.jsonl" in capsys.readouterr().out


# --- show


def test_show_prints_chunks_questions_and_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert data("show", "procedural:train", "--episode", "1", *SMALL) == 0
    source = load_source("procedural", "train", {"tokens": 1_000, "questions": 3})
    episode = source.episode(1)
    shown = capsys.readouterr().out
    assert shown == episode_text(episode) + "\n"
    assert episode.chunks[0] in shown
    assert episode.questions[0].evidence[0].text in shown
    assert data("show", "procedural:train", "--episode", episode.id, *SMALL) == 0
    assert capsys.readouterr().out == shown


def test_an_episode_is_shown_whole() -> None:
    question = Question(
        "Where is Mara?", ("Rome", "Roma"), "state", 0, (Evidence(0, "Rome."),), ("Oslo",)
    )
    episode = Episode("x", "own", "conflict_resolution", ("Rome. [bold]",), (question,))
    assert episode_text(episode) == (
        "x\nown, conflict resolution: 1 chunks, 1 questions\n\n--- chunk 0\nRome. [bold]\n\n"
        "--- question 0 (state)\nWhere is Mara?\n  gold: Rome | Roma\n  wrong: Oslo\n"
        "  asked after chunk 0\n  evidence in chunk 0: Rome."
    )


# --- check


def test_check_finds_a_planted_overlap(capsys: pytest.CaptureFixture[str]) -> None:
    train, test = write("train.jsonl", "a", TEXT), write("test.jsonl", "b", f"User: {TEXT}")
    assert data("check", train, test) == 1
    shown = capsys.readouterr().out
    assert "train.jsonl and test.jsonl share:" in shown
    assert "1 x passage" in shown
    assert "a chunk 0 = b chunk 0" in shown
    assert "2 datasets, 1 pairs: 1 overlaps." in shown


def test_check_of_clean_data_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    train = write("train.jsonl", "a", TEXT)
    test = write("test.jsonl", "b", "Nobody knew who had painted the door of the chapel blue.")
    assert data("check", train, test) == 0
    assert "2 datasets, 1 pairs: 0 overlaps." in capsys.readouterr().out


def test_check_without_names_compares_every_split_with_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert data("check", "--episodes", "2", *SMALL) == 0
    # Five procedural sources of three splits: 3 pairs of splits, 5 x 5 sources each.
    assert "15 datasets, 75 pairs: 0 overlaps." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "squad:test"], "name two or more datasets"),
        (["show", "squad"], '"squad" names no split'),
        (["show", "procedural:train", "--episode", "nope"], 'no episode "nope"'),
        (["build", "squad:test", "--out", "x.csv"], "needs data: set MEMGYM_DATA"),
        (["build", "procedural:test", "--out", "x.csv"], "must end in .jsonl or .parquet"),
        (["build", "procedural:test"], "required: --out"),
        (["export", "gone.jsonl", "x.jsonl"], "cannot read episodes from"),
        (["stats", "procedural:test", "--episodes", "0"], "at least 1, got 0"),
        (["stats", "procedural:test", "--option", "tokn=3"], 'did you mean "tokens"'),
        (["lst"], "invalid choice"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = data(*arguments)
    except SystemExit as error:  # argparse ends by itself
        code = int(str(error.code))
    shown = capsys.readouterr()
    assert code == 2
    assert shown.err.startswith("memgym: error: ")
    assert shown.err.count("\n") == 1
    assert message in shown.err
    assert shown.out == ""
