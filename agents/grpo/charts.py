"""Line charts as SVG inside an HTML page: they take the page's colours and width.

Not here: picture files (:mod:`memgym.pictures`), and what is drawn (:mod:`.page`).
"""

import html
import math
from collections.abc import Sequence

from memgym.pictures import Line

__all__ = ["CHART_STYLE", "chart"]

_WIDTH, _HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 30
_COLOURS = 8

# Okabe and Ito's colours, lightened where the ground is dark.
CHART_STYLE = """\
:root { --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #aa4499; --c4: #b8860b; --c5: #2f9fd0;
  --c6: #333333; --c7: #7a7a21; }
@media (prefers-color-scheme: dark) { :root { --c0: #4db2ec; --c1: #ff8c42; --c2: #2fd0a0;
  --c3: #e39ad0; --c4: #f0c040; --c5: #8fd4f5; --c6: #dddddd; --c7: #c8c860; } }
figure { margin: 0; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: currentColor; font-size: 12px; }
.grid { stroke: currentColor; opacity: .15; }
.line { fill: none; stroke-width: 2; } .dashed { stroke-dasharray: 5 3; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem .9rem; margin: 0; padding: 0;
  list-style: none; font-size: .85rem; }
.legend svg { width: 22px; display: inline-block; vertical-align: middle; margin-right: .3rem; }
"""
"""What a page needs to say in its style sheet."""


def chart(title: str, lines: Sequence[Line], *, x_label: str = "step") -> str:
    """Return a chart as an HTML figure, ``""`` if no line has a point.

    Args:
        title: Above it.
        lines: What is drawn; one with ``reference`` is dashed, in the colour of the line before
            it. Points that are not finite are left out.
        x_label: Below the axis.
    """
    drawn = [(line, _points(line)) for line in lines]
    drawn = [(line, points) for line, points in drawn if points]
    if not drawn:
        return ""
    every = [point for _, points in drawn for point in points]
    x_axis = _Axis([x for x, _ in every], _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis([y for _, y in every], _HEIGHT - _BOTTOM, _TOP)
    parts, legend, colour = [_frame(x_axis, y_axis, x_label)], [], -1
    for line, points in drawn:
        colour += not line.reference or colour < 0
        look = (
            f'class="line{" dashed" * line.reference}" style="stroke:var(--c{colour % _COLOURS})"'
        )
        parts.append(_curve(line, points, x_axis, y_axis, look))
        legend.append(_entry(line, points, look))
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg viewBox="0 0 {_WIDTH} '
        f'{_HEIGHT}" role="img" aria-label="{html.escape(title)}">{"".join(parts)}</svg>'
        f'<ul class="legend">{"".join(legend)}</ul></figure>'
    )


class _Axis:
    """Places numbers between two ends, and names round ones among them."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        if low == high:
            room = abs(low) / 10 or 0.5
            low, high = low - room, high + room
        step = 10 ** math.floor(math.log10((high - low) / 4))
        step *= next(times for times in (1, 2, 2.5, 5, 10) if (high - low) / (times * step) <= 5)
        self.low, self.high = low, high
        first = math.ceil(low / step - 1e-9)
        count = math.floor(high / step + 1e-9) - first + 1
        self.ticks = [(first + number) * step for number in range(count)]
        self._start, self._end = start, end

    def place(self, value: float) -> float:
        """Return where a value is, in the units of the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(self._start + share * (self._end - self._start), 1)


def _points(line: Line) -> list[tuple[float, float]]:
    pairs = zip(line.x, line.y, strict=True)
    return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def _frame(x_axis: _Axis, y_axis: _Axis, x_label: str) -> str:
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.place(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{_name(tick)}</text>')
    for tick in x_axis.ticks:
        x = x_axis.place(tick)
        parts.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{_name(tick)}</text>')
    parts.append(
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}" text-anchor="end">'
        f"{html.escape(x_label)}</text>"
    )
    return "".join(parts)


def _curve(
    line: Line, points: Sequence[tuple[float, float]], x_axis: _Axis, y_axis: _Axis, look: str
) -> str:
    places = [f"{x_axis.place(x)} {y_axis.place(y)}" for x, y in points]
    dots = ""
    if len(points) == 1:
        dots = f'<path {look} stroke-linecap="round" stroke-width="6" d="M{places[0]}h0.1"/>'
    told = f"{line.name}: {_name(points[0][1])} to {_name(points[-1][1])}"
    return f'<path {look} d="M{"L".join(places)}"><title>{html.escape(told)}</title></path>{dots}'


def _entry(line: Line, points: Sequence[tuple[float, float]], look: str) -> str:
    return (
        f'<li><svg viewBox="0 0 22 8" aria-hidden="true"><path {look} d="M0 4H22"/></svg>'
        f"{html.escape(line.name)} <b>{_name(points[-1][1])}</b></li>"
    )


def _name(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{round(value, 10):.3g}"
