"""Plays ``memgym bench`` again and again in child processes that are killed, for test_killed_runs.

Run as ``python -m tests.killing FOLDER SEED KILLS``. Children are forked, so that a life costs
milliseconds. Every other one kills itself at some file that it opens, renames or cuts; the others
are killed by this process at some time. When a run comes to its end, another folder begins.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from memgym.benchmarks import suites
from memgym.benchmarks.suites import Suite
from memgym.cli.main import main
from tests.runs import FACTS, LABELS

EVENTS = ("open", "os.rename", "os.truncate", "os.mkdir")
ARGUMENTS = ("bench", "--suite", "mini", "--jobs", "1", "--agents", "flat,random,oracle")


def bench(folder: Path) -> int:
    """Play the small run in a folder; nothing is shown."""
    suites.SUITES = {"mini": Suite("mini", "1", "tiny", (FACTS, LABELS))}
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return main([*ARGUMENTS, "--out", str(folder)])


def kill_at(event_number: int, folder: Path) -> None:
    """Have this process killed when it comes to touch its folder for the so-many-th time."""
    left = event_number

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in EVENTS and str(arguments[0]).startswith(str(folder)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def live(folder: Path, event_number: int, seconds: float) -> bool:
    """Play until killed, in a child; return whether it came to its end.

    Args:
        folder: Of the run.
        event_number: At which it kills itself, 0 for never.
        seconds: After which it is killed.
    """
    child = os.fork()
    if child == 0:
        if event_number:
            kill_at(event_number, folder)
        os._exit(bench(folder))
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        if not event_number and time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            event_number = -1  # it is dead, and to be waited for
        time.sleep(0.002)


def play(parent: Path, seed: int, kills: int) -> dict[str, Any]:
    """Play until there were so many kills and every folder's run has ended."""
    draw = random.Random(seed)
    assert bench(parent / "undisturbed") == 0  # here, so that children need not load it all again
    killed, folders = 0, 0
    while killed < kills:
        folder = parent / f"run-{folders}"
        folders += 1
        lives = 0
        while not live(folder, *_fate(draw, lives)):
            killed += 1
            lives += 1
    return {"killed": killed, "folders": folders}


def _fate(draw: random.Random, lives: int) -> tuple[int, float]:
    if lives > 40:
        return 0, 3_600.0  # enough
    if draw.random() < 0.75:
        return draw.randint(1, 40), 0.0
    return 0, draw.uniform(0.0, 0.5)


if __name__ == "__main__":
    told = play(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(told))
