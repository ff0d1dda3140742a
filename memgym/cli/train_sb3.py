"""``memgym train-sb3``: train a policy with Stable-Baselines3, see how it learns, keep the best."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.cli.options import (
    Commands,
    add_data,
    data_folder,
    memory_budget,
    name_and_value,
    names,
    whole_number,
)
from memgym.cli.progress import Reporter, output_console
from memgym.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from memgym.baselines.sb3 import TrainingFolder, TrainingSettings

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym train-sb3 --algo maskable_ppo                     a first policy, in some minutes
  memgym train-sb3 --algo ppo --steps 500k --seeds 5 --out runs/ppo
  memgym train-sb3 --algo ppo --memory-budget 25%          a policy for one memory budget
  memgym train-sb3 --algo a2c --set learning_rate=3e-4 --set net_arch=[128,128]
  memgym train-sb3 --algo ppo --env embeddings=/models/all-MiniLM-L6-v2
  memgym bench --agents maskable_ppo:runs/maskable_ppo,sentences,oracle --memory-budget 25%
  memgym report-sb3 runs                                   all trained policies on one page

It trains on the source's train split and is evaluated on its validation split, never on test: the
scores are those of memgym bench. The folder holds one folder per seed (run.json, best.zip,
last.zip, metrics.jsonl, timings.csv, tensorboard/) and the learning curve over all of them, as PNG
and SVG. A run that was stopped goes on when the same command is given again, and ends in the same
model. Seeds can be trained side by side: give the command with another --seed in another terminal.
Needs the extra sb3: pip install "memgym[sb3]". See docs/sb3.md.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "train-sb3",
        help="train a policy with Stable-Baselines3",
        description="Train a policy with Stable-Baselines3 on MemAlphaNumeric-v0.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--algo",
        required=True,
        metavar="NAME",
        help="ppo, maskable_ppo, recurrent_ppo, a2c, trpo, dqn or qrdqn",
    )
    parser.add_argument(
        "--steps",
        type=_steps,
        metavar="N",
        help="sentences to decide about, such as 200k or 1M (default: 200k)",
    )
    parser.add_argument(
        "--seed", type=whole_number, default=0, metavar="N", help="the first seed (default: 0)"
    )
    parser.add_argument(
        "--seeds", type=whole_number, default=1, metavar="N", help="how many seeds (default: 1)"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of the run (default: runs/<name of the algorithm>)"
    )
    _add_task(parser)
    _add_details(parser)
    parser.set_defaults(run=run)


def _add_task(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is trained on")
    group.add_argument(
        "--memory-budget",
        type=_budgets,
        metavar="SIZES",
        help="limits of the memory that the policy is to know, with commas: shares of each "
        "episode's text or tokens, such as 25%%,2000 (default: 10%%,25%%,50%%,100%%)",
    )
    group.add_argument(
        "--source", metavar="NAME", help="data source, see memgym envs (default: procedural)"
    )
    _add_pairs(group, "--option", "option of the source, such as tokens=4000")
    _add_pairs(group, "--training-option", "the same, but for training only")
    _add_pairs(
        group, "--env", "argument of MemAlphaNumeric-v0, such as words=64 or similar_items=1"
    )
    add_data(parser)


def _add_details(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it is trained")
    _add_pairs(
        group,
        "--set",
        "setting of the algorithm as Stable-Baselines3 spells it, such as gamma=0.99",
    )
    group.add_argument(
        "--envs", type=whole_number, metavar="N", help="environments side by side (default: 8)"
    )
    group.add_argument(
        "--evaluate-every",
        type=_steps,
        metavar="N",
        help="steps between evaluations, which are also the checkpoints (default: 50k)",
    )
    group.add_argument(
        "--evaluation-episodes",
        type=whole_number,
        metavar="N",
        help="validation episodes per budget and evaluation (default: 16)",
    )


def _add_pairs(group: argparse._ArgumentGroup, flag: str, text: str) -> None:
    group.add_argument(
        flag,
        type=name_and_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"{text}; may be repeated",
    )


def _steps(text: str) -> int:
    from memgym.benchmarks.amounts import token_limit

    try:
        found = token_limit(text)
    except UsageError:
        found = 0
    if not found:
        raise argparse.ArgumentTypeError(f'"{text}" is no number of steps; write 200k or 1M')
    return found


def _budgets(text: str) -> tuple[float, ...]:
    return tuple(memory_budget(item) for item in names(text))


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    from memgym.baselines.sb3.training import train

    if not arguments.seeds:
        raise UsageError("--seeds must be at least 1")
    folder = Path(arguments.out or f"runs/{arguments.algo}")
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    runs = [(_settings(arguments, seed), folder / f"seed-{seed}") for seed in seeds]
    found = data_folder(arguments.data)
    console = output_console()
    for settings, path in runs:
        reporter = _Training()
        try:
            with reporter:
                reporter(0, settings.steps)
                made = train(
                    settings,
                    path,
                    data=str(found) if found else "",
                    progress=lambda steps, row: reporter.tell(steps, settings.steps, row),  # noqa: B023
                )
        except KeyboardInterrupt:
            sys.stderr.write(f"\nmemgym: {_stopped(path)}\n")
            return 130
        console.print(_ended(made, settings), markup=False, highlight=False)
    _draw(folder, console)
    return 0


def _settings(arguments: argparse.Namespace, seed: int) -> "TrainingSettings":
    from memgym.baselines.sb3 import TrainingSettings, get_algorithm

    given: dict[str, Any] = {
        "steps": arguments.steps,
        "envs": arguments.envs,
        "memory_budgets": arguments.memory_budget,
        "source": arguments.source,
        "source_options": dict(arguments.option),
        "training_options": dict(arguments.training_option),
        "environment": dict(arguments.env),
        "evaluate_every": arguments.evaluate_every,
        "evaluation_episodes": arguments.evaluation_episodes,
    }
    chosen = {name: value for name, value in given.items() if value not in (None, {})}
    algorithm = get_algorithm(arguments.algo, dict(arguments.set))
    return TrainingSettings(algorithm, seed=seed, **chosen)


class _Training(Reporter):
    """Tells steps, time left, and how well the policy does."""

    def __init__(self) -> None:
        super().__init__("steps")
        self._row: Mapping[str, Any] = {}

    def tell(self, steps: int, total: int, row: Mapping[str, Any]) -> None:
        """Take note of the steps so far and the latest figures."""
        self._row = row
        self(min(steps, total), total)

    def _models(self) -> str:
        words = []
        if "training_return" in self._row:
            words.append(f"return {self._row['training_return']:.3f}")
            words.append(f"score {100 * self._row['training_score']:.1f} %")
        if "score" in self._row:
            words.append(f"on validation {100 * self._row['score']:.1f} %")
        return ", ".join(words)


def _stopped(path: Path) -> str:
    from memgym.baselines.sb3 import TrainingFolder

    checkpoint = TrainingFolder(path).checkpoint()
    if checkpoint is None:
        return "stopped before the first checkpoint"
    return (
        f"stopped; {path} holds a checkpoint at {checkpoint[0]:,} steps; give the same command "
        "again to go on from it"
    )


def _ended(made: "TrainingFolder", settings: "TrainingSettings") -> str:
    rows = made.metrics()
    best = max(rows, key=lambda row: row["score"])
    seconds = made.seconds()[-1]
    return (
        f"Seed {settings.seed}: {rows[-1]['steps']:,} steps in {seconds:,.0f} s; validation score "
        f"{100 * rows[0]['score']:.1f} % untrained, {100 * best['score']:.1f} % at best (after "
        f"{best['steps']:,} steps). Files: {made.path}"
    )


def _draw(folder: Path, console: "Console") -> None:
    from memgym.baselines.sb3 import find_trained
    from memgym.benchmarks.sb3_curves import draw_curve

    picture = draw_curve(find_trained(folder), folder)
    console.print(f"Learning curve: {picture}", markup=False, highlight=False)
