"""The people and things of one episode: whom the questions are about, and everybody else.

A scene splits each pool of values in two: one part only for what is asked about, the other for the
background, so that no background sentence ever states an asked-for value. A background fact about
the same subject is always the same fact. Not here: sentences, questions.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from memgym.tasks.procedural.engine import generator
from memgym.tasks.procedural.filler_forms import MOMENTS, TIMES, WEATHER
from memgym.tasks.procedural.words import pool, with_article

__all__ = ["Scene", "talked_about"]

_Item = TypeVar("_Item")
_SKEW = 2.0


def talked_about(items: Sequence[_Item], rng: random.Random) -> _Item:
    """Draw an item as gossip does: the first ones far more often than the last ones."""
    return items[int(len(items) * rng.random() ** _SKEW)]


@dataclass(slots=True)
class Scene:
    """Names and values of one episode; its size depends on the questions, never on the length.

    Attributes:
        id: The episode id, from which every draw is seeded.
        split: Which part of the word pools is used.
        people: Full names of the people that questions are about, filled while planning.
        mention: Probability that a sentence naming somebody names one of ``people``.
    """

    id: str
    split: str
    mention: float = 0.7
    people: list[str] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)
    _decks: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _pools: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)

    def new_person(self, rng: random.Random) -> str:
        """Draw a full name that was not drawn before and will be asked about."""
        while True:
            name = self._full_name(rng)
            if name not in self._taken:
                self._taken.add(name)
                self.people.append(name)
                return name

    def new_subject(self, pool_name: str, role: str, rng: random.Random) -> str | None:
        """Draw a name or thing to ask about, never the same twice in one role.

        Returns:
            A full name for the pool ``person``, else a word of the asked-for half of the pool;
            None if the role has used them all.
        """
        if pool_name == "person":
            return self.new_person(rng)
        deck = self._deck(pool_name, role)
        return deck.pop() if deck else None

    def new_value(self, pool_name: str, role: str, rng: random.Random) -> str:
        """Draw a value that no background sentence states; repeats only once all were drawn."""
        if pool_name == "person":
            return self.new_person(rng)
        deck = self._deck(pool_name, role)
        if not deck:
            deck.extend(self._halves(pool_name)[0])
            rng.shuffle(deck)
        return deck.pop()

    def background(self, pool_name: str) -> tuple[str, ...]:
        """Return the values that background sentences may state."""
        return self._halves(pool_name)[1]

    def fixed_value(self, pool_name: str, subject: str, relation: str) -> str:
        """Return the background value of one relation of one subject, the same at every call."""
        key = f"{self.id}/{relation}/{subject}".encode()
        number = int.from_bytes(hashlib.sha256(key).digest()[:8], "big")
        if pool_name == "person":
            return self.other_person(random.Random(number))
        values = self.background(pool_name)
        return values[number % len(values)]

    def other_person(self, rng: random.Random) -> str:
        """Draw a full name nobody asks about; half of them share a part with one that is asked."""
        while True:
            first, last = self._full_name(rng).rsplit(" ", 1)
            if self.people and rng.random() < 0.5:
                near_first, near_last = rng.choice(self.people).rsplit(" ", 1)
                if rng.random() < 0.5:
                    first = near_first
                else:
                    last = near_last
            if f"{first} {last}" not in self._taken:
                return f"{first} {last}"

    def any_person(self, rng: random.Random) -> str:
        """Draw a full name: one that is asked about with probability ``mention``."""
        if self.people and rng.random() < self.mention:
            return talked_about(self.people, rng)
        return self.other_person(rng)

    def render(self, form: str, rng: random.Random) -> str:
        """Fill the slots of a filler form (see ``filler_forms``)."""
        return form.format_map(_Slots(self, rng))

    def _full_name(self, rng: random.Random) -> str:
        first = rng.choice(pool("person_first", self.split))
        return f"{first} {rng.choice(pool('person_last', self.split))}"

    def _deck(self, pool_name: str, role: str) -> list[str]:
        deck = self._decks.get((pool_name, role))
        if deck is None:
            deck = list(self._halves(pool_name)[0])
            generator(f"{self.id}/deck/{pool_name}/{role}").shuffle(deck)
            self._decks[pool_name, role] = deck
        return deck

    def _halves(self, pool_name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the words of a pool that are asked for and those of the background."""
        if pool_name not in self._pools:
            words = list(pool(pool_name, self.split))
            generator(f"{self.id}/pool/{pool_name}").shuffle(words)
            middle = len(words) // 2
            self._pools[pool_name] = tuple(words[:middle]), tuple(words[middle:])
        return self._pools[pool_name]


class _Slots(dict[str, str]):
    """Draws the value of each slot when ``str.format_map`` asks for it."""

    def __init__(self, scene: Scene, rng: random.Random) -> None:
        self._scene = scene
        self._rng = rng

    def __missing__(self, slot: str) -> str:
        return _DRAW[slot](self._scene, self._rng)


_DRAW: dict[str, Callable[[Scene, random.Random], str]] = {
    "name": Scene.any_person,
    "first": lambda scene, rng: scene.any_person(rng).split(" ", 1)[0],
    "town": lambda scene, rng: rng.choice(scene.background("town")),
    "building": lambda scene, rng: rng.choice(scene.background("building")),
    "company": lambda scene, rng: rng.choice(scene.background("company")),
    "dish": lambda scene, rng: rng.choice(scene.background("dish")),
    "thing": lambda scene, rng: with_article(rng.choice(scene.background("object"))),
    "landmark": lambda scene, rng: "the " + rng.choice(scene.background("landmark")),
    "time": lambda scene, rng: rng.choice(TIMES),
    "moment": lambda scene, rng: rng.choice(MOMENTS),
    "weather": lambda scene, rng: rng.choice(WEATHER),
}
