"""A whole comparison in one TOML or YAML file: who plays, with which models, on what.

What the file says is checked and resolved here; :func:`memgym.benchmarks.plan.make_plan` turns it
into a run. No key stands in such a file, see :mod:`memgym.config_file`.

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
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from memgym.agents.chat import ModelSettings, model_settings
from memgym.agents.llm_agent import LLMAgent
from memgym.baselines import BASELINES
from memgym.benchmarks.agents import load_agent
from memgym.benchmarks.amounts import memory_budget, token_limit
from memgym.benchmarks.entries import AgentEntry, checked_entries
from memgym.benchmarks.suites import get_suite
from memgym.config_file import Table, read_config
from memgym.envs.settings import make_settings
from memgym.errors import UsageError

__all__ = ["Comparison", "read_comparison", "taken_over", "with_model"]

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
# What a reader or judge takes over from the model of an agent: where it is, not how it is sampled.
_PLACE = ("backend", "base_url")
_CONNECTION = ("key_variable", "timeout_seconds", "max_retries", "concurrency", "engine_options")
_TEMPLATE = "template_options"  # belongs to the model, not to its place
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
        models: The tables of [models] as they are written, for flags that name one.
        model: Of agents that name none, if the file has one for them.
    """

    agents: tuple[AgentEntry, ...]
    settings: Mapping[str, Any]
    suites: tuple[str, ...] | None = None
    data: str | None = None
    seed: int | None = None
    preset: str | None = None
    concurrency: int | None = None
    limit_tokens: int | None = None
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    model: ModelSettings | None = None


