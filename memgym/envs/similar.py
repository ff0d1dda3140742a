"""The items of one store as a policy in numbers meets them: sizes, ids, likeness to a sentence.

Not the search of the memory, which is BM25 and serves questions: this serves a policy that decides
about one sentence after another, and compares vectors that are kept beside the items.
"""

import numpy as np

from memgym.envs.features import Floats

__all__ = ["SimilarItems"]

_OUT = -2.0  # below every cosine


class SimilarItems:
    """An account of one store, oldest item first.

    Args:
        prefix: Of the ids; they count from 1 and are never used again, as those of the memory.
        width: Numbers per vector.

    Attributes:
        ids: Id of each item.
        texts: Text of each item.
        tokens: Tokens of each item.
        held: The texts of all items.
    """

    def __init__(self, prefix: str, width: int) -> None:
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.tokens: list[int] = []
        self.held: set[str] = set()
        self._prefix = prefix
        self._made = 0
        self._vectors: Floats = np.zeros((32, width), dtype=np.float32)

    def insert(self, text: str, tokens: int, vector: Floats) -> None:
        """Append an item."""
        if len(self.ids) == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._made += 1
        self.ids.append(f"{self._prefix}{self._made}")
        self.texts.append(text)
        self.tokens.append(tokens)
        self._enter(len(self.ids) - 1, text, vector)

    def update(self, place: int, text: str, tokens: int, vector: Floats) -> None:
        """Give the item at ``place`` another text."""
        self.held.discard(self.texts[place])
        self.texts[place], self.tokens[place] = text, tokens
        self._enter(place, text, vector)

    def delete(self, place: int) -> None:
        """Drop the item at ``place``; the later ones move up."""
        count = len(self.ids)
        self.held.discard(self.texts[place])
        del self.ids[place], self.texts[place], self.tokens[place]
        self._vectors[place : count - 1] = self._vectors[place + 1 : count]

    def _enter(self, place: int, text: str, vector: Floats) -> None:
        self.held.add(text)
        self._vectors[place] = vector

    def most_similar(self, vector: Floats, count: int) -> list[tuple[int, float]]:
        """Return places and cosines of the items most like a sentence, best first, ties by age.

        Args:
            vector: Of the sentence, ``(width,)`` and of length 1.
            count: How many items, at least 1; fewer come back if there are fewer.
        """
        size = len(self.ids)
        if not size:
            return []
        # Item by item, not a chunk at a time: a product of matrices starts threads, which cost
        # more than these few numbers and take the cores from other environments.
        cosines = self._vectors[:size].dot(vector)
        place = int(cosines.argmax())
        found = [(place, cosines.item(place))]
        while len(found) < count and len(found) < size:
            cosines[place] = _OUT
            place = int(cosines.argmax())
            found.append((place, cosines.item(place)))
        return found
