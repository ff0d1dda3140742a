"""``memgym compare``: any two agents of finished runs on the same episodes."""

import argparse
from pathlib import Path

from memgym.cli.options import Commands, names
from memgym.cli.progress import output_console

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym compare runs/mine runs/baselines          all agents of both runs, pair by pair
  memgym compare runs/mine                         the agents of one run
  memgym compare runs/mine --agents sentences,dated
  memgym compare runs/mine --against sentences     every other agent with this one
  memgym compare runs/seed0 runs/seed1 runs/seed2  an agent with several seeds is one method
  memgym compare runs/mine --csv pairs.csv --json pairs.json --markdown pairs.md

RUN is a folder of memgym bench (its --out). Runs are compared only if suite, content hash,
settings, memory budget and reader are the same; else the first difference is named.
docs/statistics.md says how intervals, p values and the episodes to separate are computed.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "compare",
        help="compare agents of finished runs: differences, intervals, p values",
        description="Compare agents of finished runs on the same episodes, pair by pair.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder of memgym bench")
    parser.add_argument(
        "--suite", type=names, default=[], metavar="NAMES", help="only these (default: all)"
    )
    parser.add_argument(
        "--agents", type=names, default=[], metavar="NAMES", help="only these (default: all)"
    )
    parser.add_argument(
        "--against", default="", metavar="NAME", help="compare all others with this agent only"
    )
    parser.add_argument("--sources", action="store_true", help="print differences by source, too")
    for form in ("csv", "json", "markdown"):
        parser.add_argument(f"--{form}", metavar="FILE", help=f"write the comparison as {form}")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.atomic import write_whole
    from memgym.benchmarks import paired_report
    from memgym.benchmarks.finished import read_run
    from memgym.benchmarks.pooled import pool
    from memgym.benchmarks.report import markdown_page, print_table

    runs = [read_run(Path(path)) for path in arguments.runs]
    pooled = pool(runs, suites=arguments.suite, agents=arguments.agents)
    found = [paired_report.pair(suite, arguments.against) for suite in pooled]
    tables = [
        table
        for paired in found
        for table in paired_report.tables(paired, sources=arguments.sources)
    ]
    notes = paired_report.notes(found)
    console = output_console()
    for table in tables:
        print_table(console, table)
    for paired in found:
        if len(paired.macro) == 1:
            told = paired_report.sentence(paired.macro[0])
            console.print(f"{paired.pooled.suite.name}: {told}\n", highlight=False, markup=False)
    for note in notes:
        console.print(note, style="dim", highlight=False, markup=False)
    texts = {
        "csv": paired_report.as_csv(found),
        "json": paired_report.as_json(found),
        "markdown": markdown_page(tables, notes),
    }
    for form, text in texts.items():
        if getattr(arguments, form):
            write_whole(Path(getattr(arguments, form)), text)
    return 0
