"""``memgym bench``: agents on suites, results in a run folder, tables on the screen."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.cli.options import Commands, add_data, add_seed, add_settings, data_folder, names

if TYPE_CHECKING:
    from rich.console import Console

    from memgym.benchmarks.plan import RunPlan
    from memgym.benchmarks.suites import ResolvedSuite

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym bench                                     the embedded suite; no data, no model, no key
  memgym bench --data ~/memgym-data                and every real source found in that folder
  memgym bench --suite real --agents chunks,sentences
  memgym bench --memory-budget 25%                 what to keep becomes the question
  memgym bench --agents sentences,my_agents:Mine   your own class, next to a baseline

A run that was stopped continues when the same command is given again. The folder holds run.json,
results.jsonl (one line per agent and episode), summary.md, summary.csv, episodes.csv, timings.csv.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "bench",
        help="put agents on the same episodes and print the table",
        description="Put agents on the same episodes and print the table.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--suite",
        type=names,
        metavar="NAMES",
        help="suites by name, with commas, see memgym envs (default: mini, and real if there is a "
        "data folder)",
    )
    add_data(parser)
    parser.add_argument(
        "--agents",
        type=names,
        metavar="NAMES",
        help="baselines by name, your own as package.module:Class (default: every baseline)",
    )
    add_seed(parser)
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="worker processes (default: one per core)"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="run folder (default: runs/<suite>-<hash of what is asked for>)",
    )
    add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.benchmarks.report import footer, print_tables, write_reports
    from memgym.benchmarks.runner import AgentError, default_jobs, run_plan
    from memgym.benchmarks.summary import summarise
    from memgym.cli.progress import Reporter, output_console

    console = output_console()
    plan = _plan(arguments, console)
    folder = Path(arguments.out) if arguments.out else Path("runs") / plan.folder_name()
    jobs = default_jobs() if arguments.jobs is None else arguments.jobs
    reporter = Reporter()
    try:
        with reporter:
            store = run_plan(plan, folder, jobs=jobs, progress=reporter)
    except AgentError as error:
        sys.stderr.write(f"{error}\nmemgym: error: {reporter.stopped(folder)}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\nmemgym: {reporter.stopped(folder)}\n")
        return 130
    summaries = summarise(plan, store.records, store.seconds)
    notes = footer(plan, summaries, _command(arguments, plan))
    write_reports(folder, summaries, store.records, notes)
    print_tables(console, summaries)
    for note in notes:
        console.print(note, style="dim", highlight=False, markup=False, soft_wrap=False)
    console.print(f"{reporter.finished()} Files: {folder}", markup=False, highlight=False)
    return 0


def _plan(arguments: argparse.Namespace, console: "Console") -> "RunPlan":
    from memgym.baselines import BASELINES
    from memgym.benchmarks.plan import make_plan

    settings: dict[str, Any] = {}
    if arguments.memory_budget is not None:
        settings["memory_budget"] = arguments.memory_budget
    return make_plan(
        _suites(arguments, console),
        arguments.agents or list(BASELINES),
        seed=arguments.seed,
        preset=arguments.preset,
        settings=settings,
    )


def _suites(arguments: argparse.Namespace, console: "Console") -> list["ResolvedSuite"]:
    """Find the episodes; say what was chosen where the user left it open."""
    from memgym.benchmarks.agents import load_agents
    from memgym.benchmarks.suites import get_suite, resolve
    from memgym.tasks.registry import get_source

    load_agents(arguments.agents or ["closed_book"])  # a misspelt name is told before the wait
    chosen = arguments.suite or ["mini", "real"]
    entries = [entry for name in chosen for entry in get_suite(name).entries]
    needs_data = any(get_source(entry.source).needs_data for entry in entries)
    wanted = needs_data or arguments.data or not arguments.suite
    folder = data_folder(arguments.data) if wanted else None
    if not arguments.suite:
        if folder is None:
            chosen = ["mini"]
            text = "Suite mini. For real text too, name a data folder with --data or MEMGYM_DATA."
        else:
            text = "Suites mini and real (there is a data folder)."
        console.print(text, highlight=False)
    resolved = [resolve(get_suite(name), folder) for name in dict.fromkeys(chosen)]
    for suite in resolved:
        for line in suite.skipped:
            console.print(f"Note: {line}", highlight=False, markup=False)
    return resolved


def _command(arguments: argparse.Namespace, plan: "RunPlan") -> str:
    """Return the command that plays the run again on any machine."""
    words = ["memgym", "bench", "--suite", ",".join(suite.suite.name for suite in plan.suites)]
    if any(episode.data for suite in plan.suites for episode in suite.episodes):
        words += ["--data", "$MEMGYM_DATA"]
    if arguments.agents:
        words += ["--agents", ",".join(plan.agents)]
    budget = arguments.memory_budget
    if budget is not None:
        text = str(budget) if isinstance(budget, int) else f"{100 * budget:g}%"
        words += ["--memory-budget", text]
    if plan.preset != "default":
        words += ["--preset", plan.preset]
    words += ["--seed", str(plan.seed)]
    return " ".join(f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in words)
