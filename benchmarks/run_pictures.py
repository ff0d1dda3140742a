"""Pictures of finished runs: scores, abilities, memory, length, and what became of the questions.

Every picture is told apart without colour, by place, marker or hatching; what has to be known to
read it stands below it. Not here: how labels are kept apart (:mod:`.labels`).
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from memgym.benchmarks.labels import label_ends, label_points
from memgym.benchmarks.lengths import LengthCurves, length_curves
from memgym.benchmarks.pooled import PooledSuite
from memgym.benchmarks.report import ABILITY_TITLES
from memgym.benchmarks.statistics import Estimate
from memgym.benchmarks.summary import AgentSummary
from memgym.pictures import COLOURS, MARKERS, figure, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_suite"]

_GREY = "#595959"
_WIDTH = 9.0  # inches
_ROW = 0.34  # inches per agent where each has a row
_FRAME = 1.9  # inches of title, axis and caption
_CAPTION = 150  # characters in a line of the caption
_RIGHT = "answered in full"
_FATES: Mapping[str, tuple[str, str]] = {
    _RIGHT: ("#009E73", ""),
    "misread": ("#CC79A7", "xx"),
    "not_retrieved": ("#56B4E9", ".."),
    "lost": ("#E69F00", "\\\\"),
    "not_written": ("#D9D9D9", "//"),
}
_WIDE_ENOUGH = 4.0  # per cent of the axis in which a number has room


def draw_suite(pooled: PooledSuite, folder: Path) -> list[Path]:
    """Draw every picture of one suite as ``<suite>_<picture>.png`` and ``.svg``.

    The length curve is left out where the suite has no entries that differ only in length.

    Args:
        pooled: The runs.
        folder: Must exist.

    Returns:
        What was written.

    Raises:
        UsageError: matplotlib is not installed.
    """
    name, rows = pooled.summary.suite.name, len(pooled.summary.rows)
    pictures: dict[str, tuple[float, Callable[[Figure, PooledSuite], None]]] = {
        "scores": (_FRAME + _ROW * rows, _draw_scores),
        "abilities": (_FRAME + 0.3 + _ROW * rows, _draw_abilities),
        "memory": (5.6, _draw_memory),
        "causes": (_FRAME + 0.5 + _ROW * rows, _draw_causes),
    }
    curves = length_curves(pooled)
    if curves is not None:
        pictures["length"] = (5.6, lambda chart, found: _draw_length(chart, found, curves))
    written = []
    for kind, (height, draw) in pictures.items():
        with figure(_WIDTH, height) as chart:
            draw(chart, pooled)
            written += write_figure(folder / f"{name}_{kind}", chart)
    return written


def _finish(chart: "Figure", pooled: PooledSuite, title: str, note: str) -> None:
    """Write the title, and below the picture what has to be known to read it."""
    summary, suite = pooled.summary, pooled.summary.suite
    chart.suptitle(title, fontsize="medium", fontweight="bold", x=0.01, ha="left")
    told = (
        f"{suite.name} (version {suite.version}, {suite.content_hash[:10]}), "
        f"{len(suite.episodes)} episodes, {summary.questions:,} questions per agent, "
        f"reader {pooled.reader}. {note}"
    )
    if any(row.privileged for row in summary.rows):
        told += " †\u00a0is shown the golds."
    caption = textwrap.fill(told, _CAPTION)
    chart.supxlabel(caption, fontsize=8, x=0.01, ha="left", color=_GREY)


_INTERVALS = "Whiskers: 95\u00a0% bootstrap intervals over episodes and questions."


def _name(row: AgentSummary) -> str:
    runs = f" ({row.runs} runs)" if row.runs > 1 else ""
    return row.name + " †" * row.privileged + runs


def _look(index: int, row: AgentSummary) -> tuple[str, str]:
    """Return colour and marker; who is shown the golds is grey, as it does not compete."""
    if row.privileged:
        return _GREY, "o"
    # The second time round, colours get other markers.
    return COLOURS[index % len(COLOURS)], MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def _looks(rows: Sequence[AgentSummary]) -> list[tuple[str, str]]:
    """Return colours and markers that no reference takes away from the agents."""
    looks, drawn = [], 0
    for row in rows:
        looks.append(_look(drawn, row))
        drawn += not row.privileged
    return looks


def _whiskers(found: Sequence[Estimate]) -> list[list[float]]:
    """Return the distances from the means to both ends, in per cent."""
    lows = [item.mean if item.low is None else item.low for item in found]
    highs = [item.mean if item.high is None else item.high for item in found]
    # With few episodes the middle of the draws can lie off the mean.
    below = [100 * max(item.mean - low, 0.0) for item, low in zip(found, lows, strict=True)]
    above = [100 * max(high - item.mean, 0.0) for item, high in zip(found, highs, strict=True)]
    return [below, above]


def _dots(axes: "Axes", rows: Sequence[AgentSummary], found: Sequence[Estimate]) -> None:
    """Draw one estimate per agent, the first on top."""
    for place, (look, item) in enumerate(zip(_looks(rows), found, strict=True)):
        colour, marker = look
        axes.errorbar(
            [100 * item.mean], [place], xerr=_whiskers([item]), color=colour, marker=marker,
            capsize=3, markersize=6, linewidth=1.4, clip_on=False, zorder=3,
            markerfacecolor="white" if rows[place].privileged else colour,
        )  # fmt: skip
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
    axes.set_xlim(0, 100)
    _plain(axes, "x")


def _plain(axes: "Axes", along: Literal["x", "both"]) -> None:
    axes.grid(axis=along, alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_scores(chart: "Figure", pooled: PooledSuite) -> None:
    rows = pooled.summary.rows
    axes = chart.add_subplot()
    _dots(axes, rows, [row.macro for row in rows])
    for place, row in enumerate(rows):
        axes.annotate(
            f"{100 * row.macro.mean:.1f}{_range(row.macro)}",
            (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize="small",
        )  # fmt: skip
    axes.set_xlabel("score (macro mean over abilities), %")
    _finish(chart, pooled, "Score of each agent", _INTERVALS)


def _range(item: Estimate) -> str:
    if item.low is None or item.high is None:
        return " (n=1)"
    return f" [{100 * item.low:.1f}–{100 * item.high:.1f}]"


def _draw_abilities(chart: "Figure", pooled: PooledSuite) -> None:
    rows = pooled.summary.rows
    abilities = list(rows[0].abilities)
    chart.set_layout_engine("constrained", wspace=0.06)
    every = chart.subplots(1, len(abilities), sharey=True, squeeze=False)[0]
    for axes, ability in zip(every, abilities, strict=True):
        found = [row.abilities[ability] for row in rows]
        _dots(axes, rows, found)
        axes.set_title(f"{ABILITY_TITLES[ability]}\n{found[0].episodes} episodes", fontsize="small")
        axes.set_xlabel("score, %")
        axes.set_xticks([0, 50, 100])
    _finish(chart, pooled, "Ability profile", _INTERVALS)


def _draw_memory(chart: "Figure", pooled: PooledSuite) -> None:
    rows = pooled.summary.rows
    axes = chart.add_subplot()
    points = []
    for (colour, marker), row in zip(_looks(rows), rows, strict=True):
        x, y = 100 * row.memory_share, 100 * row.macro.mean
        axes.errorbar(
            [x], [y], yerr=_whiskers([row.macro]), color=colour, marker=marker, markersize=7,
            capsize=3, linewidth=1.4, zorder=3, clip_on=False,
            markerfacecolor="white" if row.privileged else colour,
        )  # fmt: skip
        points.append((x, y, _name(row)))
    most = max(x for x, _, _ in points)
    axes.set_xlim(-0.03 * most, 1.15 * most or 1)
    axes.set_ylim(0, 104)
    axes.set_xlabel("final memory, % of the text's tokens")
    axes.set_ylabel("score (macro mean over abilities), %")
    _plain(axes, "both")
    _finish(
        chart, pooled, "Score against the memory it takes",
        f"Memory: mean over episodes. {_INTERVALS}",
    )  # fmt: skip
    ends = [
        (x, 100 * row.macro.low, 100 * row.macro.high)
        for (x, _, _), row in zip(points, rows, strict=True)
        if row.macro.low is not None and row.macro.high is not None
    ]
    label_points(chart, axes, points, ends)


def _draw_length(chart: "Figure", pooled: PooledSuite, curves: LengthCurves) -> None:
    rows = pooled.summary.rows
    axes = chart.add_subplot()
    ends = []
    for (colour, marker), row in zip(_looks(rows), rows, strict=True):
        found = curves.scores[row.name]
        heights = [100 * item.mean for item in found]
        axes.errorbar(
            curves.tokens, heights, yerr=_whiskers(found), color=colour, marker=marker,
            capsize=3, markersize=6, linewidth=1.4, clip_on=False, zorder=3,
            linestyle="dashed" if row.privileged else "solid",
            markerfacecolor="white" if row.privileged else colour,
        )  # fmt: skip
        ends.append((heights[-1], _name(row), colour))
    axes.set_xscale("log")
    places = zip(curves.labels, curves.tokens, strict=True)
    axes.set_xticks(curves.tokens, [f"{label}\n{tokens:,.0f}" for label, tokens in places])
    axes.minorticks_off()
    axes.set_ylim(0, 104)
    axes.set_xlabel("length of the text: as the suite names it, and mean tokens (logarithmic)")
    axes.set_ylabel("score (macro mean over abilities), %")
    _plain(axes, "both")
    counts = ", ".join(map(str, curves.episodes))
    _finish(chart, pooled, "Score against length", f"Episodes by length: {counts}. {_INTERVALS}")
    label_ends(chart, axes, ends)


def _draw_causes(chart: "Figure", pooled: PooledSuite) -> None:
    rows = pooled.summary.rows
    axes = chart.add_subplot()
    left = [0.0] * len(rows)
    for fate, (colour, hatch) in _FATES.items():
        shares = [100 * _share(row, fate) for row in rows]
        axes.barh(
            range(len(rows)), shares, left=left, color=colour, hatch=hatch, edgecolor="white",
            linewidth=0.8, height=0.72, label=fate.replace("_", " "),
        )  # fmt: skip
        for place, (start, share) in enumerate(zip(left, shares, strict=True)):
            if share >= _WIDE_ENOUGH:
                axes.text(
                    start + share / 2, place, _whole(share), ha="center", va="center",
                    fontsize="small", bbox={"boxstyle": "round,pad=0.15", "fc": "white", "lw": 0},
                )  # fmt: skip
        left = [start + share for start, share in zip(left, shares, strict=True)]
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of all questions, %")
    _plain(axes, "x")
    axes.legend(
        ncols=len(_FATES), loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False,
        fontsize="small", handlelength=1.6, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip
    _finish(
        chart, pooled, "What became of the questions",
        "Not written: evidence never entered the memory; lost: it was removed; not retrieved: the "
        "reader was not shown it; misread: it was shown and still answered wrongly.",
    )  # fmt: skip


def _whole(share: float) -> str:
    return ">99" if 99.5 <= share < 100 else f"{share:.0f}"


def _share(row: AgentSummary, fate: str) -> float:
    if fate == _RIGHT:
        return max(1 - sum(row.causes.values()), 0.0)
    return row.causes[fate]
