"""An inverted index under edits: which texts hold which terms, how often, and in what order.

Not a ranking: :mod:`memgym.bm25` weighs what is counted here, and keys and texts are known there.

A text is a *row*, a slice of one long stream of term ids; adding one costs little more than looking
its words up. Rows are counted into postings in bulk when something is first read after an edit:
recent rows into an unsorted *tail*, now and then the tail into the *base* that is sorted by term.
A *slot* is a place in the list of texts. Replacing the text of a slot starts a new row; postings of
rows that have lost their slot are passed over, and dropped when tail and base are next merged.
"""

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Postings"]

if TYPE_CHECKING:
    IntegerArray: TypeAlias = array[int]
    FloatArray: TypeAlias = array[float]
Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Small: TypeAlias = NDArray[np.int32]

_HALF = 32  # two 31-bit numbers share an int64 sort key
_LOW = (1 << _HALF) - 1
_NOWHERE = int(np.iinfo(np.int64).max)  # first appearance of a term that no text holds
_NO_SLOT = -1
_TAIL = 4096  # postings; merging less often costs reads more than it saves
_PROLONG = 32  # rows; a column that lacks more is quicker built anew


class _TermIds(dict[str, int]):
    """Word -> id; a word not seen before gets the next one."""

    def __missing__(self, word: str) -> int:
        term = self[word] = len(self)
        return term


