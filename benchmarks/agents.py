"""Finding the agents of a run: built-in ones by name, a user's own by import path."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

from memgym.agent import Agent
from memgym.baselines import BASELINES
from memgym.errors import UsageError, nearest

__all__ = ["agent_code", "load_agent", "load_agents"]


def load_agent(spec: str) -> type[Agent]:
    """Return the agent class that ``spec`` names.

    Args:
        spec: A baseline's name, or ``package.module:Class``, looked for in the current folder too.

    Raises:
        UsageError: there is no such agent, or it cannot be imported.
    """
    module_name, colon, class_name = spec.partition(":")
    if colon:
        return _import_agent(spec, module_name, class_name)
    if spec not in BASELINES:
        raise UsageError(
            f'unknown agent "{spec}": {nearest(spec, BASELINES)}, or your own as module:Class'
        )
    return BASELINES[spec]


def load_agents(specs: Sequence[str]) -> dict[str, type[Agent]]:
    """Return spec -> class, in order.

    Raises:
        UsageError: no agent, an unknown one, or two of the same name.
    """
    if not specs:
        raise UsageError(f"no agent is named; {nearest('', BASELINES)}")
    agents: dict[str, type[Agent]] = {}
    names: dict[str, str] = {}
    for spec in specs:
        agent = load_agent(spec)
        if agent.name in names:
            raise UsageError(
                f'agents "{names[agent.name]}" and "{spec}" are both called "{agent.name}" in '
                "tables; leave one out or give its class another name"
            )
        names[agent.name] = spec
        agents[spec] = agent
    return agents


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
