"""The learning curve of trained policies: validation score against steps, over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from memgym.baselines.sb3 import TrainingFolder
from memgym.benchmarks.statistics import mean_interval
from memgym.pictures import Line, draw_lines

__all__ = ["curve", "draw_curve"]


def draw_curve(runs: Sequence[TrainingFolder], folder: Path) -> Path:
    """Draw the mean over the runs of each algorithm, with a 95 % interval over seeds.

    Args:
        runs: Runs of one or several algorithms.
        folder: Where ``learning_curve.png`` and ``.svg`` are written.

    Returns:
        The PNG.

    Raises:
        UsageError: matplotlib is not installed.
    """
    groups: dict[str, list[TrainingFolder]] = {}
    for run in runs:
        groups.setdefault(run.settings().algorithm.kind, []).append(run)
    lines = [curve(name, group) for name, group in groups.items()]
    several = any(len(group) > 1 for group in groups.values())
    return draw_lines(
        folder / "learning_curve",
        lines,
        title="Validation score" + ", with 95 % intervals over seeds" * several,
        x_label="sentences decided about",
        y_label="score, %",
    )[0]


def curve(name: str, runs: Sequence[TrainingFolder]) -> Line:
    """Return the curve of several seeds at the steps that all of them have reached."""
    scores: list[Mapping[int, float]] = [
        {row["steps"]: 100 * row["score"] for row in run.metrics()} for run in runs
    ]
    steps = [step for step in scores[0] if all(step in found for found in scores)]
    values = np.array([[found[step] for step in steps] for found in scores])
    if len(runs) == 1:
        return Line(name, steps, values[0].tolist())
    low, high = mean_interval(values)
    return Line(name, steps, values.mean(axis=0).tolist(), low.tolist(), high.tolist())
