"""What ``memgym data`` prints: an episode to read, size figures, overlaps, the sources page."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memgym.episode import Episode, Question
    from memgym.tasks.datasets import Dataset
    from memgym.tasks.overlap import Overlap, Place
    from memgym.tasks.source import Source

__all__ = [
    "COLUMNS",
    "availability",
    "episode_text",
    "markdown_page",
    "overlap_text",
    "statistics_row",
]

COLUMNS = (
    "name", "instances", "chunks", "tokens per chunk", "questions", "with evidence", "paper",
)  # fmt: skip
"""Headings of :func:`statistics_row`."""

_PAGE = """\
# Data sources

Written by `memgym data stats --markdown > docs/sources.md`; do not edit. Every source is played
with `gym.make("MemAlpha-v0", source="<name>", split="<split>")`. Its card (origin, what is kept,
what the published pipeline did and where ours differs) is the docstring of its module in
`memgym/tasks/`.

| source | ability | licence of the data | splits | what it is |
|---|---|---|---|---|
{sources}

## Sizes

Measured on the data that was at hand when this page was written, with default options; of endless
sources the first {endless} episodes. Chunks and questions are means per instance, tokens
(`o200k_base`) means per chunk. The last column gives the paper's own figures for the data set that
stands for the same skill (arXiv 2509.25911, Tables 6 and 8, Qwen3 tokens), in the same order.

| {columns} |
|{rule}|
{sizes}
"""


def availability(source: "Source", folder: Path | None) -> str:
    """Return whether a source can be used here, or what is missing."""
    from memgym.tasks.datasets import is_available

    if not source.needs_data:
        return "embedded" if source.name.startswith("procedural") else "option path"
    if is_available(source.name, folder):
        return "here"
    place = f"{source.needs_data}/"
    return f"no {place}" if folder is not None else f"wants {place} in a data folder"


def statistics_row(dataset: "Dataset") -> tuple[str, ...]:
    """Return the figures of a dataset as cells, see :data:`COLUMNS`."""
    from memgym.tasks.statistics import PUBLISHED, measure

    figures = measure(dataset)
    name, _, split = dataset.name.partition(":")
    paper = PUBLISHED.get((name, split))
    return (
        dataset.name,
        f"{figures.instances:,}",
        f"{figures.chunks:.1f}",
        f"{figures.chunk_tokens:,.0f}",
        f"{figures.questions:.1f}",
        f"{figures.with_evidence:.0%}",
        ""
        if paper is None
        else f"{paper.name}: {paper.instances:,} / {paper.chunks:g} / {paper.chunk_tokens:,.0f} / "
        f"{paper.questions:g}",
    )


def markdown_page(rows: Iterable[Sequence[str]]) -> str:
    """Return the documentation page of all sources, with the size figures of some datasets."""
    from memgym.tasks.datasets import ENDLESS_EPISODES
    from memgym.tasks.registry import get_source, source_names

    sources = (
        (
            f"`{source.name}`",
            (source.ability or "several").replace("_", " "),
            source.licence,
            ", ".join(source.splits),
            source.summary,
        )
        for source in map(get_source, source_names())
    )
    return _PAGE.format(
        sources="\n".join(map(_markdown_row, sources)),
        endless=ENDLESS_EPISODES,
        columns=" | ".join(COLUMNS),
        rule="|".join(["---", *["---:"] * 5, "---"]),
        sizes="\n".join(_markdown_row((f"`{row[0]}`", *row[1:])) for row in rows),
    )


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def episode_text(episode: "Episode") -> str:
    """Return an episode as text to read: chunks, then questions with golds and evidence."""
    ability = episode.ability.replace("_", " ")
    parts = [
        f"{episode.id}\n{episode.source}, {ability}: {len(episode.chunks)} chunks, "
        f"{len(episode.questions)} questions"
    ]
    for number, chunk in enumerate(episode.chunks):
        parts.append(f"--- chunk {number}\n{chunk}")
    for number, question in enumerate(episode.questions):
        parts.append(f"--- question {number} ({question.kind})\n{_question_text(question)}")
    return "\n\n".join(parts)


def _question_text(question: "Question") -> str:
    lines = [question.question, f"  gold: {' | '.join(question.answers)}"]
    if question.distractors:
        lines.append(f"  wrong: {' | '.join(question.distractors)}")
    if question.asked_after is not None:
        lines.append(f"  asked after chunk {question.asked_after}")
    lines += [f"  evidence in chunk {item.chunk}: {item.text}" for item in question.evidence]
    return "\n".join(lines)


def overlap_text(first: str, second: str, overlaps: Sequence["Overlap"], shown: int) -> str:
    """Return what two datasets share: the number of each kind, and the first pairs of each."""
    lines = [f"{first} and {second} share:"]
    for kind, count in Counter(overlap.kind for overlap in overlaps).items():
        lines.append(f"  {count} x {kind}")
        same = [overlap for overlap in overlaps if overlap.kind == kind]
        for overlap in same[:shown]:
            lines.append(f"    {_place(overlap.first)} = {_place(overlap.second)}")
            lines.append(f"      {overlap.text[:200]}")
    return "\n".join(lines)


def _place(place: "Place") -> str:
    return f"{place.episode} {place.part}"
