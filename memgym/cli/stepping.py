"""Stepping through a recorded episode in the terminal: ``memgym play --trace``."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from memgym.cli.answers import show_answers

if TYPE_CHECKING:
    from rich.console import Console

    from memgym.viewer import EpisodeView

__all__ = ["KEYS", "step_through", "tell_differences"]

KEYS = """\
  Enter                      the next step
  r 10                       ten steps on (r alone: to the end)
  b                          one step back (b 10: ten)
  g 12                       to step 12
  q                          quit
  ?                          this list"""

_STYLES = {
    "plain": "",
    "title": "bold",
    "quiet": "dim",
    "added": "green",
    "edited": "yellow",
    "gone": "red",
}


def tell_differences(view: "EpisodeView") -> None:
    """Say on stderr if the trace claims something else than what its actions lead to."""
    from memgym.viewer.printable import printable

    for difference in view.differences[:1]:
        told = f"memgym: the trace does not replay to what it claims: {difference}\n"
        sys.stderr.write(printable(told))


def step_through(view: "EpisodeView", console: "Console") -> int:
    """Show one step after the other, as the user asks, and the answers after the last.

    At the end of the input, or without any, the answers come at once. Returns the exit code.
    """
    if sys.stdin.isatty():
        console.print(KEYS, markup=False, highlight=False)
    place: int | None = 0
    while place is not None and place < len(view.steps):
        _show(view, place, console)
        place = _ask(place, len(view.steps), console)
    if place is None:
        console.print("Left before the end.", highlight=False)
        return 0
    show_answers(
        console,
        [asdict(question) for question in view.questions],
        metrics=view.metrics,
        score=view.score,
        reward=view.reward,
        steps=len(view.steps),
    )
    return 0


def _show(view: "EpisodeView", place: int, console: "Console") -> None:
    from rich.text import Text

    from memgym.viewer.frames import frame_of

    spans = ((span.text, _STYLES[span.look]) for span in frame_of(view, place))
    console.print(Text.assemble(*spans, end=""), soft_wrap=True)


def _ask(place: int, steps: int, console: "Console") -> int | None:
    """Return the step to show next; ``steps`` for the end, ``None`` if the user leaves."""
    while True:
        if sys.stdin.isatty():
            console.file.write("> ")
            console.file.flush()
        line = sys.stdin.readline()
        word, _, rest = line.strip().lower().partition(" ")
        if not line:
            return steps
        if word == "q":
            return None
        found = _place(word, rest.strip(), place, steps)
        if isinstance(found, int):
            return found
        console.print(found, markup=False, highlight=False)


def _place(word: str, rest: str, place: int, steps: int) -> int | str:
    """Return the step that a line leads to, or what is to be said to it."""
    number = int(rest) if rest.isascii() and rest.isdigit() else None
    if word in ("?", "h", "help"):
        return KEYS
    if word not in ("", "r", "b", "g"):
        return f'  unknown command "{word}"; ? lists them'
    if (rest and number is None) or (word == "g" and not 1 <= (number or 0) <= steps):
        examples = {"r": "r 10, or r alone to go to the end", "b": "b, or b 10"}
        return f"  write: {examples.get(word, f'g 12, with a step from 1 to {steps}')}"
    wanted = {
        "": place + 1,
        "r": steps if number is None else place + number,
        "b": place - (1 if number is None else number),
        "g": (number or 1) - 1,
    }
    return min(max(wanted[word], 0), steps)
