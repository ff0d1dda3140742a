"""Pairs of agents as tables for the terminal and Markdown, as CSV and as JSON.

Differences are in points: per cent of the score. Not here: where the numbers come from
(:mod:`.paired`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from memgym.benchmarks.paired import Difference, corrected, paired_difference
from memgym.benchmarks.pooled import PooledSuite
from memgym.benchmarks.power import LEVEL, POWER
from memgym.benchmarks.report import ABILITY_TITLES, INTERVALS, Table, formula, score_table
from memgym.benchmarks.run_folder import csv_text
from memgym.benchmarks.statistics import Estimate, Stratum
from memgym.errors import UsageError

__all__ = ["PairedSuite", "as_csv", "as_json", "notes", "pair", "sentence", "tables"]

_MOST = 100_000  # more episodes than that are told as such


@dataclass(frozen=True, slots=True)
class PairedSuite:
    """All pairs on one suite; p values are corrected within each of the three families.

    Attributes:
        pooled: The methods and their scores.
        macro: One difference of macro means per pair.
        abilities: One per pair and ability.
        sources: One per pair and entry.
    """

    pooled: PooledSuite
    macro: tuple[Difference, ...]
    abilities: tuple[Difference, ...]
    sources: tuple[Difference, ...]


def pair(pooled: PooledSuite, against: str = "") -> PairedSuite:
    """Return the comparisons of all pairs of methods, or of all others with one.

    Args:
        pooled: Of one suite.
        against: The name of a method to compare all others with.

    Raises:
        UsageError: there are no two methods, or none of that name.
    """
    names = [method.name for method in pooled.methods]
    if len(names) < 2:
        raise UsageError(
            f"only {names[0]} is there to compare (the same agent with several seeds is one); give "
            "another run or agent"
        )
    if against and against not in names:
        raise UsageError(f'there is no "{against}" to compare with; there are {", ".join(names)}')
    pairs = [(one, two) for one, two in combinations(names, 2)]
    if against:
        pairs = [(name, against) for name in names if name != against]
    strata = pooled.strata
    abilities: dict[str, list[Sequence[Stratum]]] = {
        ability: [strata[ability]] for ability in pooled.summary.rows[0].abilities
    }
    sources = {item.name: [[item]] for group in strata.values() for item in group}
    macro = {"macro": list(strata.values())}
    return PairedSuite(
        pooled,
        _family(pooled, pairs, macro),
        _family(pooled, pairs, abilities),
        _family(pooled, pairs, sources),
    )


def _family(
    pooled: PooledSuite,
    pairs: Sequence[tuple[str, str]],
    measures: Mapping[str, Sequence[Sequence[Stratum]]],
) -> tuple[Difference, ...]:
    rows = {method.name: pooled.runs_of(method.name) for method in pooled.methods}
    found = [
        paired_difference((one, two), over, groups, rows[one], rows[two])
        for one, two in pairs
        for over, groups in measures.items()
    ]
    return tuple(corrected(found))


def tables(paired: PairedSuite, *, sources: bool = False) -> list[Table]:
    """Return the scores, the differences of macro means, and those by ability.

    Args:
        paired: Of one suite.
        sources: Whether the differences by source are added.
    """
    summary = paired.pooled.summary
    title = f"{summary.suite.name} (version {summary.suite.version})"
    heads = ("first − second", "difference", "p", "corrected p", "episodes to separate")
    rows = tuple(
        (_pair(item), _cell(item), _p(item.p), _p(item.corrected), _needed(item))
        for item in paired.macro
    )
    found = [
        score_table(summary),
        Table(f"{title}: differences of macro means, points", heads, rows),
    ]
    if len(summary.rows[0].abilities) > 1:
        found.append(_wide(f"{title}: differences by ability, points", paired, paired.abilities))
    if sources:
        found.append(_long(f"{title}: differences by source, points", paired.sources))
    return found


def _wide(title: str, paired: PairedSuite, differences: Sequence[Difference]) -> Table:
    """Return a table with a row per pair and a column per measure."""
    cells: dict[str, list[str]] = {}
    for item in differences:
        cells.setdefault(_pair(item), []).append(_cell(item, digits=0) + " *" * item.separated)
    overs = dict.fromkeys(ABILITY_TITLES[item.over] for item in differences)
    rows = tuple((name, *row) for name, row in cells.items())
    return Table(title, ("first − second", *overs), rows)


def _long(title: str, differences: Sequence[Difference]) -> Table:
    """Return a table with a row per pair and measure."""
    rows = (
        (_pair(item), item.over, str(item.episodes), _cell(item), _p(item.corrected))
        for item in differences
    )
    heads = ("first − second", "source", "episodes", "difference", "corrected p")
    return Table(title, heads, tuple(rows))


def _pair(item: Difference) -> str:
    return f"{item.first} − {item.second}"


def _cell(item: Difference, digits: int = 1) -> str:
    if item.low is None or item.high is None:
        return f"{100 * item.mean:+z.1f} (n=1)"
    low, high = (f"{100 * end:+z.{digits}f}" for end in (item.low, item.high))
    return f"{100 * item.mean:+z.1f} [{low}, {high}]"


def _p(value: float) -> str:
    return "<0.001" if value < 0.0005 else f"{value:.3f}"


def _needed(item: Difference) -> str:
    if item.separated:
        return "separated"
    if item.needed is None:
        return "-"
    return f"> {_MOST:,}" if item.needed > _MOST else f"{item.needed:,}"


def sentence(item: Difference) -> str:
    """Return what a difference of macro means says."""
    points = abs(100 * item.mean)
    better, other = (item.first, item.second) if item.mean >= 0 else (item.second, item.first)
    told = f"{better} scores {points:.1f} points above {other} on {item.episodes} episodes"
    if item.separated:
        return f"{told}: a difference that chance hardly makes (p {_p(item.corrected)})."
    told = f"{told}: not separated (p {_p(item.corrected)})"
    if item.needed is None:
        return f"{told}."
    return f"{told}; about {_needed(item)} episodes like these would show such a difference."


def notes(found: Sequence[PairedSuite]) -> list[str]:
    """Return what has to be known to read the tables, one statement per line."""
    lines = []
    for paired in found:
        summary = paired.pooled.summary
        lines.append(
            f"{summary.suite.name}: {len(summary.suite.episodes)} episodes, {summary.questions:,} "
            f"questions per agent, content hash {summary.suite.content_hash[:10]}, reader "
            f"{paired.pooled.reader}."
        )
        lines += [formula(summary), *paired.pooled.notes]
    lines.append(INTERVALS)
    if any(row.runs > 1 for paired in found for row in paired.pooled.summary.rows):
        lines.append(
            "Of an agent with several runs (seeds) the mean over them is compared; intervals draw "
            "the runs, too."
        )
    compared = sum(len(paired.macro) for paired in found[:1])
    lines.append(
        "p: sign-flip test over the paired differences of the episodes, two-sided; corrected for "
        f"the number of comparisons ({compared} of macro means on each suite) after Holm. "
        "* corrected p below 0.05 among all differences by ability."
    )
    lines.append(
        f"Episodes to separate: how many like these would show a difference as large as the one "
        f"found in {100 * POWER:.0f} % of all cases, at a two-sided level of {LEVEL:g} (paired t "
        "test). Where the interval is wide, so is the range of that number."
    )
    return lines


def as_csv(found: Sequence[PairedSuite]) -> str:
    """Return one row per suite, pair and measure; numbers have all their digits."""
    heads = (
        "suite", "measure", "over", "first", "second", "difference", "low", "high", "p",
        "p_corrected", "separated", "episodes", "episodes_to_separate",
    )  # fmt: skip
    return csv_text([heads, *_csv_rows(found)])


def _csv_rows(found: Iterable[PairedSuite]) -> Iterable[Sequence[Any]]:
    for paired in found:
        families = {
            "macro": paired.macro, "ability": paired.abilities, "source": paired.sources,
        }  # fmt: skip
        for measure, differences in families.items():
            for item in differences:
                yield (
                    paired.pooled.summary.suite.name, measure, item.over, item.first, item.second,
                    *("" if value is None else repr(value) for value in (
                        item.mean, item.low, item.high, item.p, item.corrected,
                    )),
                    int(item.separated), item.episodes,
                    "" if item.needed is None else item.needed,
                )  # fmt: skip


def as_json(found: Sequence[PairedSuite]) -> str:
    """Return scores and differences as JSON; scores are from 0 to 1."""
    suites = [
        {
            "name": paired.pooled.summary.suite.name,
            "version": paired.pooled.summary.suite.version,
            "hash": paired.pooled.summary.suite.content_hash,
            "episodes": len(paired.pooled.summary.suite.episodes),
            "questions": paired.pooled.summary.questions,
            "agents": [
                {
                    "name": row.name,
                    "privileged": row.privileged,
                    "runs": row.runs,
                    "macro": _estimate(row.macro),
                    "abilities": {key: _estimate(item) for key, item in row.abilities.items()},
                    "sources": {key: _estimate(item) for key, item in row.entries.items()},
                }
                for row in paired.pooled.summary.rows
            ],
            "differences": {
                "macro": [_difference(item) for item in paired.macro],
                "abilities": [_difference(item) for item in paired.abilities],
                "sources": [_difference(item) for item in paired.sources],
            },
        }
        for paired in found
    ]
    told = {"format": "memgym-comparison/1", "suites": suites, "notes": notes(found)}
    return json.dumps(told, ensure_ascii=False, indent=2) + "\n"


def _estimate(item: Estimate) -> dict[str, Any]:
    return {"mean": item.mean, "low": item.low, "high": item.high, "episodes": item.episodes}


def _difference(item: Difference) -> dict[str, Any]:
    return {
        "first": item.first,
        "second": item.second,
        "over": item.over,
        "difference": item.mean,
        "low": item.low,
        "high": item.high,
        "p": item.p,
        "p_corrected": item.corrected,
        "separated": item.separated,
        "episodes": item.episodes,
        "episodes_to_separate": item.needed,
    }
