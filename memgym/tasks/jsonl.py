"""The ``jsonl`` source: a user's own episodes, one JSON object per line.

The file is the split: all its episodes are played whatever split is asked for. One scan finds and
names the lines; an episode is parsed again when it is asked for, so a large file needs little
memory.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.episode import Episode, episode_from_dict
from memgym.errors import UsageError
from memgym.tasks.source import EpisodeSet, ListedEpisodes, parse_options

__all__ = ["JsonlOptions", "load"]


@dataclass(frozen=True, slots=True)
class JsonlOptions:
    """Options of the ``jsonl`` source.

    Attributes:
        path: The file, as written by :func:`memgym.episode.write_jsonl`.
    """

    path: str


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    offset: int
    id: str


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the episodes of the file ``options["path"]``; ``split`` and ``data`` are not used."""
    path = Path(parse_options(JsonlOptions, options, "jsonl").path).expanduser().absolute()
    try:
        lines = list(_scan(path))
    except OSError as error:
        raise UsageError(f"cannot read episodes from {path}: {error.strerror}") from error

    def make(index: int) -> Episode:
        line = lines[index]
        with path.open("rb") as file:
            file.seek(line.offset)
            where = f"{path}, line {line.number}"
            return episode_from_dict(_parse(file.readline(), where), where)

    return ListedEpisodes(str(path), [line.id for line in lines], make)


def _scan(path: Path) -> Iterator[_Line]:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                where = f"{path}, line {number}"
                identifier = _parse(line, where).get("id")
                if not isinstance(identifier, str):
                    raise UsageError(f'{where}: "id" must be a string')
                yield _Line(number, offset, identifier)
            offset += len(line)


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8"))
    except ValueError as error:  # UnicodeDecodeError is one too
        raise UsageError(f"{where}: not a JSON line in UTF-8: {error}") from error
    if not isinstance(record, dict):
        raise UsageError(f"{where}: must be a JSON object, got {type(record).__name__}")
    return record
