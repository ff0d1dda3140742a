"""``memgym plot``: pictures of finished runs."""

import argparse
from pathlib import Path

from memgym.cli.options import Commands, names
from memgym.cli.progress import output_console

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym plot runs/mine --out pictures
  memgym plot runs/mine runs/baselines --out pictures --agents mine,sentences,oracle

Writes, per suite, PNG and SVG of: scores (with intervals, by agent), abilities (the same by
ability), memory (score against the memory it takes), length (score against the length of the text,
where entries differ in that alone) and causes (what became of the questions). Several runs must be
comparable, as for memgym compare. Needs the extra plot: pip install "memgym[plot]".
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "plot",
        help="draw finished runs: scores, abilities, memory, length, failures",
        description="Draw finished runs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder of memgym bench")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument(
        "--suite", type=names, default=[], metavar="NAMES", help="only these (default: all)"
    )
    parser.add_argument(
        "--agents", type=names, default=[], metavar="NAMES", help="only these (default: all)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.benchmarks.finished import read_run
    from memgym.benchmarks.pooled import pool
    from memgym.benchmarks.run_pictures import draw_suite

    runs = [read_run(Path(path)) for path in arguments.runs]
    suites = pool(runs, suites=arguments.suite, agents=arguments.agents)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    written = [file for pooled in suites for file in draw_suite(pooled, out)]
    console = output_console()
    for file in written:
        console.print(str(file), markup=False, highlight=False)
    for note in dict.fromkeys(note for pooled in suites for note in pooled.notes):
        console.print(note, style="dim", markup=False, highlight=False)
    return 0
