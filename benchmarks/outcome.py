"""What comes out of one task, however it is played, and how a run can end early."""

import json
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

from memgym.agent import Agent
from memgym.agents.chat import ChatError
from memgym.benchmarks.plan import Task
from memgym.benchmarks.suites import load_episode
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.errors import UsageError
from memgym.evaluation import play_episode
from memgym.traces.format import encoded
from memgym.traces.recorder import Recorder
from memgym.usage import Usage

__all__ = ["AgentError", "Outcome", "RunStoppedError", "played"]


class AgentError(RuntimeError):
    """An agent (or the environment under it) raised an exception; the message has its traceback."""


class RunStoppedError(RuntimeError):
    """The run ended before its last episode, for a reason that is not a fault of ours."""


class Outcome(NamedTuple):
    """What came out of one task.

    Attributes:
        record: The result's record.
        seconds: Wall seconds it took.
        usage: What language models in it have used, by part.
        trace: Its trace, packed; empty if none is made.
    """

    record: dict[str, Any]
    seconds: float
    usage: Mapping[str, Usage]
    trace: bytes = b""


def played(task: Task, agent: Agent, env: MemAlphaEnv) -> Outcome:
    """Play one task to its end.

    Raises:
        UsageError: what the user can put right.
        ChatError: a language model could not be had.
        AgentError: every other exception.
    """
    episode = load_episode(task.episode)
    recorder = _recorder(task) if task.traced else None
    try:
        result = play_episode(agent, env, episode, seed=task.seed, observer=recorder)
    except (UsageError, ChatError):
        raise
    except Exception as error:
        raise AgentError(
            f"{traceback.format_exc()}\n"
            f'agent "{task.entry.name}" raised {type(error).__name__} on episode "{episode.id}"'
        ) from error
    # An episode that the settings cut has a further id; in a run it goes by its own.
    record = {**result.record(), "agent": task.entry.name, "episode_id": episode.id}
    trace = encoded(recorder.record) if recorder is not None else b""
    return Outcome(record, result.seconds, result.usage, trace)


def _recorder(task: Task) -> Recorder:
    episode = task.episode
    origin = {
        "source": episode.source,
        "split": episode.split,
        "source_options": json.loads(episode.source_options),
        "index": episode.index,
    }
    return Recorder(**json.loads(task.traced), origin=origin, hash=episode.hash)
