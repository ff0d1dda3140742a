"""``memgym train``: train a language model to write its memory, and see how it learns."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.cli.options import Commands, add_data, data_folder, name_and_value, whole_number
from memgym.cli.progress import Reporter, output_console
from memgym.errors import UsageError

if TYPE_CHECKING:
    from memgym.agents.grpo.folder import RunFolder
    from memgym.agents.grpo.settings import TrainSettings
    from memgym.agents.grpo.training import Progress

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  memgym train --preset tiny                            a model from nothing, on two CPU cores
  memgym train --preset tiny --seed 1 --out runs/one
  memgym train --preset tiny --set optimizer.steps=20 --set environment.memory_budget=0.25
  memgym train --preset tiny --sft-only                 the warm-up alone
  memgym train --preset qwen3-4b --show > mine.toml     all settings, to be changed at will
  memgym train --config mine.toml --model /models/Qwen3-4B
  memgym train --list-presets

A configuration file is TOML, YAML or JSON: what --show prints, or extends = "tiny" and what
differs. It trains on the source's train split and is evaluated on its validation split, never on
test. The folder holds run.json, metrics.jsonl, timings.jsonl, best/ and final/ (models in the
format of transformers), report.html with the learning curves, and tensorboard/. A run that was
stopped goes on from its last checkpoint when the same command is given again. Needs the extra
train: pip install "memgym[train]".
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "train",
        help="train a language model to write its memory (GRPO)",
        description="Train a language model to write its memory: supervised warm-up, then GRPO.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--preset", metavar="NAME", help="a run by its name, see --list-presets")
    what.add_argument("--config", metavar="FILE", help="a run described in a file")
    what.add_argument("--list-presets", action="store_true", help="name the presets and exit")
    parser.add_argument(
        "--model", metavar="PATH", help="folder or hub name of the model (policy.model)"
    )
    parser.add_argument("--seed", type=whole_number, metavar="N", help="seed of everything random")
    parser.add_argument(
        "--set",
        type=name_and_value,
        action="append",
        default=[],
        metavar="SECTION.NAME=VALUE",
        help="another value of a setting, such as optimizer.steps=20; may be repeated",
    )
    parser.add_argument(
        "--sft-only", action="store_true", help="the warm-up alone (optimizer.steps=0)"
    )
    parser.add_argument("--show", action="store_true", help="print all settings as TOML and exit")
    parser.add_argument(
        "--out", metavar="DIR", help="folder of the run (default: runs/<preset or file>)"
    )
    parser.add_argument(
        "--wandb", default="", metavar="PROJECT", help="send the figures to Weights & Biases too"
    )
    add_data(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; see the module."""
    if arguments.list_presets:
        return _list_presets()
    settings = _settings(arguments)
    if arguments.show:
        from memgym.config_file import toml_text

        print(toml_text(settings.to_json()), end="")
        return 0
    return _train(settings, _out(arguments), arguments)


def _list_presets() -> int:
    from memgym.agents.grpo.presets import PRESET_SUMMARIES

    width = max(map(len, PRESET_SUMMARIES))
    for name, summary in PRESET_SUMMARIES.items():
        print(f"{name:{width}}  {summary}")
    return 0


def _settings(arguments: argparse.Namespace) -> "TrainSettings":
    from memgym.agents.grpo.presets import PRESETS, load_config, merge, override
    from memgym.agents.grpo.settings import settings_from
    from memgym.errors import nearest

    overrides = [override(path, value) for path, value in arguments.set]
    if arguments.model is not None:
        overrides.append(override("policy.model", arguments.model))
    if arguments.seed is not None:
        overrides.append(override("seed", arguments.seed))
    if arguments.sft_only:
        overrides.append(override("optimizer.steps", 0))
    if arguments.config is not None:
        return load_config(arguments.config, overrides)
    name = arguments.preset
    if name not in PRESETS:
        raise UsageError(f'unknown preset "{name}": {nearest(name, PRESETS)}')
    return settings_from(merge(PRESETS[name], *overrides), f"preset {name}")


