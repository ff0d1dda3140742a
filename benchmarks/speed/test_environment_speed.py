"""What the environment itself costs: overhead of a step, growth with memory, replay, vectors.

Every claim is a ratio of two things timed in turn in this process; steps per second are printed for
orientation only.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import gymnasium as gym
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import memgym  # noqa: F401 - registers the environments
from memgym.actions import parse_action
from memgym.benchmarks.speed.measure import Ratio, alternate, seconds, zipf_texts
from memgym.benchmarks.speed.published_memory import PublishedMemory
from memgym.bm25 import BM25Index
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode, Question
from memgym.memory import Memory
from memgym.reader import retrieve
from memgym.tokens import get_counter

CHUNKS, CALLS, QUESTIONS = 100, 10, 200


def report(benchmark: BenchmarkFixture, name: str, ratio: Ratio) -> None:
    benchmark.extra_info["ratio"] = round(ratio.median, 3)
    print(f"\n{name}: {ratio}")  # noqa: T201


def measure(benchmark: BenchmarkFixture, action: Callable[..., Any], **options: Any) -> None:
    """Let pytest-benchmark time ours by itself (its own signature is untyped)."""
    benchmark.pedantic(action, **options)  # type: ignore[no-untyped-call]


def insert(content: str, store: str = "semantic") -> dict[str, Any]:
    return {"name": "new_memory_insert", "arguments": {"memory_type": store, "content": content}}


def long_episode(chunks: int, characters: int = 3_000) -> Episode:
    texts = zipf_texts(chunks, (600, 600), seed=1)
    return Episode(
        "speed", "speed", "accurate_retrieval", tuple(text[:characters] for text in texts),
        (Question("which word?", ("none",)),),
    )  # fmt: skip


def fresh_items(count: int, seed: int) -> list[str]:
    return [f"{text} number {n}" for n, text in enumerate(zipf_texts(count, (20, 60), seed))]


def environment(episode: Episode, items: int) -> MemAlphaEnv:
    env = MemAlphaEnv(source_options={"tokens": 1_000}, max_calls=100_000)
    env.reset(seed=0, options={"episode": episode})
    if items:
        env.step([insert(text) for text in fresh_items(items, seed=items)])
    return env


def test_step_overhead(benchmark: BenchmarkFixture) -> None:
    """A step with 5 calls on a 3,000-character chunk against the sum of its own parts.

    The bound of 2 holds with the view's look-up of relevant items among the parts. Against token
    counting, indexing and validation alone it is not reached; that ratio is printed beside it.
    """
    steps = 150
    episode = long_episode(steps + 2)
    contents = fresh_items(5 * steps * 12, seed=7)
    actions = [[insert(text) for text in contents[n : n + 5]] for n in range(0, len(contents), 5)]
    count = get_counter().count

    def whole(number: int) -> float:
        env = environment(episode, items=30)
        chosen = actions[number * steps : (number + 1) * steps]
        return seconds(lambda: [env.step(action) for action in chosen]) / steps

    def parts(number: int, *, look_up: bool = True) -> float:
        index = BM25Index()
        for n, text in enumerate(fresh_items(30, seed=30)):
            index.insert(f"s{n}", text)
        chosen = actions[number * steps : (number + 1) * steps]

        def run() -> None:
            for step, action in enumerate(chosen):
                parse_action(action, max_calls=256)
                for n, call in enumerate(action):
                    count(call["arguments"]["content"])
                    index.insert(f"{step}/{n}", call["arguments"]["content"])
                count(episode.chunks[step + 1])
                # Inserts defer their counting to the next read, so there is one in any case.
                index.relevant(episode.chunks[step + 1] if look_up else "", 10)

        return seconds(run) / steps

    ratio = alternate(whole, parts, rounds=7)
    strict = alternate(whole, partial(parts, look_up=False), rounds=7)
    benchmark.extra_info["ratio_without_look_up"] = round(strict.median, 3)
    print(f"\na step / counting + indexing + validation alone: {strict}")  # noqa: T201
    report(benchmark, "a step / its own parts, look-up included", ratio)
    env = environment(episode, items=30)
    measure(benchmark, env.step, setup=lambda: ((actions.pop(),), {}), rounds=100)
    assert ratio.median <= 2.0


def test_a_step_at_ten_thousand_items(benchmark: BenchmarkFixture) -> None:
    """The bounded view and the incremental index keep a step's cost flat."""
    episode = long_episode(400)
    fresh = fresh_items(4_000, seed=9)

    def at(items: int) -> Callable[[int], float]:
        env = environment(episode, items)
        env.step([insert("the first search builds the index")])

        def run(number: int) -> float:
            chosen = fresh[number * 200 : (number + 1) * 200]
            actions = [[insert(text) for text in chosen[n : n + 5]] for n in range(0, 200, 5)]
            return seconds(lambda: [env.step(action) for action in actions])

        return run

    ratio = alternate(at(10_000), at(100), rounds=7)
    report(benchmark, "a step at 10,000 items / at 100", ratio)
    big = environment(episode, 10_000)
    measure(benchmark, big.step, args=([insert("one more")],), rounds=20)
    assert ratio.median <= 1.5


