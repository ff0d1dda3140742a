"""``memgym verify``: replay a submission without trusting anything in it, and say what it is."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from memgym.cli.options import Commands, add_data, count, data_folder

if TYPE_CHECKING:
    from rich.console import Console

    from memgym.benchmarks.statistics import Estimate
    from memgym.submissions.verified import Verified

__all__ = ["add_parser", "print_verified", "run"]

_EPILOG = """\
examples:
  memgym verify sentences.zip                      every episode is replayed, everything compared
  memgym verify my-agent.zip --data ~/memgym-data  its suite needs data
  memgym verify my-agent.zip --json > verdict.json

The work is done in a process of its own with limits of memory and time; nothing of the file is
written outside a temporary folder. Exit code: 0 if the submission holds, 1 if it is refused.
"""
_PLACES = 10
_HOW = {
    "written": "written before it was read",
    "answered": "not in the memory",
    "chosen": "are all that was kept",
}


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="replay a submission without trusting it",
        description="Replay a submission without trusting anything in it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="made by memgym submit")
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="the verdict as JSON on stdout")
    parser.add_argument(
        "--memory",
        type=count,
        default=8,
        metavar="GIB",
        help="memory that replaying may take (default: 8)",
    )
    parser.add_argument(
        "--seconds",
        type=count,
        default=3_600,
        metavar="N",
        help="processor time that replaying may take (default: 3600)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.cli.progress import output_console
    from memgym.submissions.isolated import Limits, verify
    from memgym.submissions.refusal import RefusedError

    limits = Limits(memory_bytes=arguments.memory * 2**30, seconds=arguments.seconds)
    try:
        found = verify(arguments.file, data=data_folder(arguments.data), limits=limits)
    except RefusedError as error:
        if arguments.json:
            print(json.dumps({"verdict": "refused", "reasons": list(error.reasons)}, indent=2))
        else:
            sys.stdout.write("".join(f"REFUSED: {reason}\n" for reason in error.reasons))
        return 1
    if arguments.json:
        verdict = {"verdict": "verified", **json.loads(found.to_json())}
        print(json.dumps(verdict, indent=2, sort_keys=True))
    else:
        print_verified(output_console(), found)
    return 0


def print_verified(console: "Console", found: "Verified") -> None:
    """Print what a submission is; its own words are text without markup."""
    lines = [
        f"VERIFIED: {found.name} ({found.agent}), {found.contact}",
        f"suite {found.suite} version {found.suite_version}, {len(found.episodes)} episodes, "
        f"{found.questions} questions, seed {found.seed}",
        f"track {found.track}: {_reading(found)}",
        f"score {_with_interval(found.macro)}; memory {found.memory_tokens:,.0f} tokens, "
        f"{found.memory_share:.1%} of the text",
        *(
            f"  {name.replace('_', ' ')}: {_with_interval(x)}"
            for name, x in found.abilities.items()
        ),
        *(f"set by the method: {name} = {value!a}" for name, value in found.settings.items()),
        _agent(found),
        *_suspicions(found),
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _reading(found: "Verified") -> str:
    if found.track == "verbatim":
        return "every number was computed anew"
    if found.track == "agent-answered":
        return "the agent's own answers are as recorded, their scores were computed anew"
    return f"the answers of {found.reader_model} are as recorded, their scores were computed anew"


def _with_interval(estimate: "Estimate") -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:.3f}"
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _agent(found: "Verified") -> str:
    if found.privileged:
        return "the agent was shown the golds: an upper bound, no competitor"
    if found.reproduced:
        return "the agent is one of memgym's own and chose the same actions again"
    return "the agent's actions are as recorded: who chose them cannot be verified"


def _suspicions(found: "Verified") -> list[str]:
    if not found.suspicious:
        return ["nothing was known before it could be read"]
    return [
        f"SUSPICIOUS: {len(found.suspicious)} places where something was known too early",
        *(
            f"  {place.episode}, step {place.step}: {place.text!a} {_HOW[place.kind]}"
            for place in found.suspicious[:_PLACES]
        ),
    ]
