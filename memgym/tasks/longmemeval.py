"""LongMemEval: what a user told an assistant over months of dated conversations.

Dataset card
    Origin: LongMemEval (Wu et al. 2024, "LongMemEval: Benchmarking Chat Assistants on Long-Term
    Interactive Memory", arXiv 2410.10813), the official JSON lists of 500 questions. Wanted:
    ``longmemeval_oracle*.json`` (only the sessions with evidence) or ``longmemeval_s*.json`` (the
    "S" haystacks, about 115K tokens each) in ``<data>/longmemeval``. Licence: MIT; the filler
    sessions come from ShareGPT and UltraChat. Ability: accurate retrieval.
    Read as well: records with lists ``questions`` and ``answers`` over one haystack, and a file
    with ``data`` whose records hold one flat ``conversation`` with a date on every turn.
    Episodes: the sessions of one record in the order of their dates, each cut into chunks below a
    line with its date; records with the same haystack are one episode with all their questions,
    and ``join`` puts the haystacks of several records together (as Mem-alpha does for training).
    Question kinds: text where a labelled sentence states the gold, keywords where the gold is a
    free answer (recommendations, preferences): the words it shares with the evidence. All six
    question types are read; ``metadata["question_types"]``, ``["question_dates"]`` and
    ``["reference_answers"]`` (the golds as the file words them, for a judge) run parallel to the
    questions. Questions on temporal reasoning say on which day they are asked.
    Evidence: for every turn marked ``has_answer`` that states the gold, the sentence that does;
    where no turn of an answer session is marked, the sentence closest to the question.
    Left out and counted: questions whose gold is stated nowhere or is a number arrived at by
    counting (``computed=True`` keeps them, for readers that can reckon), questions met before,
    sessions without turns, histories without a question left, and abstention questions, whose id
    ends in ``_abs``: their gold is that nothing is known, which text that is merely shown cannot
    say (``abstention=True`` keeps them with phrases such as "not mentioned" as golds; the verbatim
    reader then scores on them by accident only).
    The published evaluation asks a model to judge every answer, abstentions included.

Splits
    ``test`` only: MemoryAgentBench tests on these 500 questions (``longmemeval_s*``).
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from memgym.episode import Episode, Question
from memgym.errors import UsageError
from memgym.tasks.chunking import check_sizes
from memgym.tasks.files import data_path, digest, field, matching_files, read_json
from memgym.tasks.histories import (
    ABSTENTION_ANSWERS,
    Asked,
    Gold,
    Session,
    Turn,
    ask_about,
    pack_history,
    sentences_of,
)
from memgym.tasks.procedural.engine import generator
from memgym.tasks.source import EpisodeSet, ListedEpisodes, parse_options

__all__ = ["LongMemEvalOptions", "load"]

_ORIGIN = (
    "longmemeval_oracle.json or longmemeval_s.json, hub dataset xiaowu0162/longmemeval-cleaned"
)
_DATE = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})\D*?(?:(\d{1,2}):(\d{2}))?$")
_ALSO = re.compile(r"(?P<one>.+?)\. (?P<other>.+?)(?: \(.*\))? is also acceptable\.?", re.DOTALL)
_COUNTING = ("multi-session", "temporal-reasoning")  # question types whose numbers are reckoned
_ROLES = {"user": "User", "assistant": "Assistant", "system": "System"}


@dataclass(frozen=True, slots=True)
class LongMemEvalOptions:
    """Options of the ``longmemeval`` source.

    Attributes:
        haystack: Which files are read: sessions with evidence only, or full haystacks.
        join: Records whose haystacks make one episode.
        min_tokens: Smallest target size of a chunk, tokens.
        max_tokens: Largest size of a chunk, tokens.
        computed: Whether questions are kept whose gold has to be worked out.
        abstention: Whether questions are kept that the history does not answer.
        path: A LongMemEval file or a folder of them, instead of ``<data>/longmemeval``.
    """

    haystack: Literal["oracle", "s"] = "oracle"
    join: int = 1
    min_tokens: int = 1_500
    max_tokens: int = 2_048
    computed: bool = False
    abstention: bool = False
    path: str = ""

    def __post_init__(self) -> None:
        check_sizes(self.min_tokens, self.max_tokens)
        if self.join < 1:
            raise UsageError(f"join must be at least 1, got {self.join}")


@dataclass(frozen=True, slots=True)
class _Part:
    """A session with its id in the file and the indices of the turns marked as evidence."""

    name: str
    session: Session
    marked: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Item:
    """A raw question; ``parts`` are the sessions that should answer it."""

    id: str
    kind: str
    question: str
    answer: str
    date: str
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _History:
    parts: tuple[_Part, ...]
    items: tuple[_Item, ...]


@dataclass(frozen=True, slots=True)
class _Planned:
    """An episode before its sessions are cut into chunks."""

    sessions: tuple[Session, ...]
    asked: tuple[Asked, ...]
    metadata: Mapping[str, Any]


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the LongMemEval episodes; there is only split ``test``.

    Raises:
        UsageError: a bad option, missing files, or a file that is not LongMemEval (names the
            record).
    """
    chosen = parse_options(LongMemEvalOptions, options, "longmemeval")
    folder = data_path(data, "longmemeval", chosen.path, "longmemeval", _ORIGIN)
    files = matching_files(folder, f"longmemeval_{chosen.haystack}", ".json", _ORIGIN)
    excluded: Counter[str] = Counter()
    histories = _shared_haystacks(
        [history for path in files for history in _read(path, excluded)], excluded
    )
    settings = str({**asdict(chosen), "path": ""})
    planned: dict[str, _Planned] = {}
    for start in range(0, len(histories), chosen.join):
        plan = _plan(histories[start : start + chosen.join], chosen, excluded)
        if not plan.asked:
            excluded["history without a question left"] += 1
            continue
        content = digest(settings, repr(plan.sessions), repr(plan.asked))
        name = f"longmemeval/{split}/{chosen.haystack}-{len(planned)}-{content[:8]}"
        planned[name] = plan
    ids = list(planned)

    def make(index: int) -> Episode:
        plan = planned[ids[index]]
        chunks, questions = pack_history(
            plan.sessions, plan.asked, generator(ids[index]), chosen.min_tokens, chosen.max_tokens
        )
        metadata = {"split": split, "haystack": chosen.haystack, **plan.metadata}
        return Episode(ids[index], "longmemeval", "accurate_retrieval", chunks, questions, metadata)

    return ListedEpisodes(f"longmemeval/{split}", ids, make, excluded)


