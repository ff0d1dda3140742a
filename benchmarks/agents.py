"""Finding agents: built-in ones by name, trained ones by folder, a user's own by import path."""

import hashlib
import inspect
from pathlib import Path
from typing import Any

from memgym.agent import Agent
from memgym.agents import AGENTS
from memgym.agents.grpo.agent import SHIPPED, TrainedWriter
from memgym.agents.llm_agent import LLMAgent
from memgym.baselines import BASELINES
from memgym.baselines.sb3 import TRAINED
from memgym.errors import UsageError, nearest
from memgym.plugins import import_class

__all__ = ["class_code", "load_agent"]


def load_agent(spec: str, *, with_model: bool = False) -> type[Agent]:
    """Return the agent class that ``spec`` names.

    Args:
        spec: A name of :data:`memgym.baselines.BASELINES` or :data:`memgym.agents.AGENTS`; for a
            trained agent a name of :data:`memgym.baselines.sb3.TRAINED` or ``grpo`` and its folder,
            ``ppo:runs/x``, or one of :data:`memgym.agents.grpo.agent.SHIPPED`; or
            ``package.module:Class``, looked for in the current folder too.
        with_model: Whether a language model is given. A name that stands for an agent with and one
            without a model (``closed_book``) means the one that can be had.

    Raises:
        UsageError: there is no such agent, it cannot be imported, or it needs a model.
    """
    kind, colon, _ = spec.partition(":")
    if colon and kind in TRAINED:
        return TRAINED[kind]
    if (colon and kind == TrainedWriter.name) or spec in SHIPPED:
        return TrainedWriter  # its model is its own
    agent = _import_agent(spec) if colon else _built_in(spec, with_model)
    if issubclass(agent, LLMAgent) and not with_model:
        raise UsageError(
            f'agent "{spec}" needs a language model: name one with --model (and --base-url of its '
            "server), see memgym agents models"
        )
    return agent


def _built_in(name: str, with_model: bool) -> type[Agent]:
    tables = (AGENTS, BASELINES) if with_model else (BASELINES, AGENTS)
    for table in tables:
        if name in table:
            return table[name]
    makers = {kind: f"train-sb3 --algo {kind}" for kind in TRAINED} | {
        "grpo": "train --preset tiny"
    }
    if name in makers:
        raise UsageError(
            f'agent "{name}" is trained: name its folder, as in {name}:runs/my-run (made by '
            f"memgym {makers[name]} --out runs/my-run)"
        )
    known = dict.fromkeys([*BASELINES, *AGENTS, *SHIPPED])
    raise UsageError(f'unknown agent "{name}": {nearest(name, known)}, or your own as module:Class')


def _import_agent(spec: str) -> type[Agent]:
    agent: type[Agent] = import_class("agent", spec, Agent)
    if inspect.isabstract(agent) or not isinstance(getattr(agent, "name", None), str):
        raise UsageError(
            f'agent "{spec}": {agent.__name__} needs a class attribute "name" and act()'
        )
    return agent


def class_code(kind: type[Any]) -> str:
    """Return the first 16 hex digits of the sha256 of the file that defines a class.

    It tells results of an edited agent, reader or judge from those of its former self. Files that
    it imports are not looked at.
    """
    file = Path(inspect.getfile(kind))
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
