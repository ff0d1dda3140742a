"""What Gymnasium expects of every registered id: checked for each id and render mode."""

import json
import os
import pickle
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import memgym

OURS = sorted(name for name, spec in gym.registry.items() if "memgym" in str(spec.entry_point))
IDS = [name for name in OURS if name != "MemAlphaNumeric-v0"]  # see test_numeric.py
SMALL: dict[str, Any] = {
    "source_options": {"tokens": 1_000, "chunk_tokens": 400, "questions": 3},
}


def test_the_ids_are_registered() -> None:
    assert OURS == ["MemAlpha-v0", "MemAlphaNumeric-v0", "MemAlphaText-v0"]
    assert memgym.__version__


@pytest.mark.parametrize("render_mode", [None, "ansi", "human"])
@pytest.mark.parametrize("answer_mode", ["reader", "agent"])
@pytest.mark.parametrize("name", IDS)
def test_check_env_without_any_warning(
    name: str, answer_mode: str, render_mode: str | None, recwarn: pytest.WarningsRecorder
) -> None:
    env = gym.make(name, render_mode=render_mode, answer_mode=answer_mode, **SMALL)
    check_env(env.unwrapped, skip_render_check=False)
    assert not [str(warning.message) for warning in recwarn]
    env.close()
    env.close()


def rollout(env: gym.Env[Any, Any], steps: int, seed: int) -> list[Any]:
    """Play random valid actions and return everything that was seen, as JSON."""
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    seen: list[Any] = [plain([observation, info])]
    for _ in range(steps):
        *outcome, info = env.step(env.action_space.sample())
        seen.append(plain([*outcome, info]))
        if outcome[2]:
            seen.append(plain(env.reset()))
    return seen


def plain(value: Any) -> Any:
    """Return a value as JSON values."""

    def default(item: Any) -> Any:
        return item.tolist() if isinstance(item, (np.ndarray, np.generic)) else str(item)

    return json.loads(json.dumps(value, default=default))


@pytest.mark.parametrize("name", IDS)
def test_two_environments_agree_over_fifty_steps(name: str) -> None:
    one, two = gym.make(name, **SMALL), gym.make(name, **SMALL)
    assert rollout(one, 50, seed=11) == rollout(two, 50, seed=11)


ROLLOUT_DIGEST = """
import hashlib, json, sys
import gymnasium as gym
import memgym
from tests.test_gymnasium import SMALL, rollout
env = gym.make(sys.argv[1], **SMALL)
print(hashlib.sha256(json.dumps(rollout(env, 20, seed=5)).encode()).hexdigest())
"""


@pytest.mark.parametrize("name", IDS)
def test_processes_with_different_hash_seeds_agree(name: str) -> None:
    digests = set()
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", ROLLOUT_DIGEST, name],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("name", IDS)
def test_the_spec_survives_json_and_pickle(name: str) -> None:
    env = gym.make(name, preset="paper", memory_budget=0.5, **SMALL)
    assert env.spec is not None
    rebuilt = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert rebuilt.unwrapped.settings == env.unwrapped.settings  # type: ignore[attr-defined]
    assert rebuilt.action_space == env.action_space
    assert rebuilt.observation_space == env.observation_space
    assert pickle.loads(pickle.dumps(env.spec)) == env.spec
    assert rollout(env, 5, seed=2) == rollout(rebuilt, 5, seed=2)


def vector_rollout(envs: Any, steps: int) -> list[Any]:
    envs.action_space.seed(3)
    observations, info = envs.reset(seed=3)
    seen = [plain([list(observations["chunk"]), observations["progress"], info["n_chunks"]])]
    for _ in range(steps):
        observations, rewards, terminated, truncated, info = envs.step(envs.action_space.sample())
        texts = [list(observations[key]) for key in ("chunk", "feedback", "memory")]
        seen.append(plain([texts, observations["progress"], rewards, terminated, truncated]))
    envs.close()
    return seen


@pytest.mark.parametrize("mode", list(AutoresetMode)[:2])
@pytest.mark.parametrize("name", IDS)
def test_vector_environments_agree(name: str, mode: AutoresetMode) -> None:
    def make() -> gym.Env[Any, Any]:
        return gym.make(name, **SMALL)

    sync = vector_rollout(SyncVectorEnv([make] * 2, autoreset_mode=mode), 8)
    shared = vector_rollout(AsyncVectorEnv([make] * 2, autoreset_mode=mode), 8)
    piped = vector_rollout(AsyncVectorEnv([make] * 2, shared_memory=False, autoreset_mode=mode), 8)
    assert sync == shared == piped
    assert all(len(text) > 100 for text in sync[0][0])  # real text, not zeroed buffers


def test_autoreset_can_be_left_to_the_caller() -> None:
    envs = SyncVectorEnv(
        [lambda: gym.make("MemAlpha-v0", **SMALL)] * 2, autoreset_mode=AutoresetMode.DISABLED
    )
    envs.reset(seed=1)
    done = np.zeros(2, dtype=bool)
    while not done.all():
        *_, terminated, _, _ = envs.step([(), ()])
        done |= terminated
    observations, _ = envs.reset(options={"reset_mask": done})
    assert all(observations["chunk"])


def test_vector_actions_reach_their_own_environment() -> None:
    envs = gym.make_vec("MemAlpha-v0", 2, **SMALL)
    envs.reset(seed=0)
    *_, info = envs.step(['{"name": "no_such"}', ()])
    assert info["n_calls"].tolist() == [1, 0]


def test_statistics_wrapper_and_info_types() -> None:
    env = gym.wrappers.RecordEpisodeStatistics(gym.make("MemAlpha-v0", **SMALL))
    _, info = env.reset(seed=0)
    terminated = False
    while not terminated:
        *_, terminated, _, info = env.step(env.action_space.sample())
        assert {type(value) for value in info["reward_terms"].values()} == {float}
        for key in ("chunk_index", "memory_items", "memory_tokens", "n_calls", "n_valid_calls"):
            assert type(info[key]) is int
        assert not any(key.startswith("_") for key in info)
    assert info["episode"]["l"] >= 1
    assert {type(value) for value in info["metrics"].values()} == {float}


def test_masked_samples_are_legal_in_the_current_state() -> None:
    env = gym.make("MemAlpha-v0", turns_per_chunk=1, source_options={"tokens": 30_000})
    env.reset(seed=0)
    env.action_space.seed(0)
    base: Any = env.unwrapped
    for _ in range(10):
        action = env.action_space.sample(mask=base.action_mask())
        *_, info = env.step(action)
        problems = [r["message"] for r in info["tool_results"] if r["status"] == "error"]
        assert not problems


def test_importing_memgym_is_light() -> None:
    code = (
        "import sys, memgym; heavy = {'torch', 'transformers', 'datasets', 'pyarrow', 'pandas', "
        "'rich', 'splintr', 'stable_baselines3', 'ray', 'vllm'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "assert not [m for m in sys.modules if m.startswith('memgym.envs.')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