def _shared_haystacks(histories: Sequence[_History], excluded: Counter[str]) -> list[_History]:
    """Return one history per haystack, with the questions of all its records, each once."""
    items: dict[tuple[_Part, ...], dict[str, _Item]] = {}
    for history in histories:
        known = items.setdefault(history.parts, {})
        for item in history.items:
            if item.question in known:
                excluded["question met before"] += 1
            known.setdefault(item.question, item)
    return [_History(parts, tuple(known.values())) for parts, known in items.items()]


def _plan(
    histories: Sequence[_History], options: LongMemEvalOptions, excluded: Counter[str]
) -> _Planned:
    distinct = dict.fromkeys(part for history in histories for part in history.parts)
    parts = sorted(distinct, key=lambda part: part.session.date)
    places = {part: place for place, part in enumerate(parts)}
    sessions = tuple(part.session for part in parts)
    asked: dict[str, tuple[Asked, _Item]] = {}
    for history in histories:
        for item in history.items:
            planned = _ask(item, sessions, places, options, excluded)
            if planned is None:
                continue
            if planned.question.question in asked:
                excluded["question met before"] += 1
                continue
            asked[planned.question.question] = (planned, item)
    metadata = {
        "question_ids": [item.id for _, item in asked.values()],
        "question_types": [item.kind for _, item in asked.values()],
        "question_dates": [item.date for _, item in asked.values()],
        "reference_answers": [item.answer for _, item in asked.values()],
    }
    return _Planned(sessions, tuple(planned for planned, _ in asked.values()), metadata)


def _ask(
    item: _Item,
    sessions: Sequence[Session],
    places: Mapping[_Part, int],
    options: LongMemEvalOptions,
    excluded: Counter[str],
) -> Asked | None:
    text = item.question
    if item.kind == "temporal-reasoning" and item.date:
        text = f"{text} (Asked on {item.date}.)"
    if item.id.endswith("_abs"):
        if options.abstention:
            return Asked(Question(text, ABSTENTION_ANSWERS), ())
        excluded["abstention question"] += 1
        return None
    marked = any(part.marked for part in item.parts)
    turns = [
        sentences_of(sessions, places[part], turn)
        for part in item.parts
        for turn in (part.marked if marked else range(len(part.session.turns)))
    ]
    gold = Gold(_alternatives(item.answer), counted=item.kind in _COUNTING)
    asked = ask_about(text, gold, turns, every_turn=marked, computed=options.computed)
    if asked is None:
        excluded["question whose gold has to be worked out"] += 1
    return asked


def _alternatives(answer: str) -> tuple[str, ...]:
    """Return the golds of an answer, which may end in "... is also acceptable."."""
    match = _ALSO.fullmatch(answer)
    return (match["one"], match["other"]) if match else (answer,)


# --- the files


def _read(path: Path, excluded: Counter[str]) -> Iterator[_History]:
    top = read_json(path)
    flat = isinstance(top, dict)
    records = top.get("data") if isinstance(top, dict) else top
    if not isinstance(records, list):
        raise UsageError(
            f"{path}: not LongMemEval: the top level must be a list of records, or an object with "
            'a list "data"'
        )
    for number, record in enumerate(records):
        where = f"{path}, record {number}"
        yield _flat_history(record, where) if flat else _history(record, where, excluded)


