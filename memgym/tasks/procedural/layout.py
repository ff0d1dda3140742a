"""Where the planned sentences of an episode go: which chunk, which section, and how many fit.

Not here: what the sentences say.
"""

import random
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import NamedTuple

from memgym.episode import Question
from memgym.tasks.procedural.dialogue import (
    Style,
    section_count,
    section_style,
)
from memgym.tasks.procedural.engine import (
    ProceduralOptions,
    chunk_count,
    chunk_target,
    count_tokens,
)

__all__ = ["Layout", "Place", "in_asking_order", "midstream"]

_FILLER_TOKENS = 14.5  # mean of a filler sentence, with its part of headers and turn markers
_HEADER_TOKENS = 25
_LONGEST_SENTENCE_TOKENS = 45
_TRIES = 60


class Place(NamedTuple):
    """A section of a chunk."""

    chunk: int
    section: int

    @property
    def style(self) -> Style:
        """Whether the section is a conversation or a document."""
        return section_style(self.chunk, self.section)


class Layout:
    """Books room for sentences; holds only what was booked, so it does not grow with the text.

    Args:
        options: Length and shape of the episode.
        statement_tokens: Mean tokens of a sentence that states a fact, with its part of the markup.

    Attributes:
        chunks: Number of chunks of the episode.
        target_tokens: Tokens each chunk aims at.
    """

    def __init__(self, options: ProceduralOptions, statement_tokens: float) -> None:
        self.chunks = chunk_count(options)
        self.target_tokens = chunk_target(options)
        self._sections = section_count(self.target_tokens)
        self._room = self.target_tokens / self._sections - _HEADER_TOKENS
        mean_tokens = options.filler * _FILLER_TOKENS + (1.0 - options.filler) * statement_tokens
        self._sentences = options.tokens / mean_tokens
        self._factual = (1.0 - options.filler) * self._sentences
        self._booked = 0
        self._placed: dict[int, list[tuple[int, str]]] = {}
        self._used: dict[Place, int] = {}

    def sentences_left(self) -> int:
        """Return how many more sentences may be planned, so that the share of filler holds."""
        return int(self._factual * 0.95) - self._booked

    def background_share(self) -> float:
        """Return the share of the unplanned sentences that must state background facts."""
        others = max(1.0, self._sentences - self._booked)
        return min(1.0, max(0.0, (self._factual - self._booked) / others))

    def find(self, rng: random.Random, low: int = 0, high: int | None = None) -> Place | None:
        """Return a random place with room for a sentence in chunks ``low .. high - 1``, if any."""
        high = self.chunks if high is None else high
        for _ in range(_TRIES):
            place = Place(rng.randrange(low, high), rng.randrange(self._sections))
            if self._used.get(place, 0) + _LONGEST_SENTENCE_TOKENS <= max(
                self._room, _LONGEST_SENTENCE_TOKENS
            ):
                return place
        return None

    def put(self, place: Place, sentence: str) -> None:
        """Book ``sentence`` at ``place``."""
        self._used[place] = self._used.get(place, 0) + count_tokens(" " + sentence) + 2
        self._placed.setdefault(place.chunk, []).append((place.section, sentence))
        self._booked += 1

    def planned(self, chunk: int) -> list[tuple[int, str]]:
        """Return the pairs of section and sentence booked for a chunk."""
        return self._placed.get(chunk, [])


def midstream(questions: int, share: float, rng: random.Random) -> set[int]:
    """Choose which of so many questions are asked as soon as their evidence has been read."""
    return set(rng.sample(range(questions), round(share * questions)))


def in_asking_order(questions: Sequence[Question], early: Container[int]) -> tuple[Question, ...]:
    """Set ``asked_after`` of the ``early`` ones to the chunk of their last evidence, and sort.

    Returns:
        All questions in the order of asking: the midstream ones by chunk, then the others.
    """
    asked = [
        replace(question, asked_after=max(item.chunk for item in question.evidence))
        if number in early
        else question
        for number, question in enumerate(questions)
    ]
    return tuple(
        sorted(asked, key=lambda q: float("inf") if q.asked_after is None else float(q.asked_after))
    )
