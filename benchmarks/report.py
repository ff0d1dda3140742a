"""Tables of a run: for the terminal, as Markdown, as CSV; and what must be said below them.

The same cells go everywhere. Scores are in per cent. The terminal gets two tables per suite, scores
and what became of the questions, which fit 100 columns and wrap at 80; Markdown gets the same.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.agents.chat import ModelSettings
from memgym.atomic import write_whole
from memgym.benchmarks.parts import WITHOUT_MODEL, make_parts, model_of
from memgym.benchmarks.plan import RunPlan
from memgym.benchmarks.run_folder import Key, csv_text
from memgym.benchmarks.statistics import RESAMPLES, Estimate
from memgym.benchmarks.summary import AgentSummary, SuiteSummary
from memgym.diagnosis import CAUSES
from memgym.envs.settings import Settings
from memgym.errors import UsageError
from memgym.usage import Usage

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = [
    "ABILITY_TITLES", "INTERVALS", "Table", "entry_table", "footer", "formula", "markdown",
    "markdown_page", "part_lines", "print_table", "print_tables", "score_table", "tables",
    "write_reports",
]  # fmt: skip

_DAGGER = " †"
_UNITS = (("k", 1e3), ("M", 1e6), ("G", 1e9))
ABILITY_TITLES: Mapping[str, str] = {
    "accurate_retrieval": "accurate retrieval",
    "test_time_learning": "test-time learning",
    "long_range_understanding": "long-range underst.",
    "conflict_resolution": "conflict resolution",
}
"""What tables call the abilities."""
_COUNTS = ("memory_tokens", "input_tokens", "memory_share", "questions", "failed", *CAUSES)
_RESULT_COLUMNS = ("agent", "episode_id", "source", "split", "ability", "score", "reward")
_STEP_COLUMNS = ("steps", "calls", "valid_calls", "memory_digest")


@dataclass(frozen=True, slots=True)
class Table:
    """A title, column heads, and one row of cells per head; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(summary: SuiteSummary) -> list[Table]:
    """Return the tables of one suite: scores, what became of the questions, models, entries.

    The last one is left out where every ability has a single entry: it would repeat the first; that
    of language models where none was asked.
    """
    title = _title(summary)
    found = [
        score_table(summary),
        Table(f"{title}: memory, and questions not answered in full, %", *_fates(summary.rows)),
    ]
    if any(row.usage for row in summary.rows):
        found.append(Table(f"{title}: language models", *_model_cells(summary.rows)))
    first = summary.rows[0]
    if len(first.entries) > len(first.abilities):
        found.append(entry_table(summary))
    return found


def score_table(summary: SuiteSummary) -> Table:
    """Return the scores by ability; the runs are told where an agent has several."""
    abilities = [ABILITY_TITLES[name] for name in summary.rows[0].abilities]
    several = any(row.runs > 1 for row in summary.rows)
    rows = [
        (
            _name(row),
            *[str(row.runs)] * several,
            *(_cell(item) for item in row.abilities.values()),
            _cell(row.macro),
        )
        for row in summary.rows
    ]
    columns = ("agent", *["runs"] * several, *abilities, "macro mean")
    return Table(f"{_title(summary)}: scores, %", columns, tuple(rows))


def _title(summary: SuiteSummary) -> str:
    return f"{summary.suite.name} (version {summary.suite.version})"


