"""Where everything of a scatter picture goes: score, with its interval, against something counted.

The x axis is logarithmic, with a lane of its own at the left for nothing at all (no memory, no
language model). Names stand beside their points where there is room. Here are places in pixels
only; the template ``scatter.html`` draws them.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from memgym.leaderboard.standings import Contest, Row
from memgym.leaderboard.words import compact
from memgym.submissions import Verified

__all__ = ["HEIGHT", "WIDTH", "Point", "Scatter", "Tick", "scatter"]

WIDTH, HEIGHT = 480, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 14, 46
_LANE = 46  # width of the lane for nothing
_LETTER, _LINE, _GAP = 7.4, 15, 8  # of the names: width, height, distance from the point
_LONGEST = 18


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and what it is called."""

    place: float
    name: str


@dataclass(frozen=True, slots=True)
class Point:
    """A submission in the picture.

    Attributes:
        row: The submission.
        x: Pixels from the left.
        y: Pixels from the top.
        low: Lower end of the interval, pixels from the top.
        high: Upper end.
        label: Its name, shortened; ``""`` where there is no room for it.
        label_x: Where the name is.
        label_y: Its base line.
        anchor: How it lies to that place: ``start``, ``end`` or ``middle``.
    """

    row: Row
    x: float
    y: float
    low: float
    high: float
    label: str
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Scatter:
    """A picture of one view of a contest.

    Attributes:
        points: In the order of the contest.
        x_ticks: Along the bottom.
        y_ticks: Along the left side.
        lane: Right end of the lane for nothing; 0 where no submission is in it.
        right: Right end of the plane.
        bottom: Lower end of the plane.
        left: Left end of the plane.
        top: Upper end of the plane.
    """

    points: tuple[Point, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lane: float
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


def scatter(contest: Contest, view: str, amount: Callable[[Verified], float]) -> Scatter:
    """Return the picture of one view of a contest.

    Args:
        contest: Of at least one submission.
        view: One of the contest's.
        amount: What lies to the right; not below 0.
    """
    amounts = [amount(row.submission) for row in contest.rows]
    axis = _Axis(amounts)
    # Names are placed from the best on, so that it is these that have theirs.
    taken = [
        _box(axis.place(x), _y(_mean(row, view)))
        for row, x in zip(contest.rows, amounts, strict=True)
    ]
    points = tuple(
        _point(row, view, axis.place(x), taken)
        for row, x in zip(contest.rows, amounts, strict=True)
    )
    y_ticks = tuple(Tick(_y(share / 100), str(share)) for share in range(0, 101, 20))
    return Scatter(points, axis.ticks(), y_ticks, axis.lane)


class _Axis:
    """The logarithmic axis."""

    def __init__(self, amounts: Sequence[float]) -> None:
        some = [amount for amount in amounts if amount > 0]
        self.lane = _LEFT + _LANE if len(some) < len(amounts) else 0.0
        low = math.floor(math.log10(min(some)) * 2 - 0.2) / 2 if some else 0.0
        high = math.ceil(math.log10(max(some)) * 2 + 0.2) / 2 if some else 1.0
        self._some, self._low, self._high = bool(some), low, max(high, low + 1)

    def place(self, amount: float) -> float:
        if amount <= 0:
            return _LEFT + _LANE / 2
        start, end = (self.lane or _LEFT), WIDTH - _RIGHT
        share = (math.log10(amount) - self._low) / (self._high - self._low)
        return round(start + share * (end - start), 1)

    def ticks(self) -> tuple[Tick, ...]:
        names = [Tick(self.place(0), "none")] if self.lane else []
        if not self._some:
            return tuple(names)
        wide = self._high - self._low
        factors = (1, 2, 5) if wide <= 2 else (1, 3) if wide <= 3 else (1,)
        for power in range(math.floor(self._low), math.ceil(self._high) + 1):
            for factor in factors:
                amount = factor * 10.0**power
                if self._low <= math.log10(amount) <= self._high:
                    names.append(Tick(self.place(amount), compact(amount)))
        # The name of the lane has the room around it.
        return tuple(tick for tick in names if tick.name == "none" or tick.place > self.lane + _GAP)


def _mean(row: Row, view: str) -> float:
    return row.standings[view].estimate.mean


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * (HEIGHT - _BOTTOM - _TOP), 1)


_Box = tuple[float, float, float, float]


def _box(x: float, y: float) -> _Box:
    return x - 6, y - 6, x + 6, y + 6


def _point(row: Row, view: str, x: float, taken: list[_Box]) -> Point:
    estimate = row.standings[view].estimate
    y = _y(estimate.mean)
    low, high = (_y(estimate.mean if end is None else end) for end in (estimate.low, estimate.high))
    name = row.submission.name
    label = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    for label_x, label_y, anchor in _sides(x, y):
        box = _label_box(label_x, label_y, anchor, len(label) * _LETTER)
        if _inside(box) and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            return Point(row, x, y, low, high, label, label_x, label_y, anchor)
    return Point(row, x, y, low, high, "", x, y, "start")


def _sides(x: float, y: float) -> Iterable[tuple[float, float, str]]:
    yield x + _GAP, y + 4, "start"
    yield x - _GAP, y + 4, "end"
    for away in (0, _LINE, 2 * _LINE):
        yield x + _GAP, y - 9 - away, "start"
        yield x + _GAP, y + 17 + away, "start"
        yield x - _GAP, y - 9 - away, "end"
        yield x - _GAP, y + 17 + away, "end"


def _label_box(x: float, y: float, anchor: str, width: float) -> _Box:
    left = x if anchor == "start" else x - width
    return left, y - _LINE + 3, left + width, y + 3


def _inside(box: _Box) -> bool:
    left, top, right, bottom = box
    return left >= _LEFT and top >= 0 and right <= WIDTH and bottom <= HEIGHT - _BOTTOM + 2


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
