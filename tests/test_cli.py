"""Behaviour of the command line: tables, files, errors in one line, playing by hand."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import memgym
from memgym.benchmarks import suites
from memgym.benchmarks.suites import Suite
from memgym.cli.commands import read_command
from memgym.cli.main import main
from tests.runs import CRASHING_AGENT, FACTS, LABELS, SLOW_AGENT

PLAY = ["play", "--source", "procedural-accurate-retrieval", "--option", "tokens=1000"]
SHORT = [*PLAY, "--option", "chunk_tokens=250", "--option", "questions=3"]


@pytest.fixture(autouse=True)
def _small_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, without data, with a tiny suite under the name mini."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    mini = Suite("mini", "1", "tiny", (FACTS, LABELS))
    monkeypatch.setattr(suites, "SUITES", {**suites.SUITES, "mini": mini})


def bench(*arguments: str) -> int:
    return main(["bench", "--jobs", "1", "--agents", "flat,oracle", *arguments])


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the only line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("memgym: error: ")
    return lines[0]


def test_bench_prints_the_table_and_writes_every_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--out", "run") == 0
    shown = capsys.readouterr()
    assert "Suite mini. For real text too, name a data folder" in shown.out
    assert re.search(r"^ oracle † +\d", shown.out, re.MULTILINE)
    assert "Again: memgym bench --suite mini --agents flat,oracle --seed 0" in flat(shown.out)
    assert "10 results in" in shown.out
    assert "Files: run" in shown.out
    names = [
        "episodes.csv",
        "lock",
        "results.jsonl",
        "run.json",
        "summary.csv",
        "summary.md",
        "timings.csv",
        "traces.jsonl.gz",
    ]
    assert sorted(path.name for path in Path("run").iterdir()) == names


def flat(text: str) -> str:
    return " ".join(text.split())


def test_default_folder_is_named_by_content_and_found_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench() == bench() == 0
    assert "All 10 results were there already." in capsys.readouterr().out
    [folder] = Path("runs").iterdir()
    assert re.fullmatch(r"mini-[0-9a-f]{10}", folder.name)
    assert bench("--memory-budget", "25%") == 0
    assert len(list(Path("runs").iterdir())) == 2
    assert "--memory-budget 25%" in flat(capsys.readouterr().out)


def test_repeated_command_is_the_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--memory-budget", "200", "--preset", "paper", "--seed", "3"]
    assert bench(*arguments, "--out", "a") == 0
    command = (
        flat(capsys.readouterr().out).partition("Again: memgym ")[2].partition(" 10 results")[0]
    )
    assert main([*command.split(), "--jobs", "1", "--out", "b"]) == 0
    assert Path("a/run.json").read_bytes() == Path("b/run.json").read_bytes()
    assert Path("a/results.jsonl").read_bytes() == Path("b/results.jsonl").read_bytes()


def test_data_folder_adds_the_real_suite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    real = Suite("real", "1", "tiny", (FACTS,))
    monkeypatch.setattr(suites, "SUITES", {"mini": Suite("mini", "1", "", (LABELS,)), "real": real})
    monkeypatch.setenv("MEMGYM_DATA", str(tmp_path))
    assert bench("--out", "run") == 0
    shown = capsys.readouterr().out
    assert "Suites mini and real (there is a data folder)." in shown
    assert "mini (version 1): scores" in shown
    assert "real (version 1): scores" in shown
    assert (
        str(tmp_path) not in Path("run/run.json").read_text() + Path("run/summary.md").read_text()
    )


def test_own_agent_from_the_current_folder(capsys: pytest.CaptureFixture[str]) -> None:
    source = CRASHING_AGENT.replace('raise KeyError("chunk number")', "return ()")
    Path("my_quiet_agent.py").write_text(source.replace('"crashing"', '"mine"'))
    assert main(["bench", "--jobs", "1", "--agents", "my_quiet_agent:Crashing", "--out", "r"]) == 0
    assert re.search(r"^ mine +0\.0", capsys.readouterr().out, re.MULTILINE)


def test_crashing_agent_shows_its_traceback_and_keeps_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("my_crashing_agent.py").write_text(CRASHING_AGENT)
    agents = "flat,my_crashing_agent:Crashing"
    assert main(["bench", "--jobs", "1", "--agents", agents, "--out", "r"]) == 1
    error = capsys.readouterr().err
    assert "KeyError: 'chunk number'" in error
    assert 'agent "crashing" raised KeyError' in error
    assert error.endswith(
        "1 of 10 results are kept in r; give the same command again to continue\n"
    )


def test_interrupt_says_how_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = CRASHING_AGENT.replace('KeyError("chunk number")', "KeyboardInterrupt")
    Path("my_stopping_agent.py").write_text(stopping)
    agents = "flat,my_stopping_agent:Crashing"
    assert main(["bench", "--jobs", "1", "--agents", agents, "--out", "r"]) == 130
    error = capsys.readouterr().err
    assert "stopped; 1 of 10 results are kept in r; give the same command again" in error
    assert "Traceback" not in error


def test_real_interrupt_stops_workers_without_noise(tmp_path: Path) -> None:
    Path("slow_agent.py").write_text(SLOW_AGENT)
    Path("play.py").write_text(
        "import sys\n"
        "from memgym.benchmarks import suites\n"
        "from memgym.cli.main import main\n"
        "from tests.runs import SUITE\n"
        "if __name__ == '__main__':\n"
        "    suites.SUITES['mini'] = SUITE\n"
        "    sys.exit(main(['bench', '--suite', 'mini', '--agents', 'slow_agent:Slow,flat',\n"
        "                   '--jobs', '2', '--out', 'run']))\n"
    )
    Path("pids").mkdir()
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "PID_FOLDER": str(tmp_path / "pids")}
    process = subprocess.Popen(
        [sys.executable, "play.py"], env=environment, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    results = Path("run/results.jsonl")
    while not results.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: parent and workers alike
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "results are kept in run; give the same command again to continue" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "mnii"], 'unknown suite "mnii": did you mean "mini"'),
        (["--agents", "flt"], 'unknown agent "flt": did you mean "flat"'),
        (["--agents", ","], "argument --agents: give at least one name"),
        (["--agents", "nowhere:Agent"], 'cannot import "nowhere"'),
        (["--data", "no/such"], "--data names no/such, which is no folder"),
        (["--suite", "real"], "set MEMGYM_DATA or --data to a folder with squad/"),
        (["--suite", "real", "--data", "."], "no such subfolder in ."),
        (["--jobs", "0"], "jobs must be at least 1, got 0"),
        (
            ["--jobs", "many"],
            "argument --jobs: invalid int value: 'many' (see memgym bench --help)",
        ),
        (["--seed", "-1"], '"-1" is not a whole number'),
        (["--memory-budget", "0.25"], "write a share such as 25% or tokens such as 2000"),
        (["--memory-budget", "25"], 'may be a share or tokens; write "25%" of the text or "25 tok'),
        (["--memory-budget", "20000%"], '"20000%" is no memory budget'),
        (["--memory-budget", "0%"], '"0%" is no memory budget'),
        (["--preset", "papr"], 'unknown preset "papr": did you mean "paper"'),
        (["--out", "file"], "cannot use the run folder file: File exists; give another with --out"),
        (["--out", "file/run"], "cannot use the run folder file/run: Not a directory"),
        (["--out", "full"], "full is not empty (notes.txt, …) and holds no run.json"),
    ],
)
def test_bench_errors_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("file").touch()
    Path("full").mkdir()
    Path("full/notes.txt").touch()
    assert run_expecting_exit(["bench", *arguments]) == 2
    assert message in error_line(capsys)


def run_expecting_exit(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)


def test_unreadable_data_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/squad").mkdir(parents=True)
    Path("data/squad/dev-v1.1.json").write_text("{")
    assert main(["bench", "--suite", "real", "--data", "data"]) == 2
    assert "data/squad/dev-v1.1.json: not JSON" in error_line(capsys)


def test_data_variable_that_names_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMGYM_DATA", "gone")
    assert bench() == 2
    assert "MEMGYM_DATA names gone, which is no folder" in error_line(capsys)
    assert bench("--suite", "mini") == 0  # needs none


def test_other_run_in_the_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--out", "run") == 0
    capsys.readouterr()
    assert bench("--out", "run", "--seed", "5") == 2
    assert "run holds another run: its seed is 0, asked for is 5" in error_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND (see memgym --help)"),
        (["bnch"], "invalid choice: 'bnch'"),
        (["play", "--source", "squd"], 'unknown source "squd": did you mean "squad"'),
        (["play", "--split", "tset"], 'has no split "tset": did you mean "test"'),
        (["play", "--option", "tokens"], '"tokens" is no option; write it as tokens=2000'),
        (["play", "--option", "tokns=1"], 'no option "tokns": did you mean "tokens"'),
        (["play", "--agent", "flt"], 'unknown agent "flt"'),
        (["play", "--preset", "papr"], 'unknown preset "papr"'),
        (["play", "--episode", "nine"], 'no episode "nine"'),
        (["play", "--source", "squad"], 'source "squad" needs data: set MEMGYM_DATA'),
    ],
)
def test_other_errors_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_expecting_exit(arguments) == 2
    assert message in error_line(capsys)


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_expecting_exit(["--version"]) == 0
    assert capsys.readouterr().out == f"memgym {memgym.__version__}\n"
    for command in ([], ["bench"], ["play"], ["envs"]):
        assert run_expecting_exit([*command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("usage: memgym")
        assert "examples:" in shown or command == ["envs"]


def test_module_runs_and_starts_light() -> None:
    program = (
        "import sys, memgym.cli.main\n"
        "heavy = {'rich', 'splintr', 'memgym.baselines', 'memgym.benchmarks', 'memgym.reader'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert loaded.stdout == "[]\n"
    shown = subprocess.run(
        [sys.executable, "-m", "memgym", "--version"], check=False, capture_output=True, text=True
    )
    assert (shown.returncode, shown.stdout) == (0, f"memgym {memgym.__version__}\n")


def test_closed_pipe_is_quiet() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "memgym", "envs"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_envs_lists_everything(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "squad").mkdir()
    assert main(["envs", "--data", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for part in (
        "MemAlpha-v0", "MemAlphaText-v0", "procedural-conflict-resolution", "CC BY-SA 4.0", "mini",
        "closed_book", "paper", "view_recent=5",
    ):  # fmt: skip
        assert part in shown
    assert re.search(r"^ squad .*found *$", shown, re.MULTILINE)
    assert re.search(r"^ hotpotqa .*no hotpotqa/ *$", shown, re.MULTILINE)
    assert "…" not in shown


def play(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    *arguments: str,
) -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert main([*SHORT, *arguments]) == 0
    return capsys.readouterr().out


def test_play_without_input_lets_the_agent_finish(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = play(monkeypatch, capsys, "", "--agent", "oracle")
    assert "chunk 1 of 4" in shown
    assert "chunk 2 of 4" not in shown  # frames are for steps that the user is asked about
    assert re.search(r"Score 1\.000 on 3 questions; memory \d+ of \d+ tokens", shown)


def test_play_sends_typed_calls_on_enter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = "insert semantic Bees are blue.\ninsert episodic On Monday it rained.\n\nq\n"
    shown = play(monkeypatch, capsys, typed)
    assert "[s1] Bees are blue." in shown
    assert "[e1] On Monday it rained." in shown
    assert "chunk 2 of 4" in shown
    assert "Left before the end: nothing was asked." in shown


def test_play_edits_searches_and_explains_slips(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = (
        "insert semantic Bees are blue.\n\n"
        "update s1 Bees are brown.\ncore I read about bees.\n\n"
        "frobnicate\nr x\n{broken\n?\n"
        '{"name": "memory_delete", "arguments": {"memory_type": "semantic", "memory_id": "s9"}}\n'
        "delete s1\n\nq\n"
    )
    shown = play(monkeypatch, capsys, typed)
    assert "[s1] Bees are brown." in shown
    assert "I read about bees." in shown
    assert 'unknown command "frobnicate"' in shown
    assert "write: r 10" in shown
    assert "not JSON" in shown
    assert "insert semantic TEXT" in shown
    assert "✗ memory_delete" in shown
    assert shown.rpartition("Semantic memory")[2].startswith(": (empty)")


def test_play_runs_a_number_of_steps_and_then_asks_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = play(monkeypatch, capsys, "r 2\nskip\nr\n", "--agent", "flat")
    assert "chunk 1 of 4" in shown
    assert "chunk 2 of 4" not in shown
    assert "chunk 3 of 4" in shown
    assert "chunk 4 of 4" in shown
    assert "in 4 steps" in shown


def test_play_takes_episode_and_budget(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = ["--memory-budget", "60 tokens"]
    shown = play(monkeypatch, capsys, "", "--episode", "3", *budget, "--seed", "1")
    assert re.search(r"accurate_retrieval/train/[^\s]*/3\b", shown)
    assert "of 60 tokens" in shown


@pytest.mark.parametrize(
    ("line", "call"),
    [
        (
            "insert semantic a b",
            ("new_memory_insert", {"memory_type": "semantic", "content": "a b"}),
        ),
        ("INSERT episodic x", ("new_memory_insert", {"memory_type": "episodic", "content": "x"})),
        (
            "update e12 new text",
            (
                "memory_update",
                {"memory_type": "episodic", "memory_id": "e12", "new_content": "new text"},
            ),
        ),
        ("core me", ("memory_update", {"memory_type": "core", "new_content": "me"})),
        ("delete s1", ("memory_delete", {"memory_type": "semantic", "memory_id": "s1"})),
        ("delete core", ("memory_delete", {"memory_type": "core"})),
        ("search blue bees", ("search_memory", {"query": "blue bees"})),
        ("answer 42", ("answer", {"text": "42"})),
    ],
)
def test_short_commands(line: str, call: tuple[str, dict[str, str]]) -> None:
    assert read_command(line) == [{"name": call[0], "arguments": call[1]}]


@pytest.mark.parametrize(
    "line",
    ["insert", "insert semantic", "update", "update x1 t", "update s1", "delete", "delete x",
     "core", "search", "answer", "what", '{"a":', "[[" * 100_000],
)  # fmt: skip
def test_wrong_commands_are_explained_not_raised(line: str) -> None:
    assert isinstance(read_command(line), str)


def test_json_commands() -> None:
    assert read_command('[{"name": "a"}, {"name": "b"}]') == [{"name": "a"}, {"name": "b"}]
    assert read_command('{"name": "a"}') == [{"name": "a"}]
