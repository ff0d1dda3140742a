"""What the speed benchmarks share: synthetic texts and ratios of times taken in one process.

Absolute times of a shared machine swing; a ratio of two things timed alternately does not. So every
benchmark reports and asserts the median of several such ratios.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

__all__ = ["Ratio", "alternate", "seconds", "zipf_texts"]

VOCABULARY = 50_000  # pseudo-words; the n-th most frequent has weight 1/n


@dataclass(frozen=True)
class Ratio:
    """One time divided by another, one value per round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        low, high = min(self.rounds), max(self.rounds)
        return f"{self.median:,.4g}x (rounds {low:,.4g}-{high:,.4g}, n={len(self.rounds)})"


def seconds(action: Callable[[], object]) -> float:
    """Return the processor seconds of one call: other programs on the machine count for less."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


def alternate(
    reference: Callable[[int], float], ours: Callable[[int], float], rounds: int = 5
) -> Ratio:
    """Time both once per round, in turn; each gets the round and returns its seconds."""
    return Ratio(tuple(reference(number) / ours(number) for number in range(rounds)))


def zipf_texts(count: int, words: tuple[int, int], seed: int) -> list[str]:
    """Return ``count`` texts of ``words[0]`` to ``words[1]`` pseudo-words, Zipf-distributed."""
    random = Random(f"zipf {seed}")
    vocabulary = _pseudo_words()
    weights = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
    sizes = (random.randint(*words) for _ in range(count))
    return [" ".join(random.choices(vocabulary, cum_weights=weights, k=size)) for size in sizes]


def _pseudo_words() -> Sequence[str]:
    # The same for every seed: questions must share words with items. Short words come first, as
    # the frequent words of a language are short.
    syllables = [f"{start}{end}" for start in "bdfgklmnprstvz" for end in "aeiou"]
    by_length = (map("".join, itertools.product(syllables, repeat=n)) for n in (1, 2, 3))
    return list(itertools.islice(itertools.chain.from_iterable(by_length), VOCABULARY))
