"""LoCoMo: two friends who write to each other over months, and questions about what they said.

Dataset card
    Origin: LoCoMo (Maharana et al. 2024, "Evaluating Very Long-Term Conversational Memory of LLM
    Agents", arXiv 2402.17753), the official list of ten conversations. Wanted: ``locomo10.json``
    in ``<data>/locomo``. Licence: CC BY-NC 4.0 (not for commercial use). Ability: accurate
    retrieval.
    Episodes: one conversation each, its sessions cut into chunks below a line with their date; a
    picture is what its caption says. Generated observations and summaries are not read.
    Question kinds: text where a sentence of the labelled turns states the gold, keywords where the
    gold is a list of which every part is stated (category 1) or a free answer: the words it shares
    with those turns. Of the golds of category 3 the part before the semicolon counts, as in the
    published evaluation. Evidence: the sentences of the turns in ``evidence`` that state the gold;
    a question without labelled turns may be answered by any.
    Left out and counted: questions whose gold is stated nowhere, such as a date that has to be
    reckoned from "yesterday" (``computed=True`` keeps them, for readers that can reckon), questions
    met before, and questions of category 5, which ask for what was never said: text that is merely
    shown cannot say so (``abstention=True`` keeps them with phrases such as "not mentioned" as
    golds; the verbatim reader then scores on them by accident only). Labels of turns that do not
    exist are counted and ignored.
    The published evaluation scores F1 on stems; Mem-alpha does not use this set.

Splits
    ``test`` only: it is a benchmark of ten conversations.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

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
from memgym.text import MONTHS

__all__ = ["LocomoOptions", "load"]

_ORIGIN = "locomo10.json of LoCoMo, repository snap-research/locomo"
_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_SESSION = re.compile(r"session_(\d+)")
_TURN_ID = re.compile(r"D:?\s*(\d+):(\d+)")
_CLOCK = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d{2})\s*(?P<half>am|pm)?", re.IGNORECASE)
_DAY = re.compile(r"(?P<day>\d{1,2})\s+(?P<month>[A-Za-z]+),?\s+(?P<year>\d{4})")
_MONTH_NUMBER = {name.lower(): number for number, name in enumerate(MONTHS, 1)}


@dataclass(frozen=True, slots=True)
class LocomoOptions:
    """Options of the ``locomo`` source.

    Attributes:
        min_tokens: Smallest target size of a chunk, tokens.
        max_tokens: Largest size of a chunk, tokens.
        computed: Whether questions are kept whose gold has to be worked out.
        abstention: Whether questions are kept that the conversation does not answer.
        path: The LoCoMo file or a folder with it, instead of ``<data>/locomo``.
    """

    min_tokens: int = 1_500
    max_tokens: int = 2_048
    computed: bool = False
    abstention: bool = False
    path: str = ""

    def __post_init__(self) -> None:
        check_sizes(self.min_tokens, self.max_tokens)


@dataclass(frozen=True, slots=True)
class _Conversation:
    """Sessions in their order, and dialogue id -> (session index, turn index)."""

    name: str
    sessions: tuple[Session, ...]
    places: Mapping[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Item:
    """A raw question; no gold for what was never said; ``labels`` name the turns of evidence."""

    question: str
    category: int
    gold: Gold | None
    labels: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Planned:
    conversation: _Conversation
    asked: tuple[Asked, ...]
    categories: tuple[str, ...]


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the LoCoMo episodes; there is only split ``test``.

    Raises:
        UsageError: a bad option, missing files, or a file that is not LoCoMo (names the record).
    """
    chosen = parse_options(LocomoOptions, options, "locomo")
    folder = data_path(data, "locomo", chosen.path, "locomo", _ORIGIN)
    excluded: Counter[str] = Counter()
    settings = str({**asdict(chosen), "path": ""})
    planned: dict[str, _Planned] = {}
    for path in matching_files(folder, "locomo", ".json", _ORIGIN):
        top = read_json(path)
        if not isinstance(top, list):
            raise UsageError(f"{path}: not LoCoMo: the top level must be a list of conversations")
        for number, record in enumerate(top):
            plan = _plan(record, f"{path}, record {number}", chosen, excluded)
            if not plan.asked:
                excluded["conversation without a question left"] += 1
                continue
            content = digest(settings, repr(plan.conversation.sessions), repr(plan.asked))
            planned[f"locomo/{split}/{plan.conversation.name}-{content[:8]}"] = plan
    ids = list(planned)

    def make(index: int) -> Episode:
        plan = planned[ids[index]]
        chunks, questions = pack_history(
            plan.conversation.sessions,
            plan.asked,
            generator(ids[index]),
            chosen.min_tokens,
            chosen.max_tokens,
        )
        metadata = {"split": split, "question_types": list(plan.categories)}
        return Episode(ids[index], "locomo", "accurate_retrieval", chunks, questions, metadata)

    return ListedEpisodes(f"locomo/{split}", ids, make, excluded)