class Postings:
    """Term statistics of an ordered list of texts; what is read depends on the list alone."""

    def __init__(self) -> None:
        self._terms = _TermIds()
        self._stream: IntegerArray = array("i")  # term ids of all rows, one row after the other
        self._starts: IntegerArray = array("q", [0])  # row -> offset in the stream, and the end
        self._slot_of: IntegerArray = array("q")  # row -> slot
        self._row_of: IntegerArray = array("q")  # slot -> row
        self._edited = False  # until then slots are rows, and ids are in order of appearance
        self._counted = 0  # rows so far in df, tail and base
        self._df: IntegerArray = array("q")  # by term
        self._tail = np.empty((3, 0), np.int32)  # term, row, frequency
        self._base = np.empty((2, 0), np.int32)  # row, frequency, by term
        self._base_starts: IntegerArray = array("q", [0])  # term -> column in `_base`, and the end
        self._columns: dict[int, FloatArray] = {}  # see `column`; only before the first edit
        self._placed = 0  # rows so far in `_first`, none before the first edit
        self._first: IntegerArray = array("q")  # by term: slot << 32 | place in its text
        self._moved: set[int] = set()  # terms whose `_first` went away

    # ------------------------------------------------------------------ edits

    @property
    def dead_rows(self) -> int:
        """Number of rows that only take up space."""
        return self._slot_of.count(_NO_SLOT)

    def append(self, words: list[str]) -> None:
        """Add a text in the next slot."""
        self._row_of.append(len(self._slot_of))
        self._add_row(len(self._row_of) - 1, words)

    def replace(self, slot: int, words: list[str]) -> None:
        """Put another text in place of the one in a slot."""
        self.remove(slot)
        self._row_of[slot] = len(self._slot_of)
        self._add_row(slot, words)

    def remove(self, slot: int) -> None:
        """Take the text out of a slot, which stays empty."""
        self._count()
        self._place()
        row = self._row_of[slot]
        terms = np.unique(self._row(row))
        np.asarray(self._df)[terms] -= 1
        first_here = np.asarray(self._first)[terms] >> _HALF == slot
        self._moved.update(terms[first_here].tolist())
        self._slot_of[row] = _NO_SLOT
        self._edited = True
        self._columns.clear()

    def _add_row(self, slot: int, words: list[str]) -> None:
        self._stream.extend(map(self._terms.__getitem__, words))
        self._starts.append(len(self._stream))
        self._slot_of.append(slot)

    def _row(self, row: int) -> Small:
        return np.asarray(self._stream)[self._starts[row] : self._starts[row + 1]]

    # ------------------------------------------------------------------ counting

    def _count(self) -> None:
        """Bring df and postings up to date with the rows."""
        begin, end = self._counted, len(self._slot_of)
        if begin == end:
            return
        self._counted = end
        stream, lengths = self._rows_from(begin)
        rows = np.repeat(np.arange(begin, end), lengths)
        pairs = np.sort(stream.astype(np.int64) << _HALF | rows)
        starts, frequencies = _runs(pairs)
        pairs = pairs[starts]
        terms = pairs >> _HALF
        self._df.extend([0] * (len(self._terms) - len(self._df)))
        starts, df = _runs(terms)
        np.asarray(self._df)[terms[starts]] += df
        tail = np.array([terms, pairs & _LOW, frequencies], np.int32)
        self._tail = np.concatenate([self._tail, tail], axis=1)
        if self._tail.shape[1] > _TAIL + self._base.shape[1] // 64:
            self._merge()

    def _place(self) -> None:
        """Bring `_first` up to date with the rows, but for `_moved`."""
        begin, self._placed = self._placed, len(self._slot_of)
        if begin == self._placed:
            return
        stream, lengths = self._rows_from(begin)
        starts = np.cumsum(lengths) - lengths
        slots = np.asarray(self._slot_of)[begin:]
        places = np.repeat((slots << _HALF) - starts, lengths) + np.arange(len(stream))
        self._first.extend([_NOWHERE] * (len(self._terms) - len(self._first)))
        np.minimum.at(np.asarray(self._first), stream, places)

    def _rows_from(self, begin: int) -> tuple[Small, Integers]:
        starts = np.asarray(self._starts)[begin:]
        return np.asarray(self._stream)[starts[0] :], starts[1:] - starts[:-1]

    def _merge(self) -> None:
        """Sort the tail into the base, and drop what belongs to rows without a slot."""
        in_base = np.repeat(np.arange(len(self._base_starts) - 1), np.diff(self._base_starts))
        terms = np.concatenate([in_base, self._tail[0]])
        postings = np.concatenate([self._base, self._tail[1:]], axis=1)
        if self._edited:
            alive = np.asarray(self._slot_of)[postings[0]] != _NO_SLOT
            terms, postings = terms[alive], postings[:, alive]
        self._base = postings.take(np.argsort(terms, kind="stable"), axis=1)
        per_term = np.bincount(terms, minlength=len(self._df))
        self._base_starts = array("q", bytes(8))
        self._base_starts.frombytes(np.cumsum(per_term).tobytes())
        self._tail = self._tail[:, :0]

    # ------------------------------------------------------------------ reading

    def find(self, words: Iterable[str]) -> list[int]:
        """Return the ids of the words that some text holds or held, in the order given."""
        return [term for term in map(self._terms.get, words) if term is not None]

    def df(self) -> Integers:
        """Return the number of texts that hold each term, by id. Only valid until the next edit."""
        self._count()
        return np.asarray(self._df)

    def of_terms(self, terms: Integers) -> tuple[Integers, Small]:
        """Return the slots whose texts hold some distinct terms, and how often each does.

        Both are grouped by term, in the order of ``terms``; a group has as many elements as
        :meth:`df` says, in no order. Takes time in proportion to these and the tail.
        """
        self._count()
        starts = np.asarray(self._base_starts)
        in_base = (terms < len(starts) - 1).nonzero()[0]
        begins = starts[terms[in_base]]
        lengths = starts[terms[in_base] + 1] - begins
        offsets = begins - (lengths.cumsum() - lengths)
        columns = np.repeat(offsets, lengths) + np.arange(lengths.sum())
        number = np.zeros(len(self._df), np.int32)
        number[terms] = np.arange(1, len(terms) + 1)
        tail_number = number.take(self._tail[0])
        in_tail = tail_number.nonzero()[0]
        parts = (self._base.take(columns, axis=1), self._tail[1:].take(in_tail, axis=1))
        found = np.concatenate(parts, axis=1)
        which = np.concatenate([np.repeat(in_base, lengths), tail_number[in_tail] - 1])
        slots = np.asarray(self._slot_of).take(found[0])
        kept = which.argsort(kind="stable")
        if self._edited:
            kept = kept[slots.take(kept) != _NO_SLOT]
        return slots.take(kept), found[1].take(kept)

    def column(self, term: int) -> Floats:
        """Return how often the text in each slot holds a term. Only valid until the next edit.

        Meant for the few terms that most texts hold: while texts are only appended, the column is
        kept and prolonged.
        """
        column, rows = self._columns.get(term), len(self._slot_of)
        if column is None or rows - len(column) > _PROLONG:
            slots, frequencies = self.of_terms(np.array([term]))
            column = array("d", bytes(8 * len(self._row_of)))
            np.asarray(column)[slots] = frequencies
            if not self._edited:
                self._columns[term] = column
        else:
            for row in range(len(column), rows):
                text = self._stream[self._starts[row] : self._starts[row + 1]]
                column.append(text.count(term))
        return np.asarray(column)

    def appearance_order(self) -> Integers | slice:
        """Return an index of :meth:`df`: the terms in use, by first appearance in the list."""
        self._count()
        if not self._edited:
            return slice(None)
        self._place()
        self._find_moved()
        first = np.asarray(self._first)
        return np.argsort(first, kind="stable")[: np.count_nonzero(first != _NOWHERE)]

    def _find_moved(self) -> None:
        terms = np.array(sorted(self._moved), np.int64)
        self._moved.clear()
        np.asarray(self._first)[terms] = _NOWHERE
        terms = terms[np.asarray(self._df)[terms] > 0]
        if not len(terms):
            return
        slots, _ = self.of_terms(terms)
        df = np.asarray(self._df)[terms]
        first_slots = np.minimum.reduceat(slots, df.cumsum() - df)
        for term, slot in zip(terms.tolist(), first_slots.tolist(), strict=True):
            place = int((self._row(self._row_of[slot]) == term).argmax())
            self._first[term] = slot << _HALF | place


def _runs(values: Integers) -> tuple[Integers, Integers]:
    """Return the indices at which runs of equal values start, and the lengths of the runs."""
    is_start = np.ones(len(values) + 1, np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_start[1:-1])
    bounds = is_start.nonzero()[0]
    return bounds[:-1], bounds[1:] - bounds[:-1]
