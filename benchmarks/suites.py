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
from memgym.tasks.registry import get_source, load_source, source_names
from memgym.traces.digests import canonical

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
        hash: Digest of its content, see :func:`memgym.traces.digests.episode_hash`.
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
    hash: str


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


def _procedural(label: str, tokens: int, episodes: int, **options: int) -> Iterable[Entry]:
    for ability in ABILITIES:
        source = f"procedural-{ability.replace('_', '-')}"
        name = f"{ability.replace('_', ' ')} {label}"
        yield Entry(name, source, "test", episodes, {"tokens": tokens, **options})


def _raw_sources() -> Iterable[str]:
    """Yield the sources that are built from raw public data and have a test split.

    The prepared files are left to suites of their own: they hold the same texts again.
    """
    for name in source_names():
        source = get_source(name)
        prepared = name.startswith("memalpha") or name == "memoryagentbench"
        if source.needs_data and "test" in source.splits and not prepared:
            yield name


_MINI = Suite(
    "mini",
    "1",
    "made-up text, the four abilities at 8,000 and 32,000 tokens; needs no data",
    (*_procedural("8k", 8_000, 8), *_procedural("32k", 32_000, 4)),
)
_SHORT = Suite(
    "short",
    "1",
    "made-up text, the four abilities at 4,000 tokens: small files to submit; needs no data",
    tuple(_procedural("4k", 4_000, 8)),
)
_PROCEDURAL = Suite(
    "procedural",
    "1",
    "made-up text, the four abilities at 4,000 to 512,000 tokens; needs no data",
    (
        *_procedural("4k", 4_000, 8),
        *_procedural("16k", 16_000, 8),
        *_procedural("64k", 64_000, 4),
        *_procedural("256k", 256_000, 2),
        *_procedural("512k", 512_000, 2),
    ),
)
_LENGTH = Suite(
    "length",
    "1",
    "the same made-up episodes in texts 1, 4, 16 and 64 times as long; needs no data",
    tuple(
        entry
        for factor in (1, 4, 16, 64)
        for entry in _procedural(f"x{factor}", 4_000, 4, stretch=factor)
    ),
)
# One character's events make a single long instance; shorter ones let instances vary.
_REAL_OPTIONS = {"perltqa": {"chunks": 8, "min_questions": 10}}
_REAL = Suite(
    "real",
    "2",
    "text of every real source whose data is there, up to 10 episodes each; needs a data folder",
    (
        *(Entry(name, name, "test", 10, _REAL_OPTIONS.get(name, {})) for name in _raw_sources()),
        Entry("longmemeval S", "longmemeval", "test", 10, {"haystack": "s"}),
    ),
)
_MEMALPHA_VAL = Suite(
    "memalpha-val",
    "1",
    "the validation data of Mem-alpha as published, 5 episodes of each of its sources",
    tuple(
        Entry(name, "memalpha", "test", 5, {"name": name})
        for name in (
            "squad",
            "hotpotqa",
            "perltqa",
            "pubmed-rct",
            "icl_nlu_8296shot_balance",
            "icl_trec_coarse_6600shot_balance",
            "booksum",
        )
    ),
)
_MEMORYAGENTBENCH = Suite(
    "memoryagentbench",
    "1",
    "MemoryAgentBench as Mem-alpha tests on it (9 sets, up to 10 episodes) and its conflict sets",
    (
        *(
            Entry(name, "memalpha-memoryagentbench", "test", 10, {"name": name})
            for name in (
                "ruler_qa1_197K",
                "ruler_qa2_421K",
                "longmemeval_s*",
                "icl_banking77_5900shot_balance",
                "icl_clinic150_7050shot_balance",
                "icl_nlu_8296shot_balance",
                "icl_trec_coarse_6600shot_balance",
                "icl_trec_fine_6400shot_balance",
                "infbench_sum_eng_shots2",
            )
        ),
        *(
            Entry(name, "memoryagentbench", "test", 1, {"name": name})
            for hops in ("sh", "mh")
            for name in (
                f"factconsolidation_{hops}_{size}" for size in ("6k", "32k", "64k", "262k")
            )
        ),
    ),
)

SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (_MINI, _SHORT, _PROCEDURAL, _LENGTH, _REAL, _MEMALPHA_VAL, _MEMORYAGENTBENCH)
}
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
    content = hashlib.sha256(canonical(dict(suite.settings)))
    references: list[EpisodeReference] = []
    for entry in present:
        for reference, episode in _episodes(suite, entry, data):
            content.update(b"\n" + episode)
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


def _episodes(
    suite: Suite, entry: Entry, data: str | Path | None
) -> Iterable[tuple[EpisodeReference, bytes]]:
    """Yield the episodes of an entry: where each comes from, and its canonical JSON."""
    found = load_source(entry.source, entry.split, entry.source_options, data)
    size = entry.episodes if found.size is None else min(entry.episodes, found.size)
    for index in range(size):
        episode = found.episode(index)
        content = canonical(episode_to_dict(episode))
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
            hash=hashlib.sha256(content).hexdigest(),
        )
        yield reference, content


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
