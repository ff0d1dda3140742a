"""Finding agents: built-in ones by name, a user's own by import path."""

import hashlib
import importlib
import inspect
import sys
from pathlib import Path

from memgym.agent import Agent
from memgym.agents import AGENTS
from memgym.agents.llm_agent import LLMAgent
from memgym.baselines import BASELINES
from memgym.errors import UsageError, nearest

__all__ = ["agent_code", "load_agent"]


def load_agent(spec: str, *, with_model: bool = False) -> type[Agent]:
    """Return the agent class that ``spec`` names.

    Args:
        spec: A name of :data:`memgym.baselines.BASELINES` or :data:`memgym.agents.AGENTS`, or
            ``package.module:Class``, looked for in the current folder too.
        with_model: Whether a language model is given. A name that stands for an agent with and one
            without a model (``closed_book``) means the one that can be had.

    Raises:
        UsageError: there is no such agent, it cannot be imported, or it needs a model.
    """
    module_name, colon, class_name = spec.partition(":")
    agent = _import_agent(spec, module_name, class_name) if colon else _built_in(spec, with_model)
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
    known = dict.fromkeys([*BASELINES, *AGENTS])
    raise UsageError(f'unknown agent "{name}": {nearest(name, known)}, or your own as module:Class')


def _import_agent(spec: str, module_name: str, class_name: str) -> type[Agent]:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a console script does not look where it is called
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(
            f'agent "{spec}": cannot import "{module_name}": {error}; write package.module:Class '
            "with a module of the current folder or an installed package"
        ) from error
    agent = getattr(module, class_name, None)
    if agent is None:
        raise UsageError(
            f'agent "{spec}": {module_name} has no "{class_name}": '
            f"{nearest(class_name, _agent_names(module))}"
        )
    if not (isinstance(agent, type) and issubclass(agent, Agent)):
        raise UsageError(f'agent "{spec}": {class_name} must be a subclass of memgym.agent.Agent')
    if inspect.isabstract(agent) or not isinstance(getattr(agent, "name", None), str):
        raise UsageError(f'agent "{spec}": {class_name} needs a class attribute "name" and act()')
    return agent


def _agent_names(module: object) -> list[str]:
    found = inspect.getmembers(module, lambda x: isinstance(x, type) and issubclass(x, Agent))
    return [name for name, _ in found if name != "Agent"]


def agent_code(agent: type[Agent]) -> str:
    """Return the first 16 hex digits of the sha256 of the file that defines ``agent``.

    It tells results of an edited agent from those of its former self. Files that the agent imports
    are not looked at.
    """
    file = Path(inspect.getfile(agent))
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
