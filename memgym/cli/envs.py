"""``memgym envs``: what there is: environments, data sources, suites, agents, presets."""

import argparse
import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from memgym.cli.options import Commands, add_data, data_folder
from memgym.cli.tables import print_table

if TYPE_CHECKING:
    from memgym.tasks.source import Source

__all__ = ["add_parser", "run"]


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "envs",
        help="list environments, data sources, suites, agents and presets",
        description="List environments, data sources, suites, agents and presets.",
    )
    add_data(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.baselines import BASELINES
    from memgym.benchmarks.suites import SUITES
    from memgym.cli.progress import output_console
    from memgym.envs.settings import PRESETS
    from memgym.tasks.registry import get_source, source_names

    folder = data_folder(arguments.data)
    console = output_console()
    print_table(console, "Environments", ("id", "what it is"), _environments())
    sources = [get_source(name) for name in source_names()]
    rows = ((source.name, _describe(source), _availability(source, folder)) for source in sources)
    print_table(console, "Data sources", ("name", "what it is", "data"), rows)
    suites = ((suite.name, suite.summary) for suite in SUITES.values())
    print_table(console, "Suites", ("name", "what it is"), suites)
    agents = ((name, _first_line(agent.__doc__)) for name, agent in BASELINES.items())
    print_table(console, "Agents without a model", ("name", "what it does"), agents)
    presets = ((name, ", ".join(f"{k}={v}" for k, v in p.items())) for name, p in PRESETS.items())
    print_table(console, "Presets", ("name", "settings that differ from the default"), presets)
    return 0


def _environments() -> Iterable[tuple[str, str]]:
    """Yield the registered ids with the first line of the module behind each."""
    import gymnasium

    for spec in gymnasium.registry.values():
        entry_point = spec.entry_point
        if isinstance(entry_point, str) and entry_point.startswith("memgym."):
            module = importlib.import_module(entry_point.partition(":")[0])
            yield spec.id, _first_line(module.__doc__).removeprefix(f"{spec.id}: ")


def _first_line(doc: str | None) -> str:
    return inspect.cleandoc(doc or "").split("\n")[0].replace("``", "")


def _describe(source: "Source") -> str:
    ability = f"{source.ability.replace('_', ' ')}; " if source.ability else ""
    splits = ", ".join(source.splits)
    return f"{source.summary}\n{ability}licence: {source.licence}; splits: {splits}"


def _availability(source: "Source", folder: Path | None) -> str:
    if not source.needs_data:
        return "embedded" if source.name.startswith("procedural") else "your file"
    if folder is None:
        return "name a folder"
    there = (folder / source.needs_data).exists()
    return "found" if there else f"no {source.needs_data}/"
