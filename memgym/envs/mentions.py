"""How often the names of a sentence have come up in what was read so far.

What is talked about often is more likely to be asked about than what is named once. Everything here
is counted from the text that a policy has been shown, the chunk in view included; no question and
no gold is looked at. Relative counts, so that they mean the same in short and in long texts.
"""

from collections.abc import Sequence

import numpy as np

from memgym.envs.features import ChunkFeatures, Floats

__all__ = ["MENTIONS", "Mentions"]

_LEVELS = ("word", "pair")
_PARTS = ("has", "most_again", "least_again", "most", "least", "most_of_all")
MENTIONS = tuple(f"{level}_{part}" for level in _LEVELS for part in _PARTS)
"""What is seen of a sentence's names, all in 0..1, for single capitalised words and for pairs of
neighbouring ones (full names): whether it has any; whether its most and its least mentioned one
come up in another sentence, too; how often these two do, ``c / (c + usual)`` with the usual count
of a mention; and the share of the most mentioned one's count in the largest of all."""


class _Level:
    """Counts of sentences by name."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._sum = self._squares = self._largest = 0

    def add(self, names: frozenset[int]) -> None:
        """Count a sentence."""
        for name in names:
            before = self._counts.get(name, 0)
            self._counts[name] = before + 1
            self._sum += 1
            self._squares += 2 * before + 1
            self._largest = max(self._largest, before + 1)

    def describe(self, names: frozenset[int]) -> tuple[float, ...]:
        """Return the numbers of a sentence that has been counted, which leaves itself out."""
        if not names:
            return (0.0,) * len(_PARTS)
        others = [self._counts[name] - 1 for name in names]
        most, least = max(others), min(others)
        usual = self._squares / self._sum
        return (
            1.0,
            float(most > 0),
            float(least > 0),
            most / (most + usual),
            least / (least + usual),
            (most + 1) / self._largest,
        )


class Mentions:
    """The names of one episode, as far as it has been read."""

    def __init__(self) -> None:
        self._words, self._pairs = _Level(), _Level()

    def read(self, chunk: ChunkFeatures) -> Floats:
        """Count the names of the next chunk; return the numbers of its sentences.

        Returns:
            ``(n, len(MENTIONS))``.
        """
        for words, pairs in zip(chunk.names, chunk.name_pairs, strict=True):
            self._words.add(words)
            self._pairs.add(pairs)
        rows: Sequence[tuple[float, ...]] = [
            (*self._words.describe(words), *self._pairs.describe(pairs))
            for words, pairs in zip(chunk.names, chunk.name_pairs, strict=True)
        ]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(MENTIONS))
