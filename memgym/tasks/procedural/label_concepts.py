"""Classes to be learned from examples: numbers, cues, and which pairs of cues are taught or asked.

Not here: sentences (``label_forms``) and where examples stand (``test_time_learning``).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from memgym.tasks.procedural.label_forms import Family
from memgym.tasks.procedural.words import split_of

__all__ = ["Concept", "Pair", "covering", "cue_pool", "make_concepts"]

_LABELS = (14, 20)
_LESSONS = (2, 10)  # planned examples per class
_CUES = (4, 6)  # cues per class, shared ones included

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Concept:
    """One class: its number, its cues, and the pairs of cues that examples may use."""

    label: str
    cues: tuple[str, ...]
    taught: tuple[Pair, ...]
    held_out: tuple[Pair, ...]


def cue_pool(family: Family, split: str) -> tuple[str, ...]:
    """Return the cues of ``family`` that belong to ``split``; no cue is in two splits."""
    cues = (f"{adjective} {noun}" for adjective in family.adjectives for noun in family.nouns)
    return tuple(cue for cue in cues if split_of(cue) == split)


def make_concepts(
    family: Family, split: str, room: int, rng: random.Random
) -> tuple[int, tuple[Concept, ...]]:
    """Return how many planned examples each class gets, and the classes.

    Args:
        family: Gives the cues.
        split: Which of them may be used.
        room: How many examples the text can hold; few of them make few classes with few cues.
        rng: Source of all choices.
    """
    count = max(2, min(rng.randint(*_LABELS), max(room // 6, min(4, room // 3))))
    lessons = max(_LESSONS[0], min(_LESSONS[1], int(room * 0.7) // count))
    size = max(_CUES[0], min(_CUES[1], lessons))
    lent = max(1, size // 4)
    codes = rng.sample(range(10, 1000), count)
    own = _own_cues(cue_pool(family, split), count, size - lent, rng)
    return lessons, tuple(
        _concept(str(codes[k]), own[k], lent, own[(k + 1) % count][:lent], rng)
        for k in range(count)
    )


def _own_cues(
    cues: Sequence[str], classes: int, each: int, rng: random.Random
) -> list[tuple[str, ...]]:
    """Return disjoint sets of cues, in which no noun is used more often than need be."""
    used: dict[str, int] = {}
    ranked: list[tuple[int, str]] = []
    for cue in rng.sample(cues, len(cues)):
        noun = cue.split(" ", 1)[1]
        ranked.append((used.get(noun, 0), cue))
        used[noun] = used.get(noun, 0) + 1
    ranked.sort(key=lambda pair: pair[0])  # stable: random among equals
    chosen = [cue for _, cue in ranked[: classes * each]]
    rng.shuffle(chosen)
    return [tuple(chosen[k * each : (k + 1) * each]) for k in range(classes)]


def _concept(
    label: str, own: tuple[str, ...], lent: int, borrowed: tuple[str, ...], rng: random.Random
) -> Concept:
    """Return the class of ``own`` cues, the first ``lent`` of them shared with the class before.

    ``borrowed`` are those that the class after shares with it. Every pair of cues has at least one
    that no other class has.
    """
    exclusive = own[lent:]
    cues = (*own, *borrowed)
    pairs = [
        (first, second)
        for at, first in enumerate(cues)
        for second in cues[at + 1 :]
        if first in exclusive or second in exclusive
    ]
    rng.shuffle(pairs)
    # Asked are rather pairs of the class's own: a cue it shares pulls towards its neighbour.
    pairs.sort(key=lambda pair: not (pair[0] in exclusive and pair[1] in exclusive))
    cut = max(1, len(pairs) // 3)
    return Concept(label, cues, tuple(pairs[cut:]), tuple(pairs[:cut]))


def covering(concept: Concept, count: int, rng: random.Random) -> list[Pair]:
    """Return ``count`` taught pairs in which the cues occur about equally often."""
    used = dict.fromkeys(concept.cues, 0)
    chosen: list[Pair] = []
    for _ in range(count):
        pairs = rng.sample(concept.taught, len(concept.taught))
        best = min(pairs, key=lambda pair: (used[pair[0]] + used[pair[1]], pair in chosen))
        for cue in best:
            used[cue] += 1
        chosen.append(best)
    return chosen
