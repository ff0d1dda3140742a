"""100,000 random and malformed actions: no exception, and the memory stays consistent.

Their number is what counts, and a traced line costs twice as much: coverage is of the other tests.
"""

import json
import random
from typing import Any

import pytest

from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode, Question
from memgym.memory import STORES
from memgym.tokens import get_counter
from memgym.tools import TOOL_NAMES

TOTAL, SHARDS = 100_000, 10

WORDS = [
    *(
        "Ada",
        "bees",
        "s1",
        "e2",
        "core",
        "semantic",
        "你好",
        "\ud83d",
        "",
        " ",
        "\x00",
        "{",
        "}",
        '"',
    ),
    *(
        "\\",
        "<tool_call>",
        "</tool_call>",
        "✿FUNCTION✿",
        "<think>",
        "\\boxed{3}",
        "NaN",
        "[",
        "null",
    ),
]
NAMES = [*TOOL_NAMES, "memory_updat", "", "✿", "new_memory_insert ", "__class__", None, 7]
KEYS = [*"memory_type content new_content memory_id query top_k text extra".split(), ""]


def junk(draw: random.Random, depth: int = 0) -> Any:
    """Return an arbitrary JSON-like value."""
    kind = draw.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return draw.choice([None, True, False, float("nan"), float("inf"), -1, 10**30, 0.5])
    if kind <= 3:
        return " ".join(draw.choices(WORDS, k=draw.randrange(6)))
    if kind <= 5:
        return draw.choice(
            ["semantic", "episodic", "core", "s1", "s2", "e1", "core_memory", "Semantic"]
        )
    if kind == 6:
        return [junk(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {draw.choice(KEYS): junk(draw, depth + 1) for _ in range(draw.randrange(5))}


def nearly_valid(draw: random.Random) -> dict[str, Any]:
    """Return a call that is right or slightly wrong."""
    store = draw.choice(["semantic", "episodic", "core", "semantic_memory", "procedural", ""])
    arguments: dict[str, Any] = {
        "memory_type": store,
        draw.choice(["content", "new_content", "text", "query"]): draw.choice(WORDS)
        * draw.randrange(9),
        "memory_id": draw.choice(["s1", "s2", "e1", "e3", "s-1", "", None]),
    }
    for key in draw.sample(sorted(arguments), k=draw.randrange(2)):
        del arguments[key]
    call = {"name": draw.choice(NAMES), "arguments": arguments}
    if draw.random() < 0.1:
        call["arguments"] = json.dumps(arguments)
    if draw.random() < 0.1:
        return {"id": "c1", "type": "function", "function": call}
    return call


def broken_text(draw: random.Random) -> str:
    """Return model text with a call in it, cut, doubled or mangled."""
    text = json.dumps(nearly_valid(draw), ensure_ascii=draw.random() < 0.5)
    style = draw.randrange(6)
    if style == 0:
        text = f"<tool_call>\n{text}\n</tool_call>" * draw.randrange(1, 4)
    elif style == 1:
        text = text[: draw.randrange(len(text) + 1)]
    elif style == 2:
        text = f"✿FUNCTION✿: {draw.choice(NAMES)}\n✿ARGS✿: {text}\n✿RESULT✿: ok"
    elif style == 3:
        position = draw.randrange(len(text) + 1)
        text = text[:position] + draw.choice(WORDS) + text[position:]
    elif style == 4:
        text = f"Sure! ```json\n[{text}, {text}]\n``` Done."
    return text if draw.random() < 0.95 else "[" * draw.randrange(3_000) + text


def hostile_action(draw: random.Random) -> Any:
    kind = draw.randrange(5)
    if kind == 0:
        return [junk(draw) for _ in range(draw.randrange(4))]
    if kind == 1:
        return {"name": junk(draw), "arguments": junk(draw)}
    if kind == 2:
        return [nearly_valid(draw) for _ in range(draw.randrange(1, 4))]
    if kind == 3:
        return broken_text(draw)
    return draw.choice([(), [], "", None, "Done.", {}, [[]], [None], "null", "3", '"x"'])


def endless_episode(questions: int) -> Episode:
    chunks = tuple(f"Chunk {n} says that Ada keeps {n} bees." for n in range(400))
    asked = tuple(
        Question(f"How many bees in chunk {n}?", (str(n),), asked_after=n) for n in range(questions)
    )
    return Episode("hostile", "hostile", "accurate_retrieval", chunks, asked)


@pytest.mark.no_cover
@pytest.mark.parametrize("shard", range(SHARDS))
def test_hostile_actions_leave_a_consistent_memory(shard: int) -> None:
    draw = random.Random(f"hostile/{shard}")
    agent_answers = shard % 2 == 1
    env = MemAlphaEnv(
        source_options={"tokens": 1_000},
        answer_mode="agent" if agent_answers else "reader",
        memory_budget=300 if shard % 3 == 0 else 0,
        core_capacity=20,
        core_overflow="reject" if shard % 4 == 0 else "truncate",
        turns_per_chunk=1 + shard % 3,
    )
    episode, done = endless_episode(questions=5), True
    for step in range(TOTAL // SHARDS):
        if done:
            env.reset(seed=step, options={"episode": episode})
        observation, reward, done, truncated, info = env.step(hostile_action(draw))
        assert isinstance(reward, float)
        assert truncated is False
        assert info["n_valid_calls"] <= info["n_calls"] == len(info["tool_results"])
        assert all(result["message"] for result in info["tool_results"])
        if step % 200 == 0 or done:
            assert env.observation_space.contains(observation)
            check_consistency(env)


def check_consistency(env: MemAlphaEnv) -> None:
    memory, count = env.memory, get_counter().count
    texts = [text for store in STORES for text in memory.items(store).values()]
    assert memory.total_tokens == count(memory.core) + sum(map(count, texts))
    assert count(memory.core) <= 20
    assert not memory.budget_tokens or memory.total_tokens <= memory.budget_tokens
    assert all(text.strip() for text in texts)
    snapshot = json.loads(json.dumps(memory.snapshot()))
    restored = env.settings.memory(0)
    restored.restore(snapshot)
    assert restored.digest() == memory.digest()
    for store in STORES:
        for memory_id, text in list(memory.items(store).items())[:3]:
            held = {found.memory_id for found in memory.search(text, store, len(texts))}
            assert memory_id in held
