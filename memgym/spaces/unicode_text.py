"""A text space for real prose: any Unicode, and right in every vector environment.

Gymnasium's own ``Text`` is built on a character set: it rejects a space or an ``é`` by default,
and in ``AsyncVectorEnv`` with shared memory it decodes the observations once, before the first
reset, so that every later one is wrong. ``UnicodeText`` is bounded in length only and registers
the functions of ``gymnasium.vector.utils`` and ``gymnasium.spaces.utils`` that it needs.

It stays a subclass of ``Text`` because libraries that map spaces to tensors look for ``Text``.
``vector.utils.iterate`` is left unregistered on purpose: with it ``SyncVectorEnv`` would hand the
i-th *character* of every action to the i-th environment.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from copy import deepcopy
from ctypes import c_uint8
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Space, Text, Tuple
from gymnasium.spaces.utils import (
    flatdim,
    flatten,
    flatten_space,
    is_space_dtype_shape_equiv,
    unflatten,
)
from gymnasium.vector.utils import (
    batch_differing_spaces,
    create_empty_array,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

from memgym.errors import UsageError

__all__ = ["SharedTexts", "UnicodeText"]

# Words of `sample`: ASCII, accents, right-to-left, CJK, a combining mark, an astral character.
_WORDS = (
    "memory", "chunk", "the", "river", "café", "naïve", "Zürich", "œuvre", "日本", "記憶", "привет",
    "λόγος", "שלום", "سلام", "e\u0301te\u0301", "🙂", "42", "“quoted”", "x\ny", "it's",
)  # fmt: skip
_SAMPLE_CHARACTERS = 200
_LENGTH_BYTES = 4
_BYTES_PER_CHARACTER = 4  # the longest UTF-8 encoding of one code point
_PADDING = -1  # no code point is negative, so flattening loses nothing
_LAST_CODE_POINT = 0x10FFFF

# The ignores below: mypy does not bind the type variable of a generic single-dispatch function.


class _NoShape:
    """Stands where an array space has its shape; says what to do to whoever reads it as one.

    Stable-Baselines3 does so with every space of an environment, and would stop at a ``None`` with
    "'NoneType' object is not iterable".
    """

    def __iter__(self) -> Iterator[int]:
        raise UsageError(
            "UnicodeText has no shape: a learner of arrays cannot read text; "
            'gym.make("MemAlphaNumeric-v0") is MemAlpha-v0 in numbers'
        )

    def __repr__(self) -> str:
        return "no shape"


_NO_SHAPE = _NoShape()


class UnicodeText(Text):
    """All strings of ``min_length`` to ``max_length`` characters (code points).

    Flattening gives the code points as ``int32``, padded with -1 to ``max_length``; learners that
    need numbers are better served by a numeric form of the environment.

    Example:
        >>> space = UnicodeText(1000)
        >>> "Où est la mémoire ?" in space
        True
    """

    def __init__(
        self,
        max_length: int,
        *,
        min_length: int = 0,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(max_length, min_length=min_length, charset="".join(_WORDS), seed=seed)

    @property
    def shape(self) -> Any:
        """Not a shape; to iterate over it raises :class:`UsageError`."""
        return _NO_SHAPE

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Return words of a small multilingual vocabulary, cut to a random length.

        Args:
            mask: the wanted length in characters, or ``(length, None)`` as in ``Text``; by default
                a length from ``min_length`` to 200 characters (or to ``max_length`` when shorter,
                ``min_length`` when longer) is drawn.
            probability: not supported.

        Raises:
            UsageError: a length outside the bounds, a character mask or a probability.
        """
        if isinstance(mask, tuple) and len(mask) == 2 and mask[1] is None:
            mask = mask[0]
        if probability is not None or not (mask is None or isinstance(mask, (int, np.integer))):
            raise UsageError("UnicodeText.sample: only mask=<length in characters> is supported")
        if mask is None:
            longest = min(self.max_length, max(self.min_length, _SAMPLE_CHARACTERS))
            mask = self.np_random.integers(self.min_length, longest + 1)
        if not self.min_length <= mask <= self.max_length:
            raise UsageError(
                f"UnicodeText.sample: a length of {mask} characters is outside "
                f"{self.min_length} to {self.max_length}"
            )
        # Every word takes at least two characters with its blank, so half as many are enough.
        indices = self.np_random.integers(len(_WORDS), size=int(mask) // 2 + 1)
        return " ".join([_WORDS[index] for index in indices.tolist()])[: int(mask)].ljust(int(mask))

    def contains(self, x: Any) -> bool:
        """Return whether ``x`` is a string of an accepted length; any characters will do."""
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length

    def __repr__(self) -> str:
        """Return the constructor call, short at any length."""
        least = f", min_length={self.min_length}" if self.min_length else ""
        return f"UnicodeText({self.max_length}{least})"

    def __eq__(self, other: object) -> bool:
        """Return whether ``other`` is a ``UnicodeText`` (not a ``Text``) of the same bounds."""
        return (
            type(other) is type(self)
            and isinstance(other, UnicodeText)
            and self.min_length == other.min_length
            and self.max_length == other.max_length
        )

    __hash__ = None  # type: ignore[assignment]  # seeded and mutable, like every Gymnasium space


class SharedTexts(Sequence[str]):
    """The strings of all sub-environments in shared memory, decoded whenever they are read.

    Per string: its length in bytes (little-endian, 4 bytes), then UTF-8. ``copy.deepcopy`` gives a
    plain tuple, and that is what ``AsyncVectorEnv`` returns by default; with ``copy=False`` its
    caller holds this live view instead, which is no member of the batched space.
    """

    def __init__(self, buffer: npt.NDArray[np.uint8]) -> None:
        self._buffer = buffer  # (n, 4 + 4 * max_length)

    def __len__(self) -> int:
        return len(self._buffer)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(_decode(row) for row in self._buffer[index])
        return _decode(self._buffer[index])

    def __iter__(self) -> Iterator[str]:
        return (_decode(row) for row in self._buffer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # its content changes

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return f"SharedTexts({tuple(self)!r})"


def _decode(row: npt.NDArray[np.uint8]) -> str:
    end = _LENGTH_BYTES + int.from_bytes(row[:_LENGTH_BYTES].tobytes(), "little")
    return row[_LENGTH_BYTES:end].tobytes().decode("utf-8", "surrogatepass")


def _rows(space: UnicodeText, shared_memory: Any) -> npt.NDArray[np.uint8]:
    width = _LENGTH_BYTES + _BYTES_PER_CHARACTER * space.max_length
    return np.frombuffer(shared_memory.get_obj(), dtype=np.uint8).reshape(-1, width)


@create_shared_memory.register(UnicodeText)
def _create_shared_memory(space: UnicodeText, n: int = 1, ctx: Any = multiprocessing) -> Any:
    return ctx.Array(c_uint8, n * (_LENGTH_BYTES + _BYTES_PER_CHARACTER * space.max_length))


@read_from_shared_memory.register(UnicodeText)
def _read_from_shared_memory(space: UnicodeText, shared_memory: Any, n: int = 1) -> Any:
    return SharedTexts(_rows(space, shared_memory))


@write_to_shared_memory.register(UnicodeText)
def _write_to_shared_memory(space: UnicodeText, index: int, value: str, shared_memory: Any) -> None:
    if value not in space:
        raise ValueError(
            f"an observation of {len(value)} characters is outside {space!r}"
            if isinstance(value, str)
            else f"an observation for {space!r} must be a string, got {type(value).__name__}"
        )
    data = value.encode("utf-8", "surrogatepass")
    row = _rows(space, shared_memory)[index]
    row[:_LENGTH_BYTES] = np.frombuffer(len(data).to_bytes(_LENGTH_BYTES, "little"), np.uint8)
    row[_LENGTH_BYTES : _LENGTH_BYTES + len(data)] = np.frombuffer(data, np.uint8)


@create_empty_array.register(UnicodeText)
def _create_empty_array(space: UnicodeText, n: int = 1, fn: Any = np.zeros) -> tuple[str, ...]:
    return (" " * space.min_length,) * n


@batch_differing_spaces.register(UnicodeText)
def _batch_differing_spaces(spaces: Sequence[Space[Any]]) -> Space[Any]:  # type: ignore[misc]
    return Tuple([deepcopy(space) for space in spaces], seed=deepcopy(spaces[0].np_random))


@is_space_dtype_shape_equiv.register(UnicodeText)
def _is_space_dtype_shape_equiv(space_1: UnicodeText, space_2: Any) -> bool:
    # The longest string decides the layout of the shared memory; the shortest does not matter.
    return isinstance(space_2, UnicodeText) and space_1.max_length == space_2.max_length


@flatdim.register(UnicodeText)
def _flatdim(space: UnicodeText) -> int:
    return space.max_length


@flatten_space.register(UnicodeText)
def _flatten_space(space: UnicodeText) -> Box:
    return Box(_PADDING, _LAST_CODE_POINT, shape=(space.max_length,), dtype=np.int32)


@flatten.register(UnicodeText)
def _flatten(space: UnicodeText, x: str) -> npt.NDArray[np.int32]:  # type: ignore[misc]
    codes = np.frombuffer(x.encode("utf-32-le", "surrogatepass"), dtype="<i4")
    flat = np.full(space.max_length, _PADDING, dtype=np.int32)
    flat[: len(codes)] = codes
    return flat


@unflatten.register(UnicodeText)
def _unflatten(space: UnicodeText, x: npt.NDArray[Any]) -> str:  # type: ignore[misc]
    # Inside a flattened Dict with float entries the code points arrive as floats.
    codes = np.asarray(x)
    return codes[codes >= 0].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
