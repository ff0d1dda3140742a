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
        share = self._possible_filler(len(planned), target_tokens)
        due = self._places(len(planned), target_tokens, share)
        half = (share * self.filler_tokens + (1 - share) * self.fact_tokens) / 2
        pending = [self._cost(unit) for unit in planned]
        units: list[Unit] = []
        facts, subject, tokens = 0, "", sum(pending)
        drift = self.rng.random() - 0.5  # unbiased rounding of the share over many small chunks
        while True:
            full = bool(units or planned) and tokens + half >= target_tokens
            if full and not pending:
                return units
            missing = share * (len(units) + 1) - (len(units) - facts) + drift
            if not full and self.rng.random() < share + missing / 2:
                units.append(Unit("filler", self.remark(subject)))
                tokens += self._cost(units[-1])
                continue
            if pending and (full or facts in due):
                units.append(planned[-len(pending)])
                pending.pop()
            else:
                units.append(self.fact())
                tokens += self._cost(units[-1])
            subject = units[-1].subject
            facts += 1

    def _cost(self, unit: Unit) -> float:
        return count_tokens(f" {unit.text}") + self.joint_tokens

    def _possible_filler(self, planned: int, target_tokens: float) -> float:
        """Return the share of filler that the planned units leave room for."""
        room = max(0.0, target_tokens - planned * self.fact_tokens) / self.filler_tokens
        return min(self.filler, room / max(room + planned, 1))

    def _places(self, planned: int, target_tokens: float, filler: float) -> frozenset[int]:
        """Return which of the chunk's facts, counted from 0, are to be the planned ones."""
        room = int(0.9 * fact_room(target_tokens, filler, self.fact_tokens, self.filler_tokens))
        return frozenset(self.rng.sample(range(max(room, planned)), planned))


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
