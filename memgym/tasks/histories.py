"""Histories of dated sessions: packing them into chunks, and questions whose golds they state.

Shared by ``longmemeval`` and ``locomo``. Not here: how a data set writes its files down.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from memgym.episode import Evidence, Question
from memgym.tasks.chunking import pack, sentence_spans
from memgym.tasks.keywords import covering, extract_keywords, together, words_of
from memgym.tasks.procedural.dialogue import conversation_header

__all__ = [
    "ABSTENTION_ANSWERS",
    "Asked",
    "Gold",
    "Passage",
    "Session",
    "Turn",
    "ask_about",
    "pack_history",
    "sentences_of",
]

ABSTENTION_ANSWERS = (
    "not mentioned",
    "no information",
    "not enough information",
    "not provided",
    "not specified",
    "cannot be answered",
)
"""Golds of a question that the history does not answer: an answer that says so has one of them."""

_LONG_GOLD = 5  # words from which a gold is a free answer, scored by its keywords
_FEWEST_KEYWORDS = 2
_MOST_KEYWORDS = 12
_NUMBER = re.compile(r"[$€£]?\d[\d.,]*%?")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says at once."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation and when it took place."""

    date: datetime
    turns: tuple[Turn, ...]


class Passage(NamedTuple):
    """A sentence and whose it is: indices of its session and of its turn in the session."""

    session: int
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Gold:
    """The gold of a question.

    Attributes:
        answers: Alternatives, any one is right.
        parts: The parts of a list that are all wanted; empty if the gold is no list.
        counted: Whether a number among the answers is the outcome of counting or reckoning, so
            that the same number standing in the text means nothing.
    """

    answers: tuple[str, ...]
    parts: tuple[str, ...] = ()
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A question without evidence yet, and the sentences that are it."""

    question: Question
    passages: tuple[Passage, ...]


def sentences_of(sessions: Sequence[Session], session: int, turn: int) -> list[Passage]:
    """Return the sentences of one turn."""
    text = _line(sessions[session].turns[turn])
    return [Passage(session, turn, text[start:end]) for start, end in sentence_spans(text)]


def _line(turn: Turn) -> str:
    return f"{turn.speaker}: {turn.text}"


def pack_history(
    sessions: Sequence[Session],
    asked: Sequence[Asked],
    rng: random.Random,
    min_tokens: int,
    max_tokens: int,
) -> tuple[tuple[str, ...], tuple[Question, ...]]:
    """Return chunks, each a part of one session below a line with its date, and the questions.

    A sentence that is longer than a chunk is evidence part by part.
    """
    chunks: list[str] = []
    pieces: dict[tuple[int, int], list[Evidence]] = {}
    for number, session in enumerate(sessions):
        lines = [_line(turn) for turn in session.turns]
        for packed in pack(lines, rng, min_tokens, max_tokens):
            for piece in packed.pieces:
                place = pieces.setdefault((number, piece.source), [])
                place.append(Evidence(len(chunks), piece.text))
            chunks.append(f"{conversation_header(session.date)}\n{packed.text}")
    questions = []
    for item in asked:
        evidence = [
            place
            for passage in item.passages
            for place in _located(passage.text, pieces[passage.session, passage.turn])
        ]
        questions.append(replace(item.question, evidence=tuple(dict.fromkeys(evidence))))
    return tuple(chunks), tuple(questions)


def _located(sentence: str, pieces: Sequence[Evidence]) -> list[Evidence]:
    """Return the sentence with its chunk, or, if none has it whole, its parts with theirs."""
    whole = (Evidence(piece.chunk, sentence) for piece in pieces if sentence in piece.text)
    if first := next(whole, None):
        return [first]
    return [piece for piece in pieces if piece.text in sentence]


def ask_about(
    question: str,
    gold: Gold,
    turns: Sequence[Sequence[Passage]],
    *,
    every_turn: bool,
    computed: bool,
) -> Asked | None:
    """Return the question with its kind and evidence, or None if its gold is not stated.

    The first rule that fits counts: a gold that a sentence states is asked for as ``text``; the
    parts of a list, all of them stated, as ``keywords``; a gold of five or more words by the
    keywords that it shares with the turns. Any other gold has to be worked out, which text that is
    merely shown cannot do.

    Args:
        question: The question.
        gold: What is right.
        turns: The sentences of each turn that may give the answer.
        every_turn: Whether every turn that states the gold is evidence; else the best sentence.
        computed: Whether a question whose gold is not stated is kept, as ``text``.
    """
    sentences = [sentence for turn in turns for sentence in turn]
    answers = [a for a in gold.answers if not (gold.counted and _NUMBER.fullmatch(a.strip()))]
    groups = turns if every_turn else [sentences]
    stated = tuple(best for group in groups if (best := _best(question, answers, group)))
    if stated:
        return Asked(Question(question, gold.answers), stated)
    parts = [_best(question, [part], sentences) for part in gold.parts]
    if parts and all(parts):
        passages = tuple(dict.fromkeys(part for part in parts if part))
        return Asked(Question(question, gold.parts, "keywords"), passages)
    if asked := _by_keywords(question, gold.answers, sentences):
        return asked
    if not computed:
        return None
    nearest = (max(turn, key=lambda s: _shared(question, s.text)) for turn in turns if turn)
    return Asked(Question(question, gold.answers), tuple(nearest) if every_turn else ())


def _by_keywords(
    question: str, answers: Sequence[str], sentences: Sequence[Passage]
) -> Asked | None:
    """Return the question with the keywords of its first long gold that has enough of them."""
    texts = [sentence.text for sentence in sentences]
    given = f"{question} user assistant"  # such golds speak of "the user"
    for answer in answers:
        if len(words_of(answer)) >= _LONG_GOLD:
            shared = extract_keywords(answer, texts, without=given, most=_MOST_KEYWORDS)
            found = together(shared, texts)
            if len(found) >= _FEWEST_KEYWORDS:
                passages = tuple(sentences[place] for place in covering(found, texts))
                return Asked(Question(question, found, "keywords"), passages)
    return None


def _best(question: str, answers: Sequence[str], sentences: Sequence[Passage]) -> Passage | None:
    """Return the sentence with an answer that shares most words with the question, if any."""
    wanted = [f" {' '.join(words)} " for answer in answers if (words := words_of(answer))]
    stating = [
        sentence
        for sentence in sentences
        if any(key in f" {' '.join(words_of(sentence.text))} " for key in wanted)
    ]
    return max(stating, key=lambda s: _shared(question, s.text), default=None)


def _shared(question: str, text: str) -> int:
    common = Counter(words_of(question)) & Counter(words_of(text))
    return common.total()
