"""The results page of trained policies: Markdown, CSV and pictures.

Not here: where the numbers come from (:mod:`.sb3_results`).
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memgym.atomic import write_whole
from memgym.benchmarks.sb3_curves import draw_curve
from memgym.benchmarks.sb3_results import Group, Interval, Result, best_scripted, budget_name
from memgym.pictures import Line, draw_lines

__all__ = ["findings", "score_table", "write_page"]

_INSERT_ALL = "sentences"
_NAMES = {_INSERT_ALL: "sentences (insert everything)", "oracle": "oracle †"}
_DRAWN = ("random", _INSERT_ALL, "oracle")


def write_page(results: Sequence[Result], groups: Sequence[Group], folder: Path) -> Path:
    """Write ``results.md``, ``results.csv`` and both pictures, and return the first.

    Raises:
        UsageError: matplotlib is not installed.
    """
    draw_curve([run for group in groups for run in group.runs], folder)
    _draw_budgets(results, folder)
    parts = (
        "# Trained policies on held-out episodes",
        "\n".join(f"- {line}" for line in findings(results)),
        "![score against memory budget](score_against_memory.svg)",
        _tables(results),
        "## Training",
        _training(groups),
        "![learning curve](learning_curve.svg)",
        _NOTES,
    )
    page = folder / "results.md"
    write_whole(page, "\n\n".join(parts) + "\n")
    write_whole(folder / "results.csv", _csv(results))
    return page


_NOTES = """\
Scores are macro means over abilities on the suite's test episodes, in per cent. Brackets are 95 %
intervals (percentile bootstrap, over episodes and their questions; for trained policies seeds too).
The gain is over the best baseline at that budget that sees no golds, on the same draws; memory is
the share of the input that the final memory holds; seconds are wall time per episode, play only.
The oracle (†) is shown the golds. Trained policies are the best of their checkpoints on the
validation split; nothing was chosen on these episodes."""


def findings(results: Sequence[Result]) -> list[str]:
    """Return what the numbers say, one sentence per budget."""
    lines = []
    for budget in _budgets(results):
        trained = [item for item in results if item.budget == budget and item.gain]
        best = max(trained, key=lambda item: item.score.mean)
        scripted = best_scripted(results, budget)
        assert best.gain is not None, "only trained policies are among them"
        apart = best.score.low > scripted.score.high
        lines.append(
            f"{budget_name(budget)} of memory: {best.name} {_cell(best.score)}, best scripted "
            f"{scripted.name} {_cell(scripted.score)}; gain {_cell(best.gain, sign=True)} points; "
            f"the intervals {'are apart' if apart else 'overlap'}."
        )
    return lines


Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Heads of a table, and its rows."""


def score_table(results: Sequence[Result]) -> Rows:
    """Return the scores of every policy at every budget."""
    budgets = _budgets(results)
    found = {(item.name, item.budget): item for item in results}
    names = dict.fromkeys(item.name for item in results)
    rows = [
        (_title(name), *(_cell(found[name, budget].score) for budget in budgets)) for name in names
    ]
    return ("policy", *(budget_name(item) for item in budgets)), rows


def _tables(results: Sequence[Result]) -> str:
    parts = ["## Score by memory budget, %", _table(*score_table(results))]
    for budget in _budgets(results):
        parts.append(f"## {budget_name(budget)} of memory")
        parts.append(_budget_table([item for item in results if item.budget == budget]))
    return "\n\n".join(parts)


def _budget_table(results: Sequence[Result]) -> str:
    abilities = list(results[0].abilities)
    heads = (
        "policy", "seeds", "score, %", "gain, points",
        *(name.replace("_", " ") for name in abilities), "memory, %", "seconds",
    )  # fmt: skip
    ordered = sorted(results, key=lambda item: -item.score.mean)
    rows = [
        (
            _title(item.name),
            str(item.seeds or "-"),
            _cell(item.score),
            _cell(item.gain, sign=True) if item.gain else "-",
            *(f"{100 * item.abilities[name]:.1f}" for name in abilities),
            f"{100 * item.memory_share:.1f}",
            f"{item.seconds:.2f}",
        )
        for item in ordered
    ]
    return _table(heads, rows)


def _training(groups: Sequence[Group]) -> str:
    heads = (
        "algorithm", "seeds", "steps", "memory budget", "seconds per seed",
        "validation untrained, %", "validation best, %",
    )  # fmt: skip
    rows = []
    for group in groups:
        settings = group.runs[0].settings()
        metrics = [run.metrics() for run in group.runs]
        rows.append(
            (
                group.name,
                str(len(group.runs)),
                f"{settings.steps:,}",
                ", ".join(map(budget_name, settings.memory_budgets)),
                f"{np.mean([run.seconds()[-1] for run in group.runs]):,.0f}",
                f"{100 * np.mean([found[0]['score'] for found in metrics]):.1f}",
                f"{100 * np.mean([max(row['score'] for row in f) for f in metrics]):.1f}",
            )
        )
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def _budgets(results: Sequence[Result]) -> list[float]:
    return list(dict.fromkeys(item.budget for item in results))


def _title(name: str) -> str:
    return _NAMES.get(name, name)


def _cell(value: Interval, *, sign: bool = False) -> str:
    mean = f"{100 * value.mean:+.1f}" if sign else f"{100 * value.mean:.1f}"
    return f"{mean} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def _draw_budgets(results: Sequence[Result], folder: Path) -> None:
    budgets = [item for item in _budgets(results) if isinstance(item, float)]
    if len(budgets) < 2:
        return  # absolute budgets have no place on an axis of shares, and one point is no line
    budgets.sort()
    found = {(item.name, item.budget): item for item in results}
    x = [100 * budget for budget in budgets]
    lines = []
    for name in dict.fromkeys(item.name for item in results):
        scores = [found[name, budget].score for budget in budgets]
        reference = not found[name, budgets[0]].seeds
        if not reference or name in _DRAWN:
            lines.append(_line(_title(name), x, scores, reference=reference))
    best = [best_scripted(results, budget) for budget in budgets]
    if {item.name for item in best} - set(_DRAWN):  # else its line is there already
        lines.append(_line("best scripted", x, [item.score for item in best], reference=True))
    draw_lines(
        folder / "score_against_memory",
        lines,
        title="Score on held-out episodes, with 95 % intervals",
        x_label="memory budget, % of the text",
        y_label="score, %",
        x_ticks=x,
    )


def _line(name: str, x: Sequence[float], scores: Sequence[Interval], *, reference: bool) -> Line:
    means, lows, highs = (
        [100 * getattr(item, end) for item in scores] for end in ("mean", "low", "high")
    )
    return Line(name, x, means, lows, highs, reference)


def _csv(results: Sequence[Result]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    abilities = list(results[0].abilities)
    writer.writerow(
        [
            "policy", "budget", "seeds", "score", "score_low", "score_high", "gain", "gain_low",
            "gain_high", *abilities, "memory_share", "seconds_per_episode",
        ]
    )  # fmt: skip
    for item in results:
        gain = (item.gain.mean, item.gain.low, item.gain.high) if item.gain else None
        numbers = [item.score.mean, item.score.low, item.score.high]
        writer.writerow(
            [
                item.name,
                item.budget,
                item.seeds,
                *(f"{value:.6f}" for value in numbers),
                *((f"{value:.6f}" for value in gain) if gain else ("", "", "")),
                *(f"{item.abilities[name]:.6f}" for name in abilities),
                f"{item.memory_share:.6f}",
                f"{item.seconds:.4f}",
            ]
        )
    return text.getvalue()
