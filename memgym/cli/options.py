"""Command-line options that several commands share, and how their values are read."""

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any

from memgym.errors import UsageError
from memgym.tasks.registry import DATA_VARIABLE

__all__ = [
    "Commands",
    "add_data",
    "add_seed",
    "add_settings",
    "count",
    "data_folder",
    "memory_budget",
    "name_and_value",
    "names",
    "whole_number",
]

Commands = Any
"""What ``add_subparsers`` returns; argparse has no public name for it."""


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        help=f"folder with one subfolder per real source (default: what {DATA_VARIABLE} names)",
    )


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add ``--seed``."""
    parser.add_argument(
        "--seed",
        type=whole_number,
        default=0,
        metavar="N",
        help="seed of the agents' random choices (default: 0)",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--memory-budget`` and ``--preset``."""
    parser.add_argument(
        "--memory-budget",
        type=memory_budget,
        metavar="SIZE",
        help="limit of the memory: 25%% of each episode's text, or 2000 (tokens; default: none)",
    )
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help="environment settings: default, or paper (Mem-alpha as published)",
    )


def data_folder(given: str | None) -> Path | None:
    """Return the data folder that was named on the command line or in the environment, if any.

    Raises:
        UsageError: there is no such folder.
    """
    named = given if given is not None else os.environ.get(DATA_VARIABLE) or None
    if named is None:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        origin = "--data" if given is not None else DATA_VARIABLE
        raise UsageError(
            f"{origin} names {named}, which is no folder; name one with a subfolder per source "
            "(squad/, hotpotqa/, banking77/), or leave it out"
        )
    return folder


def names(text: str) -> list[str]:
    """Read ``a,b,c``."""
    found = [item.strip() for item in text.split(",") if item.strip()]
    if not found:
        raise argparse.ArgumentTypeError("give at least one name, separated by commas")
    return found


def whole_number(text: str) -> int:
    """Read an integer from 0."""
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number from 0')
    return int(text)


def count(text: str) -> int:
    """Read an integer from 1."""
    number = whole_number(text)
    if not number:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def memory_budget(text: str) -> float:
    """Read ``25%`` as the share 0.25 and ``2000`` as tokens (an ``int``)."""
    from memgym.benchmarks.amounts import memory_budget as read

    try:
        return read(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def name_and_value(text: str) -> tuple[str, Any]:
    """Read ``tokens=2000``; the value is JSON if it can be, else text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f'"{text}" is no option; write it as tokens=2000')
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
