"""What the flags and the file of a comparison ask for together; flags win."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memgym.cli.models import flag_of, given_model, named_model
from memgym.errors import UsageError

if TYPE_CHECKING:
    from memgym.benchmarks.comparison import Comparison
    from memgym.benchmarks.entries import AgentEntry

__all__ = ["asked_for", "refuse_unused"]

Fields = Mapping[str, Any]
"""Settings by name."""


def asked_for(arguments: argparse.Namespace) -> "Comparison":
    """Return what the comparison file, if any, and the flags together ask for.

    Flags on the agents' model hold for every agent that has one. A reader or judge with a language
    model that names none, or no server, takes those of the flags.

    Raises:
        UsageError: the file or a flag is wrong or of no use, or an agent that needs a model has
            none.
    """
    from memgym.benchmarks.amounts import token_limit
    from memgym.benchmarks.comparison import Comparison, read_comparison

    model = given_model(arguments)
    base = Comparison((), {})
    if arguments.file:
        base = read_comparison(arguments.file, model=model)
    limit = None if arguments.limit_cost is None else token_limit(arguments.limit_cost)
    given: dict[str, Any] = {
        "suites": tuple(arguments.suite) if arguments.suite else None,
        "data": arguments.data,
        "seed": arguments.seed,
        "preset": arguments.preset,
        "concurrency": arguments.concurrency,
        "limit_tokens": limit,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    agents = _agents(arguments, base, model)
    settings, used = _with_models(_settings(arguments, base), base.models, model)
    refuse_unused(model, agents, used)
    return dataclasses.replace(base, settings=settings, agents=agents, **changed)


def refuse_unused(model: Fields, agents: Sequence["AgentEntry"], used: Sequence[str] = ()) -> None:
    """Refuse flags on the agents' model that nobody takes notice of.

    Args:
        model: The fields that are given.
        agents: Who plays.
        used: Fields that somebody else takes.

    Raises:
        UsageError: there is such a flag.
    """
    with_model = [entry for entry in agents if entry.has_model]
    for entry in with_model:
        backend = entry.model.backend if entry.model else ""
        if model.get("base_url") and backend not in ("", "openai"):
            raise UsageError(
                f'--base-url names a server, but the model of "{entry.name or entry.spec}" is '
                f"loaded here (backend {backend}); leave it out, or give --backend openai too"
            )
    unused = [name for name in model if name not in used and not with_model]
    if unused:
        raise UsageError(
            f"{flag_of(unused[0])} is of no use: no agent here has a language model, see memgym "
            "agents list; leave it out, or name one with --agents"
        )


def _agents(
    arguments: argparse.Namespace, base: "Comparison", model: dict[str, Any]
) -> tuple["AgentEntry", ...]:
    """Return who plays: rows of the file by name or agent, others with the model for all."""
    from memgym.agents import AGENTS
    from memgym.baselines import BASELINES
    from memgym.benchmarks.entries import AgentEntry

    if not arguments.agents and arguments.file:
        return base.agents
    default = base.model or named_model(model)
    if not arguments.agents:
        names = AGENTS if arguments.model else BASELINES
        return tuple(AgentEntry(name, model=default) for name in names)
    chosen: list[AgentEntry] = []
    for spec in arguments.agents:
        rows = [row for row in base.agents if row.name == spec]
        rows = rows or [row for row in base.agents if row.spec == spec]
        chosen += rows or [AgentEntry(spec, model=default)]
    return tuple(chosen)


def _settings(arguments: argparse.Namespace, base: "Comparison") -> dict[str, Any]:
    """Return the environment settings of the file with those that flags ask for."""
    from memgym.benchmarks.comparison import with_model

    settings = dict(base.settings)
    for name in ("memory_budget", "answer_mode"):
        if getattr(arguments, name) is not None:
            settings[name] = getattr(arguments, name)
    of_model = arguments.reader_model or arguments.reader_base_url
    if not arguments.reader and not of_model:
        return settings
    if of_model and arguments.reader == "verbatim":
        raise UsageError("the verbatim reader has no model; give --reader llm")
    before = settings.get("reader", "verbatim")
    reader = arguments.reader or ("llm" if before == "verbatim" else before)
    # Options belong to a reader; another one has others.
    options = dict(settings.get("reader_options", {})) if reader == before else {}
    if arguments.reader_model:
        options = with_model(options, arguments.reader_model, base.models, "--reader-model")
    if arguments.reader_base_url:
        options.pop("backend", None)
        options["base_url"] = arguments.reader_base_url
    return {**settings, "reader": reader, "reader_options": options}


def _with_models(
    settings: dict[str, Any], models: Mapping[str, Fields], model: Fields
) -> tuple[dict[str, Any], list[str]]:
    """Let readers and judges with a language model take what they leave open from the flags.

    Returns:
        The settings, and the fields that were taken.
    """
    from memgym.agents.frozen_model import FrozenModel
    from memgym.benchmarks.comparison import taken_over

    # A model of the flags may be a table of the file.
    table = models.get(model.get("model", ""), {})
    fields = {**model, **table, **{name: model[name] for name in model if name != "model"}}
    used: list[str] = []
    settings = dict(settings)
    for role, kind in _kinds(settings).items():
        options = dict(settings.get(f"{role}_options", {}))
        if not issubclass(kind, FrozenModel):
            continue
        found = taken_over(options, fields)
        if found != options:
            settings[f"{role}_options"] = found
        used += [name for name in model if _got(found, name) != _got(options, name)]
    return settings, used


def _got(options: Mapping[str, Any], name: str) -> Any:
    return options.get(name, options.get("model_options", {}).get(name))


def _kinds(settings: Mapping[str, Any]) -> dict[str, type[Any]]:
    """Return the classes of the reader and the judges, by role.

    Raises:
        UsageError: there is none of that name.
    """
    from memgym.plugins import plugin_class
    from memgym.quality import CONTENT_JUDGES
    from memgym.reader import READERS
    from memgym.scoring import ANSWER_JUDGES

    tables = {
        "reader": ("verbatim", READERS),
        "content_judge": ("rules", CONTENT_JUDGES),
        "answer_judge": ("exact", ANSWER_JUDGES),
    }
    return {
        role: plugin_class(role.replace("_", " "), settings.get(role, default), table)
        for role, (default, table) in tables.items()
    }
