"""Which of many short facts answer a question, and which of them are outdated.

For ``factconsolidation``, whose files give questions and golds but not the facts behind them. A
fact is a sentence that ends in its value ("goaltender is associated with the sport of ice
hockey."); two facts that differ in nothing but the value contradict each other, and the later one
holds. Rules only: what they do not find stays unknown.
"""

from collections.abc import Iterator, Sequence

from memgym.tasks.keywords import is_stop_word, word_spans, words_of

__all__ = ["FactIndex"]

_MOST_VALUE_WORDS = 8
_MOST_FACTS = 4  # in a chain
_STEM = 5  # letters by which words of fact and question are compared ("citizen", "citizenship")
_ANCHORED = 0.6  # share of a fact's content words that its question must have


class FactIndex:
    """Facts in order, found by their values and by what stands before the values."""

    def __init__(self, facts: Sequence[str]) -> None:
        """Index the facts, a later one being the more recent."""
        self._facts = facts
        self._spans = [word_spans(fact) for fact in facts]
        self._by_value: dict[str, list[int]] = {}
        self._by_stem: dict[str, list[int]] = {}
        for number, spans in enumerate(self._spans):
            words = [word for word, _, _ in spans]
            for size in range(1, min(_MOST_VALUE_WORDS, len(words) - 1) + 1):
                self._by_value.setdefault(" ".join(words[-size:]), []).append(number)
                self._by_stem.setdefault(" ".join(words[:-size]), []).append(number)

    def statement(self, question: str, gold: str) -> int | None:
        """Return the index of the valid fact that answers a question at once, if one does."""
        wanted = _with_stems(question)
        size = len(words_of(gold))
        found = [(self._anchored(n, size, wanted), n) for n in self._valid(gold)]
        share, number = max(found, default=(0.0, -1))
        return number if share >= _ANCHORED else None

    def outdated(self, number: int, gold: str) -> tuple[str, ...]:
        """Return the values that earlier facts gave instead of ``gold``, as they are written.

        Values that the fact or the gold itself contains are left out.
        """
        size = len(words_of(gold))
        held = f" {' '.join(words_of(self._facts[number]))} "
        values: dict[str, str] = {}
        for other in self._by_stem[self._stem(number, size)]:
            start = self._spans[other][len(self._spans[number]) - size][1]
            value = self._facts[other][start:].strip().removesuffix(".")
            key = " ".join(words_of(value))
            if f" {key} " not in held:
                values.setdefault(key, value)
        return tuple(values.values())

    def chain(self, question: str, gold: str) -> tuple[int, ...]:
        """Return a shortest chain of valid facts from the question to the gold, ``()`` if none.

        The question names what the first fact is about; every fact's value stands in the next one,
        before its value; the last value is the gold. Of equally long chains the one counts whose
        first fact has most of its words in the question, then the one with the later fact.
        """
        wanted = _with_stems(question)
        chains: list[tuple[tuple[int, ...], int]] = [
            ((number,), len(words_of(gold))) for number in self._valid(gold)
        ]
        seen = {chain[0] for chain, _ in chains}
        for _ in range(_MOST_FACTS):
            ranked = [(self._anchored(chain[0], size, wanted), chain) for chain, size in chains]
            share, best = max(ranked, default=(0.0, ()))
            if share >= _ANCHORED:
                return best
            longer: list[tuple[tuple[int, ...], int]] = []
            for chain, size in chains:
                for number, length in self._before(chain[0], size):
                    if number not in seen:
                        seen.add(number)
                        longer.append(((number, *chain), length))
            chains = longer
        return ()

    def _before(self, number: int, size: int) -> Iterator[tuple[int, int]]:
        """Yield valid facts, and the length of their values, whose value the fact is about."""
        words = self._stem(number, size).split()
        for length in range(min(_MOST_VALUE_WORDS, len(words)), 0, -1):
            for start in range(len(words) - length + 1):
                run = words[start : start + length]
                if not all(is_stop_word(word) or len(word) < 3 for word in run):
                    for found in self._valid(" ".join(run)):
                        yield found, length

    def _valid(self, value: str) -> Iterator[int]:
        """Yield the facts with a value that no later fact contradicts."""
        words = words_of(value)
        for number in self._by_value.get(" ".join(words), ()):
            if self._by_stem[self._stem(number, len(words))][-1] == number:
                yield number

    def _stem(self, number: int, size: int) -> str:
        """Return what stands before a value of ``size`` words."""
        return " ".join(word for word, _, _ in self._spans[number][:-size])

    def _anchored(self, number: int, size: int, wanted: frozenset[str]) -> float:
        """Return the share of the fact's content words in the question, 0.0 if a name is not."""
        content = []
        for word, start, _ in self._spans[number][:-size]:
            if is_stop_word(word) or len(word) < 3:
                continue
            if self._facts[number][start].isupper() and word not in wanted:
                return 0.0  # a name must be there in full
            content.append(word[:_STEM] in wanted)
        return sum(content) / len(content) if content else 0.0


def _with_stems(text: str) -> frozenset[str]:
    words = words_of(text)
    return frozenset(words) | frozenset(word[:_STEM] for word in words)
