"""Playing one episode with one agent and reporting what came out."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import gymnasium as gym

from memgym.agent import Agent, Briefing
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.envs.settings import PRESETS, merged_settings
from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.usage import Usage

__all__ = [
    "EpisodeResult",
    "Observer",
    "briefing_for",
    "environment_for",
    "play_episode",
    "settings_for",
]


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """One agent on one episode.

    Attributes:
        agent: Name of the agent.
        episode_id: Id of the episode.
        source: Registry name of its source.
        split: Its split.
        ability: The ability it tests.
        seed: Seed of the agent's own choices.
        score: Mean answer score, 0.0 to 1.0.
        reward: Sum of the step rewards.
        metrics: The environment's ``info["metrics"]`` of the last step.
        steps: Environment steps taken.
        calls: Tool calls made.
        valid_calls: Tool calls that succeeded.
        memory_digest: sha256 of the final memory.
        answers: One record per question (see :class:`memgym.envs.grading.GradedAnswer`).
        seconds: Wall time of the whole episode.
        usage: What the language models in it have used, by part: ``agent``, ``reader``,
            ``content_judge``, ``answer_judge``; only those that have a model.

    The last two are not part of :meth:`record`, which is the same bytes for the same seed and
    actions.
    """

    agent: str
    episode_id: str
    source: str
    split: str
    ability: str
    seed: int
    score: float
    reward: float
    metrics: Mapping[str, float]
    steps: int
    calls: int
    valid_calls: int
    memory_digest: str
    answers: tuple[Mapping[str, Any], ...]
    seconds: float
    usage: Mapping[str, Usage] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return everything but wall time and usage as JSON values."""
        record = asdict(self)
        del record["seconds"], record["usage"]
        return record


class Observer(Protocol):
    """Is told what happens in an episode while it is played."""

    def begun(self, agent: Agent, env: MemAlphaEnv, info: Mapping[str, Any]) -> None:
        """The environment has been reset, which returned ``info``; nothing has been done yet."""

    def stepped(
        self, observation: Mapping[str, Any], action: Any, reward: float, info: Mapping[str, Any]
    ) -> None:
        """The agent answered ``observation`` by ``action``; ``step`` returned the rest."""

    def ended(self, result: EpisodeResult) -> None:
        """The episode is over."""


def environment_for(agent: type[Agent] | Agent, **settings: Any) -> MemAlphaEnv:
    """Return an environment with the agent's own settings over the given ones.

    Mappings (reader options, reward weights) are merged key by key, those of a preset included.
    """
    return MemAlphaEnv(**settings_for(agent, settings))


class _Declaring(Protocol):
    """An agent, its class, or what it has declared."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def reader_settings(self) -> Mapping[str, Mapping[str, Any]]: ...


def settings_for(agent: type[Agent] | _Declaring, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of :func:`environment_for`."""
    preset = PRESETS.get(str(settings.get("preset", "default")), {})
    merged = merged_settings(preset, settings, agent.settings)
    reader = merged.get("reader", "verbatim")
    own = {"reader_options": agent.reader_settings.get(reader, {})}
    return merged_settings(merged, own)


def play_episode(
    agent: Agent,
    env: gym.Env[dict[str, Any], Any],
    episode: Episode | int | str,
    *,
    seed: int = 0,
    observer: Observer | None = None,
) -> EpisodeResult:
    """Play one episode to its end.

    Args:
        agent: Reset first; a privileged agent is given the episode with its golds.
        env: ``gym.make("MemAlpha-v0")``, wrapped or not, or what :func:`environment_for` returns;
            reset to ``episode``, with ``seed``.
        episode: An episode, or an id or index of the environment's source.
        seed: For the agent's and the environment's random choices.
        observer: Told what happens, e.g. :class:`memgym.traces.recorder.Recorder`.

    Raises:
        UsageError: ``env`` is no MemAlpha environment, or has no such episode.
    """
    base = env.unwrapped
    if not isinstance(base, MemAlphaEnv):
        raise UsageError(f"play_episode needs a MemAlpha environment, got {type(base).__name__}")
    start, before = time.perf_counter(), _usage(agent, base)
    observation, info = env.reset(seed=seed, options={"episode": episode})
    if observer is not None:
        observer.begun(agent, base, info)
    agent.reset(briefing_for(base, info, seed, privileged=agent.privileged))
    reset_info, reward, steps, calls, valid_calls = info, 0.0, 0, 0, 0
    terminated = False
    while not terminated:
        action = _choose(agent, observation, info)
        seen = observation
        observation, step_reward, terminated, _, info = env.step(action)
        if observer is not None:
            observer.stepped(seen, action, float(step_reward), info)
        reward += float(step_reward)
        steps += 1
        calls += info["n_calls"]
        valid_calls += info["n_valid_calls"]
    result = EpisodeResult(
        agent=agent.name,
        episode_id=reset_info["episode_id"],
        source=reset_info["source"],
        split=reset_info["split"],
        ability=reset_info["ability"],
        seed=seed,
        score=info["metrics"]["correctness"],
        reward=reward,
        metrics=info["metrics"],
        steps=steps,
        calls=calls,
        valid_calls=valid_calls,
        memory_digest=base.memory.digest(),
        answers=info["answers"],
        seconds=time.perf_counter() - start,
        usage={part: used - before[part] for part, used in _usage(agent, base).items()},
    )
    if observer is not None:
        observer.ended(result)
    return result


def _usage(agent: Agent, env: MemAlphaEnv) -> dict[str, Usage]:
    """Return what each part with a language model has used so far."""
    parts = {"agent": agent, "reader": env.reader}
    for judge in ("content_judge", "answer_judge"):
        parts[judge] = getattr(env, judge, None)
    found = {name: getattr(part, "usage", None) for name, part in parts.items()}
    return {name: used for name, used in found.items() if isinstance(used, Usage)}


def briefing_for(
    env: MemAlphaEnv, info: Mapping[str, Any], seed: int, *, privileged: bool = False
) -> Briefing:
    """Return what an agent is told before an episode.

    Args:
        env: Just reset.
        info: What its ``reset`` returned.
        seed: For the agent's own choices.
        privileged: Whether the agent is shown the golds.
    """
    return Briefing(
        seed=seed,
        info=info,
        instructions=env.instructions,
        tools=tuple(env.tool_names),
        counter=env.memory.counter,
        core_capacity_tokens=env.memory.core_capacity_tokens,
        budget_tokens=env.memory.budget_tokens,
        max_calls=env.settings.max_calls,
        memory=env.memory,
        episode=env.episode if privileged else None,
    )


def _choose(agent: Agent, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
    if observation.get("question"):
        answer = agent.answer(observation, info)
        if answer is not None and answer.strip():
            return [{"name": "answer", "arguments": {"text": answer}}]
        if answer is not None:
            return ""  # no answer is one, too: a call without text would be asked for again
    return agent.act(observation, info)