def _plan(record: Any, where: str, options: LocomoOptions, excluded: Counter[str]) -> _Planned:
    conversation = _conversation(record, where)
    asked: dict[str, Asked] = {}
    categories = []
    for number, entry in enumerate(field(record, "qa", list, where)):
        item = _item(entry, f"{where}, question {number}")
        if item.question in asked:
            excluded["question met before"] += 1
        elif planned := _ask(item, conversation, options, excluded):
            asked[item.question] = planned
            categories.append(_CATEGORIES[item.category])
    return _Planned(conversation, tuple(asked.values()), tuple(categories))


def _ask(
    item: _Item, conversation: _Conversation, options: LocomoOptions, excluded: Counter[str]
) -> Asked | None:
    if item.gold is None:
        if options.abstention:
            return Asked(Question(item.question, ABSTENTION_ANSWERS), ())
        excluded["abstention question"] += 1
        return None
    labelled = _labelled(item.labels, conversation, excluded)
    places = labelled or conversation.places.values()
    turns = [sentences_of(conversation.sessions, *place) for place in places]
    asked = ask_about(
        item.question, item.gold, turns, every_turn=bool(labelled), computed=options.computed
    )
    if asked is None:
        excluded["question whose gold has to be worked out"] += 1
    return asked


def _labelled(
    labels: Sequence[Any], conversation: _Conversation, excluded: Counter[str]
) -> list[tuple[int, int]]:
    """Return the places of the turns that a question's ``evidence`` names.

    The file has entries with two ids in one string, and ids written D:1:2 or D1:02.
    """
    found: dict[tuple[int, int], None] = {}
    for label in labels:
        names = _TURN_ID.findall(label) if isinstance(label, str) else []
        known = [place for a, b in names if (place := conversation.places.get((int(a), int(b))))]
        unknown = max(len(names), 1) - len(known)
        if unknown:
            excluded["label of a turn that does not exist"] += unknown
        found.update(dict.fromkeys(known))
    return list(found)


# --- the file


def _item(entry: Any, where: str) -> _Item:
    question = field(entry, "question", str, where).strip()
    category = field(entry, "category", int, where)
    if not question or category not in _CATEGORIES:
        raise UsageError(f"{where}: needs a question and a category from 1 to 5")
    labels = field(entry, "evidence", list, where) if entry.get("evidence") else []
    if category == 5:
        return _Item(question, category, None, tuple(labels))
    answer = entry.get("answer")
    if isinstance(answer, int) and not isinstance(answer, bool):
        answer = str(answer)
    if not isinstance(answer, str) or not answer.strip():
        raise UsageError(f"{where}: its answer is missing or empty")
    answer = answer.strip()
    if category == 3:
        answer = answer.split(";")[0].strip() or answer
    listed = [part.strip() for part in answer.split(",") if part.strip()]
    parts = tuple(dict.fromkeys(listed)) if category == 1 and len(listed) > 1 else ()
    gold = Gold((answer,), parts, counted=category in (1, 3))
    return _Item(question, category, gold, tuple(labels))


def _conversation(record: Any, where: str) -> _Conversation:
    name = field(record, "sample_id", str, where)
    content = field(record, "conversation", dict, where)
    numbers = sorted(int(match[1]) for key in content if (match := _SESSION.fullmatch(key)))
    sessions: list[Session] = []
    places: dict[tuple[int, int], tuple[int, int]] = {}
    for number in numbers:
        turns = field(content, f"session_{number}", list, where)
        if not turns:
            continue  # the official file has dates of sessions without turns
        spot = f"{where}, session {number}"
        date = _date(field(content, f"session_{number}_date_time", str, where), spot)
        said = []
        for index, turn in enumerate(turns):
            identifier = field(turn, "dia_id", str, f"{spot}, turn {index}")
            match = _TURN_ID.fullmatch(identifier.strip())
            key = (int(match[1]), int(match[2])) if match else None
            if key is None or key in places:
                problem = "occurs twice" if key else 'must look like "D1:3"'
                raise UsageError(f'{spot}, turn {index}: dia_id "{identifier}" {problem}')
            places[key] = (len(sessions), index)
            said.append(_turn(turn, f"{spot}, turn {index}"))
        sessions.append(Session(date, tuple(said)))
    if not sessions:
        raise UsageError(f"{where}: its conversation has no session_1, session_2, ...")
    return _Conversation(name, tuple(sessions), places)


def _turn(turn: Any, where: str) -> Turn:
    speaker = field(turn, "speaker", str, where)
    text = turn.get("text") or ""
    caption = turn.get("blip_caption")
    if isinstance(caption, str) and caption.strip():
        text = f"{text} [shares a picture: {caption.strip()}]"
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{where}: it has neither text nor picture")
    return Turn(speaker, " ".join(text.split()))


def _date(text: str, where: str) -> datetime:
    """Read a date such as "1:56 pm on 8 May, 2023"."""
    day, clock = _DAY.search(text), _CLOCK.search(text)
    month = _MONTH_NUMBER.get(day["month"].lower()) if day else None
    if day and month:
        hour = int(clock["hour"]) if clock else 0
        if clock and clock["half"]:
            hour = hour % 12 + (12 if clock["half"].lower() == "pm" else 0)
        minute = int(clock["minute"]) if clock else 0
        try:
            return datetime(int(day["year"]), month, int(day["day"]), hour, minute)
        except ValueError:
            pass
    raise UsageError(f'{where}: date "{text}" must look like "1:56 pm on 8 May, 2023"')
