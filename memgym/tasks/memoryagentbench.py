r"""MemoryAgentBench: one long context, many questions, as its authors published it.

Dataset card
    Origin: hub dataset ``ai-hyz/MemoryAgentBench`` (Hu et al. 2025, "Evaluating Memory in LLM
    Agents via Incremental Multi-Turn Interactions", arXiv 2507.05257). Wanted: the parquet files
    ``Accurate_Retrieval*``, ``Test_Time_Learning*``, ``Long_Range_Understanding*`` and
    ``Conflict_Resolution*`` in ``<data>/memoryagentbench`` (or its subfolder ``data``); without
    that folder they are downloaded. Licence: MIT; the texts keep the licences of their origins.
    Columns: ``context`` (string), ``questions`` (list of strings), ``answers`` (list of lists of
    strings), ``metadata`` (struct; ``source`` names the test set).
    Kept: one episode per row; option ``name`` picks a test set. The context is cut where its parts
    end (documents, dialogues, sessions, labelled examples, lines) and packed into chunks of at most
    ``max_tokens``; the published harness cuts at sentences into 4,096 tokens.
    FactConsolidation rows are made by :mod:`memgym.tasks.factconsolidation`, see its card.
    Left out and counted: LongMemEval questions that the history cannot answer (``_abs``; unless
    ``abstention``), recommendations where there is no entity map, rows that are left without a
    question.

==================  ========================  ========  =========================================
source              ability                   kind      differs from the published measure
==================  ========================  ========  =========================================
ruler_qa*           accurate_retrieval        text      no
longmemeval_s*      accurate_retrieval        text      containment, not a GPT-4o judge
eventqa_*           accurate_retrieval        text      no
icl_*               test_time_learning        label     answer wanted as ``\boxed{label}``
recsys_redial_full  test_time_learning        keywords  share of the golds named, not recall@5
infbench_sum*       long_range_understanding  keywords  hit rate of keywords, not a judged F1
infbench_qa*        long_range_understanding  text      no
detective_qa        long_range_understanding  text      the option without its letter counts too
factconsolidation*  conflict_resolution       state     superseded values make an answer wrong;
                                                        multi-hop (``_mh_``): text, any gold counts
==================  ========================  ========  =========================================

Golds. Recommendations are published as entity ids; ``entity2id.json`` of the hub dataset (beside
the parquet files, or option ``entities``) gives their names. Keywords of a summary are those of
:mod:`memgym.tasks.keywords`. Evidence is guessed for golds that stand in the text (see
:class:`memgym.tasks.gold_finder.GoldFinder`); metadata ``evidence`` says ``"guessed"``.

Splits
    ``test`` only: nothing of it may be trained on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.episode import Episode
from memgym.errors import UsageError, nearest
from memgym.tasks.factconsolidation import row_episode
from memgym.tasks.files import digest, field, read_json
from memgym.tasks.hub import published_files
from memgym.tasks.memoryagentbench_context import context_chunks
from memgym.tasks.memoryagentbench_questions import RowText, entity_names, family_of, make_questions
from memgym.tasks.parquet_file import check_columns, iterate_rows, read_row
from memgym.tasks.procedural.engine import generator
from memgym.tasks.source import LABEL_PREFACE, EpisodeSet, ListedEpisodes, parse_options

__all__ = ["MemoryAgentBenchOptions", "load"]

_REPOSITORY = "ai-hyz/MemoryAgentBench"
_SPLITS = (
    "Accurate_Retrieval",
    "Test_Time_Learning",
    "Long_Range_Understanding",
    "Conflict_Resolution",
)
_COLUMNS = ("context", "questions", "answers", "metadata")
# Enough to list the episodes; haystack_sessions, a second copy of each history, is never read.
_LIGHT = ("questions", "metadata.source", "metadata.question_ids", "metadata.qa_pair_ids")
_KEPT_METADATA = ("question_types", "question_dates", "question_ids", "qa_pair_ids")
_HEAVY = ("context", "questions", "answers", *(f"metadata.{name}" for name in _KEPT_METADATA))
_RECOMMENDATION = "recsys"
_WITHOUT_MAP = "recommendation row without an entity map (option entities)"


@dataclass(frozen=True, slots=True)
class MemoryAgentBenchOptions:
    """Options of the ``memoryagentbench`` source.

    Attributes:
        name: Test set, such as ``ruler_qa1_197K`` or ``longmemeval_s*``; empty for all.
        max_tokens: Largest size of a chunk, tokens.
        abstention: Keep LongMemEval questions that the history cannot answer.
        entities: ``entity2id.json``, the names of what ``recsys_redial_full`` recommends.
        path: A parquet file, a folder of them or a hub name, instead of the usual place.
    """

    name: str = ""
    max_tokens: int = 2_048
    abstention: bool = False
    entities: str = ""
    path: str = ""

    def __post_init__(self) -> None:
        if self.max_tokens < 100:
            raise UsageError(f"max_tokens must be at least 100, got {self.max_tokens}")


@dataclass(frozen=True, slots=True)
class _Row:
    """Where a row is, what it is called, and which of its questions are kept."""

    path: Path
    number: int
    source: str
    kept: tuple[int, ...]
    id: str


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the rows of the wanted test set, or of all.

    Only names and question counts are read here; a context is read when its episode is asked for.

    Raises:
        UsageError: a bad option, missing or malformed files (names row and column), no such set,
            or recommendations were asked for by name and there is no entity map.
    """
    chosen = parse_options(MemoryAgentBenchOptions, options, "memoryagentbench")
    paths = published_files("memoryagentbench", _REPOSITORY, _SPLITS, data, chosen.path)
    entities = _entities(chosen, paths)
    excluded: Counter[str] = Counter()
    rows = _rows(paths, chosen, bool(entities), excluded)

    def make(index: int) -> Episode:
        return _episode(rows[index], chosen, entities)

    name = "/".join(part for part in ("memoryagentbench", chosen.name) if part)
    return ListedEpisodes(name, [row.id for row in rows], make, excluded)


