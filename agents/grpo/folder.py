"""The folder of a training run: what is in it, and how it survives a kill.

=============================  ===============================================================
file                           content
=============================  ===============================================================
``run.json``                   what was asked for (:class:`.settings.TrainSettings`)
``metrics.jsonl``              one line per step; the same bytes for the same ``run.json``
``timings.jsonl``              seconds and tokens per second of each, which are never the same
``checkpoint-<stage>-<step>/``  what a stopped run goes on from; gone once the run has ended
``start/``                     the model when reinforcement began
``best/``                      the model that was best on the validation split
``final/``                     the model at the end
``examples.json``              an episode before and after training, for the page
``report.html``                the page (:mod:`.page`), with ``curves.png`` and ``curves.svg``
``tensorboard/``               if TensorBoard is installed
``done``                       nothing; there once the run has ended
``lock``                       nothing; held by the process that trains
=============================  ===============================================================

Every file and folder is written whole or not at all; ``metrics.jsonl`` and ``timings.jsonl`` grow
line by line. A checkpoint knows how many lines there were when it was written, and what came after
it is dropped when the run goes on. So a kill at any moment loses what came after the last
checkpoint and nothing else. Not here: what a checkpoint or a model consists of.
"""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from memgym.agents.grpo.settings import TrainSettings, settings_from
from memgym.atomic import recover_folders, write_folder, write_whole
from memgym.differences import difference
from memgym.errors import UsageError
from memgym.folder_lock import hold_lock

__all__ = ["Checkpoint", "RunFolder"]

_RUN, _DONE, _LOCK = "run.json", "done", "lock"
_METRICS, _TIMINGS = "metrics.jsonl", "timings.jsonl"
_CHECKPOINT, _STATE = "checkpoint-", "checkpoint.json"


class Checkpoint(NamedTuple):
    """What a run can go on from: the stage, the steps of it that are done, and the folder."""

    stage: str
    step: int
    path: Path


