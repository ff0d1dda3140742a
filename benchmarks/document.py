"""A page made of headings, text, tables and pictures, as Markdown and as one HTML file."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Heading", "Part", "Picture", "Table", "Text", "as_html", "as_markdown"]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; ``level`` 1 is the page's own."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph without markup."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text below their heads, and what has to be known to read them.

    Attributes:
        heads: The first column names the row, the others hold numbers.
        rows: Of as many cells.
        note: Below the table.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str


@dataclass(frozen=True, slots=True)
class Picture:
    """``<name>.svg`` beside the page."""

    name: str
    title: str


Part = Heading | Text | Table | Picture


def as_markdown(parts: Sequence[Part]) -> str:
    """Return the parts as Markdown; pictures are links."""
    return "\n\n".join(map(_markdown, parts)) + "\n"


def _markdown(part: Part) -> str:
    match part:
        case Heading(level, text):
            return f"{'#' * level} {_escaped(text)}"
        case Text(text):
            return _escaped(text)
        case Picture(name, title):
            return f"![{_escaped(title)}]({name}.svg)"
        case Table(heads, rows, note):
            rule = ["---"] + ["---:"] * (len(heads) - 1)
            lines = [[_escaped(cell) for cell in row] for row in (heads, *rows)]
            lines.insert(1, rule)
            table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
            return f"{table}\n\n{_escaped(note)}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\|*_`<])", r"\\\1", text)


_STYLE = """\
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2rem; } h3 { font-size: 1.05rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid #8886; padding: .3rem .6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } .note { font-size: .85rem; opacity: .8; }
figure { margin: 1rem 0; } svg { background: #fff; max-width: 100%; height: auto; }
"""


def as_html(parts: Sequence[Part], title: str, folder: Path) -> str:
    """Return the parts as one HTML file that needs nothing else.

    Args:
        parts: Of the page.
        title: Of the window.
        folder: Where the pictures are.
    """
    body = "\n".join(_html(part, folder) for part in parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        '</title><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _html(part: Part, folder: Path) -> str:
    match part:
        case Heading(level, text):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Text(text):
            return f"<p>{html.escape(text)}</p>"
        case Picture(name, title):
            drawn = (folder / f"{name}.svg").read_text(encoding="utf-8")
            # Names of parts are the same in all pictures, and would be mixed up on one page.
            own = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", drawn[drawn.index("<svg") :])
            return f'<figure role="img" aria-label="{html.escape(title)}">{own}</figure>'
        case Table(heads, rows, note):
            head = _html_row(heads, "th")
            body = "".join(_html_row(row, "td") for row in rows)
            return (
                f'<div class="wide"><table>{head}{body}</table></div>'
                f'<p class="note">{html.escape(note)}</p>'
            )


def _html_row(cells: Sequence[str], kind: str) -> str:
    return f"<tr>{''.join(f'<{kind}>{html.escape(cell)}</{kind}>' for cell in cells)}</tr>"
