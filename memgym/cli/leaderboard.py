"""``memgym leaderboard build``: a static site from a folder of submissions."""

import argparse
import sys
from pathlib import Path

from memgym.cli.options import Commands, add_data, data_folder, whole_number
from memgym.cli.progress import Reporter, output_console

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym leaderboard build leaderboard/submissions
  memgym leaderboard build submissions --out public --episodes 8

Each submission (*.zip, made by memgym submit) is verified first, as memgym verify does; what was
verified once is known until the file or memgym's code changes. Those that do not hold are named and
left out, and the exit code is 1. The site is files only: open index.html in a browser, or put the
folder on any web server. It is replaced as a whole.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "leaderboard",
        help="make a leaderboard of verified submissions",
        description="Make a leaderboard of verified submissions.",
    )
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    build: argparse.ArgumentParser = kinds.add_parser(
        "build",
        help="verify a folder of submissions and write their site",
        description="Verify a folder of submissions and write a static site of them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument("folder", metavar="DIR", help="folder with the submissions")
    build.add_argument("--out", default="site", metavar="SITE", help="default: site")
    build.add_argument(
        "--episodes",
        type=whole_number,
        default=4,
        metavar="N",
        help="episodes of each submission to look at step by step (default: 4)",
    )
    add_data(build)
    build.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.leaderboard.site import check_replaceable, write_site
    from memgym.leaderboard.verification import checked_folder
    from memgym.viewer.printable import printable  # a file may have any name

    data, out = data_folder(arguments.data), Path(arguments.out).absolute()
    check_replaceable(out)  # before the wait
    with Reporter("submissions") as reporter:
        checked = checked_folder(Path(arguments.folder), data=data, told=reporter)
    refused = [item for item in checked if item.verified is None]
    for item in refused:
        told = printable(f"{item.file.name} is left out: {item.reason}")
        sys.stderr.write(f"memgym: {' '.join(told.split())}\n")
    with Reporter("pages") as reporter:
        write_site(out, checked, episodes=arguments.episodes, data=data, told=reporter)
    hold = f"{len(checked) - len(refused)} of {len(checked)} submissions hold."
    words = f"{hold} Site: {Path(arguments.out) / 'index.html'}"
    output_console().print(words, markup=False, highlight=False, soft_wrap=True)
    return 1 if refused else 0