def _history(record: Any, where: str, excluded: Counter[str]) -> _History:
    """Read a record of the official layout, with one question or a list of them."""
    parts = _haystack(record, where, excluded)
    wanted = field(record, "answer_session_ids", list, where)
    if "questions" in record:
        questions = field(record, "questions", list, where)
        answers = field(record, "answers", list, where)
    else:
        questions, answers, wanted = [record.get("question")], [record.get("answer")], [wanted]
    if not len(questions) == len(answers) == len(wanted):
        raise UsageError(
            f"{where}: {len(questions)} questions, {len(answers)} answers, {len(wanted)} lists of "
            "answer_session_ids; there must be equally many"
        )
    identifier = field(record, "question_id", str, where)
    kind = field(record, "question_type", str, where)
    date = f"{_date(record.get('question_date'), where):%Y-%m-%d}"
    items = []
    for number, names in enumerate(wanted):
        spot = f"{where}, question {number}"
        if not isinstance(names, list):
            raise UsageError(f'{spot}: "answer_session_ids" must be a list')
        question, answer = _texts(questions[number], answers[number], spot)
        found = tuple(part for part in parts if part.name in names) or parts
        # Type and id belong to the first question; further ones were added by others.
        name = f"{identifier}/{number}" if number else identifier
        items.append(_Item(name, "unstated" if number else kind, question, answer, date, found))
    return _History(parts, tuple(items))


def _haystack(record: Any, where: str, excluded: Counter[str]) -> tuple[_Part, ...]:
    names = field(record, "haystack_session_ids", list, where)
    dates = field(record, "haystack_dates", list, where)
    sessions = field(record, "haystack_sessions", list, where)
    if not len(names) == len(dates) == len(sessions) > 0:
        raise UsageError(
            f"{where}: {len(sessions)} haystack_sessions, {len(names)} haystack_session_ids and "
            f"{len(dates)} haystack_dates; there must be equally many, at least one"
        )
    parts = []
    for number, (name, date, turns) in enumerate(zip(names, dates, sessions, strict=True)):
        if turns == []:
            excluded["session without turns"] += 1
        else:
            parts.append(_part(str(name), date, turns, f"{where}, session {number}"))
    if not parts:
        raise UsageError(f"{where}: none of its haystack_sessions has a turn")
    return tuple(parts)


def _flat_history(record: Any, where: str) -> _History:
    """Read a record whose turns stand in one list, each with the date of its session."""
    by_date: dict[str, list[Any]] = {}
    for number, turn in enumerate(field(record, "conversation", list, where)):
        by_date.setdefault(field(turn, "date", str, f"{where}, turn {number}"), []).append(turn)
    parts = tuple(_part(date, date, turns, where) for date, turns in by_date.items())
    if not parts:
        raise UsageError(f'{where}: its "conversation" is empty')
    kind, identifier = (field(record, name, str, where) for name in ("question_type", "id"))
    items = []
    for number, entry in enumerate(field(record, "questions", list, where)):
        spot = f"{where}, question {number}"
        if not isinstance(entry, dict):
            raise UsageError(f"{spot}: must be an object with question and answer")
        question, answer = _texts(entry.get("question"), entry.get("answer"), spot)
        items.append(_Item(identifier, kind, question, answer, "", parts))
    return _History(parts, tuple(items))


def _part(name: str, date: Any, turns: Any, where: str) -> _Part:
    if not isinstance(turns, list):
        raise UsageError(f"{where}: a session must be a list of turns")
    said = []
    marked = []
    for number, turn in enumerate(turns):
        role, content = (
            field(turn, key, str, f"{where}, turn {number}") for key in ("role", "content")
        )
        if turn.get("has_answer") is True:
            marked.append(number)
        said.append(Turn(_ROLES.get(role, role), content.strip()))
    return _Part(name, Session(_date(date, where), tuple(said)), tuple(marked))


def _texts(question: Any, answer: Any, where: str) -> tuple[str, str]:
    """Return question and gold; a gold may be a number."""
    number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
    text = json.dumps(answer) if number else answer
    for name, value in (("question", question), ("answer", text)):
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{where}: its {name} is missing or empty")
    return question.strip(), str(text).strip()


def _date(text: Any, where: str) -> datetime:
    match = _DATE.match(text.strip()) if isinstance(text, str) else None
    if match:
        numbers = [int(group or 0) for group in match.groups()]
        try:
            return datetime(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
        except ValueError:
            pass
    raise UsageError(f'{where}: date {text!r:.40} must look like "2023/05/30 (Tue) 03:52"')
