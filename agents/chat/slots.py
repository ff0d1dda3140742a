"""The keys and values of running texts, in buffers that texts enter and leave at little cost.

A row is a text. All texts end at the same column, so each step writes one column for all of them,
and a model sees what it sees of a batch padded on the left: masks by distance (sliding windows) and
models without position ids need nothing special. It knows nothing of requests and tokens.
"""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["Slots"]

LEAST_SLACK = 64
"""Columns that are written before all texts are moved back to the front, at least."""


class Slots:
    """Keys and values of the texts of rows 0 to ``rows - 1``.

    Attributes:
        rows: Texts held.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Let go of all texts and of the memory."""
        self.rows = 0
        self._layers: list[Any] = []
        self._end = 0  # the column that is written next
        self._longest = 0  # columns from end - longest hold texts, and 0 left of them
        self._shape = (0, 0)  # rows and columns of the buffers

    def add(self, layers: Sequence[Any], picked: Sequence[int]) -> None:
        """Append texts that a model has just read.

        Args:
            layers: Of the cache that the model filled: ``keys`` and ``values``, each
                ``[texts, heads, columns, size]``; texts end at the last column.
            picked: Which of these texts, one per new row; one text may fill several rows.
        """
        if not picked:
            return
        if not self._layers:
            self._layers = [_layer_class()() for _ in layers]
        rows, width = self.rows + len(picked), layers[0].keys.shape[2]
        if rows > self._shape[0] or width > self._end:
            self._move(layers, rows, max(self._longest, width))
        first, begin = self._end - max(self._longest, width), self._end - width
        for held, new in zip(self._layers, layers, strict=True):
            for slots, read in ((held.key_slots, new.keys), (held.value_slots, new.values)):
                # What is left of a text is masked, but 0 times not-a-number is not 0.
                slots[: self.rows, :, first : self._end - self._longest] = 0
                slots[self.rows : rows, :, first:begin] = 0
                slots[self.rows : rows, :, begin : self._end] = read[list(picked)]
        self.rows, self._longest = rows, self._end - first

    def keep(self, rows: Sequence[int]) -> list[int]:
        """Let go of all texts but these.

        Args:
            rows: Ascending.

        Returns:
            The former row of each row that is left: gaps are filled from the end.
        """
        count = len(rows)
        kept = frozenset(rows)
        gaps = [row for row in range(count) if row not in kept]
        moved = [row for row in rows if row >= count]
        order = list(range(count))
        for gap, row in zip(gaps, moved, strict=True):
            order[gap] = row
        if gaps:
            used = slice(self._end - self._longest, self._end)
            for layer in self._layers:
                for slots in (layer.key_slots, layer.value_slots):
                    slots[gaps, :, used] = slots[moved, :, used]
        self.rows = count
        if not count:
            self.clear()
        return order

    def open(self, longest: int) -> Any:
        """Return the cache of transformers with which a model reads one more token of each text.

        The model must do so before anything else is done here.

        Args:
            longest: Tokens of the longest text so far; the cache is as wide.
        """
        from transformers import Cache

        self._longest = longest
        if self._end == self._shape[1]:
            self._move(self._layers, self.rows, longest)
        for layer in self._layers:
            layer.show(self.rows, self._end - longest, self._end)
        self._end += 1
        self._longest += 1
        return Cache(layers=self._layers)

    def _move(self, like: Sequence[Any], rows: int, longest: int) -> None:
        """Move the texts to the front of new buffers that have room for rows and columns."""
        shape = (rows + rows // 4, longest + max(LEAST_SLACK, longest // 4))
        old, new = (
            slice(self._end - self._longest, self._end),
            slice(longest - self._longest, longest),
        )
        for layer, pattern in zip(self._layers, like, strict=True):
            for name, sample in (("key_slots", pattern.keys), ("value_slots", pattern.values)):
                slots = sample.new_empty((shape[0], sample.shape[1], shape[1], sample.shape[3]))
                if self.rows:
                    slots[: self.rows, :, new] = getattr(layer, name)[: self.rows, :, old]
                setattr(layer, name, slots)
        self._shape, self._end = shape, longest


@functools.cache
def _layer_class() -> Any:
    """Return the class of a cache layer that is a window on buffers."""
    from transformers.cache_utils import DynamicLayer

    class SlotLayer(DynamicLayer):  # type: ignore[misc]  # transformers tells no types here
        """``keys`` and ``values`` are what attention sees, as in every layer of transformers.

        Attributes:
            key_slots, value_slots: The buffers, ``[rows, heads, columns, size]``.
        """

        key_slots: "torch.Tensor"
        value_slots: "torch.Tensor"

        def show(self, rows: int, first: int, end: int) -> None:
            """Let attention see the columns from ``first``; the next token goes to ``end``."""
            self._place = rows, first, end
            self.keys = self.key_slots[:rows, :, first:end]
            self.values = self.value_slots[:rows, :, first:end]
            self.dtype, self.device = self.keys.dtype, self.keys.device
            self.is_initialized = True

        def update(
            self, key_states: Any, value_states: Any, *_args: Any, **_given: Any
        ) -> tuple[Any, Any]:
            rows, first, end = self._place
            self.key_slots[:rows, :, end] = key_states[:, :, 0]
            self.value_slots[:rows, :, end] = value_states[:, :, 0]
            self.keys = self.key_slots[:rows, :, first : end + 1]
            self.values = self.value_slots[:rows, :, first : end + 1]
            return self.keys, self.values

    return SlotLayer
