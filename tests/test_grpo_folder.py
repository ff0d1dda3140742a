"""The folder of a training run: same settings, atomic writes, and a kill at any moment."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.settings import TrainSettings, settings_from
from memgym.errors import UsageError

SETTINGS = settings_from({"loss": {"clip_high": 0.3}}, "test")
LAST = 4


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class Killed(BaseException):
    """The process ends here: nothing may catch it."""


def writer(name: str, files: int = 3) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for number in range(files):
            (folder / f"{number}.bin").write_text(name)
        (folder / "inner").mkdir()
        (folder / "inner" / "state").write_text(name)

    return write


def content(folder: Path) -> str:
    """Return what a folder was written with; every file of it must be there and agree."""
    found = {item.read_text() for item in folder.glob("*.bin")}
    assert len(list(folder.glob("*.bin"))) == 3
    assert found == {(folder / "inner" / "state").read_text()}
    return found.pop()


def begun(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.begin(SETTINGS)
    return folder


def row(step: int) -> dict[str, Any]:
    return {"stage": "grpo", "step": step, "r1": step / 10}


def play(path: Path) -> None:
    """Train from wherever the folder stands to the end; every second step is a checkpoint."""
    folder = begun(path)
    if folder.done:
        return
    found = folder.latest()
    for step in range(found.step + 1 if found else 1, LAST + 1):
        folder.append(row(step), {"seconds": 1.5})
        if step % 2 == 0:
            folder.save_best(writer(f"best {step}"))
            folder.save_checkpoint("grpo", step, writer(f"state {step}"))
    folder.save_final(writer("final"))
    folder.finish()


def test_a_whole_run(tmp_path: Path) -> None:
    play(tmp_path / "run")
    folder = begun(tmp_path / "run")
    assert folder.done
    assert folder.settings() == SETTINGS
    assert folder.rows() == [row(step) for step in range(1, LAST + 1)]
    assert folder.timings()[0] == {"stage": "grpo", "step": 1, "seconds": 1.5}
    assert content(folder.best) == f"best {LAST}"
    assert content(folder.final) == "final"
    assert folder.latest() is None
    names = {"run.json", "metrics.jsonl", "timings.jsonl", "best", "final", "done"}
    assert {item.name for item in folder.path.iterdir()} == names


def test_only_the_last_checkpoint_is_kept_and_stages_follow_each_other(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert folder.latest() is None
    folder.save_checkpoint("supervised", 500, writer("warm"))
    folder.save_checkpoint("grpo", 0, writer("start"))
    found = folder.latest()
    assert found == ("grpo", 0, tmp_path / "checkpoint-grpo-0")
    assert content(found.path) == "start"
    folder.save_checkpoint("grpo", 0, writer("again"))
    assert content(tmp_path / "checkpoint-grpo-0") == "again"
    assert len(list(tmp_path.glob("checkpoint-*"))) == 1


@pytest.mark.parametrize(
    ("earlier", "later"), [(("grpo", 9), ("grpo", 10)), (("supervised", 500), ("grpo", 0))]
)
def test_of_two_checkpoints_the_later_counts(
    earlier: tuple[str, int], later: tuple[str, int], tmp_path: Path
) -> None:
    folder = begun(tmp_path)
    folder.save_checkpoint(*earlier, writer("old"))

    def kill(path: Path, **options: Any) -> None:
        if path.name.endswith(str(earlier[1])):
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "rmtree", kill)
        with pytest.raises(Killed):
            folder.save_checkpoint(*later, writer("new"))
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2
    found = begun(tmp_path).latest()
    assert found
    assert found[:2] == later
    assert content(found.path) == "new"


def test_going_on_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.append(row(1), {})
    folder.save_checkpoint("grpo", 1, writer("1"))
    folder.append(row(2), {})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "grpo", "st')
    assert [item["step"] for item in folder.rows()] == [1, 2]
    folder.begin(SETTINGS)
    assert [item["step"] for item in folder.rows()] == [1]
    assert len(folder.timings()) == 1
    folder.append(row(2), {})
    assert folder.rows() == [row(1), row(2)]


def test_a_run_without_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    begun(tmp_path).append(row(1), {})
    assert begun(tmp_path).rows() == []


def test_what_is_no_number_becomes_null(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.append({"stage": "grpo", "step": 1, "loss": float("nan"), "inner": {"a": 1e999}}, {})
    assert folder.rows() == [{"stage": "grpo", "step": 1, "loss": None, "inner": {"a": None}}]


def kill_at(patch: pytest.MonkeyPatch, count: int) -> None:
    """Have the given call to the system, counted over all that change files, end the process."""
    left = [count]

    def guarded(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return real(*arguments, **options)

        patch.setattr(module, name, call)

    for name in ("replace", "fsync", "unlink", "mkdir", "rmdir"):
        guarded(os, name)
    guarded(shutil, "rmtree")


def test_a_kill_at_any_moment_costs_only_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    play(tmp_path / "whole")
    kills = 0
    for count in range(1, 1_000):
        path = tmp_path / f"killed-{count}"
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, count)
            try:
                play(path)
                break
            except Killed:
                kills += 1
        _check_reopened(path)
        play(path)
        same(path, tmp_path / "whole")
    assert kills > 60, "not every write was tried"


def _check_reopened(path: Path) -> None:
    written = RunFolder(path).rows()
    folder = begun(path)
    assert not [item for item in path.iterdir() if item.suffix in (".partial", ".new")]
    found = folder.latest()
    step = found.step if found else 0
    if found:
        assert content(found.path) == f"state {step}"
    if not folder.done:
        assert [item["step"] for item in folder.rows()] == list(range(1, step + 1))
        assert len(written) - step <= 2, "more than two steps were lost"
    if step:
        assert int(content(folder.best).removeprefix("best ")) >= step


def same(path: Path, whole: Path) -> None:
    for name in ("run.json", "metrics.jsonl", "timings.jsonl"):
        assert (path / name).read_bytes() == (whole / name).read_bytes(), name
    assert content(path / "best") == content(whole / "best")
    assert content(path / "final") == "final"
    assert {item.name for item in path.iterdir()} == {item.name for item in whole.iterdir()}


def test_a_full_disk_is_told_in_one_line_and_leaves_room(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.save_checkpoint("grpo", 1, writer("1"))

    def full(path: Path) -> None:
        (path / "half").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")

    match = "cannot write to the run folder .*: No space left on device; .* same command again"
    with pytest.raises(UsageError, match=match):
        folder.save_checkpoint("grpo", 2, full)
    with pytest.raises(UsageError, match=match):
        folder.save_best(full)
    with pytest.raises(UsageError, match=match):
        folder.save_final(full)
    assert not list(tmp_path.glob("*.partial"))
    found = folder.latest()
    assert found
    assert found.step == 1


def test_a_full_disk_while_rows_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        folder.append(row(1), {})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "its seed is 0, asked for is 1"),
        ({"loss": {"clip_high": 0.4}}, "its loss.clip_high is 0.3, asked for is 0.4"),
        (
            {"loss": {"clip_high": 0.3}, "environment": {"source_options": {"tokens": 9}}},
            "its environment.source_options is null, asked for is",
        ),
    ],
)
def test_other_settings_are_refused_by_name(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    begun(tmp_path)
    asked = settings_from({"loss": {"clip_high": 0.3}, **changed}, "test")
    with pytest.raises(UsageError, match=rf"holds another run: {message}.*--out"):
        RunFolder(tmp_path).begin(asked)


def test_lists_and_tuples_are_the_same_settings(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(settings_from({"supervised": {"agents": ["sentences"]}}, "test"))
    folder.begin(settings_from({"supervised": {"agents": ("sentences",)}}, "test"))


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match=r"is not empty and holds no run\.json"):
        begun(tmp_path)
    with pytest.raises(UsageError, match="is not empty"), RunFolder(tmp_path).alone():
        pass
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is no folder"):
        begun(tmp_path / "thesis.tex")
    with pytest.raises(UsageError, match="holds no training run"):
        RunFolder(tmp_path).settings()


def test_a_damaged_description_is_told(tmp_path: Path) -> None:
    begun(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"run\.json is not JSON"):
        RunFolder(tmp_path).settings()
    (tmp_path / "run.json").write_text(json.dumps({"sed": 1}))
    with pytest.raises(UsageError, match='no section "sed": did you mean "seed"'):
        RunFolder(tmp_path).settings()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with RunFolder(tmp_path).alone():
        begun(tmp_path)
        with pytest.raises(UsageError, match="another process"), RunFolder(tmp_path).alone():
            pass
    with RunFolder(tmp_path).alone():
        assert RunFolder(tmp_path).settings() == SETTINGS


def test_the_default_settings_fit_too(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(TrainSettings())
    assert RunFolder(tmp_path).settings() == TrainSettings()
