"""What a group of rollouts shares stands first in every prompt, so that a server can cache it."""

import json
from collections import defaultdict
from typing import Any

import gymnasium as gym
import pytest

from memgym.agents import AGENTS
from memgym.agents.chat import ChatRequest
from memgym.agents.llm_agent import LLMAgent
from memgym.agents.prompt_only import PromptOnly
from memgym.episode import Episode, Question
from memgym.evaluation import environment_for, play_episode
from tests.scripted import prompt_text, scripted_chat

CHUNKS = (
    "The first piece: Ada Holm opened a bakery in Lund on 3 May 2031.",
    "The second piece: Ben Holm works in Alder Hall, says the porter of the Hall.",
    "The third piece: Cleo Berg sells honey by the north gate of the town.",
)
SMALL: dict[str, Any] = {"source_options": {"tokens": 1_000, "chunk_tokens": 300, "questions": 4}}
WITHOUT_READING_CALLS = ("long_context", "rag", "memagent_per_question", "closed_book")


class Notes(gym.Wrapper[Any, Any, Any, Any]):
    """Begins an episode at its second chunk, with a memory that another rollout does not have."""

    def __init__(self, env: gym.Env[Any, Any], rollout: str) -> None:
        super().__init__(env)
        self.rollout = rollout
        self.chunk = ""  # what is being read now, "" while questions are asked

    def reset(self, **given: Any) -> tuple[Any, dict[str, Any]]:
        _, info = super().reset(**given)
        calls = [
            {
                "name": "new_memory_insert",
                "arguments": {"memory_type": kind, "content": f"{self.rollout} thinks so."},
            }
            for kind in ("core", "semantic", "episodic")
        ]
        observation, *_, step_info = self.step(calls)
        return observation, {**info, **step_info}

    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        self.chunk = observation["chunk"]
        return observation, *rest


def asked(cls: type[LLMAgent], rollout: str, **model: Any) -> dict[str, list[ChatRequest]]:
    """Return what is asked while the second and the third chunk are read, by chunk."""
    found: dict[str, list[ChatRequest]] = defaultdict(list)

    def reply(request: ChatRequest) -> str:
        if env.chunk:
            found[env.chunk].append(request)
        return "Done."

    chat, _ = scripted_chat(reply, **model)
    episode = Episode(
        "e", "e", "accurate_retrieval", CHUNKS, (Question("Where is the bakery?", ("Lund",)),)
    )
    agent = cls(chat)
    env = Notes(environment_for(agent, **SMALL), rollout)
    play_episode(agent, env, episode)
    return found


def rendered(request: ChatRequest) -> str:
    """Return the prompt as a chat template puts it together: tools, then messages in order."""
    return json.dumps([dict(tool) for tool in request.tools]) + "\n" + prompt_text(request)


def shared(one: str, two: str) -> str:
    """Return the common prefix of two prompts."""
    pairs = enumerate(zip(one, two, strict=False))
    return one[: next((n for n, (a, b) in pairs if a != b), min(len(one), len(two)))]


@pytest.mark.parametrize("name", AGENTS)
def test_rollouts_share_instructions_tools_and_chunk(name: str) -> None:
    one, two = asked(AGENTS[name], "Ada"), asked(AGENTS[name], "Somebody else")
    assert list(one) == list(two) == ([] if name in WITHOUT_READING_CALLS else list(CHUNKS[1:]))
    for chunk in one:
        first, other = one[chunk][0], two[chunk][0]
        assert first.messages[0] == other.messages[0]
        assert first.tools == other.tools
        common = shared(rendered(first), rendered(other))
        assert str(first.messages[0]["content"]) in common
        assert chunk in common
        assert "Ada thinks" not in common


@pytest.mark.parametrize("name", AGENTS)
def test_chunks_share_the_system_message_and_the_tools(name: str) -> None:
    for first, second in zip(*asked(AGENTS[name], "Ada").values(), strict=False):
        assert first.messages[0] == second.messages[0]
        assert first.tools == second.tools


@pytest.mark.parametrize("tool_format", ["hermes", "markers", "native"])
def test_prompt_only_differs_after_the_chunk_in_its_memory_alone(tool_format: str) -> None:
    one = asked(PromptOnly, "Ada", tool_format=tool_format)
    two = asked(PromptOnly, "Somebody else", tool_format=tool_format)
    for chunk in CHUNKS[1:]:
        [first], [other] = one[chunk], two[chunk]
        assert rendered(first) != rendered(other)
        assert rendered(first).replace("Ada thinks", "Somebody else thinks") == rendered(other)
        assert rendered(first).index(chunk) < rendered(first).index("Ada thinks")
        assert "new_memory_insert" in shared(rendered(first), rendered(other))
