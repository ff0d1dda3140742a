"""``memgym view``: a recorded episode as one HTML page."""

import argparse
import re
import sys
from pathlib import Path

from memgym.cli.options import Commands, add_data, data_folder
from memgym.cli.stepping import tell_differences
from memgym.errors import UsageError

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym view runs/mini-0123abcdef                       the first episode of a run
  memgym view runs/mini-0123abcdef --agent sentences --episode ID
  memgym view traces.jsonl.gz --out episode.html --open

TRACE is a file of traces, or the folder of a run, which has one. The page shows chunks, tool calls,
the memory after each step with what changed in it, rewards, and every question with what was
retrieved for it. It needs nothing else and asks for nothing, so it can be sent or put anywhere.
The same in the terminal: memgym play --trace TRACE.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "view",
        help="write a recorded episode as a page to step through",
        description="Write a recorded episode as one HTML page to step through.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trace", metavar="TRACE", help="file of traces, or folder of a run")
    parser.add_argument("--episode", metavar="ID", help="default: the first one there is")
    parser.add_argument("--agent", metavar="NAME", help="default: the first one there is")
    parser.add_argument(
        "--out", metavar="FILE", help="default: named by the episode, in the current folder"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    add_data(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.cli.progress import output_console
    from memgym.traces.format import find_trace
    from memgym.viewer import view_of, write_page
    from memgym.viewer.printable import printable

    record = find_trace(arguments.trace, arguments.episode, arguments.agent)
    view = view_of(record, data=data_folder(arguments.data))
    tell_differences(view)
    out = Path(arguments.out or _file_name(view.id, view.agent))
    _check_target(out)
    size = write_page(view, out)
    words = (
        f"{view.id} by {view.agent}: score {view.score:.3f}, {len(view.steps)} steps, "
        f"{len(view.questions)} questions. Page: {out} ({size / 2**20:.1f} MiB)"
    )
    output_console().print(printable(words), markup=False, highlight=False, soft_wrap=True)
    if arguments.open:
        _show(out)
    return 0


def _check_target(out: Path) -> None:
    """Refuse to write over anything but a page."""
    if out.is_dir():
        raise UsageError(f"--out names {out}, which is a folder; name a file in it")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out: there is no folder {out.absolute().parent}")
    if out.exists() and out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(
            f"--out: {out} is there and no page; name another file, such as {out}.html"
        )


def _file_name(*names: str) -> str:
    """Return a name that every system takes, from names that may hold anything."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(names)).strip("-.")
    return f"{plain[-120:].lstrip('-.') or 'episode'}.html"


def _show(page: Path) -> None:
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        sys.stderr.write(f"memgym: no browser was found here; open {page} in one\n")
