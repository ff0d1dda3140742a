"""Datasets as a person names them: a source and split, or a file of episodes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.tasks.registry import get_source, load_source
from memgym.tasks.source import EpisodeSet

__all__ = ["ENDLESS_EPISODES", "Dataset", "dataset_names", "is_available", "open_dataset"]

ENDLESS_EPISODES = 10
"""How many episodes of an endless source stand for it where no number is given."""

_FILES = {".jsonl": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Dataset:
    """The first ``size`` episodes of a set; iterating makes them anew each time.

    Attributes:
        name: ``source:split``, or the file.
        episodes: The set.
        size: Number of episodes.
    """

    name: str
    episodes: EpisodeSet
    size: int

    def __iter__(self) -> Iterator[Episode]:
        return (self.episodes.episode(index) for index in range(self.size))


def open_dataset(
    reference: str,
    *,
    data: Path | None = None,
    options: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> Dataset:
    """Return the dataset that a reference names.

    Args:
        reference: ``squad:test``; or a path that ends in ``.jsonl`` or ``.parquet``.
        data: The data folder.
        options: Options of the source.
        limit: Number of first episodes; by default all, of endless sources
            :data:`ENDLESS_EPISODES`.

    Raises:
        UsageError: no such source, split or file, or its data are missing or malformed.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"the number of episodes must be at least 1, got {limit}")
    kind = _FILES.get(Path(reference).suffix.lower())
    if kind:
        episodes = load_source(kind, "test", {**(options or {}), "path": reference})
    else:
        name, _, split = reference.partition(":")
        source = get_source(name)
        if not split:
            choices = ", ".join(f"{name}:{choice}" for choice in source.splits)
            raise UsageError(f'"{reference}" names no split; write one of {choices}')
        episodes = load_source(name, split, options, data)
    size = episodes.size
    if size is None:
        size = ENDLESS_EPISODES if limit is None else limit
    return Dataset(reference, episodes, size if limit is None else min(size, limit))


def dataset_names(name: str) -> list[str]:
    """Return the references of all splits of a source."""
    return [f"{name}:{split}" for split in get_source(name).splits]


def is_available(name: str, data: Path | None) -> bool:
    """Whether a source needs no data, or its folder is there. Sources of one file never are."""
    source = get_source(name)
    if name in _FILES.values():
        return False
    if not source.needs_data:
        return True
    return data is not None and (data / source.needs_data).exists()
