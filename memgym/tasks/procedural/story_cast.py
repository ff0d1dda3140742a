"""The people of a story and what happens to them: names and values, without any sentences."""

import functools
import random
from dataclasses import dataclass, replace

from memgym.tasks.procedural.story_forms import KINDS
from memgym.tasks.procedural.words import pool, split_of

__all__ = ["FIND", "MEET", "MEND", "VISIT", "Background", "Cast", "value_pool"]

VISIT, FIND, MEET, MEND = range(len(KINDS))
_MINOR_PER_THREAD = 3
_MINOR_SHARE = 0.8  # of the background's events; the others happen to passers-by


@functools.cache
def value_pool(kind: int, split: str) -> tuple[str, ...]:
    """Return the values of the kind with index ``kind`` (none for people); splits are disjoint."""
    pairs = (f"{left} {right}" for left in KINDS[kind].lefts for right in KINDS[kind].rights)
    return tuple(value for value in pairs if split_of(value) == split)


@dataclass(frozen=True, slots=True)
class Background:
    """Names and values of the people nobody asks about.

    Attributes:
        split: Which part of the word pools is used.
        protagonists: Full names of those that questions ask about.
        taken: Full names that nobody in the background may have.
        values: For each kind of event the values that no protagonist has; none for people.
        minor: Full names of minor characters, who come back.
    """

    split: str
    protagonists: tuple[str, ...]
    taken: frozenset[str]
    values: tuple[tuple[str, ...], ...]
    minor: tuple[str, ...] = ()

    def person(self, rng: random.Random) -> str:
        """Return a full name: mostly one of the minor characters, else that of a passer-by."""
        if self.minor and rng.random() < _MINOR_SHARE:
            return rng.choice(self.minor)
        return self.stranger(rng)

    def stranger(self, rng: random.Random) -> str:
        """Return a full name; half of them share a part with a protagonist's."""
        while True:
            parts = [
                rng.choice(pool("person_first", self.split)),
                rng.choice(pool("person_last", self.split)),
            ]
            if rng.random() < 0.5:
                part = rng.randrange(2)
                parts[part] = rng.choice(self.protagonists).split(" ")[part]
            if (name := " ".join(parts)) not in self.taken:
                return name

    def value(self, kind: int, who: str, rng: random.Random) -> str:
        """Return a value that no protagonist has, for an event of the person ``who``."""
        if kind != MEET:
            return rng.choice(self.values[kind])
        while (other := self.person(rng)) == who:
            pass
        return other


class Cast:
    """Gives out names and values while the threads are planned, none twice if it can be helped.

    Half of each pool of values, another half in every episode, is kept for the background.
    """

    def __init__(self, split: str, rng: random.Random) -> None:
        self._split = split
        self._rng = rng
        self._protagonists: list[str] = []
        self._taken: set[str] = set()
        self._asked: list[list[str]] = []
        self._background: list[tuple[str, ...]] = []
        for kind in range(len(KINDS)):
            values = rng.sample(value_pool(kind, split), len(value_pool(kind, split)))
            self._asked.append(values[::2])
            self._background.append(tuple(values[1::2]))
        self._next = [0] * len(KINDS)

    def protagonist(self) -> str:
        """Return the full name of a new protagonist."""
        self._protagonists.append(self._person())
        return self._protagonists[-1]

    def value(self, kind: int) -> str:
        """Return a new value for an event of a protagonist; when all are used, the first again."""
        if kind == MEET:
            return self._person()
        self._next[kind] += 1
        return self._asked[kind][(self._next[kind] - 1) % len(self._asked[kind])]

    def background(self) -> Background:
        """Return what is left for everybody else, once all threads are planned."""
        passers_by = Background(
            self._split,
            tuple(self._protagonists),
            frozenset(self._taken),
            tuple(self._background),
        )
        count = _MINOR_PER_THREAD * len(self._protagonists)
        minor = tuple(passers_by.stranger(self._rng) for _ in range(count))
        return replace(passers_by, minor=minor)

    def _person(self) -> str:
        while True:
            first = self._rng.choice(pool("person_first", self._split))
            name = f"{first} {self._rng.choice(pool('person_last', self._split))}"
            if name not in self._taken:
                self._taken.add(name)
                return name
