"""``memgym train``: what the arguments come to, what is told on the way, and how it ends."""

import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.presets import PRESETS
from memgym.agents.grpo.settings import TrainSettings, settings_from
from memgym.cli.main import main
from memgym.cli.train import _Training

Tell = Callable[[Any], None]
ROW = {
    "stage": "grpo", "step": 2, "r1": 0.5, "r2": 0.9, "r3": 0.25, "r4": 0.75, "loss": 0.125,
    "response_tokens": 41.6, "clipped_low": 0.02, "clipped_high": 0.01, "update_kl": 0.0012,
    "tokens_per_second": 4_321.0, "validation/r1": 0.6,
}  # fmt: skip


class FakeTraining:
    """Stands where :mod:`memgym.agents.grpo.training` is, and notes what it is asked for."""

    def __init__(self) -> None:
        self.settings: TrainSettings | None = None
        self.path = Path()
        self.options: dict[str, Any] = {}
        self.script: Callable[[RunFolder, Tell], None] = lambda folder, tell: None

    def train(
        self, settings: TrainSettings, path: Path, *, progress: Tell, **options: Any
    ) -> RunFolder:
        self.settings, self.path, self.options = settings, path, options
        folder = RunFolder(path)
        folder.begin(settings)
        self.script(folder, progress)
        return folder


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTraining:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    fake = FakeTraining()
    monkeypatch.setitem(
        sys.modules, "memgym.agents.grpo.training", SimpleNamespace(train=fake.train)
    )
    return fake


def told(stage: str, step: int, steps: int, row: Mapping[str, Any]) -> Any:
    return SimpleNamespace(stage=stage, step=step, steps=steps, row=row)


