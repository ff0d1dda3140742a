"""A whole comparison in one TOML or YAML file: who plays, with which models, on what.

What the file says is checked and resolved here; :func:`memgym.benchmarks.plan.make_plan` turns it
into a run. No key stands in such a file, see :mod:`memgym.benchmarks.config_file`.

Example:
    .. code-block:: toml

        suites = ["mini"]
        memory_budget = "25%"

        [reader]
        name = "llm"
        model = "big"

        [models.small]
        model = "qwen3-4b"
        base_url = "http://localhost:8000/v1"

        [models.big]
        model = "qwen3-32b"
        base_url = "http://localhost:8001/v1"

        [[agents]]
        agent = "prompt_only"
        model = "small"
"""

import contextlib
import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.agents.chat import ModelSettings, model_settings
from memgym.agents.llm_agent import LLMAgent
from memgym.baselines import BASELINES
from memgym.benchmarks.agents import load_agent
from memgym.benchmarks.amounts import memory_budget, token_limit
from memgym.benchmarks.config_file import Table, read_config
from memgym.benchmarks.entries import AgentEntry, checked_entries
from memgym.benchmarks.suites import get_suite
from memgym.envs.settings import make_settings
from memgym.errors import UsageError

__all__ = ["Comparison", "read_comparison"]

_KEYS = (
    "suites", "data", "seed", "preset", "memory_budget", "answer_mode", "concurrency",
    "limit_tokens", "model", "settings", "reader", "models", "agents",
)  # fmt: skip
_AGENT_KEYS = ("agent", "model", "name", "options")
_OWN_PLACE = {
    "memory_budget": 'the key "memory_budget" at the top of the file',
    "answer_mode": 'the key "answer_mode" at the top of the file',
    "reader": "the table [reader]",
    "reader_options": "the table [reader]",
}
_MODEL_FIELDS = tuple(item.name for item in dataclasses.fields(ModelSettings))
# What a reader or judge takes over from a table of [models]: where the model is, not how an agent
# samples from it.
_LOCATION = ("model", "backend", "base_url")
_CONNECTION = ("key_variable", "timeout_seconds", "max_retries", "concurrency", "engine_options",
               "template_options")  # fmt: skip
_JUDGES = ("content_judge_options", "answer_judge_options")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison file says; ``None`` stands for what it leaves open.

    Attributes:
        agents: The rows of the tables, each with a name of its own.
        settings: Environment settings, among them ``reader``, ``reader_options``,
            ``memory_budget`` and ``answer_mode`` where given.
        suites: Names of suites.
        data: Folder of the real sources.
        seed: Of the agents' own choices.
        preset: Name of the settings preset.
        concurrency: Episodes played at a time by agents with a model.
        limit_tokens: Tokens after which the run stops; 0 for no limit.
    """

    agents: tuple[AgentEntry, ...]
    settings: Mapping[str, Any]
    suites: tuple[str, ...] | None = None
    data: str | None = None
    seed: int | None = None
    preset: str | None = None
    concurrency: int | None = None
    limit_tokens: int | None = None


def read_comparison(path: str | Path, *, model: ModelSettings | None = None) -> Comparison:
    """Return what a comparison file says, checked.

    Args:
        path: A file that ends in ``.toml``, ``.yaml`` or ``.yml``.
        model: Of the agents that name none, instead of the one that the file names for them.

    Raises:
        UsageError: the file cannot be read, or anything in it is unknown or invalid; the message
            names the file and the line or key.
    """
    top = read_config(Path(path).expanduser(), _KEYS)
    models = {
        name: top.table("models").table(name, _MODEL_FIELDS) for name in top.table("models").content
    }
    preset = top.text("preset")
    with _naming(top.place("preset")):
        make_settings(preset or "default", {})
    settings = _settings(top, models)
    with _naming(top.place("settings")):
        make_settings(preset or "default", settings)
    return Comparison(
        agents=_agents(top, models, model),
        settings=settings,
        suites=_suites(top),
        data=top.text("data"),
        seed=top.whole_number("seed"),
        preset=preset,
        concurrency=top.whole_number("concurrency", least=1),
        limit_tokens=_limit(top),
    )


@contextlib.contextmanager
def _naming(place: str) -> Iterator[None]:
    """Put the place in the file before what others have to say about a value."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error


def _suites(top: Table) -> tuple[str, ...] | None:
    if "suites" not in top:
        return None
    names = top.items("suites")
    for name in names:
        with _naming(top.place("suites")):
            get_suite(str(name))
    return tuple(dict.fromkeys(names))


