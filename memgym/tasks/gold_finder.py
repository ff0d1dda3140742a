"""Finds the sentence that states a gold, for data that come without evidence."""

import bisect
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from memgym.episode import Evidence
from memgym.text import split_sentences

__all__ = ["GoldFinder"]

_WORD = re.compile(r"\w+")
_SHORTEST = 3  # characters; "no" stands everywhere and shows nothing
_TRIED = 2_000  # places of a frequent gold that are compared


class GoldFinder:
    """Looks golds up in the sentences of an episode's chunks.

    What is found is a guess by rule: of the sentences that hold a gold, the one that shares most
    words with the question; of equals the one with most golds, then the first. It lets the answer
    be read. Whether it says why that is the answer is not known; of a question with two hops it is
    the last.
    """

    def __init__(self, chunks: Sequence[str]) -> None:
        self.sentences = [
            Evidence(index, sentence)
            for index, chunk in enumerate(chunks)
            for sentence in split_sentences(chunk)
            if sentence in chunk  # white space inside a labelled example may be changed
        ]
        folded = [item.text.casefold() for item in self.sentences]
        self._ends = list(itertools.accumulate(len(text) + 1 for text in folded))
        self._text = "\n".join(folded)

    def find(self, question: str, golds: Sequence[str]) -> tuple[Evidence, ...]:
        """Return the sentence for a question, empty if none holds any of its golds."""
        asked = set(_WORD.findall(question.casefold()))
        held = Counter(place for gold in golds for place in set(self._places(gold)))

        def fitness(place: int) -> tuple[int, int, int]:
            words = set(_WORD.findall(self.sentences[place].text.casefold()))
            return len(asked & words), held[place], -place

        return (self.sentences[max(held, key=fitness)],) if held else ()

    def _places(self, gold: str) -> Iterator[int]:
        """Yield indices of sentences that hold a gold between word boundaries."""
        wanted = gold.strip().casefold()
        if len(wanted) < _SHORTEST:
            return
        tried, start = 0, self._text.find(wanted)
        while start >= 0 and tried < _TRIED:
            end = start + len(wanted)
            if not _WORD.match(self._text[max(start - 1, 0) : start]) and not _WORD.match(
                self._text[end : end + 1]
            ):
                yield bisect.bisect_right(self._ends, start)
            tried, start = tried + 1, self._text.find(wanted, end)
