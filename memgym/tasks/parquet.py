"""Memalpha parquet files: the ``parquet`` source, reading and writing.

What a row holds is said in :mod:`memgym.tasks.memalpha_schema`, how files are read in
:mod:`memgym.tasks.parquet_file`. The sources of published files (:mod:`memgym.tasks.memalpha`)
build on :func:`row_episodes`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.tasks.memalpha_schema import (
    NEEDED,
    OPTIONAL,
    episode_from_row,
    identity,
    row_from_episode,
)
from memgym.tasks.parquet_file import import_pyarrow, iterate_rows, read_row, wanted_columns
from memgym.tasks.source import EpisodeSet, ListedEpisodes, parse_options

__all__ = ["ParquetOptions", "load", "read_parquet", "row_episodes", "write_parquet"]

_LIGHT = ("data_source", "instance_id", "metadata")  # enough to name the rows


@dataclass(frozen=True, slots=True)
class ParquetOptions:
    """Options of the ``parquet`` source.

    Attributes:
        path: A file in the published schema, see the module.
    """

    path: str


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the episodes of the file ``options["path"]``.

    The file is the split: all its rows are played whatever split is asked for.

    Raises:
        UsageError: pyarrow is missing, or the file is no parquet file or lacks a column.
    """
    path = Path(parse_options(ParquetOptions, options, "parquet").path).expanduser().absolute()
    return row_episodes(str(path), [path])


def row_episodes(
    name: str,
    paths: Sequence[Path],
    *,
    prefix: str = "",
    keep: Callable[[str, str], bool] = lambda source, identifier: True,
    excluded: Mapping[str, int] | None = None,
) -> ListedEpisodes:
    """Return the rows of files in the published schema as episodes, made when asked for.

    Args:
        name: Names the set in messages.
        paths: Parquet files; their rows count on from file to file.
        prefix: Put before every episode id.
        keep: Whether a row is wanted, by its ``data_source`` and what its id will be.
        excluded: What the caller left out, see :class:`~memgym.tasks.source.ListedEpisodes`.

    Raises:
        UsageError: pyarrow is missing, a file is no parquet file or lacks a column, or no row is
            wanted.
    """
    ids: list[str] = []
    places: list[tuple[Path, int, int]] = []
    total = 0
    for path in paths:
        light = [column for column in wanted_columns(path, NEEDED, OPTIONAL) if column in _LIGHT]
        for number, row in enumerate(iterate_rows(path, light)):
            identifier, source, _ = identity(row, f"{path}, row {number}", total)
            if keep(source, identifier):
                ids.append(prefix + identifier)
                places.append((path, number, total))
            total += 1

    def make(index: int) -> Episode:
        path, number, position = places[index]
        row = read_row(path, wanted_columns(path, NEEDED, OPTIONAL), number)
        episode = episode_from_row(row, f"{path}, row {number}", position)
        return replace(episode, id=ids[index])

    return ListedEpisodes(name, ids, make, excluded)


def read_parquet(path: Path | str) -> Iterator[Episode]:
    """Yield the episodes of a parquet file, one row in memory at a time.

    Raises:
        UsageError: pyarrow is missing, the file cannot be read, or a row is malformed (named by
            row and column).
    """
    path = Path(path)
    for number, row in enumerate(iterate_rows(path, wanted_columns(path, NEEDED, OPTIONAL))):
        yield episode_from_row(row, f"{path}, row {number}", number)


def write_parquet(path: Path | str, episodes: Iterable[Episode]) -> int:
    """Write episodes, one per row group, and return how many; whole or not at all.

    The same episodes give the same bytes (with one version of pyarrow), and
    :func:`read_parquet` gives equal episodes back.

    Raises:
        UsageError: pyarrow is missing, or an episode's metadata are not JSON values or use the
            reserved name ``memgym``.
    """
    pyarrow, parquet = import_pyarrow()
    schema = _schema(pyarrow)
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    count = 0
    try:
        # Long strings that never repeat: dictionaries and statistics would only copy them.
        with parquet.ParquetWriter(
            partial, schema, use_dictionary=False, write_statistics=False
        ) as writer:
            for episode in episodes:
                table = pyarrow.Table.from_pylist([row_from_episode(episode, count)], schema=schema)
                writer.write_table(table)
                count += 1
        partial.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _schema(pyarrow: Any) -> Any:
    """Return the published columns and types."""
    text, number = pyarrow.string(), pyarrow.int64()
    return pyarrow.schema(
        [
            ("instance_id", number),
            ("prompt", text),
            ("chunks", text),
            ("questions_and_answers", text),
            ("data_source", text),
            ("metadata", text),
            ("num_chunks", number),
            ("num_questions", number),
        ]
    )
