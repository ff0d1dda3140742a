"""PerLTQA: the dated events and dialogues of one person's life, with questions about them.

Dataset card
    Origin: PerLTQA (Du et al. 2024, "PerLTQA: A Personal Long-Term Memory Dataset for Memory
    Classification, Retrieval, and Fusion in Question Answering"), the English files. Wanted:
    ``perltmem_en*.json`` and ``perltqa_en*.json`` in ``<data>/perltqa``, one version of them.
    Licence: CC BY-NC 4.0, non-commercial use only. Ability: accurate retrieval.
    Question kind: keywords.
    Episodes: the events of one character by date (those without a full date last), a chunk for
    each, with its time, its summary and the dialogues about it; a character with more than
    ``chunks`` events gives several episodes of equal size. Characters without questions are not
    played.
    Kept: questions about events and dialogues, at most ``questions`` per episode, drawn at random.
    Gold: the phrases of at most three words that the reference answer shares with the chunk it
    refers to, without the words of the question; of the ``keywords`` rarest in the chunk, those
    that share a sentence with another one (if any do). Evidence: few sentences of the chunk that
    together hold all of them.
    Left out and counted: questions on the profile and on relationships (no event tells them),
    questions whose memory is not there, questions without a text answer, questions of which the
    chunk holds less than half of what the answer adds to the question (the source's dialogues were
    rewritten after its questions), repeated questions, events without text; and episodes with
    fewer than ``min_questions`` questions.
    The published pipeline (Mem-alpha) has GPT-4.1 shorten the answers to keywords and keeps those
    that GPT-4.1 finds when it reads the whole history. No model is in our data path, so that our
    keywords are literal, and verbs and paraphrases are among them; an answer that rephrases its
    event is left out.

Splits
    By a hash of the character's name: 70 % ``train``, 10 % ``validation``, 20 % ``test``.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memgym.episode import Episode, Evidence, Question
from memgym.errors import UsageError
from memgym.tasks.files import bucket, data_path, digest, field, matching_files, read_json
from memgym.tasks.keywords import covering, extract_keywords, together, words_of
from memgym.tasks.procedural.engine import generator
from memgym.tasks.source import EpisodeSet, ListedEpisodes, parse_options
from memgym.text import find_dates, split_sentences

__all__ = ["PerltqaOptions", "load"]

_ORIGIN = (
    "perltmem_en_v2.json and perltqa_en_v2.json of PerLTQA, repository Elvin-Yiming-Du/PerLTQA"
)
_ENDS = ((0.7, "train"), (0.8, "validation"), (1.0, "test"))
_LEAST_SUPPORT = 0.5  # share of the answer's own words that the chunk must hold


@dataclass(frozen=True, slots=True)
class PerltqaOptions:
    """Options of the ``perltqa`` source.

    Attributes:
        chunks: Most chunks (events) per episode.
        questions: Most questions per episode, drawn at random.
        min_questions: An episode with fewer is left out.
        keywords: Most keywords per question.
        path: A folder with the two files, instead of ``<data>/perltqa``.
    """

    chunks: int = 30
    questions: int = 100
    min_questions: int = 20
    keywords: int = 5
    path: str = ""

    def __post_init__(self) -> None:
        for name in ("chunks", "questions", "min_questions", "keywords"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class _Event:
    """An event with its dialogues. ``names``: its id and those of its dialogues."""

    date: str
    chunk: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question as it stands in the file. ``memory``: id of the event or dialogue it is about."""

    question: str
    answer: str
    memory: str


