"""What an episode pays: once per chunk, and in the order of how well questions are answered."""

import pytest

from memgym.baselines import BASELINES
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.evaluation import environment_for, play_episode
from tests.test_env import begin, insert, make, search


def search_only(env: MemAlphaEnv) -> float:
    total, done = 0.0, False
    while not done:
        _, reward, done, _, _ = env.step([search("anything")])
        total += reward
    return total


def test_the_return_ranks_policies_as_their_answers_do() -> None:
    totals = dict.fromkeys(["oracle", "sentences", "flat", "searching"], 0.0)
    for index in range(4):
        for name in ("oracle", "sentences", "flat"):
            env = environment_for(BASELINES[name], split="test")
            totals[name] += play_episode(BASELINES[name](), env, index).reward
        env = make(split="test", source_options={})
        env.reset(options={"episode": index})
        totals["searching"] += search_only(env)
    assert totals["oracle"] > totals["sentences"] > totals["flat"] > totals["searching"]


def test_a_chunk_is_paid_once_however_many_turns_it_takes() -> None:
    env = make(turns_per_chunk=3)
    begin(env)
    _, first, *_, info = env.step([insert("Ada Holm opened a bakery."), search("bakery")])
    assert (first, info["reward_terms"]["format"]) == (0.0, 0.0)
    _, second, *_, info = env.step([{"name": "memory_delete", "arguments": {}}])
    assert info["reward_terms"]["format"] == 0.5  # one of two writing calls, the search aside
    assert second == pytest.approx((0.5 + 0.1 * info["reward_terms"]["content"]) / 3)


def test_searching_alone_is_no_writing() -> None:
    env = make(turns_per_chunk=2)
    begin(env)
    env.step([search("a")])
    *_, info = env.step([search("a")])
    assert info["chunk_index"] == 1
    assert (info["reward_terms"]["format"], info["reward_terms"]["content"]) == (0.0, 0.0)


def test_the_paper_rules_pay_every_chunk_in_full() -> None:
    env = make(preset="paper")
    begin(env)
    _, reward, *_ = env.step([insert("Ada Holm opened a bakery.")])
    assert reward == pytest.approx(1.1)
