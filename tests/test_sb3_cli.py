"""``memgym train-sb3``, trained agents in ``memgym bench``, and ``memgym report-sb3``."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest

from memgym.baselines import BASELINES
from memgym.baselines.sb3 import TrainingFolder
from memgym.benchmarks import suites
from memgym.benchmarks.entries import AgentEntry, checked_entries
from memgym.benchmarks.suites import Entry, Suite
from memgym.cli.main import main
from memgym.errors import UsageError
from tests.runs import FACTS, LABELS

QUICK = [
    "--steps", "512", "--evaluate-every", "256", "--evaluation-episodes", "1", "--envs", "2",
    "--memory-budget", "25%", "--option", "tokens=1000", "--option", "chunk_tokens=300",
    "--option", "questions=3",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _small_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, without data, with a tiny suite under the name mini."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    mini = Suite("mini", "1", "tiny", (FACTS, LABELS))
    monkeypatch.setattr(suites, "SUITES", {**suites.SUITES, "mini": mini})


def train(algo: str, *arguments: str) -> int:
    return main(["train-sb3", "--algo", algo, *QUICK, *arguments])


def flat(text: str) -> str:
    return " ".join(text.split())


def test_from_training_to_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("maskable_ppo", "--seeds", "2", "--set", "n_steps=128") == 0
    shown = flat(capsys.readouterr().out)
    assert re.search(r"Seed 0: 512 steps in \d+ s; validation score [\d.]+ % untrained", shown)
    assert "Seed 1: 512 steps" in shown
    assert "Learning curve: runs/maskable_ppo/learning_curve.png" in shown
    folder = Path("runs/maskable_ppo")
    names = ["learning_curve.png", "learning_curve.svg", "seed-0", "seed-1"]
    assert sorted(item.name for item in folder.iterdir()) == names
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert train("a2c", "--memory-budget", "50%,300") == 0
    asked = json.loads(Path("runs/a2c/seed-0/run.json").read_text())
    assert asked["memory_budgets"] == [0.5, 300]

    capsys.readouterr()
    agents = "a2c:runs/a2c,maskable_ppo:runs/maskable_ppo/seed-0,sentences"
    bench = ["bench", "--jobs", "1", "--out", "run", "--memory-budget", "25%", "--agents", agents]
    assert main(bench) == 0
    shown = capsys.readouterr().out
    assert f"Again: memgym bench --suite mini --agents {agents} --memory-budget" in flat(shown)
    assert re.search(r"^ a2c +\d", shown, re.MULTILINE)
    assert re.search(r"^ maskable_ppo +\d", shown, re.MULTILINE)
    described = json.loads(Path("run/run.json").read_text())["agents"]
    assert described[0]["spec"] == "a2c:a2c/seed-0"
    assert re.fullmatch("[0-9a-f]{16}", described[0]["options"]["digest"])
    assert str(Path.cwd()) not in Path("run/run.json").read_text()
    assert main(bench) == 0  # the same models: nothing is played again
    assert "All 15 results were there already." in capsys.readouterr().out
    whole = agents.replace("runs/a2c", str(Path("runs/a2c").resolve()))
    assert main([*bench[:-1], whole]) == 0
    told = flat(capsys.readouterr().out)
    assert "--agents a2c:a2c/seed-0,maskable_ppo:runs/maskable_ppo/seed-0,sentences" in told
    assert str(Path.cwd()) not in told

    assert main(["report-sb3", "runs", "--budgets", "50%,25%", "--jobs", "1"]) == 0
    _check_report(capsys.readouterr().out)
    assert main(["report-sb3", "runs", "--budgets", "50%,25%", "--jobs", "1"]) == 0
    assert "results were there already" in flat(capsys.readouterr().out)


def _check_report(shown: str) -> None:
    out = Path("runs/report")
    assert "Score on held-out episodes by memory budget" in shown
    assert "25 % of memory: " in shown
    page = (out / "results.md").read_text(encoding="utf-8")
    for words in ("## 50 % of memory", "| maskable_ppo | 2 |", "oracle †", "(insert everything)"):
        assert words in page
    for picture in ("score_against_memory", "learning_curve"):
        assert (out / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (out / f"{picture}.svg").read_text(encoding="utf-8")
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert len(rows) == 2 * (len(BASELINES) + 2)
    by_name = {(row["policy"], row["budget"]): row for row in rows}
    record = [
        json.loads(line)
        for line in (out / "budget-25/results.jsonl").read_text().split("\n")
        if line
    ]
    ours = [item["score"] for item in record if item["agent"].startswith("maskable_ppo seed")]
    facts = [item["score"] for item in record if item["source"] == FACTS.source]
    assert len(ours) == 2 * 5
    assert facts
    row = by_name["maskable_ppo", "0.25"]
    assert float(row["score_low"]) <= float(row["score"]) <= float(row["score_high"])
    assert float(row["gain_low"]) <= float(row["gain"]) <= float(row["gain_high"])
    best = max(
        float(by_name[name, "0.25"]["score"])
        for name, agent in BASELINES.items()
        if not agent.privileged
    )
    assert float(row["gain"]) == pytest.approx(float(row["score"]) - best, abs=2e-6)


def test_ctrl_c_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from memgym.cli.train_sb3 import _Training

    tell = _Training.tell

    def stop(self: _Training, steps: int, total: int, row: dict[str, float]) -> None:
        tell(self, steps, total, row)
        if steps >= 512:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_Training, "tell", stop)
        assert train("a2c", "--steps", "700") == 130
    error = capsys.readouterr().err
    assert "holds a checkpoint at 256 steps; give the same command again to go on" in flat(error)
    assert train("a2c", "--steps", "700") == 0
    metrics = TrainingFolder("runs/a2c/seed-0").metrics()
    assert [row["steps"] for row in metrics] == [0, 256, 512, 768]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--algo", "pp"], 'unknown algorithm "pp": did you mean "ppo"'),
        (["--algo", "ppo", "--seeds", "0"], "--seeds must be at least 1"),
        (["--algo", "ppo", "--set", "lerning_rate=1"], 'ppo has no setting "lerning_rate"'),
        (["--algo", "ppo", "--env", "wrods=1"], 'environment has no argument "wrods"'),
        (["--algo", "ppo", "--source", "squat"], 'unknown source "squat"'),
        (["--algo", "ppo", "--option", "token=1"], '"token": did you mean "tokens"'),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train-sb3", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("memgym: error: ")
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train-sb3"], "--algo"),
        (["train-sb3", "--algo", "ppo", "--steps", "many"], '"many" is no number of steps'),
        (["train-sb3", "--algo", "ppo", "--memory-budget", "x%"], '"x%" is no memory budget'),
    ],
)
def test_wrong_words_are_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_report_needs_trained_runs_and_a_test_split(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("runs").mkdir()
    assert main(["report-sb3", "runs"]) == 2
    assert "holds no trained policy; train one with memgym train-sb3" in capsys.readouterr().err
    assert train("a2c", "--steps", "256") == 0
    wrong = Suite("mini", "1", "tiny", (Entry("facts", FACTS.source, "validation", 1),))
    monkeypatch.setattr(suites, "SUITES", {"mini": wrong})
    capsys.readouterr()
    assert main(["report-sb3", "runs"]) == 2
    assert "facts is not of a test split" in capsys.readouterr().err


def test_trained_agents_are_named_by_algorithm_and_folder() -> None:
    with pytest.raises(UsageError, match='agent "ppo" is trained: name its folder, as in ppo:runs'):
        checked_entries([AgentEntry("ppo")])
    with pytest.raises(UsageError, match="no trained model in that folder"):
        checked_entries([AgentEntry("ppo:nowhere")])
    assert train("a2c", "--seeds", "2", "--steps", "256") == 0
    with pytest.raises(UsageError, match=r"holds several runs; name one: a2c:runs/a2c/seed-0, "):
        checked_entries([AgentEntry("a2c:runs/a2c")])
    pair = [AgentEntry("a2c:runs/a2c/seed-0"), AgentEntry("a2c:runs/a2c/seed-1")]
    found = checked_entries(pair)
    assert [entry.name for entry in found] == ["a2c (a2c/seed-0)", "a2c (a2c/seed-1)"]
    assert checked_entries(found) == found
    assert found[0].make().name == "a2c"
    with pytest.raises(UsageError, match='agent "a2c:runs/a2c/seed-0" has no option "folder"'):
        checked_entries([AgentEntry("a2c:runs/a2c/seed-0", options={"folder": "x"})])


def test_training_without_the_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    assert train("a2c") == 2
    assert 'pip install "memgym[sb3]"' in capsys.readouterr().err
    assert not Path("runs").exists()
