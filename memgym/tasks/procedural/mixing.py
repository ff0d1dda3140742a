"""Mixes planned sentences, further facts and filler into a chunk of a wanted length.

A mixer decides how many units of which kind a chunk holds and in which order; what the units say
and how they are laid out as a conversation, a document or a chapter is the task's business.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from memgym.tasks.procedural.engine import count_tokens

__all__ = ["Deck", "Mixer", "Unit", "as_sentence", "fact_room", "spread"]


_USUAL = 3  # units of the usual size that count beside those made


class Unit(NamedTuple):
    """One sentence (or labelled example) of a chunk.

    Attributes:
        kind: ``planned`` if a question may rest on it, ``fact`` if one could have been asked about
            it but none is, ``filler`` if nobody could ask about it.
        text: The unit itself, without turn markers or line breaks around it.
        subject: The person or thing it is about, for remarks that stay with it; may be empty.
    """

    kind: Literal["planned", "fact", "filler"]
    text: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Mixer:
    """Makes the units of one chunk.

    Attributes:
        rng: Source of all choices.
        filler: Wanted share of filler units, 0 to 1. Planned units are never left out, so a chunk
            that is full of them has less filler.
        fact_tokens: Usual size of a fact, planned or not, in tokens.
        filler_tokens: Usual size of a filler sentence, in tokens.
        joint_tokens: What the layout adds to each unit on average (line breaks, markers).
        fact: Makes one more unasked fact.
        remark: Makes one filler sentence, given the subject of the latest fact ("" before any).
    """

    rng: random.Random
    filler: float
    fact_tokens: float
    filler_tokens: float
    joint_tokens: float
    fact: Callable[[], Unit]
    remark: Callable[[str], str]

    def units(self, planned: Sequence[Unit], target_tokens: float) -> list[Unit]:
        """Return units of about ``target_tokens`` in total, the planned ones in the given order."""
        waiting = list(reversed(planned))
        budget = _Budget(self, target_tokens - sum(map(self.cost, planned)))
        units: list[Unit] = []
        subject = ""
        while waiting or budget.has_room():
            facts_left, units_left = budget.still_to_come(len(waiting))
            if self.filler and self.rng.random() * units_left >= facts_left:
                units.append(Unit("filler", self.remark(subject)))
            else:
                is_planned = self.rng.random() * facts_left < len(waiting)
                units.append(waiting.pop() if is_planned else self.fact())
                subject = units[-1].subject
            budget.spend(units[-1])
        return units

    def cost(self, unit: Unit) -> float:
        """Return the tokens of a unit with its share of the layout."""
        return count_tokens(f" {unit.text}") + self.joint_tokens


class _Budget:
    """What one chunk has room for, from the sizes of the units made so far."""

    def __init__(self, mixer: Mixer, tokens: float) -> None:
        self._mixer = mixer
        self._tokens = tokens  # left for units that are not planned
        self._facts = self._fillers = 0
        # Sums over a few units of the usual size and all those made.
        self._fact_tokens = mixer.fact_tokens * _USUAL
        self._filler_tokens = mixer.filler_tokens * _USUAL
        self._rounding = mixer.rng.random() - 0.5  # unbiased over many small chunks

    def spend(self, unit: Unit) -> None:
        """Count a unit that was made."""
        cost = self._mixer.cost(unit)
        self._tokens -= 0 if unit.kind == "planned" else cost
        if unit.kind == "filler":
            self._fillers += 1
            self._filler_tokens += cost
        else:
            self._facts += 1
            self._fact_tokens += cost

    def has_room(self) -> bool:
        """Whether one more unit is likely to bring the chunk nearer to its target."""
        return self._tokens > self._mean() / 2

    def still_to_come(self, waiting: int) -> tuple[float, float]:
        """Return how many facts and how many units are still to come, ``waiting`` ones included."""
        units_left = max(self._tokens / self._mean(), 0.0) + waiting
        total = self._facts + self._fillers + units_left
        facts_left = (1 - self._mixer.filler) * total + self._rounding - self._facts
        if not self.has_room():
            facts_left = units_left = waiting
        return max(facts_left, waiting), units_left

    def _mean(self) -> float:
        fact = self._fact_tokens / (self._facts + _USUAL)
        filler = self._filler_tokens / (self._fillers + _USUAL)
        return self._mixer.filler * filler + (1 - self._mixer.filler) * fact


def fact_room(tokens: float, filler: float, fact_tokens: float, filler_tokens: float) -> float:
    """Return how many facts a text of ``tokens`` holds when ``filler`` is the share of filler."""
    return tokens * (1 - filler) / ((1 - filler) * fact_tokens + filler * filler_tokens)


@dataclass(slots=True)
class Deck:
    """Draws forms so that none comes again before all others have come."""

    rng: random.Random
    _left: dict[Sequence[str], list[str]] = field(default_factory=dict)

    def draw(self, forms: tuple[str, ...]) -> str:
        """Return the next of ``forms`` in shuffled order."""
        if not self._left.get(forms):
            self._left[forms] = self.rng.sample(forms, len(forms))
        return self._left[forms].pop()


def spread(count: int, slots: int, rng: random.Random) -> list[float]:
    """Return ``count`` ascending positions in ``0 <= x < slots``, evenly but irregularly apart."""
    return [min((k + rng.random()) / count, 1 - 1e-9) * slots for k in range(count)]


def as_sentence(text: str) -> str:
    """Return ``text`` with a capital first letter and, unless it has an end mark, a full stop."""
    end = "" if text.endswith((".", "?", "!", '"')) else "."
    first = 1 if text.startswith('"') else 0
    return f"{text[:first]}{text[first].upper()}{text[first + 1 :]}{end}"
