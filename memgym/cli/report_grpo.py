"""``memgym report-grpo``: policies before and after GRPO, and baselines, on held-out episodes."""

import argparse
import sys
from pathlib import Path

from memgym.cli.options import Commands, add_data, count, data_folder, memory_budget, names
from memgym.cli.progress import Reporter, output_console
from memgym.cli.tables import print_table

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym report-grpo runs/tiny-*                         each seed before and after, and baselines
  memgym report-grpo runs --memory-budget 50%,25%        every run under runs/, at two budgets
  memgym report-grpo runs --length 1,4,16,64 --agents sentences,dated,oracle

RUNS are folders of memgym train, or folders that hold some. Runs that differ in nothing but the
seed are one variant; the first is called by its folder, the others by what differs from it. All
play the same episodes, greedily, in the environment of their own run. Writes report.md,
report.html, report.json, and pictures as PNG and SVG. What was played already (results.jsonl) is
not played again. Needs the extra train: pip install "memgym[train]".
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "report-grpo",
        help="compare policies of memgym train with what they were, and with the baselines",
        description="Compare trained policies with what they were before GRPO, and with baselines.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUNS", help="where the trained runs are")
    parser.add_argument(
        "--split", default="test", metavar="NAME", help="of each run's source (default: test)"
    )
    parser.add_argument(
        "--episodes", type=count, default=40, metavar="N",
        help="the first episodes of the split (default: 40)",
    )  # fmt: skip
    parser.add_argument(
        "--memory-budget", type=_budgets, default=(), metavar="SIZES",
        help="other memory budgets with commas, such as 50%%,25%% (default: each run's own)",
    )  # fmt: skip
    parser.add_argument(
        "--length", type=_lengths, default=(1,), metavar="TIMES",
        help="texts so many times as long as in training, such as 1,4,16 (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--agents", type=names, metavar="NAMES",
        help="what they are compared with (default: every baseline)",
    )  # fmt: skip
    parser.add_argument(
        "--models", type=names, default=["start", "best"], metavar="NAMES",
        help="of each run: start (before GRPO), best, final (default: start,best)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", help="default: report in the first of RUNS")
    parser.add_argument(
        "--jobs", type=count, metavar="N", help="worker processes of the baselines (default: one "
        "per core)",
    )  # fmt: skip
    add_data(parser)
    parser.set_defaults(run=run)


def _budgets(text: str) -> tuple[float, ...]:
    return tuple(memory_budget(item) for item in names(text))


def _lengths(text: str) -> tuple[int, ...]:
    return tuple(count(item) for item in names(text))


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.agents.chat import ChatError
    from memgym.benchmarks.grpo_page import findings, score_rows, write_report
    from memgym.benchmarks.grpo_results import ReportSettings, compare
    from memgym.benchmarks.grpo_runs import variants_in
    from memgym.benchmarks.outcome import AgentError
    from memgym.benchmarks.runner import default_jobs

    settings = ReportSettings(
        split=arguments.split,
        episodes=arguments.episodes,
        budgets=arguments.memory_budget,
        lengths=arguments.length,
        models=tuple(arguments.models),
        **({"agents": tuple(arguments.agents)} if arguments.agents else {}),
    )
    out = Path(arguments.out or Path(arguments.runs[0]) / "report")
    data = data_folder(arguments.data)
    reporter = Reporter()
    try:
        with reporter:
            report = compare(
                variants_in([Path(item) for item in arguments.runs]),
                out,
                settings,
                data=str(data) if data else "",
                jobs=arguments.jobs or default_jobs(),
                progress=reporter,
            )
    except (AgentError, ChatError) as error:
        sys.stderr.write(f"{error}\nmemgym: error: {reporter.stopped(out)}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\nmemgym: {reporter.stopped(out)}\n")
        return 130
    page = write_report(report, out)
    console = output_console()
    heads, rows = score_rows(report.blocks[0])
    print_table(console, "Scores in the first environment", heads, rows, heads[1:])
    for line in [*findings(report), f"{reporter.finished()} Page: {page}"]:
        console.print(line, markup=False, highlight=False)
    return 0
