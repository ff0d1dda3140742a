"""The same procedural episode in a longer text: its chunks unchanged, far apart among others.

What a memory loses as the text around the same facts grows is seen by nothing else: a longer
procedural episode has other facts. The chunks in between come from another ability's generator
(stories, or facts for a story), so they never speak of anything that is asked about.
"""

import bisect
import functools
from collections.abc import Sequence
from dataclasses import replace

from memgym.episode import Ability, Episode, Question
from memgym.errors import UsageError
from memgym.tasks.procedural import ProceduralOptions, build_procedural
from memgym.tasks.procedural.engine import LazyChunks, generator

__all__ = ["LONGEST_TOKENS", "check_stretch", "stretch"]

LONGEST_TOKENS = 10_000_000
"""Longest stretched text, tokens."""

_OTHER_INDEX = 10**6  # far from the episodes that are played for themselves


def check_stretch(options: ProceduralOptions, factor: int) -> None:
    """Check how many times an episode is made longer.

    Raises:
        UsageError: the factor is below 1, or the text would be too long.
    """
    if factor < 1 or options.tokens * factor > LONGEST_TOKENS:
        raise UsageError(
            f"stretch must be at least 1 and give at most {LONGEST_TOKENS:,} tokens, got {factor} "
            f"for {options.tokens:,} tokens"
        )


def stretch(episode: Episode, split: str, options: ProceduralOptions, factor: int) -> Episode:
    """Return a procedural episode made ``factor`` times as long.

    Every chunk stands at a random place of a block of ``factor`` chunks; the questions are the
    same, their evidence and times of asking moved along.

    Args:
        episode: Made with ``options``.
        split: Its split, from which the other text is made too.
        options: Its options.
        factor: 1 returns the episode itself.

    Raises:
        UsageError: see :func:`check_stretch`.
    """
    check_stretch(options, factor)
    if factor == 1:
        return episode
    name = episode.id.replace(f"/{split}/t", f"/{split}/x{factor}-t", 1)
    count = len(episode.chunks)
    rng = generator(f"{name}/places")
    places = [block * factor + rng.randrange(factor) for block in range(count)]
    other = _other_chunks(episode, split, options, count * (factor - 1))
    make = functools.partial(_chunk, tuple(places), episode.chunks, other)
    questions = tuple(_moved(question, places) for question in episode.questions)
    metadata = {
        **episode.metadata,
        "tokens": options.tokens * factor,
        "stretch": factor,
        "same_as": episode.id,
    }
    chunks = LazyChunks(count * factor, make)
    return replace(episode, id=name, chunks=chunks, questions=questions, metadata=metadata)


def _other_chunks(
    episode: Episode, split: str, options: ProceduralOptions, count: int
) -> Sequence[str]:
    """Return so many chunks of another ability's text, of the same size."""
    story: Ability = "long_range_understanding"
    ability: Ability = "accurate_retrieval" if episode.ability == story else story
    index = _OTHER_INDEX + int(episode.id.rpartition("/")[2])
    size = max(1, round(options.tokens / len(episode.chunks)))
    # A little more than needed: rounding must not leave it a chunk short.
    shape = ProceduralOptions(
        tokens=min((count + 1) * size + 1_000, LONGEST_TOKENS), chunk_tokens=max(size, 100)
    )
    return build_procedural(ability, split, index, shape).chunks


def _chunk(places: Sequence[int], own: Sequence[str], other: Sequence[str], number: int) -> str:
    """Return chunk ``number``: an own one if it is at one of the places."""
    before = bisect.bisect_left(places, number)  # own chunks that come earlier
    if before < len(places) and places[before] == number:
        return own[before]
    return other[number - before]


def _moved(question: Question, places: Sequence[int]) -> Question:
    asked = question.asked_after
    return replace(
        question,
        asked_after=None if asked is None else places[asked],
        evidence=tuple(replace(item, chunk=places[item.chunk]) for item in question.evidence),
    )
