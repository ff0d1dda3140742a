"""``memgym play``: step through an episode in the terminal, by hand or with an agent at hand."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from memgym.agent import Agent, Briefing
from memgym.cli.answers import show_answers
from memgym.cli.commands import HELP, read_command
from memgym.cli.comparing import refuse_unused
from memgym.cli.models import add_model, given_model, named_model
from memgym.cli.options import (
    Commands,
    add_data,
    add_seed,
    add_settings,
    data_folder,
    name_and_value,
)
from memgym.cli.stepping import KEYS, step_through, tell_differences
from memgym.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from memgym.envs.mem_alpha import MemAlphaEnv

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym play                                       a procedural episode, sentences plays on Enter
  memgym play --option tokens=2000 --agent flat     a shorter one, another agent
  memgym play --source squad --split test --episode 2 --data ~/memgym-data
  memgym play < /dev/null                           the agent plays alone
  memgym play --trace runs/mini-0123abcdef          step through what was recorded
  memgym play --trace traces.jsonl.gz --agent flat --episode ID

while playing:
"""
_KEYS_OF_TRACE = f"""

while stepping through a trace:
{KEYS}"""
# What only an episode that is played anew has: flags, and what they are if they are not given.
_ANEW: Mapping[str, Any] = {
    "source": "procedural",
    "split": "train",
    "option": [],
    "seed": 0,
    "memory_budget": None,
    "preset": None,
}


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "play",
        help="step through an episode in the terminal",
        description="Step through an episode: see the chunk, the memory and what calls do to it.",
        epilog=_EPILOG + HELP + _KEYS_OF_TRACE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--trace",
        metavar="TRACE",
        help="step through a recorded episode: a file of traces, or the folder of a run",
    )
    parser.add_argument("--source", default=_ANEW["source"], metavar="NAME", help="see memgym envs")
    parser.add_argument("--split", default=_ANEW["split"], metavar="NAME", help="default: train")
    parser.add_argument(
        "--option",
        type=name_and_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the source, such as tokens=2000; may be repeated",
    )
    parser.add_argument(
        "--episode",
        metavar="KEY",
        help="index or id (default: drawn with the seed; of a trace: the first id)",
    )
    parser.add_argument(
        "--agent",
        metavar="NAME",
        help="who plays when you press Enter (default: sentences); of a trace: who played",
    )
    add_data(parser)
    add_seed(parser)
    add_settings(parser)
    add_model(parser.add_argument_group("language model of the agent"))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    if arguments.trace is not None:
        return _step_through(arguments)
    return _play(arguments)


def _step_through(arguments: argparse.Namespace) -> int:
    from memgym.cli.progress import output_console
    from memgym.traces.format import find_trace
    from memgym.viewer import view_of

    given = [name for name, default in _ANEW.items() if getattr(arguments, name) != default]
    if given:
        flag = given[0].replace("_", "-")
        raise UsageError(f"--trace shows what was recorded, with its own --{flag}: leave that out")
    refuse_unused(given_model(arguments), [])
    record = find_trace(arguments.trace, arguments.episode, arguments.agent)
    view = view_of(record, data=data_folder(arguments.data))
    tell_differences(view)
    return step_through(view, output_console())


def _play(arguments: argparse.Namespace) -> int:
    from memgym.agents.chat import ChatError
    from memgym.cli.progress import output_console
    from memgym.evaluation import play_episode

    console = output_console()
    agent = _agent(arguments)
    env = _environment(arguments, agent)
    key = _episode_key(arguments.episode, env, arguments.seed)
    player = _Player(agent, env, console)
    try:
        result = play_episode(player, env, key, seed=arguments.seed)
    except _QuitError:
        console.print("Left before the end: nothing was asked.", highlight=False)
        return 0
    except ChatError as error:
        sys.stderr.write(f"memgym: {' '.join(str(error).split())}; the episode is lost\n")
        return 1
    show_answers(
        console,
        result.answers,
        metrics=result.metrics,
        score=result.score,
        reward=result.reward,
        steps=result.steps,
    )
    return 0


