"""An inverted index under edits: which texts hold which terms, how often, and in what order.

Not a ranking: :mod:`memgym.bm25` weighs what is counted here, and keys and texts are known there.

A text is a *row*, a slice of one long stream of term ids; adding one costs little more than looking
its words up. Rows are counted when something is first read after an edit: a few at a time into a
*tail*, a dictionary, and now and then in bulk into the *base*, arrays sorted by term. A *slot* is a
place in the list of texts. Replacing the text of a slot starts a new row; rows that have lost their
slot are passed over when read, and dropped from the base when it is next renewed.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Postings"]

if TYPE_CHECKING:
    IntegerArray: TypeAlias = array[int]
    FloatArray: TypeAlias = array[float]
Integers: TypeAlias = NDArray[np.int64]
Small: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float64]

_HALF = 32  # two 31-bit numbers share an int64 sort key
_LOW = (1 << _HALF) - 1
_NOWHERE = int(np.iinfo(np.int64).max)  # first appearance of a term that no text holds
_NO_SLOT = -1
_TAIL = 4096  # words; renewing the base more often costs more than reading the tail
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
        self._stream: IntegerArray = array("i")  # term ids of counted rows, one after the other
        self._uncounted: list[int] = []  # what the stream will be continued with
        self._starts: IntegerArray = array("q", [0])  # row -> offset in the stream, and the end
        self._slot_of: IntegerArray = array("q")  # row -> slot
        self._row_of: IntegerArray = array("q")  # slot -> row
        self._dead_rows = 0  # without any, slots are rows and ids are in order of appearance
        self._df: IntegerArray = array("q")  # by term, of rows [0, _counted)
        self._counted = 0
        # Rows [0, _in_base): by term, where its postings start, and the end.
        self._base_starts: IntegerArray = array("q", [0])
        self._base_rows: Small = np.empty(0, np.int32)
        self._base_frequencies: Small = np.empty(0, np.int32)
        self._in_base = 0
        # Rows [_in_base, _counted): term -> row, frequency, row, frequency, ...
        self._tail: defaultdict[int, IntegerArray] = defaultdict(partial(array, "i"))
        self._columns: dict[int, FloatArray] = {}  # see `column`
        self._first: IntegerArray = array("q")  # by term: slot << 32 | place, of rows [0, _placed)
        self._placed = 0
        self._moved: set[int] = set()  # terms whose first appearance went away

    # ------------------------------------------------------------------ edits

    @property
    def dead_rows(self) -> int:
        """Number of rows that only take up space."""
        return self._dead_rows

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
        terms = np.unique(np.asarray(self._row(row)))
        np.asarray(self._df)[terms] -= 1
        first_here = np.asarray(self._first)[terms] >> _HALF == slot
        self._moved.update(terms[first_here].tolist())
        self._slot_of[row] = _NO_SLOT
        self._dead_rows += 1
        self._columns.clear()

    def _add_row(self, slot: int, words: list[str]) -> None:
        self._uncounted.extend(map(self._terms.__getitem__, words))
        self._starts.append(self._starts[-1] + len(words))
        self._slot_of.append(slot)

    def _row(self, row: int) -> "IntegerArray":
        return self._stream[self._starts[row] : self._starts[row + 1]]

    def _rows_from(self, begin: int) -> tuple[Small, Integers]:
        """Return the stream from a row on, and the lengths of the rows."""
        starts = np.asarray(self._starts)[begin:]
        return np.asarray(self._stream)[starts[0] :], starts[1:] - starts[:-1]

    # ------------------------------------------------------------------ counting

    def _count(self) -> None:
        """Bring stream, df, tail and base up to date with the rows."""
        rows = range(self._counted, len(self._slot_of))
        if not rows:
            return
        self._stream.fromlist(self._uncounted)
        self._uncounted.clear()
        self._df.extend([0] * (len(self._terms) - len(self._df)))
        in_tail = len(self._stream) - self._starts[self._in_base]
        if in_tail > _TAIL + len(self._base_rows) // 64:
            self._renew_base()
        else:
            for row in rows:
                self._count_row(row)
        self._counted = rows.stop

    def _count_row(self, row: int) -> None:
        df, tail = self._df, self._tail
        for term, frequency in Counter(self._row(row)).items():
            df[term] += 1
            tail[term].extend((row, frequency))

    def _renew_base(self) -> None:
        """Count all rows that are not in the base into it, and drop the dead ones from it."""
        stream, lengths = self._rows_from(self._in_base)
        rows = np.repeat(np.arange(self._in_base, len(self._slot_of)), lengths)
        pairs = np.sort(stream.astype(np.int64) << _HALF | rows)
        starts, frequencies = _runs(pairs)
        pairs = pairs[starts]
        terms, rows = pairs >> _HALF, pairs & _LOW
        in_base = np.repeat(np.arange(len(self._base_starts) - 1), np.diff(self._base_starts))
        self._in_base = len(self._slot_of)
        self._tail.clear()

        terms = np.concatenate([in_base, terms])
        rows = np.concatenate([self._base_rows, rows])
        frequencies = np.concatenate([self._base_frequencies, frequencies])
        order = terms.argsort(kind="stable")
        if self._dead_rows:
            order = order[np.asarray(self._slot_of)[rows[order]] != _NO_SLOT]
        self._base_rows = rows[order].astype(np.int32)
        self._base_frequencies = frequencies[order].astype(np.int32)
        # Nothing but living rows is left, and they are all there, so their number is the df.
        np.asarray(self._df)[:] = np.bincount(terms[order], minlength=len(self._df))
        self._base_starts = array("q", [0])
        self._base_starts.frombytes(np.asarray(self._df).cumsum().tobytes())

    # ------------------------------------------------------------------ reading

    def find(self, words: Iterable[str]) -> list[int]:
        """Return the ids of the words that some text holds or held, in the order given."""
        return [term for term in map(self._terms.get, words) if term is not None]

    def df(self) -> Integers:
        """Return the number of texts that hold each term, by id. Only valid until the next edit."""
        self._count()
        return np.asarray(self._df)

    def of_terms(self, terms: Iterable[int]) -> tuple[Integers, Small]:
        """Return the slots whose texts hold some distinct terms, and how often each does.

        Both are grouped by term, in the order given; a group has as many elements as :meth:`df`
        says, in the order of the last edits.
        """
        self._count()
        rows, frequencies = [self._base_rows[:0]], [self._base_frequencies[:0]]
        last = len(self._base_starts) - 1
        for term in terms:
            if term < last:
                here = slice(self._base_starts[term], self._base_starts[term + 1])
                rows.append(self._base_rows[here])
                frequencies.append(self._base_frequencies[here])
            if term in self._tail:
                in_tail = np.asarray(self._tail[term])
                rows.append(in_tail[::2])
                frequencies.append(in_tail[1::2])
        all_rows, all_frequencies = np.concatenate(rows), np.concatenate(frequencies)
        if not self._dead_rows:
            return all_rows.astype(np.int64), all_frequencies
        slots = np.asarray(self._slot_of).take(all_rows)
        alive = slots != _NO_SLOT
        return slots[alive], all_frequencies[alive]

    def column(self, term: int) -> Floats:
        """Return how often the text in each slot holds a term. Only valid until the next edit.

        Meant for the few terms that most texts hold: while texts are only appended, the column is
        kept and prolonged.
        """
        self._count()
        column, rows = self._columns.get(term), len(self._slot_of)
        if column is None or rows - len(column) > _PROLONG:
            slots, frequencies = self.of_terms([term])
            column = array("d", bytes(8 * len(self._row_of)))
            np.asarray(column)[slots] = frequencies
            if not self._dead_rows:
                self._columns[term] = column
        else:
            column.extend([self._row(row).count(term) for row in range(len(column), rows)])
        return np.asarray(column)

    # ------------------------------------------------------------------ order of appearance

    def appearance_order(self) -> Integers | slice:
        """Return an index of :meth:`df`: the terms in use, by first appearance in the list."""
        self._count()
        if not self._dead_rows:
            return slice(None)
        self._place()
        self._place_moved()
        first = np.asarray(self._first)
        return np.argsort(first, kind="stable")[: np.count_nonzero(first != _NOWHERE)]

    def _place(self) -> None:
        """Bring `_first` up to date with the rows, but for `_moved`."""
        begin, self._placed = self._placed, len(self._slot_of)
        if begin == self._placed:
            return
        stream, lengths = self._rows_from(begin)
        starts = lengths.cumsum() - lengths
        slots = np.asarray(self._slot_of)[begin:]
        places = np.repeat((slots << _HALF) - starts, lengths) + np.arange(len(stream))
        self._first.extend([_NOWHERE] * (len(self._terms) - len(self._first)))
        np.minimum.at(np.asarray(self._first), stream, places)

    def _place_moved(self) -> None:
        terms = np.array(sorted(self._moved), np.int64)
        self._moved.clear()
        np.asarray(self._first)[terms] = _NOWHERE
        df = np.asarray(self._df)[terms]
        terms, df = terms[df > 0], df[df > 0]
        if not len(terms):
            return
        slots, _ = self.of_terms(terms.tolist())
        first_slots = np.minimum.reduceat(slots, df.cumsum() - df)
        for term, slot in zip(terms.tolist(), first_slots.tolist(), strict=True):
            place = self._row(self._row_of[slot]).index(term)
            self._first[term] = slot << _HALF | place


def _runs(values: Integers) -> tuple[Integers, Integers]:
    """Return the indices at which runs of equal values start, and the lengths of the runs."""
    is_start = np.ones(len(values) + 1, np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_start[1:-1])
    bounds = is_start.nonzero()[0]
    return bounds[:-1], bounds[1:] - bounds[:-1]
