"""Recording an episode while it is played: an observer of :func:`memgym.evaluation.play_episode`.

A record holds nothing that two runs of the same episode would not share: no time, host or path.
"""

import dataclasses
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import memgym
from memgym.agent import Agent
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.evaluation import EpisodeResult
from memgym.traces.actions import action_fields
from memgym.traces.digests import RunningDigest, episode_hash, observation_digest
from memgym.traces.parts import ListenedJudge
from memgym.traces.public import public
from memgym.traces.schema import EPISODE_SETTINGS, FORMAT, recorded_parts
from memgym.usage import Usage

__all__ = ["Recorder"]

_RETRIEVAL = ("budget_tokens", "top_k", "order")
# Not recorded: what depends on the machine, or on how often a run was stopped.
_USED = ("calls", "prompt_tokens", "completion_tokens", "failures")


class Recorder:
    """Makes the record of one episode, which is then in :attr:`record`.

    Args:
        agent: What identifies the agent; by default its name.
        suite: ``name``, ``version``, ``hash`` and ``entry`` of the suite it is played for, if any.
        origin: Where the episode comes from, ``source``, ``split``, ``source_options``, ``index``;
            by default what the environment's settings say.
        hash: Digest of the episode, if it is known already (:func:`.digests.episode_hash`).
        versions: Versions besides those of memgym, Python, NumPy and Gymnasium.
    """

    def __init__(
        self,
        *,
        agent: Mapping[str, Any] | None = None,
        suite: Mapping[str, Any] | None = None,
        origin: Mapping[str, Any] | None = None,
        hash: str = "",
        versions: Mapping[str, str] | None = None,
    ) -> None:
        self._agent = dict(agent or {})
        self._suite = dict(suite) if suite is not None else None
        self._origin = dict(origin or {})
        self._hash = hash
        self._versions = dict(versions or {})
        self._record: dict[str, Any] | None = None

    @property
    def record(self) -> dict[str, Any]:
        """The record of the last episode, JSON values, once that has ended."""
        assert self._record is not None, "there is a record once an episode has ended"
        return self._record

    # ------------------------------------------------------------------ what play_episode tells

    def begun(self, agent: Agent, env: MemAlphaEnv, info: Mapping[str, Any]) -> None:
        """Take note of the episode and the environment."""
        self._record = None
        self._env = env
        self._digest = RunningDigest(env.memory)
        self._steps: list[dict[str, Any]] = []
        self._chunk = int(info["chunk_index"])
        self._environment = _environment(env)
        self._recorded = recorded_parts(self._environment)
        self._agent.setdefault("name", agent.name)
        self._judge: ListenedJudge | None = None
        if "content_judge" in self._recorded:
            # One may be left of an episode that broke off.
            if not isinstance(env.content_judge, ListenedJudge):
                env.content_judge = ListenedJudge(env.content_judge)
            self._judge = env.content_judge

    def stepped(
        self,
        observation: Mapping[str, Any],
        action: Any,
        reward: float,
        info: Mapping[str, Any],
    ) -> None:
        """Take note of a step: what was seen, what was done, what came of it."""
        step = {
            "chunk": self._chunk,
            "observation": observation_digest(observation),
            **action_fields(action, self._env),
            "results": [dict(result) for result in info["tool_results"]],
            "reward": float(reward),
            "terms": dict(info["reward_terms"]),
            "memory": self._digest.after(info["tool_results"]),
            "memory_tokens": info["memory_tokens"],
        }
        verdicts = self._judge.take() if self._judge is not None else None
        if verdicts is not None:
            step["verdicts"] = verdicts
        self._steps.append(step)
        self._chunk = int(info["chunk_index"])

    def ended(self, result: EpisodeResult) -> None:
        """Make the record."""
        env = self._env
        models = {part: _model(getattr(env, part)) for part in self._recorded}
        if self._judge is not None:
            env.content_judge = self._judge.asked
        made = {
            "format": FORMAT,
            "suite": self._suite,
            "episode": self._episode(),
            "agent": public(self._agent),
            "environment": self._environment,
            "models": {part: public(model) for part, model in models.items() if model},
            "seed": result.seed,
            "versions": {**_versions(), **self._versions},
            "steps": self._steps,
            "answers": result.answers,
            "metrics": result.metrics,
            "score": result.score,
            "reward": result.reward,
            "memory_digest": result.memory_digest,
            "usage": {part: _used(used) for part, used in result.usage.items()},
            "recorded": self._recorded,
        }
        # A copy of JSON values alone: tuples become lists, and nothing is shared with the caller.
        self._record = json.loads(json.dumps(made, allow_nan=False))

    def _episode(self) -> dict[str, Any]:
        whole, settings = self._env._whole_episode, self._env.settings
        origin = {
            "source": settings.source,
            "split": settings.split,
            "source_options": settings.source_options,
            "index": None,
            **self._origin,
        }
        return {
            "id": whole.id,
            **{**origin, "source_options": public(origin["source_options"])},
            "ability": whole.ability,
            "hash": self._hash or episode_hash(whole),
            "chunks": len(whole.chunks),
            "questions": len(whole.questions),
        }


def _environment(env: MemAlphaEnv) -> dict[str, Any]:
    """Return the settings of an environment, with what its reader retrieves written out."""
    settings = dataclasses.asdict(env.settings)
    limits = {name: getattr(env.reader, name, None) for name in _RETRIEVAL}
    known = {name: value for name, value in limits.items() if value is not None}
    settings["reader_options"] = {**settings["reader_options"], **known}
    kept = {name: value for name, value in settings.items() if name not in EPISODE_SETTINGS}
    plain: dict[str, Any] = json.loads(json.dumps(public(kept)))
    return plain


def _model(part: object) -> dict[str, Any]:
    """Return the identity of a part's language model, if it tells one."""
    identity = getattr(getattr(part, "settings", None), "identity", None)
    return dict(identity()) if callable(identity) else {}


def _used(usage: Usage) -> dict[str, int]:
    return {name: int(getattr(usage, name)) for name in _USED}


def _versions() -> dict[str, str]:
    return {
        "memgym": memgym.__version__,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "gymnasium": version("gymnasium"),
    }