@dataclass(frozen=True, slots=True)
class _Part:
    """What one episode is made of."""

    character: str
    chunks: tuple[str, ...]
    questions: tuple[Question, ...]


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the PerLTQA episodes of one split.

    Raises:
        UsageError: a bad option, missing files, or a file that is not PerLTQA (names the place).
    """
    chosen = parse_options(PerltqaOptions, options, "perltqa")
    folder = data_path(data, "perltqa", chosen.path, "perltqa", _ORIGIN)
    memories = _characters(folder, "perltmem_en")
    excluded: Counter[str] = Counter()
    settings = str({**asdict(chosen), "path": ""})
    parts: dict[str, _Part] = {}
    for character, (record, where) in _characters(folder, "perltqa_en").items():
        if _split_of(character) != split:
            excluded["character of another split"] += 1
            continue
        if character not in memories:
            raise UsageError(f"{where}: the memory files do not have this character")
        events = _events(*memories[character], excluded)
        asked = list(_asked(record, where, excluded))
        for part in _parts(character, events, asked, chosen, excluded):
            golds = (str((q.question, q.answers)) for q in part.questions)
            content = digest(settings, character, *part.chunks, *golds)
            parts[f"perltqa/{split}/{len(parts)}-{content[:8]}"] = part
    ids = list(parts)

    def make(index: int) -> Episode:
        return _episode(ids[index], split, parts[ids[index]], chosen.questions)

    return ListedEpisodes(f"perltqa/{split}", ids, make, excluded)


def _split_of(character: str) -> str:
    share = bucket("perltqa", character)
    return next(split for end, split in _ENDS if share < end)


def _parts(
    character: str,
    events: Sequence[_Event],
    asked: Sequence[_Asked],
    options: PerltqaOptions,
    excluded: Counter[str],
) -> Iterator[_Part]:
    """Yield the character's episodes: events in equal shares and the questions about them."""
    known = {name for event in events for name in event.names}
    missing = sum(item.memory not in known for item in asked)
    if missing:
        excluded["question whose event or dialogue is not there"] += missing
    count = -(-len(events) // options.chunks)
    bounds = [len(events) * i // count for i in range(count + 1)] if count else []
    for start, end in itertools.pairwise(bounds):
        shown = events[start:end]
        questions: dict[str, Question] = {}
        for item in asked:
            place = next((i for i, event in enumerate(shown) if item.memory in event.names), None)
            if place is None:
                continue
            if item.question in questions:
                excluded["question asked before in the episode"] += 1
            elif question := _question(item, place, shown[place].chunk, options.keywords):
                questions[item.question] = question
            else:
                excluded["question whose answer the chunk does not hold"] += 1
        if len(questions) < options.min_questions:
            excluded[f"part of a life with {len(questions)} questions"] += 1
            continue
        chunks = tuple(event.chunk for event in shown)
        yield _Part(character, chunks, tuple(questions.values()))


def _question(item: _Asked, place: int, chunk: str, most: int) -> Question | None:
    """Return the question with keywords for its gold, or None if the chunk does not hold them."""
    sentences = split_sentences(chunk)
    every = len(item.answer)  # more than it can have keywords
    held = extract_keywords(item.answer, sentences, without=item.question, most=every)
    wanted = extract_keywords(item.answer, [item.answer], without=item.question, most=every)
    if not held or _words(held) < _LEAST_SUPPORT * _words(wanted):
        return None
    rarest = extract_keywords(item.answer, sentences, without=item.question, most=most)
    golds = together(rarest, sentences)
    evidence = tuple(Evidence(place, sentences[i]) for i in covering(golds, sentences))
    return Question(item.question, golds, kind="keywords", evidence=evidence)


def _words(keywords: Sequence[str]) -> int:
    return sum(len(words_of(keyword)) for keyword in keywords)


def _episode(identifier: str, split: str, part: _Part, most: int) -> Episode:
    """Draw at most ``most`` questions, order kept."""
    rng = generator(identifier)
    kept = sorted(rng.sample(range(len(part.questions)), min(most, len(part.questions))))
    metadata = {"split": split, "character": part.character}
    asked = tuple(part.questions[i] for i in kept)
    return Episode(identifier, "perltqa", "accurate_retrieval", part.chunks, asked, metadata)


def _characters(folder: Path, prefix: str) -> dict[str, tuple[Any, str]]:
    """Return character -> record and its place, from one object or a list of objects per file."""
    found: dict[str, tuple[Any, str]] = {}
    for path in matching_files(folder, prefix, ".json", _ORIGIN):
        top = read_json(path)
        for group in top if isinstance(top, list) else [top]:
            if not isinstance(group, dict):
                raise UsageError(f"{path}: not PerLTQA: must map characters to their records")
            for character, record in group.items():
                where = f'{path}, "{character}"'
                if character in found:
                    raise UsageError(
                        f"{where}: also in {found[character][1]}; keep one version of the data"
                    )
                found[character] = (record, where)
    return found


def _events(record: Any, where: str, excluded: Counter[str]) -> list[_Event]:
    """Return the events of a character by date, those without a full date last."""
    dialogues: dict[str, list[tuple[str, str]]] = {}
    for name, dialogue in field(record, "dialogues", dict, where).items():
        place = f'{where}, dialogue "{name}"'
        text = "\n".join(_dialogue(field(dialogue, "contents", dict, place), place))
        dialogues.setdefault(field(dialogue, "events", str, place), []).append((name, text))
    events = []
    for name, event in field(record, "events", dict, where).items():
        place = f'{where}, event "{name}"'
        content, summary, time = (
            field(event, key, str, place).strip() for key in ("content", "summary", "Creation Time")
        )
        if not content:
            excluded["event without text"] += 1
            continue
        about = dialogues.get(name, [])
        header = f"[Event of {time or 'unknown date'}: {summary}]"
        chunk = "\n".join([header, content, *(text for _, text in about if text)])
        names = frozenset({name, *(dialogue for dialogue, _ in about)})
        events.append(_Event(next(iter(find_dates(time)), "9999"), chunk, names))
    return sorted(events, key=lambda event: event.date)


def _dialogue(contents: dict[str, Any], where: str) -> Iterator[str]:
    """Yield the lines of a dialogue: a header with its time, then what is said."""
    for time, turns in contents.items():
        if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
            raise UsageError(f'{where}, "{time}": must be a list of strings "Speaker: text"')
        if any(turn.strip() for turn in turns):
            yield f"[Conversation of {time}]"
            yield from (" ".join(turn.split()) for turn in turns if turn.strip())


def _asked(record: Any, where: str, excluded: Counter[str]) -> Iterator[_Asked]:
    """Yield the questions on events and dialogues; count the others."""
    profile = len(field(record, "profile", list, where))
    social = sum(len(items) for _, items, _ in _by_memory(record, "social_relationship", where))
    for reason, count in (("profile", profile), ("a relationship", social)):
        if count:
            excluded[f"question on {reason}"] += count
    for section in ("events", "dialogues"):
        for memory, items, place in _by_memory(record, section, where):
            for number, item in enumerate(items):
                spot = f"{place}, question {number}"
                question = field(item, "Question", str, spot).strip()
                answer = item.get("Answer")
                if not question or not isinstance(answer, str) or not answer.strip():
                    excluded["question without text or without a text answer"] += 1
                else:
                    yield _Asked(question, answer, memory)


def _by_memory(record: Any, section: str, where: str) -> Iterator[tuple[str, list[Any], str]]:
    """Yield memory id, raw questions and place of a section: a list of {memory id: questions}."""
    for number, group in enumerate(field(record, section, list, where)):
        place = f'{where}, "{section}" {number}'
        if not isinstance(group, dict):
            raise UsageError(f"{place}: must map memory ids to lists of questions")
        for memory in group:
            yield memory, field(group, memory, list, place), f'{place}, "{memory}"'
