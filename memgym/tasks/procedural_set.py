"""Procedural episodes as an endless episode set; the texts come from :mod:`.procedural`."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from memgym.episode import ABILITIES, Ability, Episode
from memgym.errors import UsageError
from memgym.tasks.procedural import ProceduralOptions, build_procedural
from memgym.tasks.source import EpisodeSet, parse_options
from memgym.tasks.stretching import check_stretch, stretch

__all__ = ["ProceduralEpisodes", "load_procedural"]

_SAMPLED = 2**31  # sampling draws an index below this


@dataclass(frozen=True, slots=True)
class _SetOptions(ProceduralOptions):
    """Options of a procedural source.

    Attributes:
        stretch: The episode's chunks are set apart in a text so many times as long, see
            :mod:`memgym.tasks.stretching`.
    """

    stretch: int = 1


class ProceduralEpisodes:
    """Endless episodes of one ability, or of the four in turn (``index % 4``).

    Episodes are a pure function of (ability, split, options, index, stretch).
    """

    def __init__(
        self,
        name: str,
        ability: Ability | None,
        split: str,
        options: ProceduralOptions,
        stretch: int = 1,
    ) -> None:
        self._name = name
        self._ability = ability
        self._split = split
        self._options = options
        self._stretch = stretch

    @property
    def size(self) -> None:
        """``None``: the episodes never end."""
        return None

    def episode(self, key: int | str) -> Episode:
        """Return an episode by index (any integer from 0) or by the id of such an episode."""
        if not isinstance(key, str):
            index = operator.index(key)
            if index < 0:
                raise UsageError(f"{self._name}: no episode {index}: indices start at 0")
            return self._build(index)
        last = key.rpartition("/")[2]
        if last.isascii() and last.isdigit() and len(last) < 20:
            episode = self._build(int(last))
            if episode.id == key:
                return episode
        example = self._build(0).id
        raise UsageError(f'{self._name}/{self._split}: no episode "{key}"; ids look like {example}')

    def sample(self, rng: np.random.Generator) -> Episode:
        """Return an episode of a random index below 2**31."""
        return self._build(int(rng.integers(_SAMPLED)))

    def _build(self, index: int) -> Episode:
        ability = self._ability or ABILITIES[index % len(ABILITIES)]
        episode = build_procedural(ability, self._split, index, self._options)
        return stretch(episode, self._split, self._options, self._stretch)


def load_procedural(
    name: str, ability: Ability | None, split: str, options: Mapping[str, Any]
) -> EpisodeSet:
    """Return the endless episodes of ``ability`` (``None``: all four in turn).

    Raises:
        UsageError: an unknown option or a value out of range.
    """
    chosen = parse_options(_SetOptions, options, name)
    shape = ProceduralOptions(
        **{field.name: getattr(chosen, field.name) for field in fields(ProceduralOptions)}
    )
    check_stretch(shape, chosen.stretch)
    return ProceduralEpisodes(name, ability, split, shape, chosen.stretch)
