"""Memalpha: the training and validation data of Mem-alpha, as its authors published them.

Dataset card
    Origin: hub dataset ``YuWangX/Memalpha`` (Wang et al. 2025, "Mem-alpha: Learning Memory
    Construction via Reinforcement Learning", arXiv 2509.25911). Wanted: ``train.parquet`` and
    ``test.parquet`` in ``<data>/memalpha``; without that folder they are downloaded. Licence: those
    of the eight sources that it is made of; PerLTQA among them is for non-commercial use only.
    Ability and question kind: of each row, by its ``data_source`` (see
    :mod:`memgym.tasks.memalpha_schema`). Evidence: the published files have none.
    Kept: every row as it is, chunks with their dialogue headers, at most 100 questions a row.
    Left out of ``train`` and counted, unless ``leaks`` is true: rows whose ``data_source`` starts
    with ``icl_`` or is ``ttl_train``. They were made from MemoryAgentBench itself, context and all
    100 test questions of TREC-coarse and NLU, so who trains on them is tested on what it has seen.

Splits
    ``test`` is the published file of that name, which the paper calls its validation set (its own
    test set is the source ``memalpha-memoryagentbench``). ``train`` and ``validation`` are parts of
    the published training file: one row in fifty, by a hash of its id, is held out, so that a
    policy can be chosen without the test split. The paper trains on all of it. All are splits by
    row: rows of two may be made of the same book or the same examples.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.errors import UsageError, nearest
from memgym.tasks.files import bucket
from memgym.tasks.hub import published_files
from memgym.tasks.parquet import row_episodes
from memgym.tasks.source import EpisodeSet, parse_options

__all__ = ["MemalphaOptions", "is_leak", "load", "published_episodes"]

_LEAKS = ("icl_", "ttl_train")
_VALIDATION_SHARE = 0.02  # of 4,139 rows: enough for an evaluation of 64 episodes


@dataclass(frozen=True, slots=True)
class MemalphaOptions:
    """Options of the sources ``memalpha`` and ``memalpha-memoryagentbench``.

    Attributes:
        name: Only rows of this ``data_source``, such as ``squad``; empty for all.
        leaks: Keep training rows that hold test questions of MemoryAgentBench.
        path: A parquet file, a folder of them or a hub name, instead of the usual place.
    """

    name: str = ""
    leaks: bool = False
    path: str = ""


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the published rows of one split.

    Raises:
        UsageError: a bad option, missing or malformed files, no row of the wanted ``name``.
    """
    return published_episodes("memalpha", "YuWangX/Memalpha", split, options, data)


def published_episodes(
    source: str, repository: str, split: str, options: Mapping[str, Any], data: Path | None
) -> EpisodeSet:
    """Return the rows of one split of a dataset in the Memalpha schema.

    Raises:
        UsageError: see :func:`load`.
    """
    chosen = parse_options(MemalphaOptions, options, source)
    file = "test" if split == "test" else "train"
    paths = published_files(source, repository, [file], data, chosen.path)
    names: Counter[str] = Counter()
    excluded: Counter[str] = Counter()

    def keep(name: str, identifier: str) -> bool:
        names[name] += 1
        if chosen.name and name != chosen.name:
            return False
        if file == "train" and _split_of(identifier) != split:
            return False
        if file == "train" and not chosen.leaks and is_leak(name):
            excluded[f"{name}: row made of MemoryAgentBench test questions"] += 1
            return False
        return True

    prefix = f"{source}/{split}/"
    try:
        return row_episodes(prefix[:-1], paths, prefix=prefix, keep=keep, excluded=excluded)
    except UsageError as error:
        if chosen.name and names and chosen.name not in names:
            raise UsageError(
                f'source "{source}", option "name": no row of "{chosen.name}" in split {split}: '
                f"{nearest(chosen.name, list(names))}"
            ) from error
        raise


def _split_of(identifier: str) -> str:
    """Return which part of the published training file a row belongs to."""
    return "validation" if bucket("memalpha", identifier) < _VALIDATION_SHARE else "train"


def is_leak(data_source: str) -> bool:
    """Whether training rows of a ``data_source`` hold test questions of MemoryAgentBench."""
    return data_source.startswith(_LEAKS)
