"""The ``memgym`` command: its subcommands, and how they end.

Exit codes: 0; 1 when an agent crashed, or the reader of a pipe went away; 2 for what the user can
put right, told in one line on stderr; 130 after Ctrl-C.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import memgym
from memgym.cli import (
    agents,
    bench,
    compare,
    data,
    envs,
    leaderboard,
    play,
    plot,
    replay,
    report_grpo,
    report_sb3,
    submit,
    train,
    train_sb3,
    verify,
    view,
)
from memgym.errors import UsageError

__all__ = ["main"]

_DESCRIPTION = "Agent memory: read a long text chunk by chunk, keep a memory, answer from it alone."
_EPILOG = """\
examples:
  memgym bench                        every baseline on the embedded suite, no data needed
  memgym bench --agents flat,sentences --jobs 4
  memgym play                         step through an episode in the terminal
  memgym data list                    data sources, and whether their data is here
  memgym envs                         environments, data sources, suites, agents
  memgym bench --help                 options and examples of one command
"""


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one line; the usage is for ``--help``."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"memgym: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: Arguments without the program's name; by default the process's.
    """
    try:
        arguments = _parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _report(str(error))
    except BrokenPipeError:
        # What is still buffered would raise again when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _report(f"{error.strerror or type(error).__name__}: {error.filename or error}")
    except KeyboardInterrupt:
        sys.stderr.write("\nmemgym: stopped\n")
        return 130


def _report(message: str) -> int:
    from memgym.viewer.printable import printable  # a message may quote a stranger's file

    sys.stderr.write(f"memgym: error: {printable(' '.join(message.split()))}\n")
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="memgym",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"memgym {memgym.__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    for command in (
        bench, compare, play, plot, view, replay, submit, verify, leaderboard, data, envs,
        agents, train, report_grpo, train_sb3, report_sb3,
    ):  # fmt: skip
        command.add_parser(commands)
    return parser
