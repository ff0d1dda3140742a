"""FactConsolidation: long lists of numbered facts, many of which a later fact contradicts.

Dataset card
    Origin: split ``Conflict_Resolution`` of MemoryAgentBench (Hu et al. 2025, "Evaluating Memory in
    LLM Agents via Incremental Multi-Turn Interactions", arXiv 2507.05257), made from the edited
    facts of MQuAKE (Zhong et al. 2023, arXiv 2305.14795). Licence: MIT. Ability: conflict
    resolution. The published parquet file is read by source ``memoryagentbench``; this source reads
    the same rows as text: in ``<data>/factconsolidation`` either ``*.json`` (a row, a list of rows,
    or an object with a list ``data``) or ``*.jsonl``, rows having ``context``, ``questions``,
    ``answers`` and ``metadata.source``; or ``NAME.txt`` with one numbered fact a line and
    ``NAME.questions.jsonl`` with ``question`` and ``answers``.
    Episodes: one row each, its facts in order, packed into chunks. Every chunk says that the higher
    number counts where facts disagree, which the published prompt says before each question.
    Question kinds: ``state`` for single-hop rows (``_sh_`` in the name), distractors being the
    values that the answering fact's contradicted predecessors had; ``text`` for multi-hop rows
    (``_mh_``), because the last fact of a chain does not name what the question is about, by which
    the reader of states finds it. Rows of other names: each question by what is found for it.
    Evidence, which the data do not give, by rule (see :mod:`memgym.tasks.fact_chains`): the valid
    fact that ends in the gold and is about what the question names, or the shortest chain of valid
    facts that leads from the question to the gold. ``metadata["without_evidence"]`` counts the
    questions for which the rule finds none; they are asked all the same.
    Left out and counted: questions asked before in the row.
    The published scorer looks for the gold anywhere in the answer, so that naming both the old and
    the new value counts as right; ``state`` does not let that pass.

Splits
    ``test`` only: MemoryAgentBench tests on these rows.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from memgym.episode import Episode, Evidence, Question
from memgym.errors import UsageError, nearest
from memgym.tasks.chunking import check_sizes, conversation, pack
from memgym.tasks.fact_chains import FactIndex
from memgym.tasks.files import (
    data_path,
    digest,
    field,
    find_files,
    read_json,
    read_json_lines,
    read_text,
)
from memgym.tasks.procedural.engine import generator
from memgym.tasks.source import CONFLICT_PREFACE, EpisodeSet, ListedEpisodes, parse_options

__all__ = ["FactConsolidationOptions", "load", "row_episode"]

_ORIGIN = (
    "rows of split Conflict_Resolution as JSON (context, questions, answers, metadata), "
    "hub dataset ai-hyz/MemoryAgentBench"
)
_QUESTIONS = ".questions.jsonl"
_FACT = re.compile(r"\s*(\d+)\.\s+(\S.*?)\s*$")
_RULE = "Where two of these facts disagree, the one with the higher number is true."


@dataclass(frozen=True, slots=True)
class FactConsolidationOptions:
    """Options of the ``factconsolidation`` source.

    Attributes:
        name: Only rows of this name, such as ``factconsolidation_sh_6k``; empty for all.
        questions: Most questions of one episode, the first ones.
        min_tokens: Smallest target size of a chunk, tokens.
        max_tokens: Largest size of a chunk, tokens.
        path: A file or a folder of them, instead of ``<data>/factconsolidation``.
    """

    name: str = ""
    questions: int = 100
    min_tokens: int = 1_000
    max_tokens: int = 2_048
    path: str = ""

    def __post_init__(self) -> None:
        check_sizes(self.min_tokens, self.max_tokens)
        if self.questions < 1:
            raise UsageError(f"questions must be at least 1, got {self.questions}")


@dataclass(frozen=True, slots=True)
class _Row:
    """``facts``: (number, sentence) in order. ``asked``: (question, golds)."""

    name: str
    facts: tuple[tuple[int, str], ...]
    asked: tuple[tuple[str, tuple[str, ...]], ...]


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the FactConsolidation episodes; there is only split ``test``.

    Raises:
        UsageError: a bad option, missing files, or a file of another layout (names the row).
    """
    chosen = parse_options(FactConsolidationOptions, options, "factconsolidation")
    folder = data_path(data, "factconsolidation", chosen.path, "factconsolidation", _ORIGIN)
    excluded: Counter[str] = Counter()
    rows = list(_rows(folder, excluded))
    if chosen.name:
        names = [row.name for row in rows]
        rows = [row for row in rows if row.name == chosen.name]
        if not rows:
            raise UsageError(
                f'source "factconsolidation": no row "{chosen.name}": '
                f"{nearest(chosen.name, dict.fromkeys(names))}"
            )
    settings = str({**asdict(chosen), "path": ""})
    by_id = {
        f"factconsolidation/{split}/{row.name}-{digest(settings, repr(row))[:8]}": row
        for row in rows
    }
    excluded.update({"row met before": len(rows) - len(by_id)} if len(by_id) < len(rows) else {})
    ids = list(by_id)

    def make(index: int) -> Episode:
        return _episode(ids[index], split, by_id[ids[index]], chosen)

    return ListedEpisodes(f"factconsolidation/{split}", ids, make, excluded)


