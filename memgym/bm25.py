"""BM25 search over an ordered list of items that is edited while it is searched.

:class:`BM25Index` gives the scores and the ranking of rank_bm25's ``BM25Okapi`` (k1 1.5, b 0.75,
epsilon 0.25) bit for bit, without building anything anew at a query. :class:`LazyIndex` is the same
search over a mapping that somebody else edits, and costs nothing until it is first asked. Neither
keeps texts nor knows what an item means: that is the memory's business.

Okapi weighs a term of ``df`` of the ``N`` items by ``log(N - df + .5) - log(df + .5)``. Where that
is negative it puts a quarter of the mean weight of the *whole vocabulary* in its place, and nearly
every question holds such a term ("the"), so the mean must be quick *and* exact: summed in another
order it differs in its last bits, which is enough to reorder items that are mathematically tied.
"""

import math
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memgym.errors import UsageError
from memgym.postings import Postings
from memgym.tokenise import TOKENISERS, Tokeniser, words_and_bigrams

__all__ = ["TOKENISERS", "BM25Index", "LazyIndex"]

K1 = 1.5
B = 0.75
EPSILON = 0.25

DENSE_DF = 64  # items; below it, places are quicker than whole vectors in a list of any length
MAX_RELEVANT_DF = 256  # a term of more items than this says little, and would cost time

if TYPE_CHECKING:
    IntegerArray: TypeAlias = array[int]
    FloatArray: TypeAlias = array[float]
Floats: TypeAlias = NDArray[np.float64]


