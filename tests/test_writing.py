"""The prompt with which a model writes its memory, as ``prompt_only`` and the learner use it."""

from typing import Any

import pytest

from memgym.agents.chat import ChatReply
from memgym.agents.writing import INSTRUCTIONS, Instructions, WritingPrompts, reply_action
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.evaluation import briefing_for
from tests.episodes import CHUNKS, village
from tests.grpo_small import block, insert


def begun(
    instructions: Instructions = "full", tool_format: str = "hermes", **settings: Any
) -> tuple[MemAlphaEnv, WritingPrompts, dict[str, Any], dict[str, Any]]:
    env = MemAlphaEnv(**settings)
    observation, info = env.reset(options={"episode": village()})
    writing = WritingPrompts(
        briefing_for(env, info, 0),
        tool_format=tool_format,
        instructions=instructions,
        max_tokens=100,
    )
    return env, writing, observation, info


def test_instructions_can_be_left_out() -> None:
    assert INSTRUCTIONS == ("full", "none")
    _, writing, observation, info = begun("none")
    (message,) = next(writing.prompts(observation, info))
    assert message["role"] == "user"
    assert message["content"] == (
        f"The piece to read now:\n{CHUNKS[0]}\n\nYour memory so far:\n{observation['memory']}"
    )
    _, writing, *_ = begun("full")
    system, user = next(writing.prompts(observation, info))
    assert user == message
    assert "under 80 tokens" in system["content"]


def test_the_chunk_comes_before_the_memory_so_that_a_group_shares_the_beginning() -> None:
    env, writing, *_ = begun("none")
    observation, _, _, _, info = env.step(insert("Ada runs a bakery."))
    (message,) = next(writing.prompts(observation, info))
    shown = message["content"]
    assert shown.index(CHUNKS[1]) < shown.index("Ada runs a bakery.")
    assert CHUNKS[0] not in shown


def test_results_are_those_of_this_chunk_alone() -> None:
    env, writing, observation, info = begun("none", turns_per_chunk=3)
    next(writing.prompts(observation, info))
    shown = []
    for action in (block("search_memory", query="a"), block("search_memory", query="b"), ""):
        observation, _, _, _, info = env.step(action)
        (message,) = next(writing.prompts(observation, info))
        shown.append(message["content"])
    assert [text.count("ok: search_memory") for text in shown] == [1, 2, 0]
    assert CHUNKS[1] in shown[2]


@pytest.mark.parametrize(("tool_format", "tools"), [("hermes", 0), ("markers", 0), ("native", 4)])
def test_schemas_go_along_with_native_calls_only(tool_format: str, tools: int) -> None:
    _, writing, *_ = begun(tool_format=tool_format)
    assert len(writing.tools) == tools


def test_prompts_get_shorter_and_end() -> None:
    _, writing, observation, info = begun("none")
    found = list(writing.prompts({**observation, "chunk": "word " * 300}, info))
    lengths = [len(messages[0]["content"]) for messages in found]
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) == len(lengths) > 3
    assert "word" in found[-1][0]["content"]


def test_a_reply_is_an_action_with_its_calls() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert reply_action(ChatReply("text", tool_calls=(call,))) == {
        "role": "assistant",
        "content": "text",
        "tool_calls": [call],
    }
