"""The command line that plays a run again, on any machine: for the end of every report."""

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.cli.models import given_model, named_model

if TYPE_CHECKING:
    from memgym.agents.chat import ModelSettings
    from memgym.benchmarks.plan import RunPlan

__all__ = ["command"]

# Where a model is and how long it may take changes no result, and is another on another machine.
_ELSEWHERE = (
    "model",
    "backend",
    "base_url",
    "key_variable",
    "timeout_seconds",
    "max_retries",
    "concurrency",
)


def command(arguments: argparse.Namespace, plan: "RunPlan") -> str:
    """Return the command; no host, key or path that only this machine has is in it.

    A model that the environment variable ``MEMGYM_MODEL`` named is named by the command.
    """
    from memgym.benchmarks.amounts import memory_budget_text

    words = [*_setting(arguments, plan), "memgym", "bench"]
    if arguments.file:
        words += ["--file", Path(arguments.file).name]
    if arguments.suite or not arguments.file:
        words += ["--suite", ",".join(suite.suite.name for suite in plan.suites)]
    if any(episode.data for suite in plan.suites for episode in suite.episodes):
        words += ["--data", "$MEMGYM_DATA"]
    if arguments.agents:
        words += ["--agents", ",".join(_agents(arguments, plan))]
    budget = arguments.memory_budget
    if budget is not None:
        words += ["--memory-budget", memory_budget_text(budget)]
    if arguments.preset:
        words += ["--preset", arguments.preset]
    words += _model_words(arguments, plan)
    if arguments.seed is not None or not arguments.file:
        words += ["--seed", str(plan.seed)]
    return " ".join(f'"{word}"' if word.startswith("$") else shlex.quote(word) for word in words)


def _agents(arguments: argparse.Namespace, plan: "RunPlan") -> list[str]:
    """Return the agents as typed; of a folder that only this machine has, the end of its path."""
    if arguments.file:
        return list(arguments.agents)  # names of its rows
    found = []
    for typed, entry in zip(arguments.agents, plan.agents, strict=True):
        folder = Path(typed.partition(":")[2]).expanduser()
        found.append(entry.spec if folder.is_absolute() or ".." in folder.parts else typed)
    return found


def _setting(arguments: argparse.Namespace, plan: "RunPlan") -> list[str]:
    """Return what sets the model of the environment, for a file whose agents name none.

    Beside a file, ``--model`` would take the place of the models that it names.
    """
    model = None if arguments.model or not arguments.file else named_model({})
    used = model and model.model in [entry.model.model for entry in plan.agents if entry.model]
    return [f"MEMGYM_MODEL={model.title}"] if model and used else []


def _model_words(arguments: argparse.Namespace, plan: "RunPlan") -> list[str]:
    from memgym.benchmarks.parts import make_parts, model_of

    given = given_model(arguments)
    reader = model_of(make_parts(plan.suite_settings(plan.suites[0]))["reader"])
    flags = {
        "model": arguments.model if arguments.file else _model(given, plan, reader),
        "backend": arguments.backend,
        "reader": arguments.reader,
        "reader-model": _reader_model(arguments, reader),
        "answer-mode": arguments.answer_mode,
    }
    words = [word for flag, value in flags.items() if value for word in (f"--{flag}", value)]
    for name, value in given.items():
        if name not in _ELSEWHERE:
            words += ["--model-option", f"{name}={_as_text(value)}"]
    return words


def _model(given: dict[str, Any], plan: "RunPlan", reader: "ModelSettings | None") -> str:
    """Return the name of the model that flags or environment name, if it is used."""
    model = named_model(given)
    own = "model" in plan.settings.get("reader_options", {})
    if model is None:
        return ""
    used = any(entry.model for entry in plan.agents) or (reader is not None and not own)
    return model.title if used or given.get("model") else ""


def _reader_model(arguments: argparse.Namespace, reader: "ModelSettings | None") -> str:
    """Return the name of ``--reader-model``, if it was given."""
    given = str(arguments.reader_model or "")
    return reader.title if given and reader and not arguments.file else given


def _as_text(value: Any) -> str:
    """Return a value as ``--model-option`` reads it; text stands as it is where that is clear."""
    from memgym.agents.chat.model_folder import without_folders

    value = without_folders(value)
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)
