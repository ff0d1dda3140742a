"""Options about language models, and the model settings that they come to."""

import argparse
import os
from typing import TYPE_CHECKING, Any

from memgym.cli.options import count, name_and_value
from memgym.errors import UsageError

if TYPE_CHECKING:
    from memgym.agents.chat import ModelSettings

__all__ = [
    "DEFAULT_CONCURRENCY",
    "add_model",
    "add_models",
    "flag_of",
    "given_model",
    "named_model",
]

DEFAULT_CONCURRENCY = 32
_FLAGS = ("model", "base_url", "backend")


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
    group.add_argument(
        "--reader-model", metavar="NAME", help="model of the llm reader (default: that of --model)"
    )
    group.add_argument(
        "--reader-base-url", metavar="URL", help="its server (default: where --model is)"
    )
    group.add_argument(
        "--answer-mode",
        choices=("reader", "agent"),
        help="reader: the same reader answers for all (default); agent: each with its own model",
    )
    group.add_argument(
        "--concurrency",
        type=count,
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


def given_model(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of :class:`~memgym.agents.chat.models.ModelSettings` that flags give.

    Raises:
        UsageError: one is unknown or invalid, or has a flag of its own.
    """
    from memgym.agents.chat import model_settings

    given = {name: getattr(arguments, name) for name in _FLAGS if getattr(arguments, name)}
    for name, value in arguments.model_option:
        if name in _FLAGS:
            raise UsageError(f"--model-option {name}: has an option of its own, {flag_of(name)}")
        given[name] = value
    if given:
        model_settings(**{"model": "any", **given})  # told here, whatever else is wrong
    return given


def flag_of(field: str) -> str:
    """Return the option that gives a field of the model settings."""
    return f"--{field.replace('_', '-')}" if field in _FLAGS else f"--model-option {field}"


def named_model(given: dict[str, Any]) -> "ModelSettings | None":
    """Return the model that flags (:func:`given_model`) or environment name, ``None`` if none.

    Raises:
        UsageError: a setting is invalid.
    """
    from memgym.agents.chat import model_settings
    from memgym.agents.chat.models import MODEL_VARIABLE

    if not given.get("model") and not os.environ.get(MODEL_VARIABLE):
        return None
    return model_settings(**given)
