"""``memgym replay``: play recorded episodes again and say whether everything comes out the same."""

import argparse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from memgym.cli.options import Commands, add_data, data_folder

if TYPE_CHECKING:
    from rich.console import Console

    from memgym.traces.replay import ReplayReport

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym replay runs/mini-1a2b3c4d5e                every episode of a run
  memgym replay runs/mini-1a2b3c4d5e --agent flat   those of one agent
  memgym replay traces.jsonl.gz --episode squad/test/0 --data ~/memgym-data

Memory, retrieval, scores and rewards are computed anew from the recorded actions and compared with
the record, to the last bit. What a language model answered or judged is taken from the record, and
said to be. Exit code: 0 if nothing differs, 1 if something does.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "replay",
        help="play recorded episodes again and compare every digest, reward and score",
        description="Play recorded episodes again and compare everything with the record.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trace", metavar="TRACE", help="traces.jsonl.gz, or the folder of a run")
    parser.add_argument("--episode", metavar="ID", help="only this episode")
    parser.add_argument("--agent", metavar="NAME", help="only this agent")
    add_data(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.cli.progress import Reporter, output_console
    from memgym.traces.format import find_trace
    from memgym.traces.replay import episode_of, replay_on

    console = output_console()
    # Also tells a misspelt name before the wait.
    find_trace(arguments.trace, arguments.episode, arguments.agent)
    total = sum(1 for _ in _chosen(arguments))
    data = data_folder(arguments.data)
    different = 0
    told: Mapping[str, Any] = {}
    recorded = dict[str, None]()
    with Reporter(noun="traces") as reporter:
        reporter(0, total)
        for number, record in enumerate(_chosen(arguments), 1):
            if record["episode"] != told:  # all agents of a run play it one after the other
                episode, told = episode_of(record, data), record["episode"]
            report = replay_on(record, episode)
            different += bool(report.differences)
            recorded |= dict.fromkeys(report.recorded)
            if report.differences:
                _tell(console, report)
            reporter(number, total)
    _conclude(console, total, different, list(recorded))
    return 1 if different else 0


def _chosen(arguments: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    from memgym.traces.format import read_traces

    for record in read_traces(arguments.trace):
        wanted = arguments.episode in (None, record["episode"]["id"])
        if wanted and arguments.agent in (None, record["agent"]["name"]):
            yield record


def _tell(console: "Console", report: "ReplayReport") -> None:
    from memgym.traces.replay import MOST_DIFFERENCES

    lines = [f"DIFFERENT: {_shown(report.episode_id)} by {_shown(report.agent)}"]
    lines += [f"  {_shown(difference)}" for difference in report.differences]
    if len(report.differences) == MOST_DIFFERENCES:
        lines.append("  and perhaps more")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _shown(text: str) -> str:
    """Return a text of a trace without what could steer the terminal."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _conclude(console: "Console", total: int, different: int, recorded: list[str]) -> None:
    noun = "trace" if total == 1 else "traces"
    if different:
        text = f"Not OK: of {total} {noun}, {different} came out otherwise."
    else:
        text = f"OK: {total} {noun} replayed, nothing differs."
    if recorded:
        parts = ", ".join(part.replace("_", " ") for part in recorded)
        text += f" Taken from the record, not computed: what these said: {parts}."
    console.print(text, markup=False, highlight=False, soft_wrap=True)
