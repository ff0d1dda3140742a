"""Why an answer was wrong: which stage between the text and the answer lost it.

=================  ============================================================================
cause              meaning
=================  ============================================================================
``not_written``    some needed evidence never entered the memory
``lost``           all of it did, but some was later deleted, overwritten or cut off
``not_retrieved``  the memory holds all of it, but the reader was not shown all of it
``misread``        the reader was shown all of it and still answered wrongly
=================  ============================================================================

Evidence counts as held by a text if the golds it states occur there together with a third of its
other content words, or, where it states no gold, with three fifths of them. So a paraphrase that
keeps names and values counts, and the same value in a sentence about something else does not. A
question without evidence is judged by its golds alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from memgym.episode import Question
from memgym.scoring import contains, normalise
from memgym.text import labelled_examples

__all__ = ["CAUSES", "Cause", "HeldTexts", "diagnose"]

Cause = Literal["not_written", "lost", "not_retrieved", "misread"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

_SHARE_WITH_GOLD = 1 / 3
_SHARE_WITHOUT_GOLD = 3 / 5
_STOP_WORDS = frozenset(
    "a an the and or but of to in on at by for from with as is are was were be been it its this "
    "that he she they them his her their i you we my your our not no so then than there here what "
    "which who when where how do does did has have had will would can could sentence label user "
    "assistant".split()
)


@dataclass(frozen=True, slots=True)
class _Text:
    normalised: str
    words: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "_Text":
        normalised = normalise(text)
        return cls(f" {normalised} ", frozenset(normalised.split()))


class HeldTexts:
    """Texts, normalised once, that can be asked whether any of them holds some evidence."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = [_Text.of(text) for text in texts]

    def hold(self, unit: "_Unit") -> bool:
        """Whether any single text holds the unit of evidence."""
        return any(unit.held_by(text) for text in self._texts)


@dataclass(frozen=True, slots=True)
class _Unit:
    """One piece of needed evidence: golds that must occur, words of which a share must."""

    golds: tuple[str, ...]
    words: frozenset[str]
    share: float

    def held_by(self, text: _Text) -> bool:
        if not all(f" {gold} " in text.normalised for gold in self.golds):
            return False
        return len(self.words & text.words) >= self.share * len(self.words)


def _content_words(normalised: str) -> frozenset[str]:
    return frozenset(word for word in normalised.split() if word not in _STOP_WORDS)


def _units(question: Question) -> list[_Unit]:
    if question.evidence:
        return [_evidence_unit(item.text, question.answers) for item in question.evidence]
    alternatives = question.kind in ("text", "label", "state")
    golds = question.answers[:1] if alternatives else question.answers
    if question.kind == "label":
        golds = tuple(f"label {gold}" for gold in golds)
    return [_Unit((normalise(gold),), frozenset(), 1.0) for gold in golds]


def _evidence_unit(text: str, answers: Sequence[str]) -> _Unit:
    # A labelled example states its label; the same digits inside its sentence would not.
    stated = {example.label for example in labelled_examples(text)}
    if stated:
        golds = [f"label {gold}" for gold in answers if gold in stated]
    else:
        golds = [gold for gold in answers if contains(gold, text)]
    normalised = tuple(normalise(gold) for gold in golds)
    gold_words = {word for gold in normalised for word in gold.split()}
    words = _content_words(normalise(text)) - gold_words
    return _Unit(normalised, words, _SHARE_WITH_GOLD if golds else _SHARE_WITHOUT_GOLD)


def diagnose(question: Question, *, shown: HeldTexts, held: HeldTexts, removed: HeldTexts) -> Cause:
    """Return the cause of a wrong answer.

    Args:
        question: The question that was answered wrongly.
        shown: What the reader saw.
        held: Every text in the memory when the question was asked.
        removed: Every text that had left the memory by then.
    """
    units = _units(question)
    missing = [unit for unit in units if not held.hold(unit)]
    if any(not removed.hold(unit) for unit in missing):
        return "not_written"
    if missing:
        return "lost"
    if any(not shown.hold(unit) for unit in units):
        return "not_retrieved"
    return "misread"