class BM25Index:
    """An ordered list of (key, text) items, searchable by Okapi BM25 at any time between edits.

    Every result is a function of the current list alone, not of the edits that led to it. An insert
    costs time in proportion to the text; an update or a delete also touches the postings of the
    terms that leave. Instances can be deep-copied and pickled.

    Args:
        tokenise: Turns a text into its terms (see :data:`TOKENISERS`).
    """

    def __init__(self, tokenise: Tokeniser = words_and_bigrams) -> None:
        self._tokenise = tokenise
        self._postings = Postings()
        # An item keeps its slot for life, slots are in list order, deleted ones stay empty.
        self._slots: dict[str, int] = {}
        self._keys: list[str] = []
        self._holes: IntegerArray = array("q")
        self._lengths: FloatArray = array("d")  # words, by slot
        self._total_length = 0
        self._logs: FloatArray = array("d")  # log(i + .5), by i
        # Valid until the next edit.
        self._norms: Floats | None = None
        self._floor: float | None = None
        self._contributions: dict[int, tuple[NDArray[np.int64] | None, Floats]] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: object) -> bool:
        return key in self._slots

    @property
    def is_fragmented(self) -> bool:
        """Whether more space is held for removed texts than for present ones (beyond a little)."""
        return self._postings.dead_rows > max(1024, len(self))

    # ------------------------------------------------------------------ edits

    def insert(self, key: str, text: str) -> None:
        """Add an item at the end of the list.

        Raises:
            UsageError: the key is there already.
        """
        if key in self._slots:
            raise UsageError(f'item "{key}" is already in the index; use update')
        words = self._tokenise(text)
        self._slots[key] = len(self._keys)
        self._keys.append(key)
        self._postings.append(words)
        self._lengths.append(len(words))
        self._total_length += len(words)
        self._drop_cache()

    def update(self, key: str, text: str) -> None:
        """Replace the text of an item, which keeps its place in the list.

        Raises:
            UsageError: there is no such item.
        """
        slot = self._slot(key)
        words = self._tokenise(text)
        self._postings.replace(slot, words)
        self._total_length += len(words) - int(self._lengths[slot])
        self._lengths[slot] = len(words)
        self._drop_cache()

    def delete(self, key: str) -> None:
        """Remove an item.

        Raises:
            UsageError: there is no such item.
        """
        slot = self._slot(key)
        del self._slots[key]
        self._keys[slot] = ""
        self._postings.remove(slot)
        self._total_length -= int(self._lengths[slot])
        self._lengths[slot] = 0
        self._holes.append(slot)
        self._drop_cache()

    def _slot(self, key: str) -> int:
        try:
            return self._slots[key]
        except KeyError:
            raise UsageError(f'no item "{key}" in the index of {len(self)} items') from None

    def _drop_cache(self) -> None:
        self._norms = self._floor = None
        self._contributions.clear()

    # ------------------------------------------------------------------ exact search

    def search(self, query: str, k: int) -> list[tuple[str, float]]:
        """Return the ``k`` best items as (key, score), best first, ties by place in the list.

        Fewer come back only if the list is shorter. Scores of zero and below count like any other;
        a term of the query counts as often as it occurs there. Where ``BM25Okapi`` cannot be built,
        because no item has a word character, every score is 0.0.
        """
        k = min(k, len(self))
        if k <= 0:
            return []
        scores = self._score_slots(query)
        if self._holes:
            scores[np.asarray(self._holes)] = -np.inf
        best = _best(scores, k)
        pairs = zip(best.tolist(), scores[best].tolist(), strict=True)
        return [(self._keys[slot], score) for slot, score in pairs]

    def scores(self, query: str) -> list[tuple[str, float]]:
        """Return (key, score) of every item, in list order; the scores are those of `search`."""
        scores = self._score_slots(query).tolist()
        return [(key, scores[slot]) for key, slot in self._slots.items()]

    def _score_slots(self, query: str) -> Floats:
        scores = np.zeros(len(self._keys))
        if not self._total_length:
            return scores
        # In the order of the query and as often as it says: floating-point sums depend on both.
        terms = self._postings.find(self._tokenise(query))
        contributions = self._contributions
        new = [term for term in dict.fromkeys(terms) if term not in contributions]
        if new:
            self._weigh(new)
        for term in terms:
            slots, values = contributions[term]
            if slots is None:
                scores += values
            else:
                scores[slots] += values
        return scores

    def _weigh(self, terms: list[int]) -> None:
        """Enter what terms add to the scores: (slots, values) or (None, values of all slots)."""
        df = self._postings.df()[terms].tolist()
        norms = self._length_norms()
        # Adding a whole vector is quicker than adding at many places; +0.0 changes no score.
        limit = max(DENSE_DF, len(self._keys) // 4)
        sparse = []
        for term, count in zip(terms, df, strict=True):
            if count > limit:
                values = _okapi(self._idf(count), self._postings.column(term), norms)
                self._contributions[term] = None, values
            else:
                sparse.append((term, count))
        slots, frequencies = self._postings.of_terms([term for term, _ in sparse])
        idf = np.repeat([self._idf(count) for _, count in sparse], [count for _, count in sparse])
        values = _okapi(idf, frequencies, norms.take(slots))
        begin = 0
        for term, count in sparse:
            end = begin + count
            self._contributions[term] = slots[begin:end], values[begin:end]
            begin = end

    def _length_norms(self) -> Floats:
        if self._norms is None:
            average = self._total_length / len(self)
            self._norms = _norms(np.asarray(self._lengths), average)
        return self._norms

    def _idf(self, df: int) -> float:
        idf = math.log(len(self) - df + 0.5) - math.log(df + 0.5)
        if idf >= 0:
            return idf
        if self._floor is None:
            self._floor = EPSILON * self._mean_idf()
        return self._floor

    def _mean_idf(self) -> float:
        n = len(self)
        # From math.log, as in rank_bm25: numpy's log may differ in the last bit.
        self._logs.extend([math.log(i + 0.5) for i in range(len(self._logs), n + 1)])
        logs = np.asarray(self._logs)[: n + 1]
        df = self._postings.df()[self._postings.appearance_order()]
        idf = (logs[::-1] - logs).take(df)
        # accumulate adds one by one from the left, as rank_bm25 does; sum would add pairwise.
        return float(np.add.accumulate(idf, out=idf)[-1]) / len(df)

    # ------------------------------------------------------------------ bounded search

    def relevant(self, text: str, k: int, max_terms: int = 32) -> list[tuple[str, float]]:
        """Return at most ``k`` items that share rare words with a long text, as (key, score).

        For the view of a memory beside a chunk. Only the ``max_terms`` rarest terms of the text
        that the index knows are used (ties: the earlier in the text), none that is in more than
        half of the items, unless these are fewer than four, or in more than ``MAX_RELEVANT_DF``.
        So the cost does not grow with the number of items. The weight of a term is the Okapi idf
        in its form without negative values, ``log(1 + (N - df + .5) / (df + .5))``: scores are
        above zero and comparable with each other, not with those of :meth:`search`. Best first;
        ties: the later item first.
        """
        terms = self._rarest_terms(text, max_terms)
        if k <= 0 or not len(terms):
            return []
        n, df = len(self), self._postings.df()[terms]
        slots, frequencies = self._postings.of_terms(terms.tolist())
        which = np.repeat(np.arange(len(terms)), df)
        # By item, the later first (`_best` prefers what comes first), then by rarity: a sum of
        # floating-point numbers depends on their order, and this order on the list of items alone.
        order = (which - slots * len(terms)).argsort()
        slots, frequencies, which = slots[order], frequencies[order], which[order]
        idf = np.array([math.log(1 + (n - d + 0.5) / (d + 0.5)) for d in df.tolist()])
        norms = _norms(np.asarray(self._lengths)[slots], self._total_length / n)
        values = _okapi(idf[which], frequencies, norms)
        starts_item = np.diff(slots, prepend=-1) != 0
        totals = np.bincount(np.cumsum(starts_item) - 1, weights=values)
        found = slots[starts_item]
        best = _best(totals, min(k, len(totals)))
        pairs = zip(found[best].tolist(), totals[best].tolist(), strict=True)
        return [(self._keys[slot], score) for slot, score in pairs]

    def _rarest_terms(self, text: str, max_terms: int) -> NDArray[np.int64]:
        n, df = len(self), self._postings.df()
        limit = min(n // 2 if n >= 4 else n, MAX_RELEVANT_DF)
        terms = np.array(self._postings.find(dict.fromkeys(self._tokenise(text))), np.int64)
        terms = terms[(df[terms] > 0) & (df[terms] <= limit)]
        return terms[np.argsort(df[terms], kind="stable")][:max_terms]


def _norms(lengths: Floats, average: float) -> Floats:
    """Return the length part of the Okapi denominator, operation by operation as rank_bm25."""
    norms = B * lengths
    norms /= average
    norms += 1 - B
    norms *= K1
    return norms


def _okapi(idf: float | Floats, frequencies: NDArray[Any], norms: Floats) -> Floats:
    """Return what a term of these frequencies adds to the scores, computed as in rank_bm25."""
    values: Floats = frequencies * (K1 + 1)
    values /= frequencies + norms
    values *= idf
    return values


def _best(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Return the indices of the ``k`` highest scores, highest first, ties by index."""
    size = len(scores)
    if k == size:
        return np.argsort(-scores, kind="stable")
    threshold = np.partition(scores, size - k)[size - k]
    above = np.flatnonzero(scores > threshold)
    equal = np.flatnonzero(scores == threshold)[: k - len(above)]
    return np.concatenate([above[np.argsort(-scores[above], kind="stable")], equal])


class LazyIndex:
    """A :class:`BM25Index` over somebody else's ordered mapping, built at the first search.

    The owner edits the mapping first and then reports the edit. Until the first search a report
    costs nothing; from then on it is one edit of the index. Copies and pickles carry the mapping
    (the same object as their owner's, if the owner is copied along) and build their own index.

    Args:
        items: Key -> text, in list order; kept by reference.
        tokenise: Turns a text into its terms (see :data:`TOKENISERS`).
    """

    def __init__(self, items: Mapping[str, str], tokenise: Tokeniser = words_and_bigrams) -> None:
        self._items = items
        self._tokenise = tokenise
        self._index: BM25Index | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_index": None}

    def inserted(self, key: str) -> None:
        """Report that ``key`` is new, at the end of the mapping."""
        if self._index is not None:
            self._index.insert(key, self._items[key])

    def updated(self, key: str) -> None:
        """Report that the text of ``key`` was replaced in place."""
        if self._index is not None:
            self._index.update(key, self._items[key])
            self._rebuild_if_fragmented()

    def deleted(self, key: str) -> None:
        """Report that ``key`` is gone from the mapping."""
        if self._index is not None:
            self._index.delete(key)
            self._rebuild_if_fragmented()

    def reset(self) -> None:
        """Report that the mapping changed in some other way; the next search builds anew."""
        self._index = None

    def search(self, query: str, k: int) -> list[tuple[str, float]]:
        """See :meth:`BM25Index.search`."""
        return self._built().search(query, k)

    def relevant(self, text: str, k: int, max_terms: int = 32) -> list[tuple[str, float]]:
        """See :meth:`BM25Index.relevant`."""
        return self._built().relevant(text, k, max_terms)

    def _built(self) -> BM25Index:
        if self._index is None:
            self._index = BM25Index(self._tokenise)
            for key, text in self._items.items():
                self._index.insert(key, text)
        return self._index

    def _rebuild_if_fragmented(self) -> None:
        if self._index is not None and self._index.is_fragmented:
            self.reset()
