"""Tables of plain text for the commands that list things."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_table"]


def print_table(
    console: "Console",
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[str] = (),
) -> None:
    """Print a table and an empty line.

    Args:
        console: Where to.
        title: Above the table.
        columns: Headings; ``id`` and ``name`` are never broken, as they are copied by hand.
        rows: Cells, taken as they are, without markup.
        numbers: The columns set to the right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in columns:
        fixed = column in ("id", "name") or column in numbers
        table.add_column(
            Text(column), no_wrap=fixed, justify="right" if column in numbers else "left"
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    console.print()