def _limit(top: Table) -> int | None:
    value = top.content.get("limit_tokens")
    if isinstance(value, str):
        with _naming(top.place("limit_tokens")):
            return token_limit(value)
    return top.whole_number("limit_tokens")


def _settings(top: Table, models: Mapping[str, Table]) -> dict[str, Any]:
    """Return the environment settings of the whole file."""
    found = dict(top.table("settings").content)
    for name, place in _OWN_PLACE.items():
        if name in found:
            raise UsageError(f"{top.place('settings')}.{name}: write it as {place}")
    for name in ("memory_budget", "answer_mode"):
        if name in top:
            found[name] = top.content[name]
    if isinstance(found.get("memory_budget"), str):
        with _naming(top.place("memory_budget")):
            found["memory_budget"] = memory_budget(found["memory_budget"])
    found.update(_reader(top, models))
    for name in _JUDGES:
        if isinstance(found.get(name), Mapping):
            found[name] = _located(top.table("settings").table(name), models)
    return found


def _reader(top: Table, models: Mapping[str, Table]) -> dict[str, Any]:
    if "reader" not in top:
        return {}
    if isinstance(top.content["reader"], str):
        return {"reader": top.content["reader"]}
    table = top.table("reader")
    name = table.text("name")
    if not name:
        raise UsageError(f'{table.place()}: "name" is missing, e.g. name = "llm"')
    options = _located(table, models)
    del options["name"]
    return {"reader": name, "reader_options": options}


def _located(table: Table, models: Mapping[str, Table]) -> dict[str, Any]:
    """Return options of a reader or judge, whose ``model`` may name a table of [models]."""
    options = dict(table.content)
    named = models.get(_spelling(table, models))
    if named is None:
        return options
    del options["model"]
    location = {name: named.content[name] for name in _LOCATION if name in named}
    more = {name: named.content[name] for name in _CONNECTION if name in named}
    if more:
        options["model_options"] = {**more, **table.table("model_options").content}
    return {**location, **options}


def _spelling(table: Table, models: Iterable[str]) -> str:
    """Return what the key ``model`` says, unless it nearly says the name of a table of [models]."""
    name = table.text("model") or ""
    close = difflib.get_close_matches(name, models := list(models), n=1, cutoff=0.8)
    if close and name not in models:
        raise UsageError(
            f'{table.place("model")}: there is no "{name}" in [models]; did you mean "{close[0]}"? '
            "(A model that is really called so gets a table of its own there.)"
        )
    return name


def _checked(table: Table) -> ModelSettings:
    """Return the model that a table of [models] describes."""
    name = table.text("model")
    if not name:
        raise UsageError(f'{table.place()}: "model" is missing: a preset, name or folder')
    with _naming(table.place()):
        return model_settings(**{**table.content, "model": name})


def _agents(
    top: Table, models: Mapping[str, Table], default: ModelSettings | None
) -> tuple[AgentEntry, ...]:
    known = {name: _checked(table) for name, table in models.items()}
    if default is None and top.text("model"):
        default = _model(top, known)
    entries = [_entry(table, known, default) for table in top.rows("agents", "agent", _AGENT_KEYS)]
    with _naming(top.place("agents")):
        return checked_entries(entries)


def _entry(
    table: Table, known: Mapping[str, ModelSettings], default: ModelSettings | None
) -> AgentEntry:
    """Return one row; ``model = ""`` says that it is meant without one."""
    spec = table.text("agent")
    if not spec:
        raise UsageError(f'{table.place()}: "agent" is missing: a name, or package.module:Class')
    named = _model(table, known) if table.text("model") else None
    with _naming(table.place()):
        has_model = issubclass(load_agent(spec, with_model=True), LLMAgent)
        if named and not has_model:
            raise UsageError(f'"{spec}" has no language model in it; leave out "model"')
        if "model" not in table and has_model:
            named = default if default or spec in BASELINES else model_settings()
    name = table.text("name") or ""
    if not name.isprintable():
        raise UsageError(f"{table.place('name')}: must be one line, got {name!r}")
    return AgentEntry(spec, name.strip(), named, dict(table.table("options").content))


def _model(table: Table, known: Mapping[str, ModelSettings]) -> ModelSettings:
    """Return what the key ``model`` of a table names: a table of [models], a preset, a model."""
    name = _spelling(table, known)
    with _naming(table.place("model")):
        return known[name] if name in known else model_settings(name)