def _fates(
    rows: Sequence[AgentSummary],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    failed = any(row.failed for row in rows)
    heads = [cause.replace("_", " ") for cause in CAUSES] + ["reader failed"] * failed
    cells = (
        (
            _name(row),
            _percent(row.memory_share),
            *(_percent(share) for share in row.causes.values()),
            *[_percent(row.failed)] * failed,
            "?" if row.seconds is None else f"{row.seconds:.1f}",
        )
        for row in rows
    )
    return ("agent", "memory, % of input", *heads, "seconds"), tuple(cells)


_MODEL_COLUMNS = (
    "agent", "memory tokens", "calls", "tokens in", "cached, %", "tokens out", "reader tokens",
    "from disk, %", "retries / failed", "invalid calls, %",
)  # fmt: skip


def _model_cells(
    rows: Sequence[AgentSummary],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return what the agents' models used; readers and judges together are one column."""
    cells = []
    for row in rows:
        own = row.usage.get("agent", Usage())
        others = sum((used for part, used in row.usage.items() if part != "agent"), Usage())
        every = own + others
        cells.append(
            (
                _name(row), _amount(row.memory_tokens), _amount(own.calls),
                _amount(own.prompt_tokens), _share(own.cached_tokens, own.prompt_tokens),
                _amount(own.completion_tokens), _amount(others.tokens),
                _share(every.from_disk, every.calls),
                f"{_amount(every.retries)}/{_amount(every.failures)}",
                _percent(row.invalid_calls),
            )
        )  # fmt: skip
    return _MODEL_COLUMNS, tuple(cells)


def _amount(count: float) -> str:
    """Return a count in at most five characters; ``usage.csv`` has all digits."""
    if count < 9_999.5:
        return f"{count:,.0f}"
    unit, size = next((pair for pair in _UNITS if count < 999.5 * pair[1]), _UNITS[-1])
    digits = 2 if count < 9.995 * size else 1 if count < 99.95 * size else 0
    return f"{count / size:,.{digits}f}{unit}"


def _share(part: int, whole: int) -> str:
    return _percent(part / whole) if whole else "-"


def entry_table(summary: SuiteSummary) -> Table:
    """Return means with entries as rows, because there may be many and their names are long."""
    rows, cells = summary.rows, []
    for name, estimate in rows[0].entries.items():
        means = (_percent(row.entries[name].mean) for row in rows)
        cells.append((f"{name} ({estimate.episodes})", *means))
    heads = ("source (episodes)", *(_name(row) for row in rows))
    return Table(f"{_title(summary)}: scores per source, %", heads, tuple(cells))


def _name(row: AgentSummary) -> str:
    return row.name + _DAGGER * row.privileged


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _cell(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{_percent(estimate.mean)} (n=1)"
    return f"{_percent(estimate.mean)} [{100 * estimate.low:.0f}–{100 * estimate.high:.0f}]"


def footer(plan: RunPlan, summaries: Sequence[SuiteSummary], command: str) -> list[str]:
    """Return what has to be known to read the tables, one statement per line.

    Args:
        plan: What was played.
        summaries: All of its suites.
        command: The command that plays the run again.
    """
    lines = [
        f"{summary.suite.name}: {len(summary.suite.episodes)} episodes, {summary.questions:,} "
        f"questions per agent, content hash {summary.suite.content_hash[:10]}."
        for summary in summaries
    ]
    lines += [
        f"One episode only in {', '.join(summary.single)}: the interval there covers its "
        "questions, not the choice of the text."
        for summary in summaries
        if summary.single
    ]
    lines += _part_lines(plan)
    lines += [formula(summary) for summary in summaries]
    lines.append(INTERVALS)
    lines.append(
        "A question not answered in full counts under one cause: never written to the memory, "
        "lost from it, not retrieved by the reader, or misread."
    )
    lines += _agent_lines(plan)
    lines.append(f"Seed {plan.seed}. Again: {command}")
    return lines


INTERVALS = (
    "[low–high]: 95 % percentile bootstrap, of the episodes within each source and the "
    f"questions within each episode, {RESAMPLES:,} resamples."
)
"""What the brackets of every table mean."""


def formula(summary: SuiteSummary) -> str:
    """Return how the macro mean of a suite is computed, with the names that stand in its tables."""
    abilities = summary.rows[0].abilities
    parts = " + ".join(ABILITY_TITLES[name] for name in abilities)
    of = f"({parts}) / {len(abilities)}" if len(abilities) > 1 else parts
    return (
        f"Macro mean of {summary.suite.name}: {of}; an ability is the plain mean of its sources, a "
        "source of its episodes, an episode of its questions."
    )


def _agent_lines(plan: RunPlan) -> list[str]:
    """Return the lines on the agents' own settings, their models, and those that see the golds."""
    lines = []
    own = []
    for entry in plan.agents:
        settings = plan.suite_settings(plan.suites[0])
        reading = entry.declared.reader_settings.get(settings.reader, {})
        if settings.answer_mode == "agent":
            reading = {}
        chosen = {**entry.declared.settings, **reading, **entry.options}
        if chosen:
            own.append(f"{entry.name} ({_settings(chosen)})")
    if own:
        lines.append(f"Settings of their own: {', '.join(own)}.")
    models: dict[str, list[str]] = {}
    for entry in plan.agents:
        if entry.model is not None:
            models.setdefault(_model(entry.model), []).append(entry.name)
    lines += [f"Model of {', '.join(names)}: {model}." for model, names in models.items()]
    if any(task.uses_model for task in plan.tasks()):
        lines.append(
            "Tokens are the models' own, and those of a reply from disk count as what it once "
            "cost; cached: prompt tokens that the server says it took from its prefix cache; "
            "reader tokens: those of judges too; failed: calls to which no usable reply could be "
            "had. Seconds of an episode are those of its last attempt."
        )
    if any(entry.agent_class.privileged for entry in plan.agents):
        lines.append("† is shown the golds: an upper bound, not a method.")
    return lines


def _model(model: ModelSettings) -> str:
    sampling = f"temperature {model.temperature:g}" if model.temperature else "greedy"
    return f"{model.title} ({model.backend}, {sampling}, replies of at most {model.max_tokens:,})"


def _part_lines(plan: RunPlan) -> list[str]:
    """Return the lines on who answers and who judges; suites that differ are named."""
    lines: dict[str, list[str]] = {}
    for suite in plan.suites:
        for line in part_lines(plan.suite_settings(suite)):
            lines.setdefault(line, []).append(suite.suite.name)
    return [
        line if len(names) == len(plan.suites) else f"{', '.join(names)}: {line}"
        for line, names in lines.items()
    ]


def part_lines(settings: Settings) -> Iterator[str]:
    """Yield who answers and who judges, and the memory budget, one statement each."""
    parts = make_parts(settings)
    if settings.answer_mode == "agent":
        yield "Answers: every agent's own, without a reader (answer mode agent)."
    else:
        yield _reader_line(settings, parts["reader"])
    for role, plain in WITHOUT_MODEL.items():
        if role != "reader" and getattr(settings, role) != plain:
            title = role.replace("_", " ").capitalize()
            yield f"{title}: {getattr(settings, role)}{_asking(parts[role])}."
    if settings.memory_budget:
        yield f"Memory budget: {_budget(settings.memory_budget)}."


def _reader_line(settings: Settings, reader: object) -> str:
    budget = getattr(reader, "budget_tokens", None)
    within = f", {budget:,} {settings.token_counter} tokens of retrieved text" if budget else ""
    line = f"Reader: {settings.reader}{within}{_asking(reader)}."
    if settings.reader == "verbatim":
        line += " It has no model: a score says whether the memory holds and surfaces the answer."
    return line


def _asking(part: object) -> str:
    model = model_of(part)
    return f", model {_model(model)}" if model is not None else ""


def _budget(budget: float) -> str:
    return f"{budget:,} tokens" if isinstance(budget, int) else f"{100 * budget:g} % of the text"


def _settings(settings: Mapping[str, Any]) -> str:
    flat = []
    for name, value in settings.items():
        inner = value.items() if isinstance(value, Mapping) else [(None, value)]
        flat += [f"{key or name} {item}" for key, item in inner]
    return ", ".join(flat)


def print_tables(console: "Console", summaries: Iterable[SuiteSummary]) -> None:
    """Print the tables with rich; long cells wrap at their spaces on a narrow terminal."""
    for summary in summaries:
        for table in tables(summary):
            print_table(console, table)


def print_table(console: "Console", table: Table) -> None:
    """Print one table and an empty line."""
    console.print(_rich_table(table))
    console.print()


def _rich_table(table: Table) -> "RenderableType":
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    rich = RichTable(
        title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        padding=(0, 1), collapse_padding=True, pad_edge=False,
    )  # fmt: skip
    for index, column in enumerate(table.columns):
        # Folding breaks a long name where rich would cut it off with an ellipsis.
        rich.add_column(
            Text(_narrow(column, [row[index] for row in table.rows])),
            justify="right" if index else "left",
            overflow="fold",
        )
    for row in table.rows:
        rich.add_row(*(_styled(cell) for cell in row))
    return rich


def _narrow(head: str, cells: Sequence[str]) -> str:
    """Return a head in lines that are no wider than its longest word and its cells."""
    return textwrap.fill(head, max(map(len, [*head.split(), *cells])), break_on_hyphens=False)


def _styled(cell: str) -> "RenderableType":
    from rich.text import Text

    text = Text(cell)
    text.highlight_regex(r"\[.*\]|\(n=1\)", "dim")
    return text


def markdown(summaries: Iterable[SuiteSummary], notes: Sequence[str]) -> str:
    """Return the tables and the lines below them as Markdown."""
    return markdown_page([table for summary in summaries for table in tables(summary)], notes)


def markdown_page(found: Iterable[Table], notes: Sequence[str]) -> str:
    """Return tables and the lines below them as Markdown."""
    blocks = [_markdown_table(table) for table in found]
    blocks.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(blocks) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [_markdown_row(table.columns), "|---" + "|---:" * (len(table.columns) - 1) + "|"]
    lines += [_markdown_row(row) for row in table.rows]
    return f"**{table.title}**\n\n" + "\n".join(lines)


def _markdown_row(cells: Iterable[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def write_reports(
    folder: Path,
    summaries: Sequence[SuiteSummary],
    records: Mapping[Key, Mapping[str, Any]],
    notes: Sequence[str],
) -> None:
    """Write ``summary.md``, ``summary.csv`` and ``episodes.csv`` into the run folder.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        write_whole(folder / "summary.md", markdown(summaries, notes))
        write_whole(folder / "summary.csv", csv_text(_summary_rows(summaries)))
        write_whole(folder / "episodes.csv", csv_text(_episode_rows(summaries, records)))
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error


def _summary_rows(summaries: Sequence[SuiteSummary]) -> Iterable[Sequence[Any]]:
    """Yield one row per suite, agent and figure; no wall time, so that the file can be compared."""
    yield (
        "suite", "agent", "privileged", "measure", "over", "mean", "low", "high", "episodes",
        "questions",
    )  # fmt: skip
    for summary in summaries:
        for row in summary.rows:
            head = (summary.suite.name, row.name, int(row.privileged))
            for over, item in [("macro", row.macro), *row.abilities.items(), *row.entries.items()]:
                ends = ("" if end is None else repr(end) for end in (item.low, item.high))
                yield *head, "score", over, repr(item.mean), *ends, item.episodes, item.questions
            shares = {"memory_share": row.memory_share, "failed": row.failed, **row.causes}
            for measure, share in shares.items():
                counts = len(summary.suite.episodes), summary.questions
                yield *head, measure, "all", share, "", "", *counts


def _episode_rows(
    summaries: Sequence[SuiteSummary], records: Mapping[Key, Mapping[str, Any]]
) -> Iterable[Sequence[Any]]:
    yield ("suite", "entry", *_RESULT_COLUMNS, *_COUNTS, *_STEP_COLUMNS)
    for summary in summaries:
        for episode in summary.suite.episodes:
            for row in summary.rows:
                record = records[row.name, episode.id]
                yield (
                    summary.suite.name, episode.entry, *(record[name] for name in _RESULT_COLUMNS),
                    *(record["metrics"][name] for name in _COUNTS),
                    *(record[name] for name in _STEP_COLUMNS),
                )  # fmt: skip
