"""The questions of an episode that has been played, as a table in the terminal."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_answers"]

_CLIPPED = 160


def show_answers(
    console: "Console",
    answers: Iterable[Mapping[str, Any]],
    *,
    metrics: Mapping[str, float],
    score: float,
    reward: float,
    steps: int,
) -> None:
    """Print every question with its answer, and the sums of the episode.

    Args:
        console: Where to.
        answers: Records with the fields of :class:`memgym.envs.grading.GradedAnswer`.
        metrics: The environment's, see ``info["metrics"]``; empty if it did not come to its end.
        score: Mean answer score.
        reward: Sum of the step rewards.
        steps: Steps taken.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Questions", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in ("question", "gold", "answer", "score", "cause"):
        table.add_column(column)
    for answer in answers:
        cells = (
            answer["question"],
            " | ".join(answer["gold"]),
            answer["prediction"],
            f"{answer['score']:.2f}",
            answer["cause"].replace("_", " "),
        )
        table.add_row(*(Text(_clip(cell)) for cell in cells))
    console.print(table)
    sizes = ""
    if metrics:
        memory, read = metrics["memory_tokens"], metrics["input_tokens"]
        sizes = f"memory {memory:.0f} of {read:.0f} tokens read; "
    console.print(
        f"Score {score:.3f} on {table.row_count} questions; {sizes}reward {reward:.3f} in {steps} "
        "steps.",
        highlight=False,
    )


def _clip(text: str) -> str:
    from memgym.viewer.printable import printable

    text = " ".join(printable(text).split())
    return text if len(text) <= _CLIPPED else text[: _CLIPPED - 1] + "…"
