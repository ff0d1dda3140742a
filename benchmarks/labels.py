"""Names beside what is drawn, kept from lying on each other; in place of a legend."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["label_ends", "label_points"]

_FONT = 9.0  # points
_LINE = 1.3  # heights of the font from one label to the next
_SIDES = (
    (1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1), (1, 2), (1, -2), (-1, 2),
    (-1, -2),
)  # fmt: skip
_FAR = (9, 18, 30, 45, 60)  # points from a point to its label
_NEAR = 18  # points beyond which a line leads from the label to its point
_SAME = 2.0  # pixels within which points are one
_DARK = "#262626"  # text in the lighter colours would be hard to read
_MARKER = 7.0  # half the size of a marker, in pixels
_WHISKER = 4.0  # half the width of its ends, in pixels

Place = tuple[float, float]
Box = tuple[float, float, float, float]


def label_points(
    chart: "Figure",
    axes: "Axes",
    points: Sequence[tuple[float, float, str]],
    whiskers: Sequence[tuple[float, float, float]] = (),
) -> None:
    """Write a name beside each point, where it covers no other name, point, whisker or edge.

    Points that lie on each other share a label.

    Args:
        chart: Complete but for the labels: their places depend on its layout.
        axes: Where the points are.
        points: x, y and name of each.
        whiskers: x, lower and upper end of each.
    """
    chart.draw_without_rendering()
    frame = axes.get_window_extent()
    names: dict[Place, list[str]] = {}
    places: dict[Place, Place] = {}
    for x, y, name in points:
        pixel = tuple(axes.transData.transform((x, y)))
        same = next((other for other in names if math.dist(pixel, other) < _SAME), pixel)
        names.setdefault(same, []).append(name)
        places.setdefault(same, (x, y))
    taken = [(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in names]
    for x, low, high in whiskers:
        (middle, bottom), (_, top) = axes.transData.transform([(x, low), (x, high)])
        taken.append((middle - _WHISKER, bottom, middle + _WHISKER, top))
    for pixel, found in names.items():
        text = "\n".join(found)
        size = _size(axes, text)
        offsets = [(dx * far, dy * far) for far in _FAR for dx, dy in _SIDES]
        boxes = [_box(pixel, offset, size, chart.dpi / 72) for offset in offsets]
        # The first of the least: they are sorted by how far away they are.
        costs = [
            sum(_overlap(box, other) for other in taken) + 10 * _outside(box, frame.extents)
            for box in boxes
        ]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        _write(axes, places[pixel], text, offsets[best])


def _size(axes: "Axes", text: str) -> Place:
    """Return width and height of a text in pixels."""
    label = axes.text(0, 0, text, fontsize=_FONT)
    box = label.get_window_extent()
    label.remove()
    return box.width, box.height


def _box(pixel: Place, offset: Place, size: Place, scale: float) -> Box:
    """Return what a label covers, whose text hangs on the corner or side next to its point."""
    low = [
        start + scale * move - (0 if move > 0 else length if move < 0 else length / 2)
        for start, move, length in zip(pixel, offset, size, strict=True)
    ]
    return low[0], low[1], low[0] + size[0], low[1] + size[1]


def _overlap(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _outside(box: Box, frame: Sequence[float]) -> bool:
    return box[0] < frame[0] or box[1] < frame[1] or box[2] > frame[2] or box[3] > frame[3]


def _write(axes: "Axes", point: Place, name: str, offset: Place) -> None:
    """Write a name at an offset from a point of the data, with a line to it if it is far."""
    right, up = offset
    line = {"arrowstyle": "-", "color": _DARK, "linewidth": 0.6, "shrinkB": 4}
    axes.annotate(
        name, point, offset, textcoords="offset points", color=_DARK, fontsize=_FONT,
        ha="left" if right > 0 else "right" if right < 0 else "center",
        va="bottom" if up > 0 else "top" if up < 0 else "center",
        arrowprops=line if max(abs(right), abs(up)) > _NEAR else None, zorder=4,
    )  # fmt: skip


def label_ends(chart: "Figure", axes: "Axes", ends: Sequence[tuple[float, str, str]]) -> None:
    """Write names to the right of the axes, as near to where lines end as there is room.

    Args:
        chart: Complete but for the labels.
        axes: Where the lines are.
        ends: Last y, name and colour of each line.
    """
    chart.draw_without_rendering()
    step = _FONT * _LINE * chart.dpi / 72  # pixels
    ordered = sorted(ends, key=lambda end: end[0])
    pixels = axes.transData.transform([(0.0, y) for y, _, _ in ordered])[:, 1].tolist()
    heights = _spread(pixels, step)
    for (y, name, colour), wanted, height in zip(ordered, pixels, heights, strict=True):
        line = {
            "arrowstyle": "-", "color": colour, "linewidth": 1.4, "shrinkA": 2, "shrinkB": 2,
            "relpos": (0, 0.5),
        }  # fmt: skip
        axes.annotate(
            name, (1.0, y), (22, (height - wanted) * 72 / chart.dpi), va="center",
            xycoords=("axes fraction", "data"), textcoords="offset points", color=_DARK,
            fontsize=_FONT, arrowprops=line,
        )  # fmt: skip


def _spread(wanted: Sequence[float], step: float) -> list[float]:
    """Return ascending places at least a step apart, each group of them around what it wants."""
    groups: list[list[float]] = []
    for place in wanted:
        groups.append([place])
        while len(groups) > 1 and _low(groups[-1], step) < _high(groups[-2], step) + step:
            last = groups.pop()
            groups[-1] += last
    return [_low(group, step) + index * step for group in groups for index in range(len(group))]


def _low(group: Sequence[float], step: float) -> float:
    return sum(group) / len(group) - step * (len(group) - 1) / 2


def _high(group: Sequence[float], step: float) -> float:
    return sum(group) / len(group) + step * (len(group) - 1) / 2
