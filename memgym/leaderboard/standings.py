"""Who is ahead of whom: submissions in contests, ranked so that a tie is a tie.

A contest is what can be compared at all: the same episodes (suite, version and content hash), the
same track, and the same reader. In it a submission's rank is one more than the number of those that
are ahead of it, and ahead means: the 95 % interval of the paired difference, over the same draws of
the same episodes for both, lies above 0. So two that cannot be told apart share a rank, however
their means are ordered. Each pair is looked at by itself; intervals are not widened for the number
of pairs. Submissions that were shown the golds are shown, and not ranked.

Not here: the bootstrap (:mod:`memgym.benchmarks.statistics`), and how ranks are drawn.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memgym.benchmarks.statistics import Estimate, Stratum, macro_means
from memgym.episode import ABILITIES
from memgym.submissions import TRACKS, Verified

__all__ = ["OVERALL", "Contest", "Difference", "Row", "Standing", "contests", "slug"]

OVERALL = "overall"
"""The view of the macro mean; the other views are one ability each."""

_LEVELS = (2.5, 97.5)
_SLUG = 40  # characters of a name that become part of a file name

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """One submission less another on the same episodes.

    Attributes:
        other: Slug of the other.
        mean: Difference of the scores, -1.0 to 1.0.
        low: Lower end of its 95 % interval, ``None`` if too few episodes allow one.
        high: Upper end.
    """

    other: str
    mean: float
    low: float | None
    high: float | None

    @property
    def ahead(self) -> bool:
        """Whether the first is ahead of the other."""
        return self.low is not None and self.low > 0

    @property
    def behind(self) -> bool:
        """Whether the first is behind the other."""
        return self.high is not None and self.high < 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a submission stands in one view of its contest.

    Attributes:
        estimate: Its score.
        differences: To each other submission of the contest, in the contest's order.
        rank: From 1; ``None`` for one that is not ranked.
        shared: Whether another has the same rank.
    """

    estimate: Estimate
    differences: tuple[Difference, ...]
    rank: int | None
    shared: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A submission and where it stands.

    Attributes:
        slug: Names its page: lower-case letters, digits and hyphens.
        submission: What was verified.
        standings: By view; the views are those of the contest.
    """

    slug: str
    submission: Verified
    standings: Mapping[str, Standing]


@dataclass(frozen=True, slots=True)
class Contest:
    """Submissions that can be compared.

    Attributes:
        number: From 0, in the order of the site.
        views: :data:`OVERALL` and the abilities of the suite.
        rows: From the best to the worst mean.
    """

    number: int
    views: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def first(self) -> Verified:
        """A submission, which tells what all of them share."""
        return self.rows[0].submission


def contests(submissions: Iterable[Verified]) -> tuple[Contest, ...]:
    """Return the contests by suite, track and reader; the order of submissions does not matter."""
    groups: dict[tuple[str, ...], list[Verified]] = {}
    for item in submissions:
        key = (item.suite, item.suite_version, item.suite_hash, item.track, item.reader,
               item.reader_model)  # fmt: skip
        groups.setdefault(key, []).append(item)
    ordered = sorted(
        groups.items(), key=lambda item: (*item[0][:3], TRACKS.index(item[1][0].track), item[0])
    )
    return tuple(_contest(number, group) for number, (_, group) in enumerate(ordered))


def slug(submission: Verified) -> str:
    """Return a file name for a submission: some of its name, and some of the file's hash."""
    words = re.sub(r"[^a-z0-9]+", "-", submission.name.lower())[:_SLUG].strip("-")
    return "-".join(filter(None, [words, submission.sha256[:8]]))


def _contest(number: int, group: Sequence[Verified]) -> Contest:
    group = sorted(group, key=lambda item: (-item.macro.mean, item.name, item.sha256))
    views = (OVERALL, *(name for name in ABILITIES if name in group[0].abilities))
    columns = {view: _standings(group, view) for view in views}
    rows = (
        Row(slug(item), item, {view: columns[view][index] for view in views})
        for index, item in enumerate(group)
    )
    return Contest(number, views, tuple(rows))


def _standings(group: Sequence[Verified], view: str) -> list[Standing]:
    slugs = [slug(item) for item in group]
    differences = _differences(slugs, *macro_means(_strata(group, view)))
    contenders = {slugs[i] for i, item in enumerate(group) if not item.privileged}
    ranks = [
        None if item.privileged
        else 1 + sum(found.behind for found in differences[i] if found.other in contenders)
        for i, item in enumerate(group)
    ]  # fmt: skip
    return [
        Standing(
            item.macro if view == OVERALL else item.abilities[view],
            differences[i],
            ranks[i],
            ranks[i] is not None and ranks.count(ranks[i]) > 1,
        )
        for i, item in enumerate(group)
    ]


def _strata(group: Sequence[Verified], view: str) -> list[list[Stratum]]:
    """Return the scores of all submissions by ability and entry, as the intervals draw them."""
    found: dict[str, dict[str, list[int]]] = {}
    for place, episode in enumerate(group[0].episodes):
        if view in (OVERALL, episode.ability):
            found.setdefault(episode.ability, {}).setdefault(episode.entry, []).append(place)
    return [
        [
            Stratum(entry, [[[item.episodes[place].score] for place in places] for item in group])
            for entry, places in entries.items()
        ]
        for entries in found.values()
    ]


def _differences(
    slugs: Sequence[str], means: Scores, draws: Scores | None
) -> list[tuple[Difference, ...]]:
    """Return, per submission, its differences to all the others."""
    found = []
    for i in range(len(slugs)):
        lows: Sequence[float | None] = [None] * len(slugs)
        highs = lows
        if draws is not None:
            lows, highs = np.percentile(draws[i] - draws, _LEVELS, axis=1).tolist()
        found.append(
            tuple(
                Difference(slugs[j], float(means[i] - means[j]), lows[j], highs[j])
                for j in range(len(slugs))
                if j != i
            )
        )
    return found
