"""``memgym submit``: pack one agent's episodes of a suite into one file that anyone can verify."""

import argparse
import sys
from pathlib import Path

from memgym.cli.options import Commands, add_data, data_folder
from memgym.errors import UsageError

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym bench --suite mini --agents sentences --out runs/mini
  memgym submit runs/mini --name "One item per sentence" --contact me@example.org --out mine.zip
  memgym submit runs/mini --agent prompt_only --name Mine --contact https://example.org \\
      --model-size 4B --model-card CARD.md --out mine.zip

The run has to hold every episode of the suite. The file has the traces of the one agent, the card
and a manifest; name, contact and card are public. It is verified before it is kept.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "submit",
        help="pack a run into one file for a leaderboard",
        description="Pack one agent's episodes of a suite into one file that anyone can verify.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="RUN", help="folder of a run, made by memgym bench")
    parser.add_argument("--name", required=True, metavar="TEXT", help="what the leaderboard says")
    parser.add_argument(
        "--contact", required=True, metavar="TEXT", help="whom to ask: a page or an address; public"
    )
    parser.add_argument("--agent", default="", metavar="NAME", help="if the run has several")
    parser.add_argument("--suite", default="", metavar="NAME", help="if the run has several")
    parser.add_argument(
        "--model-size",
        type=_model_size,
        metavar="SIZE",
        help="parameters of the agent's largest model: 4B, 600M, 0 without a model",
    )
    parser.add_argument(
        "--model-card", metavar="FILE", help="what it is and how it was made, Markdown"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    add_data(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.cli.progress import output_console
    from memgym.cli.verify import print_verified
    from memgym.submissions.isolated import verify
    from memgym.submissions.packing import Author, pack_run
    from memgym.submissions.refusal import RefusedError

    out, data = Path(arguments.out), data_folder(arguments.data)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    author = Author(arguments.name, arguments.contact, _card(arguments), arguments.model_size)
    content = pack_run(
        Path(arguments.folder), author, agent=arguments.agent, suite=arguments.suite, data=data
    )
    partial = out.with_name(f"{out.name}.partial")
    partial.write_bytes(content)
    try:
        found = verify(partial, data=data)
    except RefusedError as error:
        sys.stderr.write("".join(f"memgym: refused: {reason}\n" for reason in error.reasons))
        return 1
    else:
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    console = output_console()
    print_verified(console, found)
    console.print(f"Written: {out} ({len(content):,} bytes)", markup=False, highlight=False)
    return 0


def _card(arguments: argparse.Namespace) -> str:
    if not arguments.model_card:
        return ""
    from memgym.tasks.files import read_text

    return read_text(Path(arguments.model_card))


def _model_size(text: str) -> int:
    from memgym.benchmarks.amounts import token_limit

    try:
        return token_limit(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(
            f'"{text}" is no model size; write 4B, 600M, or 0 without a model'
        ) from error
