"""The runs of ``memgym train`` that a report is about: found, and grouped over their seeds.

Not here: playing with what they trained (:mod:`.grpo_play`).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.manifest import FILE
from memgym.agents.grpo.settings import TrainSettings
from memgym.errors import UsageError

__all__ = ["MODELS", "Variant", "changes", "variants_in"]

MODELS = ("start", "best", "final")
"""Models of a run: before GRPO, the best on the validation split, the last."""

_RUN = "run.json"
_LONGEST = 40  # characters of a value that is named


@dataclass(frozen=True, slots=True)
class Variant:
    """Runs that differ in nothing but the seed.

    Attributes:
        name: The folder of the first variant; of others, in what they differ from that.
        runs: In the order of their seeds.
        settings: Of the first of them.
    """

    name: str
    runs: tuple[RunFolder, ...]
    settings: TrainSettings

    @property
    def seeds(self) -> tuple[int, ...]:
        """Their seeds."""
        return tuple(run.settings().seed for run in self.runs)

    def folders(self, model: str) -> tuple[Path, ...]:
        """Return where one of :data:`MODELS` is, per run; of runs without GRPO there is no start.

        Raises:
            UsageError: it is missing.
        """
        if model == "start" and not self.settings.optimizer.steps:
            return ()
        found = tuple(run.path / model for run in self.runs)
        for folder in found:
            if not (folder / FILE).is_file():
                raise UsageError(f"{folder.parent} holds no model {model}; train it again")
        return found


def variants_in(paths: Sequence[Path]) -> list[Variant]:
    """Return the runs in the given folders, grouped, in the order in which they are found.

    Args:
        paths: Run folders, and folders that hold runs at any depth.

    Raises:
        UsageError: a folder holds no run, a run has not ended, or two have the same settings.
    """
    found: dict[str, list[RunFolder]] = {}
    for path in dict.fromkeys(run.resolve() for given in paths for run in _runs_in(given)):
        run = RunFolder(path)
        if not run.done:
            raise UsageError(
                f"{path} has not ended; go on with it by its memgym train command, or leave it out"
            )
        found.setdefault(json.dumps(_described(run), sort_keys=True), []).append(run)
    groups = [_by_seed(runs) for runs in found.values()]
    names = _names(groups)
    return [
        Variant(name, tuple(runs), runs[0].settings())
        for name, runs in zip(names, groups, strict=True)
    ]


def _runs_in(path: Path) -> Iterator[Path]:
    if _is_run(path / _RUN):
        yield path
        return
    runs = [file.parent for file in sorted(path.glob(f"**/{_RUN}")) if _is_run(file)]
    if not runs:
        raise UsageError(f"{path} holds no run of memgym train")
    yield from runs


def _is_run(file: Path) -> bool:
    """Whether it is of ``memgym train``: other commands keep a ``run.json`` too."""
    if not file.is_file():
        return False
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(value, dict) and "supervised" in value


def _described(run: RunFolder) -> dict[str, Any]:
    """Return the settings but for the seed.

    Where training began with a model of another run, that is what this other run did, so that each
    seed can have a start of its own.
    """
    described = run.settings().to_json()
    del described["seed"]
    start = Path(described["policy"]["model"])
    if _is_run(start.parent / _RUN):
        other = _described(RunFolder(start.parent))
        described["policy"]["model"] = {"name": start.name, "of": other}
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain


def _by_seed(runs: Sequence[RunFolder]) -> list[RunFolder]:
    ordered = sorted(runs, key=lambda run: run.settings().seed)
    for one, other in pairwise(ordered):
        if one.settings().seed == other.settings().seed:
            raise UsageError(f"{one.path} and {other.path} are the same run; leave one out")
    return ordered


def _names(groups: Sequence[Sequence[RunFolder]]) -> list[str]:
    first = groups[0][0]
    names = [_common_name(groups[0])]
    for runs in groups[1:]:
        name = ", ".join(changes(_described(first), _described(runs[0])))
        names.append(f"{name} ({runs[0].path.name})" if name in names else name)
    return names


def _common_name(runs: Sequence[RunFolder]) -> str:
    """Return the folder's name; of several seeds what comes before their numbers."""
    path = runs[0].path
    if len(runs) == 1:
        return path.name
    return path.name.rstrip("0123456789").rstrip("-_").removesuffix("seed").rstrip("-_") or (
        path.parent.name
    )


def changes(first: dict[str, Any], other: dict[str, Any], where: str = "") -> list[str]:
    """Return what settings have that others have not, as ``section.name=value``.

    Args:
        first: The others.
        other: The settings.
        where: Names that lead to both.

    Example:
        >>> changes({"loss": {"clip_low": 0.2}}, {"loss": {"clip_low": 0.1}})
        ['loss.clip_low=0.1']
    """
    found: list[str] = []
    for name in sorted(first.keys() | other.keys()):
        old, new, place = first.get(name), other.get(name), f"{where}.{name}" if where else name
        if {type(old), type(new)} in ({dict}, {dict, type(None)}):
            found += changes(old or {}, new or {}, place)
        elif old != new:
            found.append(f"{place}={_short(new)}")
    return found


def _short(value: Any) -> str:
    if value is None:
        return "default"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and Path(value).exists():
        text = "/".join(Path(value).parts[-2:])
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
