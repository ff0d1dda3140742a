"""What identifies the agents, readers, judges and code of a run, as JSON values for ``run.json``.

Everything that results depend on, and nothing else: no host, path, key or limit of time, so that a
run can be continued when its server or its folder has moved.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import memgym
import memgym.agents
import memgym.baselines
from memgym.agents.chat import ModelSettings
from memgym.benchmarks.agents import class_code
from memgym.benchmarks.entries import AgentEntry
from memgym.benchmarks.parts import WITHOUT_MODEL, make_parts, model_of
from memgym.envs.settings import Settings

__all__ = ["code_digest", "describe_agent", "describe_parts", "describe_settings"]

_PART_SETTINGS = {key for role in WITHOUT_MODEL for key in (role, f"{role}_options")}
_MODEL_OPTIONS = {"model_options", *(item.name for item in dataclasses.fields(ModelSettings))}
_CONNECTION = ("base_url", "key_variable", "timeout_seconds", "max_retries", "concurrency")
_OUTSIDE = ("agents", "baselines", "benchmarks", "cli", "leaderboard", "submissions", "viewer")


def describe_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return environment settings but those on readers and judges, see :func:`describe_parts`."""
    return {name: _plain(value) for name, value in settings.items() if name not in _PART_SETTINGS}


def describe_parts(settings: Settings) -> dict[str, Any]:
    """Return the reader and the judges of checked settings, by role.

    Where there is a language model, its identity stands in place of the options that chose it; the
    model may have been named by the environment. A user's own class is told by its file.
    """
    described = {}
    for role, part in make_parts(settings).items():
        name, options = getattr(settings, role), getattr(settings, f"{role}_options")
        described[role] = {"name": name, **_describe_part(name, options, part)}
    return described


def _describe_part(name: str, options: Mapping[str, Any], part: object) -> dict[str, Any]:
    model = model_of(part)
    described: dict[str, Any] = {}
    if model is not None:
        options = {key: value for key, value in options.items() if key not in _MODEL_OPTIONS}
        described["model"] = _describe_model(model)
    if ":" in name:
        described["code"] = class_code(type(part))
    return {**described, "options": _public(options)}


def describe_agent(entry: AgentEntry) -> dict[str, Any]:
    """Return what identifies a row of the tables."""
    agent = entry.agent_class
    described = {
        "name": entry.name,
        "spec": entry.spec,
        "privileged": agent.privileged,
        "settings": _plain(agent.settings),
        "code": class_code(agent),
    }
    if entry.options:
        described["options"] = _plain(entry.options)
    if entry.model is not None:
        described["model"] = _describe_model(entry.model)
    return described


def _describe_model(model: ModelSettings) -> dict[str, Any]:
    return {**model.identity(), "code": _agents_digest()}


def _public(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a class that may ask a model in a way of its own, without where that is."""
    public: dict[str, Any] = {}
    for name, value in options.items():
        if name in _CONNECTION:
            continue
        if name == "model" and isinstance(value, str) and os.sep in value and Path(value).exists():
            public[name] = Path(value).name
        else:
            public[name] = _public(value) if isinstance(value, Mapping) else _plain(value)
    return public


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


@functools.cache
def code_digest() -> str:
    """Return a digest of the code that results depend on: all of memgym but its command line.

    Without it, a run repeated after an edit would show the results of the old code.
    """
    return _digest((memgym, memgym.baselines))


@functools.cache
def _agents_digest() -> str:
    """Return the same of the code around language models, whose edits do not concern the others."""
    return _digest((memgym.agents,))


def _digest(packages: Iterable[ModuleType]) -> str:
    content = hashlib.sha256()
    for package in packages:
        folder = Path(next(iter(package.__path__)))
        for file in sorted(folder.rglob("*.py")):
            name = file.relative_to(folder).as_posix()
            # Installed, the other packages lie inside memgym/; in a checkout beside it.
            if package is memgym and name.split("/")[0] in _OUTSIDE:
                continue
            content.update(f"{package.__name__}/{name}\n".encode() + file.read_bytes())
    return content.hexdigest()[:16]
