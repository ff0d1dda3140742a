"""Behaviour of ``memgym play --trace``: the frames, the keys, and what a terminal is spared."""

import io
import re
from pathlib import Path

import pytest

from memgym.cli.main import main
from memgym.cli.stepping import KEYS
from memgym.traces.format import write_traces
from memgym.viewer import view_of
from memgym.viewer.frames import Span, frame_of, plain_text
from memgym.viewer.printable import printable
from tests.viewer_traces import (
    EDITS,
    HOSTILE,
    edited_record,
    insert,
    scripted_record,
    scripted_view,
    write_file,
)


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)


def play(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    *arguments: str,
) -> str:
    """Step through the edits with what is typed and return what is printed."""
    write_traces("t.gz", [edited_record()])
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert main(["play", "--trace", "t.gz", *arguments]) == 0
    return capsys.readouterr().out


def steps(shown: str) -> list[int]:
    """Return the numbers of the steps that were shown, in order."""
    return [int(number) for number in re.findall(r"█ ?░* step (\d+) of 4", shown)]


# ---------------------------------------------------------------------- frames


def test_a_frame_shows_what_the_step_did() -> None:
    frame = plain_text(frame_of(view_of(edited_record()), 1))
    assert "chunk 2 of 4" in frame
    assert "  ✓ memory_update: updated s1\n" in frame
    assert re.search(r"✗ memory_delete: no item \"s9\"; semantic memory holds s1, s2", frame)
    assert "  ~ [s1] Bees are [-blue-]{+mostly brown+}.\n" in frame
    assert "  + [s2] Wasps sting.\n" in frame
    assert "  core: About bees.\n" in frame
    assert "questions asked here" not in frame


def test_frames_follow_the_memory_and_end_with_the_questions() -> None:
    view = view_of(edited_record())
    third = plain_text(frame_of(view, 2))
    assert "  - [s1] Bees are mostly brown.\n" in third
    last = plain_text(frame_of(view, 3))
    assert "s1" not in last.partition("memory after the step")[2].partition("questions")[0]
    for question in view.questions:
        assert question.question in last
        assert question.cause.replace("_", " ") in last
    assert f"reward {view.steps[3].reward:.3f}" in last


def test_frames_stay_short_whatever_happens() -> None:
    many = [insert(f"note {number} " + "long " * 500) for number in range(60)]
    view = scripted_view([many], max_calls=64)
    frame = plain_text(frame_of(view, 0))
    assert "… and 48 more" in frame
    assert "the newest 8 of 60 items" in frame
    assert "  [s60] note 59 long" in frame
    assert len(frame.splitlines()) < 90
    assert max(map(len, frame.splitlines())) < 200


def test_looks_say_nothing_that_signs_do_not() -> None:
    frame = frame_of(view_of(edited_record()), 1)
    assert Span("[-blue-]", "gone") in frame
    assert Span("{+mostly brown+}", "added") in frame
    assert Span("  ✗ ", "gone") in frame


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[2J\x07", "␛[2J␇"),
        ("\x9b31m", "\ufffd31m"),
        ("rubbed\x7f out", "rubbed␡ out"),
        ("a\r\nb\rc", "a\nb␍c"),
        ("\u202eabc\u2066", "\ufffdabc\ufffd"),
        ("\ud83d", "\ufffd"),
        ("é 猫 שלום 😀", "é 猫 שלום 😀"),
    ],
)
def test_a_terminal_is_not_told_what_to_do(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_hostile_text_reaches_the_terminal_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = scripted_record([[insert(text)] for text in HOSTILE[3:7]], "[red]\x1b[31m agent")
    write_traces("t.gz", [record])
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n\n\n"))
    assert main(["play", "--trace", "t.gz"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]␛[31m agent" in shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode("utf-8")


# ---------------------------------------------------------------------- keys


def test_enter_goes_on_and_the_answers_come_after_the_last_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = play(monkeypatch, capsys, "\n" * 4)
    assert steps(shown) == [1, 2, 3, 4]
    assert re.search(r"Score 0\.000 on 3 questions; memory \d+ of \d+ tokens read; reward", shown)
    assert shown.rstrip().endswith("in 4 steps.")


def test_keys_move_on_back_and_to_a_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = play(monkeypatch, capsys, "r 2\nb\nb 9\ng 4\nG 2\nr 1\nq\n")
    assert steps(shown) == [1, 3, 2, 1, 4, 2, 3]
    assert "Left before the end." in shown
    assert "Score" not in shown


@pytest.mark.parametrize("typed", ["", "r\n", "\nr\n", "r 99\n"])
def test_the_end_of_the_input_is_the_end_of_the_episode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    shown = play(monkeypatch, capsys, typed)
    assert "step 4 of 4" not in shown
    assert "Score 0.000 on 3 questions" in shown


def test_slips_are_explained_and_nothing_moves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = play(monkeypatch, capsys, "frobnicate\ng\ng 5\ng 0\nr x\nb ½\n?\nq\n")
    assert steps(shown) == [1]
    assert 'unknown command "frobnicate"; ? lists them' in shown
    assert shown.count("write: g 12, with a step from 1 to 4") == 3
    assert "write: r 10, or r alone to go to the end" in shown
    assert "write: b, or b 10" in shown
    assert KEYS in shown


# ---------------------------------------------------------------------- which trace


def test_agent_and_episode_choose_the_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_file(tmp_path / "traces.jsonl.gz")
    for arguments, agent in (([], "sentences"), (["--agent", "random"], "random")):
        monkeypatch.setattr("sys.stdin", io.StringIO("q\n"))
        assert main(["play", "--trace", str(tmp_path), *arguments]) == 0
        assert f"/0 · {agent}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "squad"], "with its own --source: leave that out"),
        (["--option", "tokens=5"], "with its own --option: leave that out"),
        (["--seed", "4"], "with its own --seed: leave that out"),
        (["--memory-budget", "50%"], "with its own --memory-budget: leave that out"),
        (["--model", "x"], "--model is of no use"),
        (["--agent", "nobody"], "holds no trace of nobody; it holds"),
        (["--episode", "0"], 'holds no trace of episode "0"; it holds'),
    ],
)
def test_what_a_trace_does_not_take_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    write_traces("t.gz", [scripted_record(EDITS)])
    assert main(["play", "--trace", "t.gz", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_false_trace_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = edited_record()
    record["score"] = 1.0
    write_traces("t.gz", [record])
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["play", "--trace", "t.gz"]) == 0
    shown = capsys.readouterr()
    assert "does not replay to what it claims: score" in shown.err
    assert "Score 0.000" in shown.out
