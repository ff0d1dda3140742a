"""Why an answer was wrong: which stage between the text and the answer lost it.

=================  ============================================================================
cause              meaning
=================  ============================================================================
``not_written``    some needed evidence never entered the memory
``lost``           all of it did, but some was later deleted, overwritten or cut off
``not_retrieved``  the memory holds all of it, but the reader was not shown all of it
``misread``        the reader was shown all of it and still answered wrongly
=================  ============================================================================

Evidence counts as held by a text if what it states of the answer occurs there by the scorer's own
rule (any one of alternative golds, all golds of a list, a label as the label of an example)
together with a third of its other content words, or, where it states no gold, with three fifths of
them. So a paraphrase that keeps names and values counts, and the same value in a sentence about
something else does not. A question without evidence is judged by its golds alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from memgym.episode import Question
from memgym.scoring import NormalisedText, normalise, stating
from memgym.text import labelled_examples

__all__ = ["CAUSES", "Cause", "HeldText", "HeldTexts", "diagnose"]

Cause = Literal["not_written", "lost", "not_retrieved", "misread"]
CAUSES: tuple[Cause, ...] = get_args(Cause)

_SHARE_WITH_GOLD = 1 / 3
_SHARE_WITHOUT_GOLD = 3 / 5
_LISTED_KINDS = ("keywords", "order")  # every gold is wanted; elsewhere any one will do
_STOP_WORDS = frozenset(
    "a an the and or but of to in on at by for from with as is are was were be been it its this "
    "that he she they them his her their i you we my your our not no so then than there here what "
    "which who when where how do does did has have had will would can could s sentence label user "
    "assistant".split()
)


class HeldText(NormalisedText):
    """A text as the diagnosis looks at it; every form of it is made at first use and kept."""

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the normalised text."""
        return frozenset(self.normalised.split())

    @cached_property
    def labels(self) -> frozenset[str]:
        """The labels of the labelled examples in the text."""
        return frozenset(example.label for example in labelled_examples(self.raw))


class HeldTexts:
    """Texts that can be asked whether any of them holds some evidence.

    Args:
        texts: The texts; a :class:`HeldText` that was used before is not normalised again.
    """

    def __init__(self, texts: Iterable[str | HeldText]) -> None:
        self._texts = [text if isinstance(text, HeldText) else HeldText(text) for text in texts]

    def hold(self, unit: "_Unit") -> bool:
        """Whether any single text holds the unit of evidence."""
        texts = self._texts
        for group in unit.golds:
            texts = _stating(texts, group, unit.are_labels)
        if not unit.words:
            return bool(texts)
        wanted = unit.share * len(unit.words)
        related = (text.words for text in texts if not unit.words.isdisjoint(text.words))
        return any(len(unit.words & words) >= wanted for words in related)


def _stating(texts: list[HeldText], golds: Sequence[str], are_labels: bool) -> list[HeldText]:
    """Return the texts that state at least one of the golds, some of them perhaps twice."""
    if are_labels:
        labels = {gold.strip() for gold in golds}
        return [text for text in texts if not labels.isdisjoint(text.labels)]
    return [text for gold in golds for text in stating(gold, texts)]


@dataclass(frozen=True, slots=True)
class _Unit:
    """One piece of needed evidence.

    Attributes:
        golds: Groups of golds; of each group at least one must be stated.
        are_labels: Whether the golds are labels of examples.
        words: Other words of the evidence.
        share: Share of ``words`` that must occur.
    """

    golds: tuple[tuple[str, ...], ...]
    are_labels: bool
    words: frozenset[str] = frozenset()
    share: float = 0.0


def _units(question: Question) -> Iterator[_Unit]:
    """Yield what is needed for the answer, each made when it is asked for."""
    if question.evidence:
        yield from (_evidence_unit(item.text, question) for item in question.evidence)
        return
    is_label = question.kind == "label"
    yield from (_Unit((group,), is_label) for group in _groups(question, question.answers))


def _groups(question: Question, golds: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return ``golds`` in groups of alternatives."""
    if not golds:
        return ()
    return tuple((gold,) for gold in golds) if question.kind in _LISTED_KINDS else (tuple(golds),)


def _evidence_unit(evidence: str, question: Question) -> _Unit:
    text = HeldText(evidence)
    # A labelled example states its label; the same digits inside its sentence would not.
    are_labels = bool(text.labels)
    golds = [gold for gold in question.answers if _stating([text], [gold], are_labels)]
    gold_words = {word for gold in golds for word in normalise(gold).split()}
    words = text.words - gold_words - _STOP_WORDS
    share = _SHARE_WITH_GOLD if golds else _SHARE_WITHOUT_GOLD
    return _Unit(_groups(question, golds), are_labels, words, share)


def diagnose(question: Question, *, shown: HeldTexts, held: HeldTexts, removed: HeldTexts) -> Cause:
    """Return the cause of a wrong answer.

    Args:
        question: The question that was answered wrongly.
        shown: What the reader saw.
        held: Every text in the memory when the question was asked.
        removed: Every text that had left the memory by then.
    """
    all_held, units = True, list[_Unit]()
    for unit in _units(question):
        units.append(unit)
        if held.hold(unit):
            continue
        if not removed.hold(unit):
            return "not_written"  # whatever became of the rest
        all_held = False
    if not all_held:
        return "lost"
    return "misread" if all(map(shown.hold, units)) else "not_retrieved"
