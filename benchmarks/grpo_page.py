"""The report on trained policies: Markdown, HTML, JSON and pictures.

Not here: where the numbers come from (:mod:`.grpo_results`).
"""

import dataclasses
import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from memgym.atomic import write_whole
from memgym.benchmarks.document import (
    Heading,
    Part,
    Picture,
    Table,
    Text,
    as_html,
    as_markdown,
)
from memgym.benchmarks.grpo_results import Block, Comparison, Condition, Report, Row
from memgym.benchmarks.sb3_results import budget_name
from memgym.benchmarks.statistics import Interval
from memgym.diagnosis import CAUSES
from memgym.pictures import Line, draw_lines

__all__ = ["findings", "score_rows", "write_report"]

_LEGEND = 32  # characters of a line of the legend
_LENGTH = "length of the text, times that of training"

_TITLE = "Trained policies on episodes of the {} split"
_HOW = (
    "All figures are means over seeds and episodes. r1: answers that are right; r2: calls that "
    "succeed; r3: how much smaller the memory is than the text; r4: written items that are valid; "
    "return: their sum, weighted as in training. Brackets are 95 % intervals (percentile "
    "bootstrap; episodes and seeds are drawn with replacement). p: two-sided sign-flip test of "
    "the difference over episodes, each policy by its mean over seeds; corrected: for all rows of "
    "the table that begin with the same policy (Holm). Models play greedily. Start is the policy "
    "before GRPO; best, or after GRPO, the one that was best on the validation split. † is shown "
    "the golds: an upper bound, not a method."
)


def write_report(report: Report, out: Path) -> Path:
    """Write ``report.md``, ``report.html``, ``report.json`` and the pictures; return the first.

    Raises:
        UsageError: matplotlib is not installed.
    """
    title = _TITLE.format(report.settings.split)
    parts: list[Part] = [Heading(1, title)]
    parts += [Text(line) for line in findings(report)]
    if report.outdated:
        parts.append(
            Text(
                f"{report.outdated} of {report.results} results were played with other versions of "
                "memgym's own files; delete results.jsonl to have them played again."
            )
        )
    parts += _overview(report)
    parts += [Picture(name, drawn) for name, drawn in _draw(report, out)]
    for series in _series(report, _by_length):
        parts += _length_table(series)
    for series in _series(report, _by_budget):
        parts += _budget_table(series)
    for block in report.blocks:
        parts += _block(report, block)
    parts += [Heading(2, "How to read it"), Text(_HOW)]
    write_whole(out / "report.json", json.dumps(dataclasses.asdict(report), indent=1) + "\n")
    write_whole(out / "report.html", as_html(parts, title, out))
    page = out / "report.md"
    write_whole(page, as_markdown(parts))
    return page


def findings(report: Report) -> list[str]:
    """Return what the numbers say of the first variant of each block, one sentence each.

    Of the baselines only the best is named that sees no golds.
    """
    lines = []
    for block in report.blocks:
        scripted = [row for row in block.rows if not (row.variant or row.privileged)]
        best = sorted(scripted, key=lambda row: -row.r1.mean)[:1]
        *before, after = [row for row in block.rows if row.variant == block.variants[0]]
        shown = [after, *before, *best]
        words = [f"{row.name} {_percent(row.r1)}" for row in shown]
        words += [
            f"{_points(item.difference)} points over {item.second} ({_p(item.corrected)})"
            for item in block.comparisons
            if item.first == after.name and item.second in [row.name for row in shown]
        ]
        lines.append(f"{_place(block)}: {'; '.join(words)}.")
    return lines


