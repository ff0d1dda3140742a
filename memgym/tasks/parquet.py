"""Memalpha parquet files: the ``parquet`` source, reading and writing.

What a row holds is said in :mod:`memgym.tasks.memalpha_schema`. Rows are read one at a time, and
only the columns that are needed. pyarrow is imported when a file is first touched.
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from memgym.tasks.source import EpisodeSet, ListedEpisodes, parse_options

__all__ = ["ParquetOptions", "load", "read_parquet", "write_parquet"]

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
    columns = _columns(path)
    light = _rows(path, [name for name in columns if name in _LIGHT])
    ids = [identity(row, f"{path}, row {number}", number)[0] for number, row in enumerate(light)]
    footer = _open(path).metadata
    sizes = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
    ends = list(itertools.accumulate(sizes))

    def make(index: int) -> Episode:
        group = bisect.bisect_right(ends, index)
        skipped = index - (ends[group] - sizes[group])
        row = next(itertools.islice(_rows(path, columns, [group]), skipped, None))
        return episode_from_row(row, f"{path}, row {index}", index)

    return ListedEpisodes(str(path), ids, make)


def read_parquet(path: Path | str) -> Iterator[Episode]:
    """Yield the episodes of a parquet file, one row in memory at a time.

    Raises:
        UsageError: pyarrow is missing, the file cannot be read, or a row is malformed (named by
            row and column).
    """
    path = Path(path)
    for number, row in enumerate(_rows(path, _columns(path))):
        yield episode_from_row(row, f"{path}, row {number}", number)


def write_parquet(path: Path | str, episodes: Iterable[Episode]) -> int:
    """Write episodes, one per row group, and return how many; whole or not at all.

    The same episodes give the same bytes (with one version of pyarrow), and
    :func:`read_parquet` gives equal episodes back.

    Raises:
        UsageError: pyarrow is missing, or an episode's metadata are not JSON values or use the
            reserved name ``memgym``.
    """
    pyarrow, parquet = _pyarrow()
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


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError('parquet files need pyarrow: pip install "memgym[parquet]"') from error
    return pyarrow, parquet


def _open(path: Path) -> Any:
    pyarrow, parquet = _pyarrow()
    try:
        return parquet.ParquetFile(path, memory_map=True, pre_buffer=False)
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"cannot read {path} as a parquet file: {reason}") from error


def _columns(path: Path) -> list[str]:
    """Return the columns to read.

    Raises:
        UsageError: one that is needed is missing.
    """
    names = list(_open(path).schema_arrow.names)
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise UsageError(
            f"{path}: missing column {', '.join(missing)}; its columns are {', '.join(names)}"
        )
    return [name for name in (*NEEDED, *OPTIONAL) if name in names]


def _rows(
    path: Path, columns: Sequence[str], row_groups: Sequence[int] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield rows as plain values, decoding one at a time."""
    pyarrow, _ = _pyarrow()
    batches = _open(path).iter_batches(batch_size=1, columns=list(columns), row_groups=row_groups)
    try:
        for batch in batches:
            yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise UsageError(f"{path}: damaged parquet file: {str(error).splitlines()[0]}") from error