def _entities(options: MemoryAgentBenchOptions, paths: Sequence[Path]) -> dict[str, str]:
    """Return entity id -> name, empty if there is no map and none was asked for."""
    places = [Path(options.entities).expanduser()] if options.entities else []
    beside = [parent / "entity2id.json" for path in paths for parent in path.parents[:2]]
    places += [] if options.entities else [place for place in beside if place.is_file()]
    if places:
        return entity_names(read_json(places[0]), str(places[0]))
    if options.name.startswith(_RECOMMENDATION):
        raise UsageError(
            f'source "memoryagentbench": the golds of {options.name} are entity ids; name '
            f"entity2id.json of https://huggingface.co/datasets/{_REPOSITORY} with the option "
            "entities, or put it beside the parquet files"
        )
    return {}


def _rows(
    paths: Sequence[Path],
    options: MemoryAgentBenchOptions,
    has_map: bool,
    excluded: Counter[str],
) -> list[_Row]:
    """Return the rows that become episodes, counting what is left out."""
    rows: list[_Row] = []
    seen: Counter[str] = Counter()
    for path in paths:
        check_columns(path, _COLUMNS)
        for number, row in enumerate(iterate_rows(path, _LIGHT)):
            where = f"{path}, row {number}"
            metadata = field(row, "metadata", dict, where)
            source = field(metadata, "source", str, f'{where}, column "metadata"')
            place = seen[source]
            seen[source] += 1
            if options.name and source != options.name:
                continue
            questions = field(row, "questions", list, where)
            kept = _kept(questions, metadata, options, excluded)
            if source.startswith(_RECOMMENDATION) and not has_map:
                excluded[_WITHOUT_MAP] += 1
            elif not kept:
                excluded["row without a question"] += 1
            else:
                settings = f"{options.max_tokens} {options.abstention}"
                content = digest(settings, source, str(metadata), *map(str, questions))
                identifier = f"memoryagentbench/{source}/{place}-{content[:8]}"
                rows.append(_Row(path, number, source, kept, identifier))
    if options.name and options.name not in seen:
        raise UsageError(
            f'source "memoryagentbench", option "name": no row of "{options.name}": '
            f"{nearest(options.name, list(seen))}"
        )
    return rows


def _kept(
    questions: Sequence[Any],
    metadata: Mapping[str, Any],
    options: MemoryAgentBenchOptions,
    excluded: Counter[str],
) -> tuple[int, ...]:
    """Return the indices of the questions that are asked."""
    ids = metadata.get("question_ids") or []
    kept = []
    for index in range(len(questions)):
        if not options.abstention and index < len(ids) and str(ids[index]).endswith("_abs"):
            excluded["question that the history cannot answer"] += 1
        else:
            kept.append(index)
    return tuple(kept)


def _episode(row: _Row, options: MemoryAgentBenchOptions, entities: Mapping[str, str]) -> Episode:
    where = f"{row.path}, row {row.number}"
    record = read_row(row.path, _HEAVY, row.number)
    context = field(record, "context", str, where)
    if not context.strip():
        raise UsageError(f'{where}, column "context": it is empty')
    if row.source.startswith("factconsolidation"):
        return row_episode(
            row.id, {**record, "metadata": {"source": row.source}}, options.max_tokens, where
        )
    chunks = context_chunks(row.source, context, generator(row.id), options.max_tokens, where)
    questions = field(record, "questions", list, where)
    answers = field(record, "answers", list, where)
    text = RowText(row.source, chunks, entities, where)
    asked = make_questions(text, questions, answers, row.kept)
    metadata: dict[str, Any] = {"split": "test", "evidence": "guessed"}
    for name in _KEPT_METADATA:
        values = (record.get("metadata") or {}).get(name) or []
        if len(values) == len(questions):
            metadata[name] = [values[index] for index in row.kept]
    family = family_of(row.source)
    if family.kind == "label":
        metadata["question_preface"] = LABEL_PREFACE
    return Episode(row.id, row.source, family.ability, tuple(chunks), asked, metadata)
