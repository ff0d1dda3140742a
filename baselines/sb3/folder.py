"""The folder of a training run: what is in it, and how it survives a kill.

=======================  ==================================================================
file                     content
=======================  ==================================================================
``run.json``             what was asked for (:class:`.settings.TrainingSettings`)
``best.zip``             the model that was best on the validation split; what plays
``last.zip``             the model at the end; there once the run has ended
``metrics.jsonl``        one line per evaluation; the same bytes for the same ``run.json``
``timings.csv``          wall seconds at each evaluation, which are never the same
``checkpoint-<steps>/``  what a stopped run goes on from; gone once the run has ended
``tensorboard/``         if TensorBoard is installed
=======================  ==================================================================

Every file is written whole or not at all, a checkpoint's folder too. The models are ordinary files
of Stable-Baselines3 (``PPO.load("best.zip")``).
"""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memgym.atomic import write_whole
from memgym.baselines.sb3.settings import TrainingSettings, settings_from_json
from memgym.errors import UsageError

__all__ = ["TrainingFolder", "find_trained"]

_RUN, _METRICS, _TIMINGS = "run.json", "metrics.jsonl", "timings.csv"
_PARAMETERS = "policy.pth"
_CHECKPOINT = "checkpoint-"


class TrainingFolder:
    """One training run on disk.

    Args:
        path: The folder; it need not exist.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def best(self) -> Path:
        """Where the best model is, or will be."""
        return self.path / "best.zip"

    @property
    def last(self) -> Path:
        """Where the last model is, or will be."""
        return self.path / "last.zip"

    @property
    def label(self) -> str:
        """Its name and that of the folder it lies in: a seed's number alone says little."""
        return "/".join(self.path.resolve().parts[-2:])

    # ------------------------------------------------------------------ settings

    def begin(self, settings: TrainingSettings) -> None:
        """Write the settings, or check that those already there are the same.

        Raises:
            UsageError: the folder holds another run or something else.
        """
        file = self.path / _RUN
        if not file.exists():
            if self.path.exists() and any(self.path.iterdir()):
                raise UsageError(
                    f"{self.path} is not empty and holds no {_RUN}; give another --out"
                )
            self.path.mkdir(parents=True, exist_ok=True)
            text = json.dumps(settings.to_json(), ensure_ascii=False, indent=2, sort_keys=True)
            write_whole(file, text + "\n")
            return
        found, asked = self.settings().to_json(), settings.to_json()
        for name in asked:
            if found[name] != json.loads(json.dumps(asked[name])):
                raise UsageError(
                    f"{self.path} holds another run: its {name} is {json.dumps(found[name])}, "
                    f"asked for is {json.dumps(asked[name])}; give another folder with --out"
                )

    def settings(self) -> TrainingSettings:
        """Return the settings.

        Raises:
            UsageError: there are none, or they cannot be read.
        """
        file = self.path / _RUN
        if not file.is_file():
            raise UsageError(
                f"{self.path} holds no trained model (no {_RUN}); train one with memgym train-sb3"
            )
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{file} is not JSON ({error})") from error
        return settings_from_json(value, str(file))

    def digest(self) -> str:
        """Return 16 hex digits of a sha256 of the best model's parameters and the settings.

        The model's file holds times besides, which say nothing about how it plays.

        Raises:
            UsageError: there is no model yet, or its file is damaged.
        """
        content = hashlib.sha256(json.dumps(self.settings().to_json(), sort_keys=True).encode())
        if not self.best.is_file():
            raise UsageError(f"{self.path} holds no best.zip: its training has not come that far")
        try:
            with zipfile.ZipFile(self.best) as archive:
                content.update(archive.read(_PARAMETERS))
        except (zipfile.BadZipFile, KeyError) as error:
            raise UsageError(f"{self.best} is no model of Stable-Baselines3 ({error})") from error
        return content.hexdigest()[:16]

    # ------------------------------------------------------------------ models and checkpoints

    def write_model(self, path: Path, save: Callable[[Path], None]) -> None:
        """Write a model's file by ``save``, whole or not at all."""
        partial = path.with_name(f"partial-{path.name}")  # the library insists on ".zip"
        save(partial)
        partial.replace(path)

    def write_checkpoint(self, steps: int, save: Callable[[Path], None]) -> None:
        """Write the checkpoint at ``steps`` with ``save``, then drop the earlier one."""
        final = self.path / f"{_CHECKPOINT}{steps}"
        partial = self.path / f"partial-{final.name}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save(partial)
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        for other in self._checkpoints():
            if other != final:
                shutil.rmtree(other)

    def checkpoint(self) -> tuple[int, Path] | None:
        """Return steps and folder of the checkpoint to go on from, ``None`` without one."""
        found = self._checkpoints()
        if not found:
            return None
        return int(found[-1].name.removeprefix(_CHECKPOINT)), found[-1]

    def _checkpoints(self) -> list[Path]:
        found = [
            item
            for item in self.path.glob(f"{_CHECKPOINT}*")
            if item.name.removeprefix(_CHECKPOINT).isdigit()
        ]
        return sorted(found, key=lambda item: int(item.name.removeprefix(_CHECKPOINT)))

    def end(self) -> None:
        """Drop what only a stopped run needs."""
        for item in (*self._checkpoints(), *self.path.glob("partial-*")):
            shutil.rmtree(item) if item.is_dir() else item.unlink()

    @property
    def ended(self) -> bool:
        """Whether the run came to its end."""
        return self.last.is_file()

    # ------------------------------------------------------------------ metrics

    def write_metrics(self, rows: Sequence[Mapping[str, Any]], seconds: Sequence[float]) -> None:
        """Write all evaluations so far, and the seconds of training and evaluation up to each."""
        lines = [json.dumps(row, sort_keys=True) + "\n" for row in rows]
        times = [f"{row['steps']},{at:.2f}\n" for row, at in zip(rows, seconds, strict=True)]
        write_whole(self.path / _TIMINGS, "".join(["steps,seconds\n", *times]))
        write_whole(self.path / _METRICS, "".join(lines))

    def metrics(self) -> list[dict[str, Any]]:
        """Return the evaluations so far, oldest first."""
        file = self.path / _METRICS
        if not file.is_file():
            return []
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def seconds(self) -> list[float]:
        """Return the seconds that training and evaluation had taken at each evaluation."""
        file = self.path / _TIMINGS
        if not file.is_file():
            return []
        lines = file.read_text(encoding="utf-8").splitlines()[1:]
        return [float(line.partition(",")[2]) for line in lines]


def find_trained(path: str | Path) -> list[TrainingFolder]:
    """Return the runs in a folder and below, in the order of their names; itself if it is one."""
    folder = Path(path)
    if (folder / _RUN).is_file() and (folder / "best.zip").is_file():
        return [TrainingFolder(folder)]
    found = (item.parent for item in folder.rglob("best.zip") if (item.parent / _RUN).is_file())
    return [TrainingFolder(item) for item in sorted(found)]
