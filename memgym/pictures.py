"""Pictures as PNG and SVG, the same bytes for the same numbers; and line charts with bands.

Not here: where the numbers come from, and other kinds of charts.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memgym.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "MARKERS", "Line", "draw_lines", "figure", "write_figure"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""
MARKERS = "osD^vPX*"
"""Told apart without colour, too."""
_REFERENCE_MARKERS = "x+1234|_.*"
_MOST_BANDS = 3  # more of them on top of each other hide what they show: bars, side by side
_SPREAD = 0.04  # of the axis, over which they stand
_THOUSANDS = 10_000  # from here on numbers of an axis are written 10k


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        name: In the legend.
        x: Where its points are.
        y: Their heights.
        low: Lower ends of the intervals; empty for none.
        high: Upper ends of the intervals; empty for none.
        reference: Whether it is one to compare with; dashed and grey.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    reference: bool = False


def draw_lines(
    path: Path,
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[float] = (),
    x_names: Sequence[str] = (),
) -> list[Path]:
    """Write ``path`` with the suffixes ``.png`` and ``.svg`` and return both.

    Intervals of few lines are bands; those of many are bars, a little beside each other.

    Args:
        path: Without a suffix.
        lines: What is drawn, in the legend's order.
        title: Above the chart.
        x_label: What lies to the right.
        y_label: What lies above.
        x_ticks: The places named on a logarithmic axis; without any the axis is linear.
        x_names: What the places 0, 1, 2, … are called, where they are no numbers.

    Raises:
        UsageError: matplotlib is not installed.
    """
    with figure(8, 4.8) as chart:
        _draw_lines(chart, lines, logarithmic=bool(x_ticks))
        axes = chart.axes[0]
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        if x_ticks:
            axes.set_xscale("log")
            axes.set_xticks(x_ticks, [f"{tick:g}" for tick in x_ticks])
            axes.minorticks_off()
        if x_names:
            axes.set_xticks(range(len(x_names)), x_names)
        elif not x_ticks and axes.dataLim.x1 >= _THOUSANDS:
            axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x else "0")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        return write_figure(path, chart)


def _draw_lines(chart: "Figure", lines: Sequence[Line], *, logarithmic: bool) -> None:
    axes = chart.add_subplot()
    main = [line for line in lines if not line.reference]
    crowded = sum(len(line.low) > 0 for line in main) > _MOST_BANDS
    drawn = references = 0
    for line in lines:
        if line.reference:
            grey, dashes = str(0.2 + 0.12 * (references % 5)), (0, (1 + 2 * (references % 5), 2))
            marker = _REFERENCE_MARKERS[references % len(_REFERENCE_MARKERS)]
            axes.plot(line.x, line.y, color=grey, linestyle=dashes, marker=marker, label=line.name)
            references += 1
            continue
        colour = COLOURS[drawn % len(COLOURS)]
        marker = MARKERS[drawn % len(MARKERS)]
        x = line.x
        if crowded:
            x = _beside(x, drawn / (len(main) - 1) - 0.5, logarithmic=logarithmic)
        axes.plot(x, line.y, color=colour, marker=marker, markersize=4, label=line.name)
        if len(line.low) and crowded:
            axes.vlines(x, line.low, line.high, color=colour, linewidth=1)
        elif len(line.low):
            axes.fill_between(x, line.low, line.high, color=colour, alpha=0.18, linewidth=0)
        drawn += 1


def _beside(x: Sequence[float], place: float, *, logarithmic: bool) -> list[float]:
    """Return where the points of a line stand that is moved aside, ``place`` being -0.5 to 0.5."""
    if logarithmic:
        return [value * (max(x) / min(x)) ** (place * _SPREAD) for value in x]
    return [value + (max(x) - min(x)) * place * _SPREAD for value in x]


@contextlib.contextmanager
def figure(width: float, height: float) -> Iterator["Figure"]:
    """Give an empty figure; what is drawn and written meanwhile is so for every user alike.

    Args:
        width: In inches.
        height: In inches.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError('pictures need matplotlib: pip install "memgym[plot]"') from error
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # Without a salt, ids in an SVG are random; a "$" in a name is no formula.
        matplotlib.rcParams.update({"svg.hashsalt": "memgym", "text.parse_math": False})
        yield Figure(figsize=(width, height), layout="constrained")


def write_figure(path: Path, chart: "Figure") -> list[Path]:
    """Write ``path`` with the suffixes ``.png`` and ``.svg`` and return both."""
    written = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    chart.savefig(written[0], dpi=144)
    chart.set_layout_engine("none")  # the same places in both
    chart.savefig(written[1], metadata={"Date": None})
    return written
