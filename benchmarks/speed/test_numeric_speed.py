"""What the numeric form costs per sentence, beside the text form that it plays.

The bound is a ratio: the numeric form against the text form on the same episodes with the same
calls, timed in turn. Micro-steps per second are printed for orientation, each for a named policy:
with the texts and their features kept (the environment alone), with features made on the way, and
with the texts made on the way, too, which is what training on endless episodes pays. The policies
themselves take next to no time, but every rate includes the questions at the end of an episode.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeAlias

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from memgym.benchmarks.speed.measure import alternate, seconds
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.envs.numeric import MemAlphaNumericEnv
from memgym.episode import Episode
from memgym.tasks.registry import load_source

EPISODES, BUDGET = 8, 0.25
SKIP, INSERT = 0, 1
Policy: TypeAlias = Callable[[int, Any, Random], int]  # of the number of the step and the mask


def write_some(every: int) -> Policy:
    """Return a policy that inserts one of ``every`` sentences while it fits."""
    return lambda step, mask, _: INSERT if step % every == 0 and mask[INSERT] else SKIP


def draw(_: int, mask: Any, random: Random) -> int:
    """Return any action that is allowed: how a policy begins to learn."""
    allowed: list[int] = mask.nonzero()[0].tolist()
    return random.choice(allowed)


# All that fit is what "sentences" writes, a fourth is what one does that chooses under this budget.
POLICIES: dict[str, Policy] = {
    "draws among the allowed": draw,
    "writes a fourth": write_some(4),
    "writes all that fits": write_some(1),
    "writes nothing": lambda *_: SKIP,
}


@functools.cache
def episodes() -> tuple[Episode, ...]:
    """Return episodes of the four abilities, 8,000 tokens each, whose text is made already."""
    source = load_source("procedural", "train", {}, None)
    made = (source.episode(number) for number in range(EPISODES))
    return tuple(replace(episode, chunks=tuple(episode.chunks)) for episode in made)


def play(env: MemAlphaNumericEnv, played: Sequence[Any], policy: Policy) -> tuple[int, list[Any]]:
    """Play episodes to their end; return the number of micro-steps and the calls of each chunk."""
    steps, recorded, random = 0, [], Random(0)
    for episode in played:
        _, info = env.reset(options={"episode": episode})
        terminated = False
        while not terminated:
            action = policy(steps, info["action_mask"], random)
            _, _, terminated, _, info = env.step(action)
            steps += 1
            if "tool_calls" in info:
                recorded.append(info["tool_calls"])
    return steps, recorded


def replay(env: MemAlphaEnv, recorded: Sequence[Any]) -> None:
    """Play the same episodes in the text form."""
    calls = iter(recorded)
    for episode in episodes():
        env.reset(options={"episode": episode})
        terminated = False
        while not terminated:
            _, _, terminated, _, _ = env.step(next(calls))


@pytest.mark.parametrize("name", POLICIES)
def test_micro_steps(benchmark: BenchmarkFixture, name: str) -> None:
    """Reading sentence by sentence adds less than three times what the text form costs."""
    policy = POLICIES[name]
    env = MemAlphaNumericEnv(memory_budget=BUDGET)
    text = MemAlphaEnv(memory_budget=BUDGET, view_recent=0, view_relevant=0)
    steps, recorded = play(env, episodes(), policy)

    def numeric(_: int) -> float:
        return seconds(lambda: play(env, episodes(), policy))

    def fresh(number: int) -> float:
        other = MemAlphaNumericEnv(memory_budget=BUDGET)
        return seconds(lambda: play(other, episodes(), policy))

    ratio = alternate(numeric, lambda _: seconds(lambda: replay(text, recorded)), rounds=5)
    rates = {
        "texts and features met before": steps / min(map(numeric, range(3))),
        "texts made, features not": steps / min(map(fresh, range(3))),
        "texts made on the way, too": steps
        / seconds(lambda: play(env, range(1_000, 1_000 + EPISODES), policy)),
    }
    print(f"\n{name}: numeric / text form, same calls: {ratio}")  # noqa: T201
    for what, rate in rates.items():
        print(f"  {what}: {rate:,.0f} micro-steps per second")  # noqa: T201
        benchmark.extra_info[what] = round(rate)
    benchmark.extra_info["ratio"] = round(ratio.median, 3)
    benchmark.pedantic(numeric, args=(0,), rounds=3)  # type: ignore[no-untyped-call]
    if any(recorded):  # without a call the text form does next to nothing
        assert ratio.median <= 3.0