def row_episode(identifier: str, record: Any, max_tokens: int, where: str) -> Episode:
    """Return the episode of one published row, for the source ``memoryagentbench``.

    Args:
        identifier: Id of the episode.
        record: ``context``, ``questions``, ``answers`` and ``metadata.source``.
        max_tokens: Size of a chunk, tokens.
        where: Names the row in messages.

    Raises:
        UsageError: see :func:`load`.
    """
    excluded: Counter[str] = Counter()
    row = _row(record, "", where, excluded)
    options = FactConsolidationOptions("", max(len(row.asked), 1), max_tokens, max_tokens)
    episode = _episode(identifier, "test", row, options)
    metadata = {**episode.metadata, **({"excluded": dict(excluded)} if excluded else {})}
    return replace(episode, source=row.name, metadata=metadata)


def _episode(identifier: str, split: str, row: _Row, options: FactConsolidationOptions) -> Episode:
    rng = generator(identifier)
    lines = [f"Fact {number}: {text}" for number, text in row.facts]
    chunks = []
    pieces: dict[int, list[Evidence]] = {}
    for index, chunk in enumerate(pack(lines, rng, options.min_tokens, options.max_tokens)):
        for piece in chunk.pieces:
            pieces.setdefault(piece.source, []).append(Evidence(index, piece.text))
        body = "\n".join(piece.text for piece in chunk.pieces)
        chunks.append(conversation(index, f"{_RULE}\n{body}", rng))
    facts = FactIndex([text for _, text in row.facts])
    questions = tuple(
        _question(question, golds, row.name, facts, pieces)
        for question, golds in row.asked[: options.questions]
    )
    metadata = {
        "split": split,
        "name": row.name,
        "question_preface": CONFLICT_PREFACE,
        "without_evidence": sum(not question.evidence for question in questions),
    }
    return Episode(
        identifier, "factconsolidation", "conflict_resolution", tuple(chunks), questions, metadata
    )


def _question(
    question: str,
    golds: tuple[str, ...],
    name: str,
    facts: FactIndex,
    pieces: Mapping[int, Sequence[Evidence]],
) -> Question:
    several = "_mh_" in name
    for gold in golds:
        number = None if several else facts.statement(question, gold)
        if number is not None:
            evidence = tuple(pieces[number])
            distractors = facts.outdated(number, gold)
            return Question(question, golds, "state", None, evidence, distractors)
    if "_sh_" in name:
        return Question(question, golds, "state")
    chains = (facts.chain(question, gold) for gold in golds)
    chain = next((chain for chain in chains if chain), ())
    return Question(
        question, golds, evidence=tuple(piece for number in chain for piece in pieces[number])
    )