class RunFolder:
    """One training run on disk.

    Args:
        path: The folder; it need not exist.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def start(self) -> Path:
        """Where the model is, or will be, with which reinforcement began."""
        return self.path / "start"

    @property
    def best(self) -> Path:
        """Where the best model is, or will be."""
        return self.path / "best"

    @property
    def final(self) -> Path:
        """Where the last model is, or will be."""
        return self.path / "final"

    @property
    def done(self) -> bool:
        """Whether the run came to its end."""
        return (self.path / _DONE).is_file()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from training in this folder meanwhile.

        Raises:
            UsageError: another one does, or the folder cannot be written.
        """
        self._check_free()
        with contextlib.ExitStack() as stack:
            with self._writing():
                self.path.mkdir(parents=True, exist_ok=True)
                hold_lock(stack.enter_context((self.path / _LOCK).open("ab")), self.path)
            yield

    # ------------------------------------------------------------------ settings

    def begin(self, settings: TrainSettings) -> None:
        """Make the folder ready: for a new run, or to go on with the same one.

        Of a run that was stopped, the lines after its last checkpoint are dropped, and so is what
        was half written.

        Raises:
            UsageError: the folder holds another run or something else, or cannot be written.
        """
        asked = json.loads(json.dumps(settings.to_json()))
        self._check_free()
        with self._writing():
            if not (self.path / _RUN).exists():
                self.path.mkdir(parents=True, exist_ok=True)
                text = json.dumps(asked, ensure_ascii=False, indent=2, sort_keys=True)
                write_whole(self.path / _RUN, text + "\n")
                return
            changed = difference(json.loads(json.dumps(self.settings().to_json())), asked)
            if changed:
                raise UsageError(
                    f"{self.path} holds another run: {changed}; give another folder with --out"
                )
            recover_folders(self.path)
            if self.done:
                self._drop_checkpoints(keep=None)
            else:
                self._drop_rows()

    def settings(self) -> TrainSettings:
        """Return the settings of the run.

        Raises:
            UsageError: there are none, or they cannot be read.
        """
        file = self.path / _RUN
        if not file.is_file():
            raise UsageError(f"{self.path} holds no training run (no {_RUN})")
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{file} is not JSON ({error})") from error
        return settings_from(value, str(file))

    # ------------------------------------------------------------------ checkpoints and models

    def latest(self) -> Checkpoint | None:
        """Return the checkpoint to go on from, ``None`` without one."""
        found = self._checkpoints()
        if not found:
            return None
        state, path = found[-1]
        return Checkpoint(state["stage"], state["step"], path)

    def save_checkpoint(self, stage: str, step: int, write: Callable[[Path], None]) -> None:
        """Write the checkpoint after ``step`` steps of a stage, then drop the earlier ones.

        Args:
            stage: Of the training; a word.
            step: Steps of it that are done; their rows must have been appended.
            write: Writes into an empty folder that it is given.

        Raises:
            UsageError: it cannot be written, as when the disk is full.
        """
        earlier = self._checkpoints()
        state = {
            "number": earlier[-1][0]["number"] + 1 if earlier else 1,
            "stage": stage,
            "step": step,
            "rows": len(_lines(self.path / _METRICS)),
        }

        def write_all(folder: Path) -> None:
            write(folder)
            (folder / _STATE).write_text(json.dumps(state) + "\n", encoding="utf-8")

        final = self.path / f"{_CHECKPOINT}{stage}-{step}"
        with self._writing():
            write_folder(final, write_all)
            self._drop_checkpoints(keep=final)

    def save_start(self, write: Callable[[Path], None]) -> None:
        """Write the model with which reinforcement begins; raises as :meth:`save_checkpoint`."""
        with self._writing():
            write_folder(self.start, write)

    def save_best(self, write: Callable[[Path], None]) -> None:
        """Write the best model so far; raises as :meth:`save_checkpoint`."""
        with self._writing():
            write_folder(self.best, write)

    def save_final(self, write: Callable[[Path], None]) -> None:
        """Write the model at the end; raises as :meth:`save_checkpoint`."""
        with self._writing():
            write_folder(self.final, write)

    def finish(self) -> None:
        """Mark the run as ended and drop what only a stopped one needs."""
        with self._writing():
            write_whole(self.path / _DONE, "")
            self._drop_checkpoints(keep=None)

    def _checkpoints(self) -> list[tuple[dict[str, Any], Path]]:
        """Return the complete checkpoints, oldest first."""
        states = self.path.glob(f"{_CHECKPOINT}*/{_STATE}")
        found = [
            (json.loads(state.read_text(encoding="utf-8")), state.parent)
            for state in states
            if state.parent.suffix not in (".partial", ".new")
        ]
        return sorted(found, key=lambda item: int(item[0]["number"]))

    def _drop_checkpoints(self, keep: Path | None) -> None:
        for path in sorted(self.path.glob(f"{_CHECKPOINT}*")):
            if path != keep:
                shutil.rmtree(path)

    # ------------------------------------------------------------------ rows

    def append(self, row: Mapping[str, Any], timings: Mapping[str, float]) -> None:
        """Add the figures of one step.

        Args:
            row: Plain JSON values, ``stage`` and ``step`` among them, that are the same in every
                run of the same settings. Numbers that are not finite become ``null``.
            timings: What is not: seconds, tokens per second.

        Raises:
            UsageError: they cannot be written.
        """
        place = {"stage": row["stage"], "step": row["step"]}
        with self._writing():
            _append(self.path / _TIMINGS, {**place, **timings})
            _append(self.path / _METRICS, row)

    def rows(self) -> list[dict[str, Any]]:
        """Return the figures of all steps so far, oldest first."""
        return [json.loads(line) for line in _lines(self.path / _METRICS)]

    def timings(self) -> list[dict[str, Any]]:
        """Return the timings of all steps so far, oldest first."""
        return [json.loads(line) for line in _lines(self.path / _TIMINGS)]

    def _drop_rows(self) -> None:
        found = self._checkpoints()
        keep = int(found[-1][0]["rows"]) if found else 0
        for name in (_METRICS, _TIMINGS):
            file = self.path / name
            if file.exists():
                write_whole(file, "".join(f"{line}\n" for line in _lines(file)[:keep]))

    # ------------------------------------------------------------------ errors

    def _check_free(self) -> None:
        """Refuse a folder that holds something else, and leave nothing in it."""
        if (self.path / _RUN).exists() or not self.path.exists():
            return
        if not self.path.is_dir():
            raise UsageError(f"{self.path} is no folder; give another with --out")
        names = {item.name.removesuffix(".partial") for item in self.path.iterdir()}
        if names - {_RUN, _LOCK}:
            raise UsageError(f"{self.path} is not empty and holds no {_RUN}; give another --out")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UsageError(
                f"cannot write to the run folder {self.path}: {reason}; what it holds is whole: "
                "put that right and give the same command again to go on from the last checkpoint"
            ) from error


def _append(file: Path, row: Mapping[str, Any]) -> None:
    text = json.dumps(_finite(row), sort_keys=True, allow_nan=False) + "\n"
    with file.open("a", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(file: Path) -> list[str]:
    """Return the lines of a file but for a half-written last one."""
    if not file.is_file():
        return []
    content = file.read_bytes()
    return content[: content.rfind(b"\n") + 1].decode("utf-8").split("\n")[:-1]