def error(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_arguments_become_settings(training: FakeTraining, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    assert (
        main(
            [
                *("train", "--preset", "tiny", "--seed", "3", "--model", "/some/model"),
                *("--set", "optimizer.steps=7", "--set", "environment.source_options.tokens=50"),
                *("--set", "optimizer.betas=[0.5,0.6]", "--set", "rollout.engine=vllm"),
                *("--out", "here", "--data", str(data), "--wandb", "mine"),
            ]
        )
        == 0
    )
    found = training.settings
    assert found is not None
    assert (found.seed, found.policy.model, found.optimizer.steps) == (3, "/some/model", 7)
    assert found.optimizer.betas == (0.5, 0.6)
    assert found.rollout.engine == "vllm"
    options = PRESETS["tiny"]["environment"]["source_options"]
    assert found.environment["source_options"] == {**options, "tokens": 50}
    assert training.path == Path("here")
    assert training.options == {"data": str(data), "wandb": "mine"}


def test_what_is_not_given_is_the_presets(training: FakeTraining) -> None:
    assert main(["train", "--preset", "tiny"]) == 0
    assert training.settings == settings_from(PRESETS["tiny"], "tiny")
    assert training.path == Path("runs/tiny")
    assert training.options == {"data": "", "wandb": ""}


def test_the_warm_up_alone(training: FakeTraining) -> None:
    assert main(["train", "--preset", "tiny", "--sft-only"]) == 0
    assert training.settings is not None
    assert training.settings.optimizer.steps == 0


def test_what_is_shown_can_be_given_back(
    training: FakeTraining, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--preset", "qwen3-4b", "--seed", "5", "--show"]) == 0
    shown = capsys.readouterr().out
    assert tomllib.loads(shown)["seed"] == 5
    assert not Path("runs").exists()
    Path("mine.toml").write_text(shown, encoding="utf-8")
    assert main(["train", "--config", "mine.toml", "--set", "evaluation.every=4"]) == 0
    wanted = {**PRESETS["qwen3-4b"], "seed": 5, "evaluation": {"every": 4, "episodes": 64}}
    assert training.settings == settings_from(wanted, "test")
    assert training.path == Path("runs/mine")


def test_presets_are_listed(training: FakeTraining, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list-presets"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == list(PRESETS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "tini"], 'unknown preset "tini": did you mean "tiny"'),
        (["--preset", "tiny", "--set", "optimizer.step=1"], 'no setting "step": did you mean'),
        (["--preset", "tiny", "--set", "optimiser.steps=1"], 'no section "optimiser": did you'),
        (["--preset", "tiny", "--set", "optimizer=1"], "optimizer must be a table of settings"),
        (["--preset", "tiny", "--set", "optimizer..a=1"], '"optimizer..a" names no setting'),
        (["--config", "none.toml"], "none.toml: cannot be read: No such file"),
        (
            ["--preset", "tiny", "--set", "supervised.agents=[]", "--sft-only"],
            "nothing to train",
        ),
        (["--preset", "tiny", "--data", "nowhere"], "--data names nowhere, which is no folder"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str],
    words: str,
    training: FakeTraining,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", *arguments]) == 2
    assert words in error(capsys)
    assert training.settings is None
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["--preset", "tiny", "--config", "a.toml"], ["--preset", "tiny", "--set", "a"]],
)
def test_wrong_command_lines(
    arguments: list[str], training: FakeTraining, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", *arguments])
    assert "memgym train --help" in error(capsys)


def test_the_end_names_page_and_model(
    training: FakeTraining, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(folder: RunFolder, tell: Tell) -> None:
        folder.append({"stage": "grpo", "step": 0, "validation/r1": 0.25}, {})
        folder.append(ROW, {})

    training.script = script
    assert main(["train", "--preset", "tiny"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "25.0 % at step 0, 60.0 % at best (step 2). Best model: runs/tiny/best" in shown
    assert "Page: runs/tiny/report.html" in shown
    for name in ("report.html", "curves.png", "curves.svg"):
        assert (Path("runs/tiny") / name).is_file()


def test_ctrl_c_says_how_to_go_on(
    training: FakeTraining, capsys: pytest.CaptureFixture[str]
) -> None:
    def before(folder: RunFolder, tell: Tell) -> None:
        raise KeyboardInterrupt

    def after(folder: RunFolder, tell: Tell) -> None:
        folder.save_checkpoint("grpo", 20, lambda path: None)
        raise KeyboardInterrupt

    training.script = before
    assert main(["train", "--preset", "tiny"]) == 130
    assert "stopped before the first checkpoint" in capsys.readouterr().err
    training.script = after
    assert main(["train", "--preset", "tiny"]) == 130
    told = capsys.readouterr().err
    assert "runs/tiny holds a checkpoint at step 20 of grpo; give the same command again" in told


def test_another_run_in_the_folder_is_refused(
    training: FakeTraining, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--preset", "tiny"]) == 0
    capsys.readouterr()
    assert main(["train", "--preset", "tiny", "--seed", "1"]) == 2
    assert "runs/tiny holds another run: its seed is 0, asked for is 1" in error(capsys)


def test_progress_off_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("memgym.cli.progress._LINE_EVERY_SECONDS", 0.0)
    reporter = _Training()
    with reporter:
        reporter.tell(told("supervised", 0, 100, {}))
        reporter.tell(told("supervised", 60, 100, {"loss": 2.5}))
        reporter.tell(told("grpo", 1, 50, {"r1": 0.5, "warnings": ["collapsed"]}))
        reporter.tell(told("grpo", 2, 50, ROW))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("0 of 100 steps")
    assert lines[1].startswith("60 of 100 steps")
    assert lines[1].endswith("; supervised, loss 2.500")
    assert lines[2] == "grpo, step 1: collapsed"
    assert lines[3].startswith("1 of 50 steps")
    assert lines[4].endswith(
        "; grpo, r1 0.500, r2 0.90, r3 0.25, r4 0.75, loss 0.125, length 42, KL 0.0012, "
        "tokens/s 4,321, clipped 3.0%, validation r1 0.600"
    )


def test_progress_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    reporter = _Training()
    with reporter:
        reporter.tell(told("grpo", 1, 50, {"warnings": ["the policy hardly writes"]}))
        reporter.tell(told("grpo", 2, 50, ROW))
        assert reporter._bar is not None
        with reporter._bar.console.capture() as shown:
            reporter._bar.console.print(reporter._bar.get_renderable())
    text = shown.get()
    for words in ("2/50", "r1 0.500", "r4 0.75", "length 42", "clipped 3.0%", "validation r1 0.6"):
        assert words in text
    assert "grpo, step 1: the policy hardly writes" in capsys.readouterr().err
