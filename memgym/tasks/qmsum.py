"""QMSum: transcripts of meetings with questions about them and written summaries as answers.

Dataset card
    Origin: QMSum (Zhong et al. 2021, "QMSum: A New Benchmark for Query-based Multi-domain Meeting
    Summarization"), the official JSON Lines files of all domains. Wanted: ``train.jsonl``,
    ``val.jsonl`` and ``test.jsonl`` (names may go on) in ``<data>/qmsum``. Licence: MIT.
    Ability: long-range understanding. Question kind: keywords, those that the reference summary
    shares with the relevant part of the transcript (see :mod:`memgym.tasks.keywords`); words of
    the query and names of speakers do not count.
    Episodes: one meeting each, its turns packed into chunks below a line with the meeting's date.
    The transcripts have no dates; ours follows from a hash of the meeting, so that each query can
    name its meeting. Marks of noises such as ``{vocalsound}`` and the blanks before punctuation
    are taken out of the turns.
    Evidence: for the keywords of a specific query a few sentences of its ``relevant_text_span``,
    for those of a general query a few sentences of the whole meeting.
    Left out and counted: queries with fewer than ``min_keywords`` keywords, queries whose span
    lies outside the meeting, queries asked before in the meeting, meetings met before, meetings
    without a query left.
    Neither Mem-alpha nor MemoryAgentBench uses this set; it is the openly licensed sibling of
    their book summaries. Its own evaluation is ROUGE.

Splits
    The official ones: ``train``, ``validation`` and ``test`` from the files of these names; a
    meeting of a test file beside them is in no other split, one of a validation file not in train.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from memgym.episode import Episode, Evidence, Question
from memgym.errors import UsageError
from memgym.tasks.chunking import check_sizes, pack, sentence_spans
from memgym.tasks.files import (
    bucket,
    data_path,
    digest,
    field,
    find_files,
    matching_files,
    read_json_lines,
)
from memgym.tasks.keywords import covering, extract_keywords
from memgym.tasks.procedural.engine import generator
from memgym.tasks.source import SUMMARY_PREFACE, EpisodeSet, ListedEpisodes, parse_options

__all__ = ["QmsumOptions", "load"]

_ORIGIN = "train.jsonl, val.jsonl and test.jsonl of QMSum, repository Yale-LILY/QMSum, data/ALL"
_PREFIX = {"train": "train", "validation": "val", "test": "test"}
_HELD_OUT = {"train": ("val", "test"), "validation": ("test",), "test": ()}
_NOISE = re.compile(r"\{[^{}]*\}")
_BLANK = re.compile(r"\s+(?=[.,;:!?%)\]]|'(?:s|t|m|d|re|ve|ll)\b)")
_FIRST_DAY, _DAYS = datetime(2015, 1, 5), 3_650


@dataclass(frozen=True, slots=True)
class QmsumOptions:
    """Options of the ``qmsum`` source.

    Attributes:
        min_tokens: Smallest target size of a chunk, tokens.
        max_tokens: Largest size of a chunk, tokens.
        min_keywords: A query with fewer keywords is left out.
        max_keywords: Most keywords of one query; the rarest are kept.
        path: A QMSum file or a folder of them, instead of ``<data>/qmsum``.
    """

    min_tokens: int = 1_000
    max_tokens: int = 2_048
    min_keywords: int = 3
    max_keywords: int = 20
    path: str = ""

    def __post_init__(self) -> None:
        check_sizes(self.min_tokens, self.max_tokens)
        if not 1 <= self.min_keywords <= self.max_keywords:
            raise UsageError(
                "keywords need 1 <= min_keywords <= max_keywords, got "
                f"{self.min_keywords} and {self.max_keywords}"
            )


@dataclass(frozen=True, slots=True)
class _Query:
    """A question, its reference summary and the turns it is about."""

    question: str
    summary: str
    turns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Meeting:
    """Cleaned turns with their speakers (``""`` if nothing is left), and what is asked."""

    turns: tuple[str, ...]
    speakers: tuple[str, ...]
    queries: tuple[_Query, ...]

    @property
    def key(self) -> str:
        return digest(*self.turns)


@dataclass(frozen=True, slots=True)
class _Planned:
    meeting: _Meeting
    date: str
    asked: tuple[tuple[_Query, tuple[str, ...]], ...]


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the QMSum episodes of one split.

    Raises:
        UsageError: a bad option, missing files, or a file that is not QMSum (names the line).
    """
    chosen = parse_options(QmsumOptions, options, "qmsum")
    folder = data_path(data, "qmsum", chosen.path, "qmsum", _ORIGIN)
    excluded: Counter[str] = Counter()
    files = matching_files(folder, _PREFIX[split], ".jsonl", _ORIGIN)
    beside = [f for prefix in _HELD_OUT[split] for f in find_files(folder, prefix, ".jsonl")]
    seen = {meeting.key for path in beside for meeting in _read(path, Counter())}
    settings = str({**asdict(chosen), "path": ""})
    planned: dict[str, _Planned] = {}
    for meeting in (meeting for path in files for meeting in _read(path, excluded)):
        if meeting.key in seen:
            excluded["meeting met before"] += 1
            continue
        seen.add(meeting.key)
        plan = _plan(meeting, chosen, excluded)
        if not plan.asked:
            excluded["meeting without a query left"] += 1
            continue
        content = digest(settings, meeting.key, repr(plan.asked))
        planned[f"qmsum/{split}/{len(planned)}-{content[:8]}"] = plan
    ids = list(planned)

    def make(index: int) -> Episode:
        return _episode(ids[index], split, planned[ids[index]], chosen)

    return ListedEpisodes(f"qmsum/{split}", ids, make, excluded)


