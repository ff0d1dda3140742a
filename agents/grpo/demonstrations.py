"""What supervised fine-tuning learns from: the prompts of episodes and what an agent did there."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memgym.agent import Agent
from memgym.agents import AGENTS
from memgym.agents.chat import Chat, ChatRequest, ContextLengthError
from memgym.agents.chat.local_text import LocalText
from memgym.agents.chat.models import model_settings
from memgym.agents.grpo.beginner import Beginner
from memgym.agents.grpo.settings import SupervisedSettings, TrainSettings
from memgym.agents.writing import WritingPrompts
from memgym.baselines import BASELINES
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.errors import UsageError, nearest
from memgym.evaluation import briefing_for, settings_for
from memgym.plugins import import_class

__all__ = ["Demonstration", "action_text", "demonstrations"]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and the response that an agent would give, as token ids of the policy."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]


def demonstrations(
    settings: TrainSettings,
    text: LocalText,
    end: int,
    episodes: Iterator[int],
    *,
    data: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Demonstration]:
    """Let the agents of the settings play, and return what is to be learned from it.

    Args:
        settings: Agents, episodes, environment and prompt.
        text: Tokenizer of the policy.
        end: Token that ends a response.
        episodes: Indices in the train split.
        data: Folder with the raw datasets.
        progress: Called with the number of episodes played and their total.

    Raises:
        UsageError: there is no such agent, or none of its trajectories is good enough.
    """
    chosen = settings.supervised
    players = [_Player(name, settings, text, end, data) for name in chosen.agents]
    found: list[Demonstration] = []
    best = 0.0
    for number in range(chosen.episodes):
        progress(number, chosen.episodes)
        score, shown = players[number % len(players)].play(next(episodes), settings.seed)
        best = max(best, score)
        if score >= chosen.least_score:
            found += shown
    progress(chosen.episodes, chosen.episodes)
    if not found:
        raise UsageError(
            f"no trajectory of {', '.join(chosen.agents)} has a score of at least "
            f"supervised.least_score = {chosen.least_score:g}; the best has {best:.3f}"
        )
    return found


class _Player:
    """An agent that plays to show how; see :func:`demonstrations`."""

    def __init__(
        self, name: str, settings: TrainSettings, text: LocalText, end: int, data: str
    ) -> None:
        self._agent = _agent(name, settings.supervised)
        given = {**settings.environment, "split": "train", "data": data}
        # The policy's view of the memory, not that of the agent: it has to act on what it sees.
        views = {key: value for key, value in given.items() if key.startswith("view_")}
        self._env = MemAlphaEnv(**{**settings_for(self._agent, given), **views})
        self._prompt = settings.prompt
        self._text = text
        self._end = end

    def play(self, episode: int, seed: int) -> tuple[float, list[Demonstration]]:
        """Return the score of an episode, and what was shown and done."""
        env, agent, chosen = self._env, self._agent, self._prompt
        observation, info = env.reset(seed=seed, options={"episode": episode})
        agent.reset(briefing_for(env, info, seed, privileged=agent.privileged))
        writing = WritingPrompts(
            briefing_for(env, info, seed),
            tool_format=chosen.tool_format,
            instructions=chosen.instructions,
            max_tokens=chosen.max_tokens,
        )
        shown: list[Demonstration] = []
        terminated = False
        while not terminated:
            prompt = self._prompt_ids(writing, observation, info)
            action = agent.act(observation, info)
            if prompt is not None:
                response = self._text.encode(action_text(action, chosen.tool_format))
                shown.append(Demonstration(prompt, (*response, self._end)))
            observation, _, terminated, _, info = env.step(action)
        return float(info["metrics"]["correctness"]), shown

    def _prompt_ids(
        self, writing: WritingPrompts, observation: Mapping[str, Any], info: Mapping[str, Any]
    ) -> tuple[int, ...] | None:
        chosen = self._prompt
        for messages in writing.prompts(observation, info):
            request = ChatRequest(
                tuple(messages),
                max_tokens=chosen.max_tokens,
                tools=writing.tools,
                template_options=chosen.template_options,
            )
            try:
                return self._text.prompt(request).ids
            except ContextLengthError:
                continue
        return None


def _agent(name: str, settings: SupervisedSettings) -> Agent:
    if name == Beginner.name:
        return Beginner()
    if ":" in name:
        kind: type[Agent] = import_class("agent", name, Agent)
        return kind()
    if name in AGENTS:
        if not settings.model and name not in BASELINES:
            raise UsageError(f'supervised.agents: "{name}" needs supervised.model')
        if settings.model:
            return AGENTS[name](Chat(model_settings(**settings.model)))
    if name in BASELINES:
        return BASELINES[name]()
    known = dict.fromkeys([Beginner.name, *BASELINES, *AGENTS])
    raise UsageError(f'supervised.agents: unknown agent "{name}": {nearest(name, known)}')


def action_text(action: Any, tool_format: str) -> str:
    """Return an action as a model would write it; text stays as it is.

    Args:
        action: Text, a message, or a sequence of calls ``{"name": ..., "arguments": ...}``.
        tool_format: ``markers``, or anything else for ``<tool_call>`` blocks.
    """
    if isinstance(action, str):
        return action
    if isinstance(action, Mapping):
        calls = [call["function"] for call in action.get("tool_calls") or ()]
        return str(action.get("content") or "") + _calls_text(calls, tool_format)
    return _calls_text(list(action), tool_format)


def _calls_text(calls: list[Mapping[str, Any]], tool_format: str) -> str:
    return "".join(_call_text(call, tool_format) for call in calls)


def _call_text(call: Mapping[str, Any], tool_format: str) -> str:
    arguments = call["arguments"]
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    if tool_format == "markers":
        shown = json.dumps(arguments, ensure_ascii=False)
        return f"✿FUNCTION✿: {call['name']}\n✿ARGS✿: {shown}\n"
    whole = {"name": call["name"], "arguments": arguments}
    return f"<tool_call>\n{json.dumps(whole, ensure_ascii=False)}\n</tool_call>\n"