def read_comparison(
    path: str | Path, *, model: Mapping[str, Any] = MappingProxyType({})
) -> Comparison:
    """Return what a comparison file says, checked.

    Args:
        path: A file that ends in ``.toml``, ``.yaml``, ``.yml`` or ``.json``.
        model: Fields of :class:`~memgym.agents.chat.models.ModelSettings` that win over those of
            the model of every agent, and are the model of those that name none. Its ``model`` may
            be the name of a table of [models], which then takes the place of the agent's own.

    Raises:
        UsageError: the file cannot be read, or anything in it is unknown or invalid; the message
            names the file and the line or key.
    """
    top = read_config(Path(path).expanduser(), _KEYS, "comparison")
    tables = top.table("models")
    models = {name: tables.table(name, _MODEL_FIELDS) for name in tables.content}
    preset = top.text("preset")
    with _naming(top.place("preset")):
        make_settings(preset or "default", {})
    settings = _settings(top, models)
    with _naming(top.place("settings")):
        make_settings(preset or "default", settings)
    known = _Models(models, model)
    default = known.default(top)
    return Comparison(
        agents=_agents(top, known, default),
        settings=settings,
        suites=_suites(top),
        data=top.text("data"),
        seed=top.whole_number("seed"),
        preset=preset,
        concurrency=top.whole_number("concurrency", least=1),
        limit_tokens=_limit(top),
        models={name: table.content for name, table in models.items()},
        model=default,
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
    table.table("model_options")  # must be a table
    name = _spelling(table.text("model") or "", models, table.place("model"))
    if name not in models:
        return options
    del options["model"]
    return taken_over(options, models[name].content)


def taken_over(options: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a reader or judge with what they leave open taken from an agent's model.

    Args:
        options: Of the reader or judge. If they name a model of their own, what belongs to the
            model is theirs; if they name a server or backend, what belongs to the place is.
        model: Fields of :class:`~memgym.agents.chat.models.ModelSettings`. How it is sampled stays
            with the agent.
    """
    more: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    if "model" not in options:
        own, more = ("model",), (_TEMPLATE,)
    if not any(name in options for name in _PLACE):
        own, more = (*own, *_PLACE), (*more, *_CONNECTION)
    found = {**options, **{name: model[name] for name in own if name in model}}
    extra = {name: model[name] for name in more if name in model}
    if extra:
        found["model_options"] = {**extra, **options.get("model_options", {})}
    return found


def with_model(
    options: Mapping[str, Any], name: str, models: Mapping[str, Mapping[str, Any]], origin: str
) -> dict[str, Any]:
    """Return options of a reader with another model.

    Args:
        options: Of the reader.
        name: The model, or a table of ``models``, which then says where it is, too.
        models: The tables of [models].
        origin: Who says so, for errors.

    Raises:
        UsageError: the name is nearly, but not quite, that of a table.
    """
    if _spelling(name, models, origin) not in models:
        return {**options, "model": name}
    kept = {key: value for key, value in options.items() if key not in ("model", *_PLACE)}
    inner = kept.pop("model_options", {})
    inner = {key: inner[key] for key in inner if key not in (*_CONNECTION, _TEMPLATE)}
    return taken_over({**kept, "model_options": inner} if inner else kept, models[name])


def _spelling(name: str, models: Iterable[str], origin: str) -> str:
    """Return the name of a model, unless it nearly says the name of a table of [models]."""
    close = difflib.get_close_matches(name, models := list(models), n=1, cutoff=0.8)
    if close and name not in models:
        raise UsageError(
            f'{origin}: there is no "{name}" in [models]; did you mean "{close[0]}"? '
            "(A model that is really called so gets a table of its own there.)"
        )
    return name


class _Models:
    """The models that agents of a file may name, with what was given beside the file.

    Args:
        tables: Those of [models].
        changes: See :func:`read_comparison`.

    Raises:
        UsageError: a table says something invalid.
    """

    def __init__(self, tables: Mapping[str, Table], changes: Mapping[str, Any]) -> None:
        self._tables = tables
        self._others = dict(changes)
        self._chosen = _spelling(self._others.pop("model", ""), tables, "the model named beside it")
        for table in tables.values():
            if not table.text("model"):
                raise UsageError(f'{table.place()}: "model" is missing: a preset, name or folder')
            with _naming(table.place()):
                model_settings(**table.content)

    def of(self, table: Table) -> ModelSettings:
        """Return what the key ``model`` of a table names: a table of [models], a preset, a model.

        Raises:
            UsageError: it says something invalid.
        """
        name = _spelling(table.text("model") or "", self._tables, table.place("model"))
        with _naming(table.place("model")):
            known = self._tables.get(name)
            return self._changed(known.content if known else {"model": name})

    def default(self, top: Table) -> ModelSettings | None:
        """Return the model of agents that name none, ``None`` if it is left open."""
        if top.text("model"):
            return self.of(top)
        return self._changed({}) if self._chosen else None

    def from_environment(self) -> ModelSettings:
        """Return the model that the environment names.

        Raises:
            UsageError: it names none.
        """
        return self._changed({})

    def _changed(self, content: Mapping[str, Any]) -> ModelSettings:
        if self._chosen in self._tables:
            content = self._tables[self._chosen].content
        elif self._chosen:
            content = {**content, "model": self._chosen}
        return model_settings(**{**content, **self._others})


def _agents(top: Table, models: _Models, default: ModelSettings | None) -> tuple[AgentEntry, ...]:
    entries = [_entry(table, models, default) for table in top.rows("agents", "agent", _AGENT_KEYS)]
    with _naming(top.place("agents")):
        return checked_entries(entries)


def _entry(table: Table, models: _Models, default: ModelSettings | None) -> AgentEntry:
    """Return one row; ``model = ""`` says that it is meant without one."""
    spec = table.text("agent")
    if not spec:
        raise UsageError(f'{table.place()}: "agent" is missing: a name, or package.module:Class')
    named = models.of(table) if table.text("model") else None
    with _naming(table.place()):
        has_model = issubclass(load_agent(spec, with_model=True), LLMAgent)
        if named and not has_model:
            raise UsageError(f'"{spec}" has no language model in it; leave out "model"')
        if "model" not in table and has_model:
            named = default if default or spec in BASELINES else models.from_environment()
    name = table.text("name") or ""
    if not name.isprintable():
        raise UsageError(f"{table.place('name')}: must be one line, got {name!r}")
    return AgentEntry(spec, name.strip(), named, dict(table.table("options").content))