def _plan(meeting: _Meeting, options: QmsumOptions, excluded: Counter[str]) -> _Planned:
    day = _FIRST_DAY + timedelta(days=int(bucket("qmsum", meeting.key) * _DAYS))
    asked: dict[str, tuple[_Query, tuple[str, ...]]] = {}
    for query in meeting.queries:
        if query.question in asked:
            excluded["query asked before in the meeting"] += 1
            continue
        turns = [meeting.turns[turn] for turn in query.turns]
        sentences = [turn[start:end] for turn in turns for start, end in sentence_spans(turn)]
        found = extract_keywords(
            query.summary,
            sentences,
            without=" ".join((query.question, *meeting.speakers)),
            most=options.max_keywords,
        )
        if len(found) < options.min_keywords:
            excluded[f"query with fewer than {options.min_keywords} keywords"] += 1
        else:
            asked[query.question] = (query, found)
    return _Planned(meeting, f"{day:%Y-%m-%d}", tuple(asked.values()))


def _episode(identifier: str, split: str, plan: _Planned, options: QmsumOptions) -> Episode:
    rng = generator(identifier)
    spoken = [number for number, turn in enumerate(plan.meeting.turns) if turn]
    texts = [plan.meeting.turns[number] for number in spoken]
    packed = list(pack(texts, rng, options.min_tokens, options.max_tokens))
    chunks = []
    sentences: dict[int, list[Evidence]] = {}
    for index, chunk in enumerate(packed):
        for piece in chunk.pieces:
            place = sentences.setdefault(spoken[piece.source], [])
            place += [Evidence(index, piece.text[a:b]) for a, b in sentence_spans(piece.text)]
        body = "\n".join(piece.text for piece in chunk.pieces)
        chunks.append(f"[Meeting of {plan.date}, part {index + 1} of {len(packed)}]\n{body}")
    questions = []
    for query, keywords in plan.asked:
        near = [sentence for turn in query.turns for sentence in sentences.get(turn, [])]
        places = covering(keywords, [sentence.text for sentence in near])
        evidence = tuple(near[place] for place in places)
        text = f"In the meeting of {plan.date}: {query.question}"
        questions.append(Question(text, keywords, "keywords", evidence=evidence))
    metadata = {"split": split, "question_preface": SUMMARY_PREFACE, "date": plan.date}
    return Episode(
        identifier, "qmsum", "long_range_understanding", tuple(chunks), tuple(questions), metadata
    )


# --- the files


def _read(path: Path, excluded: Counter[str]) -> Iterator[_Meeting]:
    for where, record in read_json_lines(path):
        turns = []
        speakers: dict[str, None] = {}
        for number, turn in enumerate(field(record, "meeting_transcripts", list, where)):
            spot = f"{where}, turn {number}"
            speaker = field(turn, "speaker", str, spot).strip()
            said = _clean(field(turn, "content", str, spot))
            speakers[speaker] = None
            turns.append(f"{speaker}: {said}" if re.search(r"\w", said) else "")
        if not any(turns):
            raise UsageError(f'{where}: its "meeting_transcripts" hold no words')
        queries = tuple(_queries(record, len(turns), where, excluded))
        yield _Meeting(tuple(turns), tuple(speakers), queries)


def _queries(record: Any, turns: int, where: str, excluded: Counter[str]) -> Iterator[_Query]:
    for name in ("general_query_list", "specific_query_list"):
        for number, item in enumerate(field(record, name, list, where)):
            spot = f"{where}, {name} {number}"
            question = field(item, "query", str, spot).strip()
            summary = field(item, "answer", str, spot).strip()
            if not question or not summary:
                raise UsageError(f"{spot}: its query or answer is empty")
            if name == "general_query_list":
                yield _Query(question, summary, tuple(range(turns)))
            elif about := _turns_of(field(item, "relevant_text_span", list, spot), turns, spot):
                yield _Query(question, summary, about)
            else:
                excluded["query whose text span lies outside the meeting"] += 1


def _turns_of(spans: Sequence[Any], turns: int, where: str) -> tuple[int, ...]:
    """Return the turns from first to last of every span, each once, in order."""
    found: set[int] = set()
    for span in spans:
        match span:
            case [int() | str() as first, int() | str() as last] if (
                str(first).isdigit() and str(last).isdigit()
            ):
                found.update(range(int(first), min(int(last) + 1, turns)))
            case _:
                raise UsageError(f'{where}: "relevant_text_span" must hold pairs of turn numbers')
    return tuple(sorted(found))


def _clean(text: str) -> str:
    return _BLANK.sub("", " ".join(_NOISE.sub(" ", text).split()))
