"""Suites: named, fixed lists of episodes on which agents are compared, and their content hashes.

A suite lists entries; an entry is one source, split and set of options with the number of its first
episodes that are played. Entries are also the strata of the statistics: scores are averaged, and
episodes resampled, within each entry. Not here: who plays (:mod:`.plan`) and how (:mod:`.runner`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from memgym.episode import ABILITIES, Ability, Episode, episode_to_dict
from memgym.errors import UsageError, nearest
from memgym.tasks.registry import get_source, load_source

__all__ = [
    "SUITES",
    "Entry",
    "EpisodeReference",
    "ResolvedSuite",
    "Suite",
    "get_suite",
    "load_episode",
    "resolve",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a suite.

    Attributes:
        name: What tables call it; unique within the suite.
        source: Registry name of the data source.
        split: Split of the source.
        episodes: How many of its first episodes are played; fewer if it has fewer.
        source_options: Options of the source.
    """

    name: str
    source: str
    split: str
    episodes: int
    source_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suite:
    """A named list of entries. Any change to its episodes or settings needs a new version.

    Attributes:
        name: What a user writes after ``--suite``.
        version: Part of every result.
        summary: One line for lists.
        entries: In table order.
        settings: Environment settings that belong to the suite.
    """

    name: str
    version: str
    summary: str
    entries: tuple[Entry, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EpisodeReference:
    """Where an episode comes from: small enough to send to another process, unlike its text.

    Attributes:
        suite: Name of the suite.
        entry: Name of the entry.
        ability: The episode's ability.
        source: Registry name of the data source.
        split: Split of the source.
        source_options: Options of the source, as JSON text.
        data: Data folder, ``""`` for none.
        index: Index of the episode in its source and split.
        id: The episode's id.
    """

    suite: str
    entry: str
    ability: Ability
    source: str
    split: str
    source_options: str
    data: str
    index: int
    id: str


@dataclass(frozen=True, slots=True)
class ResolvedSuite:
    """A suite with its episodes found.

    Attributes:
        suite: The suite.
        episodes: One reference per episode, in order.
        content_hash: sha256 over the suite's settings and the canonical JSON of every episode,
            chunks and golds included: equal hashes mean equal tests.
        skipped: One line for each entry whose data is not there.
    """

    suite: Suite
    episodes: tuple[EpisodeReference, ...]
    content_hash: str
    skipped: tuple[str, ...] = ()


def _procedural(label: str, tokens: int, episodes: int) -> Iterable[Entry]:
    for ability in ABILITIES:
        source = f"procedural-{ability.replace('_', '-')}"
        name = f"{ability.replace('_', ' ')} {label}"
        yield Entry(name, source, "test", episodes, {"tokens": tokens})


_MINI = Suite(
    "mini",
    "1",
    "made-up text, the four abilities at 8,000 and 32,000 tokens; needs no data",
    (*_procedural("8k", 8_000, 8), *_procedural("32k", 32_000, 4)),
)
_REAL = Suite(
    "real",
    "1",
    "text from SQuAD, HotpotQA and BANKING77, up to 10 episodes each; needs a data folder",
    tuple(Entry(name, name, "test", 10) for name in ("squad", "hotpotqa", "banking77")),
)

SUITES: Mapping[str, Suite] = {suite.name: suite for suite in (_MINI, _REAL)}
"""Every suite by name."""


def get_suite(name: str) -> Suite:
    """Return the suite called ``name``.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    if name not in SUITES:
        raise UsageError(f'unknown suite "{name}": {nearest(name, SUITES)}')
    return SUITES[name]


def resolve(suite: Suite, data: str | Path | None = None) -> ResolvedSuite:
    """Find the suite's episodes and hash their content.

    Entries whose folder is missing under ``data`` are left out and named in ``skipped``; what is
    there and cannot be read is an error.

    Args:
        suite: The suite.
        data: Folder with one subfolder per real source; not needed by procedural entries.

    Raises:
        UsageError: no entry has data, or data is malformed.
    """
    if data is not None and not Path(data).is_dir():
        raise UsageError(f"no data folder {data}; give a folder with {_wanted(suite.entries)}")
    present = [entry for entry in suite.entries if _has_data(entry, data)]
    if not present:
        where = f"no such subfolder in {data}" if data else "no data folder is named"
        raise UsageError(
            f'suite "{suite.name}": {where}; set MEMGYM_DATA or --data to a folder with '
            f"{_wanted(suite.entries)}"
        )
    content = hashlib.sha256(_canonical(dict(suite.settings)))
    references: list[EpisodeReference] = []
    for entry in present:
        for reference, episode in _episodes(suite, entry, data):
            content.update(b"\n" + _canonical(episode_to_dict(episode)))
            references.append(reference)
    _check_unique(suite, references)
    skipped = tuple(
        f"{entry.name} left out: no folder {Path(str(data)) / get_source(entry.source).needs_data}"
        for entry in suite.entries
        if entry not in present
    )
    return ResolvedSuite(suite, tuple(references), content.hexdigest(), skipped)


def _wanted(entries: Sequence[Entry]) -> str:
    folders = [get_source(entry.source).needs_data for entry in entries]
    return ", ".join(f"{folder}/" for folder in folders if folder) or "one subfolder per source"


def _has_data(entry: Entry, data: str | Path | None) -> bool:
    folder = get_source(entry.source).needs_data
    return not folder or (data is not None and (Path(data) / folder).exists())


def _canonical(value: Any) -> bytes:
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    ).encode("utf-8", "surrogatepass")


def _episodes(
    suite: Suite, entry: Entry, data: str | Path | None
) -> Iterable[tuple[EpisodeReference, Episode]]:
    found = load_source(entry.source, entry.split, entry.source_options, data)
    size = entry.episodes if found.size is None else min(entry.episodes, found.size)
    for index in range(size):
        episode = found.episode(index)
        reference = EpisodeReference(
            suite=suite.name,
            entry=entry.name,
            ability=episode.ability,
            source=entry.source,
            split=entry.split,
            source_options=json.dumps(entry.source_options, sort_keys=True),
            data=str(data) if data is not None and get_source(entry.source).needs_data else "",
            index=index,
            id=episode.id,
        )
        yield reference, episode


def _check_unique(suite: Suite, references: Sequence[EpisodeReference]) -> None:
    seen: dict[str, EpisodeReference] = {}
    for reference in references:
        if reference.id in seen:
            raise UsageError(
                f'suite "{suite.name}": episode "{reference.id}" is in {seen[reference.id].entry} '
                f"and in {reference.entry}; give the entries different options"
            )
        seen[reference.id] = reference


@lru_cache(maxsize=2)
def load_episode(reference: EpisodeReference) -> Episode:
    """Return the episode of a reference; the last two are kept.

    Raises:
        UsageError: the data changed since the suite was resolved.
    """
    options = json.loads(reference.source_options)
    found = load_source(reference.source, reference.split, options, reference.data or None)
    episode = found.episode(reference.index)
    if episode.id != reference.id:
        raise UsageError(
            f'episode {reference.index} of {reference.entry} is "{episode.id}", not '
            f'"{reference.id}": the data changed during the run; start again'
        )
    return episode