def _agent(arguments: argparse.Namespace) -> Agent:
    """Return the agent at hand, whose model's server, if it has one, is there."""
    from memgym.agents.chat.server_check import check_servers
    from memgym.benchmarks.entries import AgentEntry

    given = given_model(arguments)
    entry = AgentEntry(arguments.agent or "sentences", model=named_model(given))
    refuse_unused(given, [entry])
    if entry.has_model and entry.model is not None:
        check_servers([entry.model])
    return entry.make()


def _environment(arguments: argparse.Namespace, agent: Agent) -> "MemAlphaEnv":
    from memgym.envs.settings import PRESETS
    from memgym.errors import nearest
    from memgym.evaluation import environment_for

    preset = arguments.preset or "default"
    if preset not in PRESETS:
        raise UsageError(f'unknown preset "{preset}": {nearest(preset, PRESETS)}')
    settings = dict(PRESETS[preset])
    if arguments.memory_budget is not None:
        settings["memory_budget"] = arguments.memory_budget
    folder = data_folder(arguments.data)
    return environment_for(
        agent,
        **settings,
        source=arguments.source,
        split=arguments.split,
        source_options=dict(arguments.option),
        data=str(folder) if folder else "",
        render_mode="ansi",
    )


def _episode_key(given: str | None, env: "MemAlphaEnv", seed: int) -> str | int:
    if given is None:
        _, info = env.reset(seed=seed)
        drawn: str = info["episode_id"]
        return drawn
    return int(given) if given.isascii() and given.isdigit() else given


class _QuitError(Exception):
    """The user left."""


class _Player(Agent):
    """Asks the user for each step; lets an agent play where the user presses Enter, or is gone."""

    name = "you"

    def __init__(self, agent: Agent, env: "MemAlphaEnv", console: "Console") -> None:
        self._agent = agent
        self._env = env
        self._console = console
        self._free_steps: float = 0  # steps that the agent plays without being asked

    def reset(self, briefing: Briefing) -> None:
        super().reset(briefing)
        episode = self._env.episode if self._agent.privileged else None
        self._agent.reset(replace(briefing, episode=episode))
        if sys.stdin.isatty():
            self._console.print(HELP, markup=False, highlight=False)

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        if self._free_steps <= 0:
            self._say(self._env.render() or "")
            calls = self._ask()
            if calls is not None:
                return calls
        self._free_steps -= 1
        return self._agent_action(observation, info)

    def _agent_action(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        if observation.get("question"):
            answer = self._agent.answer(observation, info)
            if answer is not None:
                return [{"name": "answer", "arguments": {"text": answer}}]
        return self._agent.act(observation, info)

    def _ask(self) -> list[Any] | None:
        """Return the user's calls, or ``None`` where the agent shall play."""
        calls: list[Any] = []
        while True:
            line = self._read_line(len(calls))
            word = line.partition(" ")[0].lower()
            if word == "q":
                raise _QuitError
            if word == "r":
                steps = _steps(line)
                if steps is None:
                    self._say("  write: r 10, or r alone to play to the end")
                    continue
                # Calls typed before are a step of the user's own.
                self._free_steps = steps
                return calls or None
            if word == "skip":
                return []
            if not line:
                return calls or None
            self._take(line, calls)

    def _read_line(self, ready: int) -> str:
        """Return the next line; at the end of the input the agent plays on alone."""
        if sys.stdin.isatty():
            self._console.file.write(f"{ready} calls ready, Enter sends > " if ready else "> ")
            self._console.file.flush()
        line = sys.stdin.readline()
        return line.strip() if line else "r"

    def _take(self, line: str, calls: list[Any]) -> None:
        """Add what was typed to the calls, or say what is wrong with it."""
        if line in ("?", "h", "help"):
            self._say(HELP)
            return
        typed = read_command(line)
        if isinstance(typed, str):
            self._say(f"  {typed}")
        else:
            calls += typed

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)


def _steps(line: str) -> float | None:
    """Read ``r 10`` as 10 and ``r`` as infinity."""
    number = line[1:].strip()
    if not number:
        return float("inf")
    return int(number) if number.isascii() and number.isdigit() else None
