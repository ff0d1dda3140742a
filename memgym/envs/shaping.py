"""Potential-based shaping: a hint at every step that leaves the return of an episode as it is.

One potential of a memory is the mean share of each question's evidence that it holds word for word.
Another is a price for the room that it fills: room is worth something as long as there is text to
come that does not fit, which a learner otherwise finds out at the end of an episode only.
A step earns the rise of a potential, and the last one gives everything back, so the sum over an
episode is zero whatever was done (Ng, Harada and Russell, 1999, with a discount of 1). Golds enter
the reward this way, as they do through the answer score; they never enter an observation.
"""

import math
from collections.abc import Iterable, Sequence

from memgym.episode import Question
from memgym.errors import UsageError

__all__ = ["EvidencePotential", "RoomPotential", "checked_weight"]


def checked_weight(weight: float, name: str = "shaping") -> float:
    """Return the weight of a potential.

    Raises:
        UsageError: it is no finite number of at least 0.
    """
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight) or weight < 0:
        raise UsageError(f"{name} must be a finite number of at least 0, got {weight!r}")
    return float(weight)


class EvidencePotential:
    """The potential of one episode; 0 throughout if none of its questions has known evidence.

    Args:
        questions: The questions of the episode.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        known = [question for question in questions if question.evidence]
        self._evidence = [item.text for question in known for item in question.evidence]
        self._weights = [
            1.0 / len(question.evidence) / len(known)
            for question in known
            for _ in question.evidence
        ]
        self._stated: dict[str, tuple[int, ...]] = {}
        self._last = 0.0

    def rise(self, held: Iterable[str]) -> float:
        """Return by how much the potential has risen since the last call.

        Args:
            held: The texts in the memory now.
        """
        found = {number for text in held for number in self._numbers(text)}
        now = sum(self._weights[number] for number in sorted(found))
        before, self._last = self._last, now
        return now - before

    def _numbers(self, text: str) -> tuple[int, ...]:
        """Return which pieces of evidence a text states; kept, as most texts stay for long."""
        numbers = self._stated.get(text)
        if numbers is None:
            pairs = enumerate(self._evidence)
            numbers = self._stated[text] = tuple(n for n, piece in pairs if piece in text)
        return numbers


class RoomPotential:
    """Minus what the memory has filled of a room that is scarce; 0 throughout if all fits.

    In shares of the episode's text, times the share of it for which there is no room: a token of a
    memory for a tenth of the text costs ``0.9`` of what a token of the text is worth on average.

    Args:
        budget_tokens: Limit of the memory, 0 for none.
        text_tokens: Of the episode.
    """

    def __init__(self, budget_tokens: int, text_tokens: int) -> None:
        scarce = 0 < budget_tokens < text_tokens
        self._price = (1.0 - budget_tokens / text_tokens) / text_tokens if scarce else 0.0
        self._last = 0.0

    def rise(self, tokens: int) -> float:
        """Return by how much the potential has risen since the last call.

        Args:
            tokens: In the memory now.
        """
        now = -tokens * self._price
        before, self._last = self._last, now
        return now - before
