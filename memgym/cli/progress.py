"""How far a run is: a bar with the time left on a terminal, a line now and then elsewhere."""

import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from memgym.agents.chat import RunMeter

__all__ = ["Reporter", "output_console"]

_WIDTH_WITHOUT_TERMINAL = 100
_LINE_EVERY_SECONDS = 10.0


def output_console() -> "Console":
    """Return the console for results: stdout, 100 columns wide where it is not a terminal."""
    from rich.console import Console

    fixed = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_WIDTH_WITHOUT_TERMINAL if fixed else None)


class Reporter:
    """Told after every episode, tells the user on stderr; use as a context manager.

    Args:
        noun: What is counted.
        meter: Of the language models; what they do is told also between two episodes.

    Attributes:
        bar_width: Columns of the bar on a terminal.
    """

    bar_width = 40

    def __init__(self, noun: str = "results", meter: "RunMeter | None" = None) -> None:
        self._noun = noun
        self._meter = meter
        self._ended = threading.Event()
        self._bar: Progress | None = None
        self._start = self._last_line = time.monotonic()
        self._done = self._total = self._found = 0
        self._started = False

    def __enter__(self) -> "Reporter":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("episodes" if self._noun == "results" else self._noun),
                BarColumn(self.bar_width),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[models]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, models="")
        if self._meter is not None:
            threading.Thread(target=self._tell_between, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()

    def _tell_between(self) -> None:
        """Keep the figures of the models fresh: an episode may take minutes."""
        while not self._ended.wait(1.0):
            if self._meter is not None and self._meter.total.calls:
                self._tell()

    def __call__(self, done: int, total: int) -> None:
        """Take note of the number of results there are and there will be."""
        if not self._started:
            self._started, self._found = True, done
            self._start = self._last_line = time.monotonic()
        self._done, self._total = done, total
        self._tell()

    def restart(self) -> None:
        """Begin to count anew, as where a run comes to its next stage."""
        self._started = False

    def note(self, words: str) -> None:
        """Write a line that stays."""
        if self._bar is not None:
            self._bar.console.print(words, markup=False, highlight=False)
        else:
            sys.stderr.write(f"{words}\n")

    def _tell(self) -> None:
        if self._bar is not None:
            models = self._models()
            self._bar.update(self._task, completed=self._done, total=self._total, models=models)
        elif time.monotonic() - self._last_line >= _LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            sys.stderr.write(f"{self._state()}\n")

    def _state(self) -> str:
        passed = time.monotonic() - self._start
        left = passed / max(self._done - self._found, 1) * (self._total - self._done)
        guess = f"about {left:.0f} s left" if self._done > self._found else "none played yet"
        state = f"{self._done} of {self._total} {self._noun}, {passed:.0f} s, {guess}"
        models = self._models()
        return f"{state}; {models}" if models else state

    def _models(self) -> str:
        """Return what the language models have done since the start, ``""`` if nothing."""
        used = self._meter.total if self._meter is not None else None
        if used is None or not used.calls:
            return ""
        passed = max(time.monotonic() - self._start, 0.001)
        return (
            f"{used.calls:,} calls, {used.tokens:,} tokens, "
            f"{used.prompt_tokens / passed:,.0f} in/s, {used.completion_tokens / passed:,.0f} out/s"
        )

    def finished(self) -> str:
        """Return a sentence on a run that came to its end."""
        played, seconds = self._done - self._found, time.monotonic() - self._start
        if not played:
            return f"All {self._total} results were there already."
        before = f", {self._found} were there already" if self._found else ""
        models = self._models()
        return f"{played} results in {seconds:.0f} s{before}." + (f" {models}." if models else "")

    def stopped(self, folder: Path) -> str:
        """Return a sentence on a run that was stopped, and how to continue it."""
        if not self._started:
            return "stopped before the first episode"
        return (
            f"stopped; {self._done} of {self._total} results are kept in {folder}; give the same "
            "command again to continue"
        )
