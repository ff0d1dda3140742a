"""What a data source is: the episode-set interface, the registry entry, checked options.

This file knows no particular source; :mod:`memgym.tasks.registry` lists them.
"""

import dataclasses
import operator
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from memgym.episode import Ability, Episode
from memgym.errors import UsageError, nearest

__all__ = [
    "CONFLICT_PREFACE",
    "LABEL_PREFACE",
    "SUMMARY_PREFACE",
    "EpisodeSet",
    "ListedEpisodes",
    "Source",
    "parse_options",
]

LABEL_PREFACE = (
    "Your memory holds example sentences, each with the number of its label. Decide which label "
    "fits the sentence below and answer with that number alone, written as \\boxed{number}."
)
"""Shown to answering models before the questions of every classification source."""

SUMMARY_PREFACE = (
    "Your memory holds notes on a long text. Answer the question below in full sentences and name "
    "the people, places, things and events that matter."
)
"""Shown to answering models before the questions of every source whose golds are summaries."""

CONFLICT_PREFACE = (
    "Your memory holds numbered facts. Where two of them disagree, only the one with the higher "
    "number is true. Answer the question below with the value that is true."
)
"""Shown to answering models before the questions of sources of numbered, conflicting facts."""


class EpisodeSet(Protocol):
    """The episodes of one source and split, from which an environment draws."""

    @property
    def size(self) -> int | None:
        """The number of episodes; ``None`` if they never end (procedural sources)."""
        ...

    def episode(self, key: int | str) -> Episode:
        """Return an episode by index (from 0) or id.

        Raises:
            UsageError: there is no such episode.
        """
        ...

    def sample(self, rng: np.random.Generator) -> Episode:
        """Return an episode drawn uniformly; exactly one number is taken from ``rng``."""
        ...


Loader = Callable[[str, Mapping[str, Any], Path | None], EpisodeSet]


@dataclass(frozen=True, slots=True)
class Source:
    """One registry entry.

    Attributes:
        name: What a user writes, e.g. ``"squad"``.
        ability: The ability it tests; ``None`` for a mix or for the user's own files.
        licence: Licence of the data (not of the builder).
        summary: One line for lists.
        splits: Names of its splits.
        question_preface: Told to an answering model before each question, never part of the
            retrieval query; may be empty.
        needs_data: Folder wanted under the data folder; empty if the source needs none.
        load: ``(split, options, data folder) -> episodes``; imports the builder when called.
    """

    name: str
    ability: Ability | None
    licence: str
    summary: str
    splits: tuple[str, ...]
    question_preface: str
    needs_data: str
    load: Loader


class ListedEpisodes:
    """A finite episode set whose ids are known at once and whose episodes are made on demand.

    Attributes:
        ids: Episode ids, in index order.
        excluded: What the builder left out of every episode, by reason (counts). What it left out
            of one episode is in that episode's ``metadata["excluded"]``.
    """

    def __init__(
        self,
        name: str,
        ids: Sequence[str],
        make: Callable[[int], Episode],
        excluded: Mapping[str, int] | None = None,
    ) -> None:
        """Keep ``ids`` and the function that makes episode ``i``.

        Args:
            name: Names the set in error messages, e.g. ``"squad/train"``.
            ids: Unique episode ids.
            make: Returns the episode of an index within ``range(len(ids))``.
            excluded: See the class.
        """
        if not ids:
            reasons = "; ".join(f"{count} x {why}" for why, count in (excluded or {}).items())
            detail = f" ({reasons})" if reasons else ""
            raise UsageError(f"{name}: the data give no episode{detail}")
        self.ids = tuple(ids)
        self.excluded = dict(excluded or {})
        self._name = name
        self._make = make
        self._index = {identifier: index for index, identifier in enumerate(self.ids)}
        if len(self._index) != len(self.ids):
            twice = next(i for n, i in enumerate(self.ids) if self._index[i] != n)
            raise UsageError(f'{name}: episode id "{twice}" occurs twice; ids must be unique')

    @property
    def size(self) -> int:
        """The number of episodes."""
        return len(self.ids)

    def __iter__(self) -> Iterator[Episode]:
        return (self._make(index) for index in range(self.size))

    def episode(self, key: int | str) -> Episode:
        """Return an episode by index or id."""
        if isinstance(key, str):
            if key not in self._index:
                close = nearest(key, self.ids[:10])
                more = ", …" if self.size > 10 else ""
                raise UsageError(f'{self._name}: no episode "{key}": {close}{more}')
            return self._make(self._index[key])
        index = operator.index(key)
        if not 0 <= index < self.size:
            raise UsageError(
                f"{self._name}: no episode {index}: indices go from 0 to {self.size - 1}"
            )
        return self._make(index)

    def sample(self, rng: np.random.Generator) -> Episode:
        """Return an episode drawn uniformly."""
        return self._make(int(rng.integers(self.size)))


OptionsT = TypeVar("OptionsT")


def parse_options(kind: type[OptionsT], options: Mapping[str, Any], source: str) -> OptionsT:
    """Build the options dataclass ``kind`` from a mapping, checking names and types.

    ``int`` is accepted where ``float`` is wanted; nothing else is converted. Ranges are checked by
    the dataclass itself.

    Raises:
        UsageError: unknown name, missing required option, wrong type or value.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, kind))}
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name not in fields:
            raise UsageError(
                f'source "{source}" has no option "{name}": {nearest(str(name), fields)}'
            )
        values[name] = _checked(value, hints[name], f'source "{source}", option "{name}"')
    for name, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise UsageError(f'source "{source}" needs the option "{name}"')
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f'source "{source}": {error}') from error


def _checked(value: Any, hint: Any, where: str) -> Any:
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise UsageError(f'{where}: unknown value "{value}": {nearest(str(value), choices)}')
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        given = type(value).__name__
        raise UsageError(f"{where} must be {hint.__name__}, got {given} {value!r}")
    return value
