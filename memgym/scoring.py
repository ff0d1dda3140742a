r"""One scorer for training, agents and baselines.

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
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from memgym.episode import Question, QuestionKind

__all__ = ["boxed", "contains", "normalise", "score_answer"]

# The number's own separators stay: "3.5" is not "35", "1,000" is "1000".
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DROPPED = re.compile(r"['’`´]|(?<=\w)\.(?=\w\b(?!\d))(?<!\d\.)|(?<=\b\w)\.(?!\d)")
_POINT_IN_NUMBER = re.compile(r"(?<=\d)\.(?=\d)")
_NOT_WORD = re.compile(r"[^\w\x00]+|_")
_ARTICLES = frozenset({"a", "an", "the"})
_BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")
# Scripts written without spaces: any position is a word boundary there.
_UNSPACED = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\u0e00-\u0e7f]"
)


def normalise(text: str) -> str:
    """Return ``text`` in the form in which answers are compared.

    Unicode NFKC, case folded; apostrophes, the points of abbreviations and thousands separators are
    deleted ("U.S." is "us", "1,000" is "1000"); other punctuation separates words; the articles a,
    an, the are dropped (unless nothing else is left); words are joined by single spaces.
    """
    words = _folded_words(text)
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def _folded_words(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _DROPPED.sub("", _THOUSANDS.sub("", text))
    return _NOT_WORD.sub(" ", _POINT_IN_NUMBER.sub("\x00", text)).replace("\x00", ".").split()


def _position(gold: str, text: str) -> int:
    """Return where a normalised gold first occurs on word boundaries, -1 if nowhere."""
    start = text.find(gold)
    while start >= 0:
        end = start + len(gold)
        left = start == 0 or text[start - 1] == " " or _UNSPACED.match(text[start - 1 : start + 1])
        right = end == len(text) or text[end] == " " or _UNSPACED.match(text[end - 1 : end + 1])
        if left and right:
            return start
        start = text.find(gold, start + 1)
    return -1


def contains(gold: str, answer: str) -> bool:
    """Whether ``gold`` occurs in ``answer`` on word boundaries, both normalised."""
    return _Answer(answer).holds(gold)


class _Answer:
    """An answer, normalised once for all the golds it is compared with."""

    def __init__(self, text: str) -> None:
        self.raw = text
        self.normalised = normalise(text)

    def position(self, gold: str) -> int:
        wanted = normalise(gold)
        if wanted and not _ARTICLES.isdisjoint(wanted.split()):
            # The gold is an article ("grade A"), and those were dropped from the answer.
            return _position(wanted, " ".join(_folded_words(self.raw)))
        if wanted:
            return _position(wanted, self.normalised)
        # A gold of punctuation only ("%", "C++" is not one): nothing to normalise, compare as is.
        return self.raw.find(gold.strip())

    def holds(self, gold: str) -> bool:
        return self.position(gold) >= 0


def boxed(answer: str) -> str | None:
    r"""Return the content of the first ``\boxed{…}`` without quotes and outer spaces, or None."""
    match = _BOXED.search(answer)
    return match[1].strip().strip("\"'").strip() if match else None


def _score_text(question: Question, answer: _Answer) -> float:
    return float(any(answer.holds(gold) for gold in question.answers))


def _score_label(question: Question, answer: _Answer) -> float:
    given = boxed(answer.raw)
    return float(given is not None and given in [gold.strip() for gold in question.answers])


def _score_keywords(question: Question, answer: _Answer) -> float:
    return sum(answer.holds(gold) for gold in question.answers) / len(question.answers)


def _score_order(question: Question, answer: _Answer) -> float:
    positions = [answer.position(gold) for gold in question.answers]
    if len(positions) == 1:
        return float(positions[0] >= 0)
    pairs = [(a, b) for i, a in enumerate(positions) for b in positions[i + 1 :]]
    return sum(0 <= a < b for a, b in pairs) / len(pairs)


def _score_state(question: Question, answer: _Answer) -> float:
    right = any(answer.holds(gold) for gold in question.answers)
    return float(right and not any(answer.holds(wrong) for wrong in question.distractors))


_SCORERS: dict[QuestionKind, Callable[[Question, _Answer], float]] = {
    "text": _score_text,
    "label": _score_label,
    "keywords": _score_keywords,
    "order": _score_order,
    "state": _score_state,
}


def score_answer(question: Question, answer: str) -> float:
    """Return the score of ``answer``, 0.0 to 1.0 (see the module's table). Never raises."""
    return _SCORERS[question.kind](question, _Answer(answer)) if answer.strip() else 0.0


def mean_score(scores: Sequence[float]) -> float:
    """Return the mean of the scores, 0.0 for none."""
    return sum(scores) / len(scores) if scores else 0.0
