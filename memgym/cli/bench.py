"""``memgym bench``: agents on suites, results in a run folder, tables on the screen."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from memgym.cli.again import command
from memgym.cli.comparing import asked_for
from memgym.cli.models import DEFAULT_CONCURRENCY, add_models
from memgym.cli.options import Commands, add_data, add_settings, data_folder, names, whole_number

if TYPE_CHECKING:
    from rich.console import Console

    from memgym.benchmarks.comparison import Comparison
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
  memgym bench --agents prompt_only,rag,mem1,memagent --model qwen3-4b \\
      --base-url http://localhost:8000/v1          agents with a model, from a server
  memgym bench --agents sentences,rag --reader llm --reader-model qwen3-32b
  memgym bench --file comparison.toml              a whole comparison, see docs/comparing_agents.md

A run that was stopped continues when the same command is given again, one with a model at the call
it was at. The folder holds run.json, results.jsonl (one line per agent and episode),
traces.jsonl.gz (what happened in each, see memgym replay), summary.md, summary.csv, episodes.csv,
timings.csv; with a model also usage.csv and replies/. Keys are read from the environment
(OPENAI_API_KEY) and written nowhere.
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
        help="agents and baselines by name, your own as package.module:Class (default: every "
        "baseline)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        metavar="N",
        help="seed of the agents' random choices (default: 0)",
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="worker processes (default: one per core)"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="run folder (default: runs/<suite>-<hash of what is asked for>)",
    )
    parser.add_argument(
        "--no-traces",
        action="store_true",
        help="keep no traces (traces.jsonl.gz), from which every episode can be replayed",
    )
    add_settings(parser)
    add_models(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.agents.chat import RunMeter
    from memgym.benchmarks.outcome import AgentError, RunStoppedError
    from memgym.benchmarks.report import footer, print_tables, write_reports
    from memgym.benchmarks.runner import default_jobs, run_plan
    from memgym.benchmarks.summary import summarise
    from memgym.cli.progress import Reporter, output_console

    console = output_console()
    asked = asked_for(arguments)
    plan = _plan(asked, console)
    folder = Path(arguments.out) if arguments.out else Path("runs") / plan.folder_name()
    jobs = default_jobs() if arguments.jobs is None else arguments.jobs
    meter = RunMeter(asked.limit_tokens or 0)
    reporter = Reporter(meter=meter)
    concurrency = DEFAULT_CONCURRENCY if asked.concurrency is None else asked.concurrency
    _check_servers(plan, folder)
    try:
        with reporter:
            store = run_plan(
                plan,
                folder,
                jobs=jobs,
                concurrency=concurrency,
                meter=meter,
                progress=reporter,
                traces=not arguments.no_traces,
            )
    except AgentError as error:
        sys.stderr.write(f"{error}\nmemgym: error: {reporter.stopped(folder)}\n")
        return 1
    except RunStoppedError as error:
        sys.stderr.write(f"memgym: {error}; {reporter.stopped(folder)}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\nmemgym: {reporter.stopped(folder)}\n")
        return 130
    summaries = summarise(plan, store.records, store.seconds, store.usage)
    notes = footer(plan, summaries, command(arguments, plan))
    write_reports(folder, summaries, store.records, notes)
    print_tables(console, summaries)
    for note in notes:
        console.print(note, style="dim", highlight=False, markup=False, soft_wrap=False)
    console.print(f"{reporter.finished()} Files: {folder}", markup=False, highlight=False)
    return 0


def _check_servers(plan: "RunPlan", folder: Path) -> None:
    """Look for the servers of the models, unless the folder has every result already."""
    from memgym.agents.chat.server_check import check_servers
    from memgym.benchmarks.parts import make_parts, model_of

    results = folder / "results.jsonl"
    found = results.read_bytes().count(b"\n") if results.is_file() else 0
    if found == sum(1 for _ in plan.tasks()):
        return
    parts = [
        part for suite in plan.suites for part in make_parts(plan.suite_settings(suite)).values()
    ]
    models = [*(entry.model for entry in plan.agents), *map(model_of, parts)]
    check_servers(model for model in models if model is not None)


def _plan(asked: "Comparison", console: "Console") -> "RunPlan":
    """Check everything; say what has no effect."""
    from memgym.benchmarks.plan import make_plan

    plan = make_plan(
        _suites(asked, console),
        asked.agents,
        seed=asked.seed or 0,
        preset=asked.preset or "default",
        settings=asked.settings,
    )
    if asked.limit_tokens and not any(task.uses_model for task in plan.tasks()):
        console.print(
            "Note: nothing here uses a language model; the limit of tokens has no effect."
        )
    return plan


def _suites(asked: "Comparison", console: "Console") -> list["ResolvedSuite"]:
    """Find the episodes; say what was chosen where the user left it open."""
    from memgym.benchmarks.entries import checked_entries
    from memgym.benchmarks.suites import get_suite, resolve
    from memgym.tasks.registry import get_source

    checked_entries(asked.agents)  # a misspelt name is told before the wait
    chosen = list(asked.suites or ()) or ["mini", "real"]
    entries = [entry for name in chosen for entry in get_suite(name).entries]
    needs_data = any(get_source(entry.source).needs_data for entry in entries)
    wanted = needs_data or asked.data or not asked.suites
    folder = data_folder(asked.data) if wanted else None
    if not asked.suites:
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
