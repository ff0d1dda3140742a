"""``memgym report-sb3``: all trained policies on held-out episodes, beside the baselines."""

import argparse
import sys
from pathlib import Path

from memgym.cli.options import Commands, add_data, data_folder, memory_budget, names
from memgym.cli.progress import Reporter, output_console
from memgym.cli.tables import print_table

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym report-sb3 runs                         every policy trained under runs/
  memgym report-sb3 runs --budgets 25% --jobs 2

Plays the suite's test episodes with every policy (all seeds) and the baselines, at every memory
budget, and writes to FOLDER/report: results.md (tables), results.csv, score_against_memory.png and
.svg, learning_curve.png and .svg, and one run folder per budget. What was played already is not
played again.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "report-sb3",
        help="compare trained policies with the baselines on one page",
        description="Compare trained policies with the baselines at several memory budgets.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", help="where the trained runs are")
    parser.add_argument("--suite", default="mini", metavar="NAME", help="default: mini")
    parser.add_argument(
        "--budgets",
        type=_budgets,
        default=(1.0, 0.5, 0.25, 0.1),
        metavar="SIZES",
        help="memory budgets with commas (default: 100%%,50%%,25%%,10%%)",
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="worker processes (default: one per core)"
    )
    parser.add_argument("--out", metavar="DIR", help="default: FOLDER/report")
    add_data(parser)
    parser.set_defaults(run=run)


def _budgets(text: str) -> tuple[float, ...]:
    return tuple(memory_budget(item) for item in names(text))


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.benchmarks.outcome import AgentError
    from memgym.benchmarks.runner import default_jobs
    from memgym.benchmarks.sb3_page import findings, score_table, write_page
    from memgym.benchmarks.sb3_results import compare, groups_in

    console = output_console()
    folder = Path(arguments.folder)
    out = Path(arguments.out) if arguments.out else folder / "report"
    groups = groups_in(folder)
    reporter = Reporter()
    try:
        with reporter:
            found = compare(
                groups,
                out,
                suite=arguments.suite,
                budgets=arguments.budgets,
                data=data_folder(arguments.data),
                jobs=default_jobs() if arguments.jobs is None else arguments.jobs,
                progress=reporter,
            )
    except AgentError as error:
        sys.stderr.write(f"{error}\nmemgym: error: {reporter.stopped(out)}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\nmemgym: {reporter.stopped(out)}\n")
        return 130
    page = write_page(found, groups, out)
    heads, rows = score_table(found)
    print_table(console, "Score on held-out episodes by memory budget, %", heads, rows, heads[1:])
    for line in findings(found):
        console.print(line, markup=False, highlight=False)
    console.print(f"{reporter.finished()} Page: {page}", markup=False, highlight=False)
    return 0
