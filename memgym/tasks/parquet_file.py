"""Reading parquet files row by row, with errors that name file and column.

Only the wanted columns are read and one row is decoded at a time, so an episode of 400,000 tokens
costs what it holds and not what the file holds. What the columns mean is said elsewhere:
:mod:`memgym.tasks.memalpha_schema`, :mod:`memgym.tasks.memoryagentbench`. pyarrow is imported when
a file is first touched.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from memgym.errors import UsageError

__all__ = ["check_columns", "import_pyarrow", "iterate_rows", "read_row", "wanted_columns"]


def import_pyarrow() -> tuple[Any, Any]:
    """Return the modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError('parquet files need pyarrow: pip install "memgym[parquet]"') from error
    return pyarrow, parquet


def check_columns(path: Path, needed: Sequence[str]) -> list[str]:
    """Return the column names of a file.

    Raises:
        UsageError: it is no parquet file, or a needed column is missing.
    """
    names = list(_open(path).schema_arrow.names)
    missing = [name for name in needed if name not in names]
    if missing:
        raise UsageError(
            f"{path}: missing column {', '.join(missing)}; its columns are {', '.join(names)}"
        )
    return names


def wanted_columns(path: Path, needed: Sequence[str], optional: Sequence[str]) -> list[str]:
    """Return the needed columns and those of the optional ones that a file has.

    Raises:
        UsageError: see :func:`check_columns`.
    """
    names = check_columns(path, needed)
    return [name for name in (*needed, *optional) if name in names]


def iterate_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows as plain values. A column may be a field of a struct: ``metadata.source``."""
    for batch in _batches(path, columns, None):
        yield from batch.to_pylist()


def read_row(path: Path, columns: Sequence[str], number: int) -> dict[str, Any]:
    """Return row ``number``, counted over all row groups; rows before it are not converted."""
    footer = _open(path).metadata
    for group in range(footer.num_row_groups):
        rows = footer.row_group(group).num_rows
        if number < rows:
            batch = next(itertools.islice(_batches(path, columns, [group]), number, None))
            row: dict[str, Any] = batch.to_pylist()[0]
            return row
        number -= rows
    raise IndexError(f"{path} has no row {number} after its last row group")


def _open(path: Path) -> Any:
    pyarrow, parquet = import_pyarrow()
    try:
        return parquet.ParquetFile(path, memory_map=True, pre_buffer=False)
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"cannot read {path} as a parquet file: {reason}") from error


def _batches(path: Path, columns: Sequence[str], row_groups: Sequence[int] | None) -> Iterator[Any]:
    """Yield batches of one row."""
    pyarrow, _ = import_pyarrow()
    try:
        yield from _open(path).iter_batches(
            batch_size=1, columns=list(columns), row_groups=row_groups
        )
    except (OSError, pyarrow.ArrowException) as error:
        raise UsageError(f"{path}: damaged parquet file: {str(error).splitlines()[0]}") from error
