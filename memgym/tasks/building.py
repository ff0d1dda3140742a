"""Writing a dataset to a file: whole or not at all, going on where an interrupted build stopped.

While a build runs, its episodes lie as JSON Lines in ``<target>.<digest>.partial``, where the
digest is of everything that decides the content. The same build finds that file and goes on; the
target is written from it at the end and appears at once.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from memgym.episode import Episode, episode_from_dict, episode_to_dict, write_jsonl
from memgym.errors import UsageError
from memgym.tasks.datasets import Dataset
from memgym.tasks.files import digest

__all__ = ["Progress", "build", "write_episodes"]

Progress = Callable[[int, int], None]
"""Called with the numbers of episodes there are and there will be."""


def build(
    dataset: Dataset, target: Path, settings: Mapping[str, Any], progress: Progress | None = None
) -> int:
    """Write a dataset to a ``.jsonl`` or ``.parquet`` file and return how many episodes it has.

    Args:
        dataset: What to write.
        target: The file; replaced if it exists.
        settings: What decides the content beside the dataset's name: options of the source.
        progress: Told the state at the start and after every episode.

    Raises:
        UsageError: the file's name has another ending, or it cannot be written.
    """
    _check_ending(target)
    # The ids hold a digest of the raw data wherever the source reads any.
    last = dataset.episodes.episode(dataset.size - 1).id
    name = digest(dataset.name, json.dumps(settings, sort_keys=True), str(dataset.size), last)
    partial = target.with_name(f"{target.name}.{name[:8]}.partial")
    tell = progress or (lambda done, total: None)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        done = _keep_whole_lines(partial)
        tell(done, dataset.size)
        with partial.open("ab") as file:
            for index in range(done, dataset.size):
                record = episode_to_dict(dataset.episodes.episode(index))
                file.write(json.dumps(record).encode() + b"\n")
                file.flush()
                tell(index + 1, dataset.size)
        count = write_episodes(target, _read(partial))
        partial.unlink()
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from error
    return count


def write_episodes(target: Path, episodes: Iterable[Episode]) -> int:
    """Write a file in the format that its name ends in; whole or not at all.

    Raises:
        UsageError: see :func:`build`.
    """
    _check_ending(target)
    if target.suffix.lower() == ".jsonl":
        return write_jsonl(target, episodes)
    from memgym.tasks.parquet import write_parquet

    return write_parquet(target, episodes)


def _check_ending(target: Path) -> None:
    if target.suffix.lower() not in (".jsonl", ".parquet"):
        raise UsageError(f"{target}: the name must end in .jsonl or .parquet")


def _keep_whole_lines(path: Path) -> int:
    """Cut off a last line that was not written to its end; return how many lines are left."""
    if not path.exists():
        return 0
    lines = end = 0
    with path.open("rb+") as file:
        for line in file:
            if line.endswith(b"\n"):
                lines += 1
                end += len(line)
        file.truncate(end)
    return lines


def _read(path: Path) -> Iterator[Episode]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield episode_from_dict(json.loads(line), f"{path}, line {number}")