def score_rows(block: Block) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return heads and rows of the table of scores."""
    heads = ("policy", "seeds", "r1, %", "r2, %", "r3, %", "r4, %", "return", "memory, %")
    rows = [
        (
            _name(row),
            str(len(row.seeds) or "-"),
            _percent(row.r1),
            *(f"{100 * value:.1f}" for value in (row.r2, row.r3, row.r4)),
            f"{row.total:.3f}",
            f"{100 * row.memory_share:.1f}",
        )
        for row in block.rows
    ]
    return heads, list[Sequence[str]](rows)


# ---------------------------------------------------------------------- cells


def _name(row: Row) -> str:
    return row.name + " †" * row.privileged


def _percent(value: Interval) -> str:
    return f"{100 * value.mean:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"


def _points(value: Interval) -> str:
    return f"{100 * value.mean:+.1f} [{100 * value.low:+.1f}, {100 * value.high:+.1f}]"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _place(block: Block) -> str:
    """Return the condition in words."""
    condition = block.condition
    words = ["own memory budget"]
    if condition.budget is not None:
        words = [f"{budget_name(condition.budget)} of memory"]
    if condition.length != 1:
        words.append(f"length ×{condition.length}")
    return ", ".join(filter(None, [*words, block.differs]))


def _note(report: Report, block: Block) -> str:
    seeds = {row.seeds: None for row in block.rows if row.seeds}
    played = " or ".join(", ".join(map(str, item)) for item in seeds)
    return " ".join(
        [
            *block.parts,
            f"Source: {block.source}, split {report.settings.split}; {block.episodes} episodes, "
            f"{block.questions} questions per policy and seed; seeds {played}.",
        ]
    )


# ---------------------------------------------------------------------- tables


def _block(report: Report, block: Block) -> list[Part]:
    note = _note(report, block)
    place = _place(block)
    parts: list[Part] = [Heading(2, place[:1].upper() + place[1:])]
    parts.append(Table(*score_rows(block), note))
    if block.comparisons:
        parts += [Heading(3, "Differences in r1, points"), Table(*_differences(block), note)]
    if any(len(row.seeds) > 1 for row in block.rows):
        parts += [Heading(3, "r1 of each seed, %"), Table(*_by_seed(block), note)]
    if any(len(row.abilities) > 1 for row in block.rows):
        names = list(block.rows[0].abilities)
        parts += [Heading(3, "r1 by ability, %"), _shares(block, names, _abilities, note)]
    names = ["right", *CAUSES]
    parts += [
        Heading(3, "Questions by what became of them, %"),
        _shares(block, names, _causes, note),
    ]
    names = sorted({name for row in block.rows for name in row.calls})
    return [*parts, Heading(3, "Tool calls"), _calls(block, names, note)]


def _differences(block: Block) -> tuple[Sequence[str], list[Sequence[str]]]:
    rows: list[Sequence[str]] = [
        (
            f"{item.first} - {item.second}",
            _points(item.difference),
            _small(item.p),
            _small(item.corrected),
        )
        for item in block.comparisons
    ]
    return ("policies", "difference", "p", "p corrected"), rows


def _small(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"


def _by_seed(block: Block) -> tuple[Sequence[str], list[Sequence[str]]]:
    seeds = sorted({seed for row in block.rows for seed in row.seeds})
    rows: list[Sequence[str]] = []
    for row in block.rows:
        if row.seeds:
            found = dict(zip(row.seeds, row.by_seed, strict=True))
            cells = (f"{100 * found[seed]:.1f}" if seed in found else "-" for seed in seeds)
            rows.append((row.name, *cells))
    return ("policy", *(f"seed {seed}" for seed in seeds)), rows


def _abilities(row: Row, name: str) -> float:
    return row.abilities[name]


def _causes(row: Row, name: str) -> float:
    return row.causes.get(name, 0.0)


def _shares(
    block: Block, names: Sequence[str], value: Callable[[Row, str], float], note: str
) -> Table:
    rows = [
        (_name(row), *(f"{100 * value(row, name):.1f}" for name in names)) for row in block.rows
    ]
    return Table(("policy", *(name.replace("_", " ") for name in names)), rows, note)


def _calls(block: Block, names: Sequence[str], note: str) -> Table:
    rows = [
        (
            _name(row),
            f"{row.calls_per_response:.2f}",
            f"{100 * row.failed_calls:.1f}",
            *(f"{100 * row.calls.get(name, 0.0):.1f}" for name in names),
        )
        for row in block.rows
    ]
    heads = ("policy", "per response", "failed, %", *(f"{name}, %" for name in names))
    return Table(heads, rows, note)


def _overview(report: Report) -> list[Part]:
    """Return what became of each variant, if there are several."""
    shown = [block for block in report.blocks if block.condition == report.blocks[0].condition]
    heads = ("variant", "seeds", *report.settings.models, "gain, points", "p corrected")
    rows: list[Sequence[str]] = []
    for block in shown:
        for name in block.variants:
            found = {row.model: row for row in block.rows if row.variant == name}
            ends = [row.name for row in found.values()]
            gain = next(filter(lambda item: _joins(item, ends), block.comparisons), None)
            cells = [found[model].r1 if model in found else None for model in heads[2:-2]]
            rows.append(
                (
                    name,
                    str(len(next(iter(found.values())).seeds)),
                    *(_percent(cell) if cell else "-" for cell in cells),
                    _points(gain.difference) if gain else "-",
                    _small(gain.corrected) if gain else "-",
                )
            )
    if len(rows) < 2:
        return []
    notes = dict.fromkeys(_note(report, block) for block in shown)
    return [Heading(2, "Variants: r1, %"), Table(heads, rows, " ".join(notes))]


def _joins(item: Comparison, names: Sequence[str]) -> bool:
    """Whether it compares the last of the rows with the first."""
    return len(names) > 1 and (item.first, item.second) == (names[-1], names[0])


# ---------------------------------------------------------------------- series of blocks


def _by_length(condition: Condition) -> object:
    return condition.budget


def _by_budget(condition: Condition) -> object:
    return condition.length


def _series(report: Report, same: Callable[[Condition], object]) -> list[list[Block]]:
    """Return blocks that differ in one thing about the condition, several of each."""
    found: dict[tuple[object, ...], list[Block]] = {}
    for block in report.blocks:
        found.setdefault((same(block.condition), block.variants), []).append(block)
    return [blocks for blocks in found.values() if len(blocks) > 1]


def _length_table(series: Sequence[Block]) -> list[Part]:
    """Return r1 at each length, and in brackets what is kept of that at the first one."""
    rows: list[Sequence[str]] = []
    for row in series[0].rows:
        found = [_row(block, row.name) for block in series]
        cells = [_percent(item.r1) for item in found]
        if row.r1.mean > 0:
            kept = (f"; {100 * item.r1.mean / row.r1.mean:.0f} % kept" for item in found[1:])
            cells[1:] = map("".join, zip(cells[1:], kept, strict=True))
        rows.append((_name(row), *cells))
    first = series[0]
    heads = ("policy", *(f"×{block.condition.length}" for block in series))
    budget = first.condition.budget
    at = "own memory budget" if budget is None else f"{budget_name(budget)} of memory"
    note = _series_note(series) + " Kept: of the score at the first length."
    return [Heading(2, f"r1 by length of the text, %, {at}"), Table(heads, rows, note)]


def _budget_table(series: Sequence[Block]) -> list[Part]:
    rows = [
        (_name(row), *(_percent(_row(block, row.name).r1) for block in series))
        for row in series[0].rows
    ]
    heads = ("policy", *(budget_name(block.condition.budget or 0.0) for block in series))
    title = f"r1 by memory budget, %, length ×{series[0].condition.length}"
    return [Heading(2, title), Table(heads, rows, _series_note(series))]


def _series_note(series: Sequence[Block]) -> str:
    """Return what is the same in all blocks; of what differs the tables of each tell."""
    same = [part for part in series[0].parts if all(part in block.parts for block in series)]
    first = series[0]
    seeds = max(len(row.seeds) for row in first.rows)
    return " ".join(
        [
            *same,
            f"{first.episodes} episodes, {first.questions} questions per policy and seed, up to "
            f"{seeds} seeds; the first column's source: {first.source}.",
        ]
    )


def _row(block: Block, name: str) -> Row:
    return next(row for row in block.rows if row.name == name)


# ---------------------------------------------------------------------- pictures


def _draw(report: Report, out: Path) -> Iterable[tuple[str, str]]:
    """Draw what there is to draw; yield name and title of each picture."""
    first = report.blocks[0]
    models = [row for row in first.rows if row.variant == first.variants[0]]
    if len(models) > 1:
        title = f"Answers right on the {report.settings.split} split: {first.variants[0]}"
        draw_lines(
            out / "score_of_each_seed", _seed_lines(first, models), title=title, x_label="",
            y_label="r1, %", x_names=[row.name.removeprefix(f"{row.variant}, ") for row in models],
        )  # fmt: skip
        yield "score_of_each_seed", title
    for series in _series(report, _by_length)[:1]:
        lengths = [block.condition.length for block in series]
        yield _draw_series(report, out / "score_against_length", series, lengths, _LENGTH)
    for series in _series(report, _by_budget)[:1]:
        budgets = [block.condition.budget or 0.0 for block in series]
        shares = [100 * budget for budget in budgets if isinstance(budget, float)]
        if not shares or len(shares) == len(budgets):
            label = "memory budget, " + ("% of the text" if shares else "tokens")
            places = shares or budgets
            yield _draw_series(report, out / "score_against_memory", series, places, label)


def _draw_series(
    report: Report, path: Path, series: Sequence[Block], places: Sequence[float], label: str
) -> tuple[str, str]:
    title = f"Answers right, {report.settings.split} split"
    lines = _series_lines(series, places)
    draw_lines(path, lines, title=title, x_label=label, y_label="r1, %", x_ticks=places)
    return path.name, title


def _seed_lines(block: Block, models: Sequence[Row]) -> list[Line]:
    places = list(range(len(models)))
    lines = [
        Line(f"seed {seed}", places, [100 * row.by_seed[number] for row in models])
        for number, seed in enumerate(models[0].seeds)
    ]
    lines += [
        Line(_name(row), places, [100 * row.r1.mean] * len(places), reference=True)
        for row in block.rows
        if not row.variant
    ]
    return lines


def _series_lines(series: Sequence[Block], places: Sequence[float]) -> list[Line]:
    """Return all of the first variant, the last models of the others, and the baselines."""
    lines = []
    variants = series[0].variants
    last = {row.variant: row.name for row in series[0].rows}
    for row in series[0].rows:
        if row.variant in variants[1:] and row.name != last[row.variant]:
            continue
        found = [_row(block, row.name).r1 for block in series]
        means, lows, highs = (
            [100 * getattr(item, end) for item in found] for end in ("mean", "low", "high")
        )
        name = textwrap.fill(_name(row), _LEGEND)
        lines.append(Line(name, places, means, lows, highs, reference=not row.variant))
    return lines