# --- the files


def _rows(folder: Path, excluded: Counter[str]) -> Iterator[_Row]:
    lists = find_files(folder, "", ".json")
    lines = [p for p in find_files(folder, "", ".jsonl") if not p.name.endswith(_QUESTIONS)]
    texts = find_files(folder, "", ".txt")
    if not lists + lines + texts:
        raise UsageError(f"no *.json, *.jsonl or *.txt in {folder}; put there {_ORIGIN}")
    for path in lists:
        top = read_json(path)
        found = top.get("data", [top]) if isinstance(top, dict) else top
        if not isinstance(found, list):
            raise UsageError(f"{path}: must be a row or a list of rows, got {type(top).__name__}")
        for number, record in enumerate(found):
            yield _row(record, path.stem, f"{path}, row {number}", excluded)
    for path in lines:
        for where, record in read_json_lines(path):
            yield _row(record, path.stem, where, excluded)
    for path in texts:
        yield _text_row(path, excluded)


def _row(record: Any, stem: str, where: str, excluded: Counter[str]) -> _Row:
    facts = _facts(field(record, "context", str, where), where)
    questions = field(record, "questions", list, where)
    answers = field(record, "answers", list, where)
    if len(questions) != len(answers):
        raise UsageError(
            f"{where}: {len(questions)} questions and {len(answers)} answers; there must be "
            "equally many"
        )
    metadata = record.get("metadata")
    name = metadata.get("source") if isinstance(metadata, dict) else None
    pairs = zip(questions, answers, strict=True)
    return _Row(name if isinstance(name, str) else stem, facts, _asked(pairs, where, excluded))


def _text_row(path: Path, excluded: Counter[str]) -> _Row:
    beside = path.with_name(path.stem + _QUESTIONS)
    pairs = []
    for where, record in read_json_lines(beside):
        pairs.append((field(record, "question", str, where), record.get("answers")))
    return _Row(path.stem, _facts(read_text(path), str(path)), _asked(pairs, str(beside), excluded))


def _asked(
    pairs: Iterable[tuple[Any, Any]], where: str, excluded: Counter[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    asked: dict[str, tuple[str, ...]] = {}
    for number, (question, answers) in enumerate(pairs):
        golds = [answers] if isinstance(answers, str) else answers
        if not isinstance(question, str) or not question.strip():
            raise UsageError(f"{where}, question {number}: it is empty")
        if (
            not isinstance(golds, list)
            or not golds
            or not all(isinstance(gold, str) and gold.strip() for gold in golds)
        ):
            raise UsageError(f"{where}, question {number}: its answers must be non-empty strings")
        if question.strip() in asked:
            excluded["question asked before in the row"] += 1
        asked.setdefault(question.strip(), tuple(gold.strip() for gold in golds))
    if not asked:
        raise UsageError(f"{where}: it has no questions")
    return tuple(asked.items())


def _facts(context: str, where: str) -> tuple[tuple[int, str], ...]:
    """Return the numbered facts, one a line; what stands above the first is a heading."""
    facts: list[tuple[int, str]] = []
    for number, line in enumerate(context.splitlines(), 1):
        match = _FACT.match(line)
        if match is None:
            if facts and line.strip():
                raise UsageError(
                    f'{where}, line {number} of the facts: "{line.strip()[:40]}" must look like '
                    '"17. A fact."'
                )
            continue
        if facts and int(match[1]) <= facts[-1][0]:
            raise UsageError(
                f"{where}, line {number} of the facts: number {match[1]} after {facts[-1][0]}; "
                "numbers must rise"
            )
        if f" {int(match[1]) + 1}. " in match[2]:
            raise UsageError(f"{where}, line {number} of the facts: it holds more than one fact")
        facts.append((int(match[1]), match[2]))
    if not facts:
        raise UsageError(f'{where}: no numbered facts, lines such as "17. A fact."')
    return tuple(facts)
