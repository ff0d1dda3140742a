"""Procedural episodes as an endless episode set; the texts come from :mod:`.procedural`."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from memgym.episode import ABILITIES, Ability, Episode
from memgym.errors import UsageError
from memgym.tasks.procedural import ProceduralOptions, build_procedural
from memgym.tasks.source import EpisodeSet, parse_options

__all__ = ["ProceduralEpisodes", "load_procedural"]

_SAMPLED = 2**31  # sampling draws an index below this


class ProceduralEpisodes:
    """Endless episodes of one ability, or of the four in turn (``index % 4``).

    Episodes are a pure function of (ability, split, options, index).
    """

    def __init__(
        self, name: str, ability: Ability | None, split: str, options: ProceduralOptions
    ) -> None:
        self._name = name
        self._ability = ability
        self._split = split
        self._options = options

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
        return build_procedural(ability, self._split, index, self._options)


def load_procedural(
    name: str, ability: Ability | None, split: str, options: Mapping[str, Any]
) -> EpisodeSet:
    """Return the endless episodes of ``ability`` (``None``: all four in turn).

    Raises:
        UsageError: an unknown option or a value out of range.
    """
    return ProceduralEpisodes(name, ability, split, parse_options(ProceduralOptions, options, name))
