r"""One scorer for training, agents and baselines, and the judges that can stand beside it.

========== ======================================================================================
kind       score of an answer, 0.0 to 1.0
========== ======================================================================================
text       1 if any gold occurs in the answer on word boundaries, after normalisation
label      1 if the first ``\boxed{…}`` holds exactly a gold label (strict: no box, no point)
keywords   share of the gold keywords that occur in the answer (hit rate)
order      share of gold pairs whose first mentions stand in gold order (a missing one is wrong)
state      1 if a gold occurs and none of the question's distractors does
========== ======================================================================================

Containment with word boundaries, all golds and prediction normalised alike, is what the published
scorers disagree about; what each of them did is listed with the Mem-alpha reference code. A failed
or empty answer scores 0 and is counted, never dropped.

The table is what the answer judge ``exact`` does, the default. The judge ``llm`` asks a model about
free-form answers and leaves the rest to the table (:mod:`memgym.agents.judges`).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol, TypeVar

from memgym.episode import Question, QuestionKind
from memgym.plugins import make_plugin
from memgym.tokenise import CJK_CHARACTERS

__all__ = [
    "ANSWER_JUDGES",
    "AnswerJudge",
    "ExactJudge",
    "GivenAnswer",
    "NormalisedText",
    "boxed",
    "contains",
    "make_answer_judge",
    "mean_score",
    "normalise",
    "score_answer",
    "stating",
]

_APOSTROPHES = str.maketrans(dict.fromkeys("’`´ʼ", "'"))  # before NFKC, which takes "´" apart
_POSSESSIVE = re.compile(r"'(?<!\d0')s\b")  # "Ada's" holds "Ada"; but the "1990's" are the 1990s
# The number's own separators stay: "3.5" is not "35", "1,000" is "1000".
_THOUSANDS = re.compile(r",(?<=\d,)(?=\d{3}(?!\d))")
_ABBREVIATION_POINT = re.compile(r"\.(?:(?<=\w\.)(?<!\d\.)(?=\w\b)|(?<=\b\w\.)(?!\d))")
_POINT_IN_NUMBER = re.compile(r"\.(?<=\d\.)(?=\d)")
_NOT_WORD = re.compile(r"[^\w\x00]+|_")
_NOT_WORD_ASCII = {code: " " for code in range(1, 128) if not chr(code).isalnum()}
_ARTICLES = frozenset({"a", "an", "the"})
_BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")
# Scripts written without spaces (the last block is Thai): any position is a word boundary there.
_UNSPACED = re.compile(f"[{CJK_CHARACTERS}\u0e00-\u0e7f]")

_AnyText = TypeVar("_AnyText", bound="NormalisedText")


def normalise(text: str) -> str:
    """Return ``text`` in the form in which answers are compared.

    Unicode NFKC, case folded; a possessive s becomes a word of its own ("Ada's" is "ada s");
    apostrophes, the points of abbreviations and thousands separators are deleted ("U.S." is "us",
    "1,000" is "1000"); other punctuation separates words; the articles a, an, the are dropped
    (unless nothing else is left); words are joined by single spaces.
    """
    words = _folded_words(text)
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def _folded_words(text: str) -> list[str]:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))
    text = text.casefold().replace("`", "'")
    if "'" in text:
        text = _POSSESSIVE.sub(" s", text).replace("'", "")
    if "," in text:
        text = _THOUSANDS.sub("", text)
    text = text.replace("\x00", " ")  # stands for the point of a number below
    if "." in text:
        text = _POINT_IN_NUMBER.sub("\x00", _ABBREVIATION_POINT.sub("", text))
    text = text.translate(_NOT_WORD_ASCII) if text.isascii() else _NOT_WORD.sub(" ", text)
    return text.replace("\x00", ".").split()


def _position(gold: str, text: str) -> int:
    """Return where a normalised gold first occurs on word boundaries, -1 if nowhere."""
    start = text.find(gold)
    while start >= 0:
        end = start + len(gold)
        if _is_boundary(text, start) and _is_boundary(text, end):
            return start
        start = text.find(gold, start + 1)
    return -1


def _is_boundary(text: str, at: int) -> bool:
    """Whether a word may begin or end between the characters ``at - 1`` and ``at``."""
    if at in (0, len(text)):
        return True
    around = text[at - 1 : at + 1]
    return " " in around or _UNSPACED.search(around) is not None


def contains(gold: str, answer: str) -> bool:
    """Whether ``gold`` occurs in ``answer`` on word boundaries, both normalised."""
    return NormalisedText(answer).holds(gold)


@lru_cache(maxsize=4_096)
def _gold_form(gold: str) -> tuple[str, bool]:
    """Return a normalised gold and whether it is nothing but articles ("grade A")."""
    words = _folded_words(gold)
    kept = [word for word in words if word not in _ARTICLES]
    return " ".join(kept or words), bool(words) and not kept


class NormalisedText:
    """A text, normalised once (at first use) for all the golds it is compared with.

    Args:
        text: An answer, or a text that may state one.
    """

    def __init__(self, text: str) -> None:
        self.raw = text

    @cached_property
    def normalised(self) -> str:
        """The text as :func:`normalise` returns it."""
        return normalise(self.raw)

    def position(self, gold: str) -> int:
        """Return where ``gold`` first occurs on word boundaries, -1 if nowhere.

        Positions of different golds in one text can be compared if none of the golds is made of
        articles or of punctuation only.
        """
        wanted, of_articles = _gold_form(gold)
        if of_articles:  # those were dropped from the normalised text
            return _position(wanted, " ".join(_folded_words(self.raw)))
        if wanted:
            return _position(wanted, self.normalised)
        # A gold of punctuation only ("%"; "C++" is not one): nothing to normalise, compare as is.
        return self.raw.find(gold.strip())

    def holds(self, gold: str) -> bool:
        """Whether ``gold`` occurs in the text on word boundaries."""
        return self.position(gold) >= 0


def stating(gold: str, texts: Iterable[_AnyText]) -> list[_AnyText]:
    """Return the texts that hold ``gold``; for many texts quicker than asking each of them."""
    wanted, of_articles = _gold_form(gold)
    if wanted and not of_articles:
        texts = [text for text in texts if wanted in text.normalised]
    return [text for text in texts if text.holds(gold)]


def boxed(answer: str) -> str | None:
    r"""Return the content of the first ``\boxed{…}`` without quotes and outer spaces, or None."""
    match = _BOXED.search(answer)
    return match[1].strip().strip("\"'").strip() if match else None


def _score_text(question: Question, answer: NormalisedText) -> float:
    return float(any(answer.holds(gold) for gold in question.answers))


def _score_label(question: Question, answer: NormalisedText) -> float:
    given = boxed(answer.raw)
    return float(given is not None and given in [gold.strip() for gold in question.answers])


def _score_keywords(question: Question, answer: NormalisedText) -> float:
    return sum(answer.holds(gold) for gold in question.answers) / len(question.answers)


def _score_order(question: Question, answer: NormalisedText) -> float:
    positions = [answer.position(gold) for gold in question.answers]
    if len(positions) == 1:
        return float(positions[0] >= 0)
    pairs = [(a, b) for i, a in enumerate(positions) for b in positions[i + 1 :]]
    return sum(0 <= a < b for a, b in pairs) / len(pairs)


def _score_state(question: Question, answer: NormalisedText) -> float:
    right = any(answer.holds(gold) for gold in question.answers)
    return float(right and not any(answer.holds(wrong) for wrong in question.distractors))


_SCORERS: dict[QuestionKind, Callable[[Question, NormalisedText], float]] = {
    "text": _score_text,
    "label": _score_label,
    "keywords": _score_keywords,
    "order": _score_order,
    "state": _score_state,
}


def score_answer(question: Question, answer: str) -> float:
    """Return the score of ``answer``, 0.0 to 1.0 (see the module's table). Never raises."""
    return _SCORERS[question.kind](question, NormalisedText(answer)) if answer.strip() else 0.0


def mean_score(scores: Sequence[float]) -> float:
    """Return the mean of the scores, 0.0 for none."""
    return sum(scores) / len(scores) if scores else 0.0


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer to be judged.

    Attributes:
        question: The question with its golds.
        text: The answer; not empty.
        source: Name of the data source of the episode.
        question_type: What the data set calls this sort of question, ``""`` if it does not say.
        reference: The gold in the words of the data set where that is a free text and
            ``question.answers`` are only keywords or phrases taken from it, ``""`` otherwise.
    """

    question: Question
    text: str
    source: str = ""
    question_type: str = ""
    reference: str = ""


class AnswerJudge(Protocol):
    """Scores the answers to a batch of questions."""

    name: str

    def score(self, answers: Sequence[GivenAnswer]) -> list[float]:
        """Return one score from 0.0 to 1.0 per answer, in order; never raises on any answer."""
        ...


class ExactJudge:
    """Scores by the table of this module."""

    name = "exact"

    def score(self, answers: Sequence[GivenAnswer]) -> list[float]:
        """Return :func:`score_answer` of every answer."""
        return [score_answer(answer.question, answer.text) for answer in answers]


ANSWER_JUDGES: Mapping[str, type[Any] | str] = {
    "exact": ExactJudge,
    "llm": "memgym.agents.judges:LLMAnswerJudge",
}


def make_answer_judge(name: str, **options: Any) -> AnswerJudge:
    """Return the answer judge called ``name``, or a user's own, ``package.module:Class``.

    Raises:
        UsageError: no such judge, or an option it does not take.
    """
    judge: AnswerJudge = make_plugin("answer judge", name, ANSWER_JUDGES, options, method="score")
    return judge