def recorded_calls() -> list[list[dict[str, Any]]]:
    """Return 100 chunks of 10 calls: 70 % inserts, 20 % updates, 10 % deletes, ids as ours."""
    draw = Random("replay")
    contents = iter(fresh_items(CHUNKS * CALLS, seed=3))
    live: dict[str, list[str]] = {"semantic": [], "episodic": []}
    made = {"semantic": 0, "episodic": 0}
    steps = []
    for _ in range(CHUNKS):
        calls = []
        for _ in range(CALLS):
            store = draw.choice(["semantic", "episodic"])
            kind = draw.random()
            if kind < 0.7 or not live[store]:
                made[store] += 1
                live[store].append(f"{store[0]}{made[store]}")
                calls.append(insert(next(contents), store))
            elif kind < 0.9:
                arguments = {"memory_id": draw.choice(live[store]), "new_content": next(contents)}
                calls.append(
                    {"name": "memory_update", "arguments": {"memory_type": store, **arguments}}
                )
            else:
                gone = live[store].pop(draw.randrange(len(live[store])))
                arguments = {"memory_type": store, "memory_id": gone}
                calls.append({"name": "memory_delete", "arguments": arguments})
        steps.append(calls)
    return steps


def replay_ours(lines: list[str], questions: list[str]) -> list[list[str]]:
    memory = Memory()
    for line in lines:
        for call in parse_action(line, max_calls=256).calls:
            arguments = call.arguments  # type: ignore[union-attr]
            if call.name == "new_memory_insert":
                memory.insert(arguments["memory_type"], arguments["content"])
            elif call.name == "memory_update":
                memory.update(
                    arguments["memory_type"], arguments["new_content"], arguments["memory_id"]
                )
            else:
                memory.delete(arguments["memory_type"], arguments["memory_id"])
    assert memory.total_tokens
    memory.digest()
    return [
        [found.content for found in retrieve(memory, question, top_k=20, budget_tokens=10**9)]
        for question in questions
    ]


def replay_published(lines: list[str], questions: list[str]) -> list[list[str]]:
    memory = PublishedMemory()
    ids: dict[str, str] = {}
    made = {"semantic": 0, "episodic": 0}
    for line in lines:
        for call in json.loads(line):
            arguments = dict(call["arguments"])
            store = arguments["memory_type"]
            if "memory_id" in arguments:
                arguments["memory_id"] = ids[arguments["memory_id"]]
            touched = memory.apply(call["name"], arguments)
            if call["name"] == "new_memory_insert":
                made[store] += 1
                ids[f"{store[0]}{made[store]}"] = touched
    assert memory.total_tokens()
    return [memory.answer(question) for question in questions]


def test_replay(benchmark: BenchmarkFixture) -> None:
    """100 chunks of 10 calls and 200 questions: parse, validate, apply, count, search, digest."""
    lines = [json.dumps(calls) for calls in recorded_calls()]
    questions = zipf_texts(QUESTIONS, (12, 12), seed=5)
    assert [sorted(found) for found in replay_ours(lines, questions)] == [
        sorted(found) for found in replay_published(lines, questions)
    ]
    ratio = alternate(
        lambda _: seconds(lambda: replay_published(lines, questions)),
        lambda _: seconds(lambda: replay_ours(lines, questions)),
    )
    report(benchmark, "replay, published / ours", ratio)
    measure(benchmark, replay_ours, args=(lines, questions), rounds=5)
    assert ratio.median >= 40


@pytest.mark.parametrize("mode", ["single", "sync", "async"])
def test_steps_per_second(benchmark: BenchmarkFixture, mode: str) -> None:
    """Steps per second over all environments, 5 inserts a step; figures, not a claim."""
    settings: dict[str, Any] = {"source_options": {"tokens": 200_000, "chunk_tokens": 700}}
    contents = fresh_items(5_000, seed=8)
    number = 1 if mode == "single" else 8
    if mode == "single":
        env: Any = gym.make("MemAlpha-v0", **settings)
    else:
        env = gym.make_vec("MemAlpha-v0", number, vectorization_mode=mode, **settings)
    env.reset(seed=0)
    cursor = 0

    def action() -> Any:
        nonlocal cursor
        cursor = (cursor + 5) % 5_000
        calls = [insert(text) for text in contents[cursor : cursor + 5]]
        return calls if number == 1 else [calls] * number

    begin, steps = time.perf_counter(), 100
    for _ in range(steps):
        env.step(action())
    rate = steps * number / (time.perf_counter() - begin)
    benchmark.extra_info["steps_per_second"] = round(rate)
    print(f"\n{mode}, {number} environment(s): {rate:,.0f} environment steps per second")  # noqa: T201
    measure(benchmark, env.step, setup=lambda: ((action(),), {}), rounds=20)
    env.close()
    assert rate > 0
