"""Mixes planned sentences, further facts and filler into a chunk of a wanted length.

A mixer decides how many units of which kind a chunk holds and in which order; what the units say
and how they are laid out as a conversation, a document or a chapter is the task's business.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from memgym.tasks.procedural.engine import count_tokens

__all__ = ["Deck", "Mixer", "Unit", "as_sentence", "spread"]


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
        unit_tokens: Usual size of a unit with its share of the layout; places the planned units.
        joint_tokens: What the layout adds to each unit on average (spaces, markers).
        fact: Makes one more unasked fact.
        remark: Makes one filler sentence, given the subject of the latest fact ("" before any).
    """

    rng: random.Random
    filler: float
    unit_tokens: float
    joint_tokens: float
    fact: Callable[[], Unit]
    remark: Callable[[str], str]

    def units(self, planned: Sequence[Unit], target_tokens: float) -> list[Unit]:
        """Return units of about ``target_tokens`` in total, the planned ones in the given order."""
        units: list[Unit] = []
        due = self._places(len(planned), target_tokens)
        facts, subject, tokens = 0, "", 0.0
        placed = 0
        drift = self.rng.random() - 0.5  # unbiased rounding of the share over many small chunks
        while True:
            mean = tokens / len(units) if units else 0.0
            full = units and tokens + mean / 2 >= target_tokens
            if full and placed == len(planned):
                return units
            missing = self.filler * (len(units) + 1) - (len(units) - facts) + drift
            if not full and self.rng.random() < self.filler + missing / 2:
                units.append(Unit("filler", self.remark(subject)))
            else:
                if placed < len(planned) and (full or facts in due):
                    units.append(planned[placed])
                    placed += 1
                else:
                    units.append(self.fact())
                subject = units[-1].subject
                facts += 1
            tokens += count_tokens(units[-1].text) + self.joint_tokens

    def _places(self, planned: int, target_tokens: float) -> frozenset[int]:
        """Return which of the chunk's facts, counted from 0, are to be the planned ones."""
        room = int(target_tokens / self.unit_tokens * (1 - self.filler) * 0.85)
        return frozenset(self.rng.sample(range(max(room, planned)), planned))


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
