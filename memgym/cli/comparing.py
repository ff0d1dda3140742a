"""Options about language models, and what the flags and the file of a comparison ask for."""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.cli.options import name_and_value, whole_number
from memgym.errors import UsageError

if TYPE_CHECKING:
    from memgym.agents.chat import ModelSettings
    from memgym.benchmarks.comparison import Comparison
    from memgym.benchmarks.entries import AgentEntry

__all__ = [
    "DEFAULT_CONCURRENCY",
    "add_model",
    "add_models",
    "asked_for",
    "model_words",
    "named_model",
]

DEFAULT_CONCURRENCY = 32


def add_model(group: argparse._ActionsContainer) -> None:
    """Add the options that name a model and how it is asked."""
    group.add_argument(
        "--model",
        metavar="NAME",
        help="model of the agents: a preset (memgym agents models), its name at the server, or a "
        "folder (default: MEMGYM_MODEL)",
    )
    group.add_argument(
        "--base-url",
        metavar="URL",
        help="server with OpenAI's chat API, e.g. http://localhost:8000/v1 (default: "
        "MEMGYM_BASE_URL, else OPENAI_BASE_URL)",
    )
    group.add_argument(
        "--backend",
        choices=("openai", "transformers", "vllm"),
        help="openai: ask a server (default); transformers, vllm: load the model here",
    )
    group.add_argument(
        "--model-option",
        type=name_and_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another setting of the model, such as temperature=0.7; may be repeated",
    )


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the options on language models, as a group of their own."""
    group = parser.add_argument_group("language models")
    add_model(group)
    group.add_argument("--reader", metavar="NAME", help="who answers: verbatim (default) or llm")
    group.add_argument("--reader-model", metavar="NAME", help="model of the llm reader")
    group.add_argument("--reader-base-url", metavar="URL", help="its server, if it is another one")
    group.add_argument(
        "--answer-mode",
        choices=("reader", "agent"),
        help="reader: the same reader answers for all (default); agent: each with its own model",
    )
    group.add_argument(
        "--concurrency",
        type=whole_number,
        metavar="N",
        help=f"episodes with a model at a time (default: {DEFAULT_CONCURRENCY})",
    )
    group.add_argument(
        "--limit-cost",
        metavar="TOKENS",
        help="stop when the models have used so many tokens, such as 500k or 2M; the same command "
        "with a higher limit goes on",
    )
    group.add_argument(
        "--file", metavar="FILE", help="a comparison in TOML or YAML; flags given beside it win"
    )


def asked_for(arguments: argparse.Namespace) -> "Comparison":
    """Return what the comparison file, if any, and the flags together ask for.

    Raises:
        UsageError: the file or a flag is wrong, or an agent that needs a model has none.
    """
    from memgym.benchmarks.amounts import token_limit
    from memgym.benchmarks.comparison import Comparison, read_comparison

    base = Comparison((), {})
    if arguments.file:
        given_model = named_model(arguments) if _names_model(arguments) else None
        base = read_comparison(arguments.file, model=given_model)
    limit = token_limit(arguments.limit_cost) if arguments.limit_cost else None
    given: dict[str, Any] = {
        "suites": tuple(arguments.suite) if arguments.suite else None,
        "data": arguments.data,
        "seed": arguments.seed,
        "preset": arguments.preset,
        "concurrency": arguments.concurrency,
        "limit_tokens": limit,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    settings = {**base.settings, **_settings(arguments)}
    agents = base.agents if arguments.file and not arguments.agents else _entries(arguments)
    return dataclasses.replace(base, settings=settings, agents=agents, **changed)


def _names_model(arguments: argparse.Namespace) -> bool:
    """Whether a flag says something of the agents' model (else the file's own words count)."""
    flags = (arguments.model, arguments.base_url, arguments.backend, arguments.model_option)
    return any(flags)


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the environment settings that the flags ask for."""
    settings: dict[str, Any] = {}
    if arguments.memory_budget is not None:
        settings["memory_budget"] = arguments.memory_budget
    if arguments.answer_mode:
        settings["answer_mode"] = arguments.answer_mode
    options = {"model": arguments.reader_model, "base_url": arguments.reader_base_url}
    options = {name: value for name, value in options.items() if value}
    if options and arguments.reader == "verbatim":
        raise UsageError("the verbatim reader has no model; give --reader llm")
    if arguments.reader or options:
        settings["reader"] = arguments.reader or "llm"
    if settings.get("reader") == "llm":
        if not options.get("base_url") and arguments.base_url:
            options["base_url"] = arguments.base_url
        if not options.get("model") and arguments.model:
            options["model"] = arguments.model
        settings["reader_options"] = options
    return settings


def _entries(arguments: argparse.Namespace) -> tuple["AgentEntry", ...]:
    from memgym.agents import AGENTS
    from memgym.baselines import BASELINES
    from memgym.benchmarks.entries import AgentEntry

    if arguments.agents:
        model = named_model(arguments)
        return tuple(AgentEntry(spec, model=model) for spec in arguments.agents)
    if arguments.model:
        model = named_model(arguments)
        return tuple(AgentEntry(name, model=model) for name in AGENTS)
    return tuple(AgentEntry(name) for name in BASELINES)


def named_model(arguments: argparse.Namespace) -> "ModelSettings | None":
    """Return the model that flags or environment name, ``None`` if there is none.

    Raises:
        UsageError: one of its settings is unknown or invalid.
    """
    from memgym.agents.chat import model_settings
    from memgym.agents.chat.models import MODEL_VARIABLE

    given = {"base_url": arguments.base_url, "backend": arguments.backend}
    chosen = {name: value for name, value in given.items() if value}
    chosen.update(arguments.model_option)
    if not arguments.model and not os.environ.get(MODEL_VARIABLE):
        if chosen:
            raise UsageError(f"{sorted(chosen)[0]} is given but no model; name it with --model")
        return None
    return model_settings(arguments.model or "", **chosen)


def model_words(arguments: argparse.Namespace) -> list[str]:
    """Return the words of a command line that ask for the same models, without servers."""
    words = []
    for name in ("model", "backend", "reader", "reader_model", "answer_mode"):
        value = getattr(arguments, name)
        if value:
            is_folder = os.sep in value and Path(value).exists()
            words += [f"--{name.replace('_', '-')}", Path(value).name if is_folder else value]
    for name, value in arguments.model_option:
        words += ["--model-option", f"{name}={value}"]
    return words