def _out(arguments: argparse.Namespace) -> Path:
    name = Path(arguments.config).stem if arguments.config else arguments.preset
    return Path(arguments.out or f"runs/{name}")


def _train(settings: "TrainSettings", path: Path, arguments: argparse.Namespace) -> int:
    from memgym.agents.grpo.page import draw_curves, write_page
    from memgym.agents.grpo.processes import is_first_process
    from memgym.agents.grpo.training import train

    data = str(data_folder(arguments.data) or "")
    if not is_first_process():  # of a launcher's: the first one tells, and writes the page
        train(settings, path, data=data, wandb=arguments.wandb)
        return 0
    console = output_console()
    reporter = _Training()
    try:
        with reporter:
            made = train(settings, path, data=data, progress=reporter.tell, wandb=arguments.wandb)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nmemgym: {_stopped(path)}\n")
        return 130
    page = write_page(made)
    if any("r1" in row for row in made.rows()):
        draw_curves(made)
    console.print(_ended(made), markup=False, highlight=False)
    console.print(f"Page: {page}", markup=False, highlight=False)
    return 0


class _Training(Reporter):
    """Tells stage, steps, time left, and how the policy does."""

    bar_width = 12

    def __init__(self) -> None:
        super().__init__("steps")
        self._stage = ""
        self._row: Mapping[str, Any] = {}
        self._judged: Mapping[str, Any] = {}

    def tell(self, progress: "Progress") -> None:
        """Take note of a step and its figures."""
        if progress.stage != self._stage:
            self._stage = progress.stage
            self.restart()
        self._row = progress.row
        if "validation/r1" in progress.row:
            self._judged = progress.row
        for words in progress.row.get("warnings", ()):
            self.note(f"{progress.stage}, step {progress.step}: {words}")
        self(progress.step, progress.steps)

    def _models(self) -> str:
        clipped = [self._row[name] for name in _CLIPPED if self._has(name)]
        parts = [
            [self._stage, *self._words(_TERMS)],
            [*self._words(_UPDATE), *[f"clipped {sum(clipped):.1%}"] * bool(clipped)],
            [f"validation r1 {self._judged['validation/r1']:.3f}"] if self._judged else [],
        ]
        return (", " if self._bar is None else "\n").join(", ".join(part) for part in parts if part)

    def _words(self, shown: Sequence[tuple[str, str, str]]) -> list[str]:
        return [f"{word} {self._row[name]:{form}}" for name, word, form in shown if self._has(name)]

    def _has(self, name: str) -> bool:
        return self._row.get(name) is not None


# Name in the row, what it is called here, and how it is written.
_TERMS = (("r1", "r1", ".3f"), ("r2", "r2", ".2f"), ("r3", "r3", ".2f"), ("r4", "r4", ".2f"))
_UPDATE = (
    ("loss", "loss", ".3f"),
    ("response_tokens", "length", ".0f"),
    ("update_kl", "KL", ".4f"),
    ("tokens_per_second", "tokens/s", ",.0f"),
)
_CLIPPED = ("clipped_low", "clipped_high", "clipped_dual")


def _stopped(path: Path) -> str:
    from memgym.agents.grpo.folder import RunFolder

    checkpoint = RunFolder(path).latest()
    if checkpoint is None:
        return "stopped before the first checkpoint"
    return (
        f"stopped; {path} holds a checkpoint at step {checkpoint.step:,} of {checkpoint.stage}; "
        "give the same command again to go on from it"
    )


def _ended(made: "RunFolder") -> str:
    judged = [row for row in made.rows() if row.get("validation/r1") is not None]
    if not judged:
        return f"Trained. Model: {made.final}"
    best = max(judged, key=lambda row: float(row["validation/r1"]))
    return (
        f"Answers right on the validation split: {100 * judged[0]['validation/r1']:.1f} % at step "
        f"{judged[0]['step']}, {100 * best['validation/r1']:.1f} % at best (step {best['step']}). "
        f"Best model: {made.best}"
    )
