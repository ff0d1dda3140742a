"""Finished runs of ``memgym bench``, read without playing and without the agents' code or data.

Nothing is written. Not here: runs that are being played (:mod:`.run_folder`), and which of several
runs may be compared (:mod:`.pooled`).
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.benchmarks.run_folder import Key
from memgym.diagnosis import CAUSES
from memgym.episode import ABILITIES, Ability
from memgym.errors import UsageError

__all__ = ["FinishedEpisode", "FinishedRun", "FinishedSuite", "read_run"]

_COUNTS = ("memory_share", "memory_tokens", "input_tokens", "questions", "failed", *CAUSES)
_PLACES = ("suite", "entry", "episode_id", "ability")


@dataclass(frozen=True, slots=True)
class FinishedEpisode:
    """Where an episode has its place in a suite.

    Attributes:
        id: Unique within a run.
        entry: Name of the suite's entry.
        ability: What it tests.
    """

    id: str
    entry: str
    ability: Ability


@dataclass(frozen=True, slots=True)
class FinishedSuite:
    """A suite as it was played.

    Attributes:
        name: Of the suite.
        description: What ``run.json`` says of it: version, hash, settings, reader, judges, ….
        episodes: In order.
    """

    name: str
    description: Mapping[str, Any]
    episodes: tuple[FinishedEpisode, ...]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run with every result.

    Attributes:
        path: As it was given.
        code: Digest of memgym's own code.
        seed: Of the agents' choices.
        agents: What identifies each agent, in table order.
        suites: By name, in table order.
        records: Every result.
    """

    path: Path
    code: str
    seed: int
    agents: tuple[Mapping[str, Any], ...]
    suites: Mapping[str, FinishedSuite]
    records: Mapping[Key, Mapping[str, Any]]


def read_run(path: Path) -> FinishedRun:
    """Return the run of a folder that ``memgym bench`` has written.

    Raises:
        UsageError: it holds none, results are missing, or a file is damaged; the message says
            where.
    """
    file = path / "run.json"
    if not file.is_file():
        raise UsageError(f"{path} is no run of memgym bench: it holds no run.json")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        agents = tuple(found["agents"])
        described = {suite["name"]: suite for suite in found["suites"]}
        code, seed = str(found["code"]), int(found["seed"])
        names = [str(agent["name"]) for agent in agents]
        _ = [(suite["version"], suite["hash"]) for suite in described.values()]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is damaged ({error!r}); play the run again") from error
    episodes = _episodes(path, described)
    suites = {
        name: FinishedSuite(name, described[name], tuple(episodes[name])) for name in described
    }
    records = dict(_results(path / "results.jsonl"))
    missing = [
        (agent, episode.id)
        for suite in suites.values()
        for episode in suite.episodes
        for agent in names
        if (agent, episode.id) not in records
    ]
    if missing:
        raise UsageError(
            f"{path} is not finished: {len(missing)} results are missing, the first of "
            f'"{missing[0][0]}" on "{missing[0][1]}"; continue it with its memgym bench command'
        )
    return FinishedRun(path, code, seed, agents, suites, records)


def _episodes(path: Path, suites: Mapping[str, Any]) -> dict[str, list[FinishedEpisode]]:
    """Return the episodes by suite, which only the table of episodes tells apart."""
    file = path / "episodes.csv"
    if not file.is_file():
        raise UsageError(
            f"{path} has no episodes.csv, which memgym bench writes at the end of a run; give its "
            "command again"
        )
    found: dict[str, dict[str, FinishedEpisode]] = {name: {} for name in suites}
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                suite, entry, name, ability = (row[column] for column in _PLACES)
                if ability not in ABILITIES:
                    raise ValueError(f"unknown ability {ability}")
                found[suite][name] = FinishedEpisode(name, entry, ability)
    except (ValueError, KeyError, csv.Error) as error:
        raise UsageError(
            f"{file} is damaged ({error!r}); give the memgym bench command again"
        ) from error
    for suite, episodes in found.items():
        if len(episodes) != suites[suite].get("episodes"):
            raise UsageError(f"{file}: not all episodes of suite {suite} are in it")
    return {name: list(episodes.values()) for name, episodes in found.items()}


def _results(file: Path) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    if not file.is_file():
        raise UsageError(f"{file.parent} is not finished: it holds no {file.name}")
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _result(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(f"{file}, line {number}: not a result ({error!r})") from error


def _result(record: Any) -> tuple[Key, Mapping[str, Any]]:
    """Return a result with its key.

    Raises:
        ValueError, KeyError, TypeError: it lacks something, or has a score that is no share.
    """
    scores = [float(answer["score"]) for answer in record["answers"]]
    if not scores or not all(0.0 <= score <= 1.0 for score in scores):
        raise ValueError("a score is not between 0 and 1")
    if not all(math.isfinite(record["metrics"][name]) for name in _COUNTS):
        raise ValueError("a number is not finite")
    return (str(record["agent"]), str(record["episode_id"])), record
