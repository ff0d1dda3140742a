"""``MemAlphaNumeric-v0`` before the checkers, vectors and learners of Gymnasium and SB3."""

import json
import os
import subprocess
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import memgym  # noqa: F401 - registers the environments
from memgym.errors import UsageError
from tests.numeric_forms import FORMS, SMALL, numeric, play


def checked_by_sb3(env: Any) -> None:
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    sb3_check_env(env)


@pytest.mark.parametrize("form", FORMS)
def test_both_checkers_are_content(form: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make("MemAlphaNumeric-v0", render_mode="ansi", **SMALL, **form)
        check_env(env.unwrapped)
        checked_by_sb3(env)
        env.close()


@pytest.mark.parametrize("form", FORMS)
def test_observations_lie_in_their_space(form: dict[str, Any]) -> None:
    env = numeric(**form, memory_budget=0.3)
    env.action_space.seed(0)
    observation, _ = env.reset(seed=4)
    seen = [observation]
    terminated = False
    while not terminated:
        observation, _, terminated, *_ = env.step(env.action_space.sample())
        seen.append(observation)
    assert all(observation in env.observation_space for observation in seen)


def test_the_dict_holds_the_parts_of_the_box_in_its_order() -> None:
    box, parts = numeric(), numeric(observation="dict")
    for (one, *_), (several, *_) in zip(play(box, 2), play(parts, 2), strict=True):
        assert list(several) == list(parts.observation_space)  # type: ignore[call-overload]
        assert np.array_equal(np.concatenate(list(several.values())), one)


@pytest.mark.parametrize("form", FORMS)
def test_the_spec_survives_json(form: dict[str, Any]) -> None:
    env = gym.make("MemAlphaNumeric-v0", memory_budget=0.5, words=32, **SMALL, **form)
    assert env.spec is not None
    rebuilt = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert rebuilt.unwrapped.settings == env.unwrapped.settings  # type: ignore[attr-defined]
    assert rebuilt.action_space == env.action_space
    assert rebuilt.observation_space == env.observation_space


def rollout(env: Any, steps: int) -> list[Any]:
    """Return what so many steps show, as JSON values."""
    env.action_space.seed(1)
    observation, info = env.reset(seed=1)
    seen = [observation.tolist(), info["action_mask"].tolist()]
    for _ in range(steps):
        action = env.action_space.sample(info["action_mask"])
        observation, reward, terminated, _, info = env.step(action)
        seen.append([observation.tolist(), reward, terminated, info["action_mask"].tolist()])
        if terminated:
            observation, info = env.reset()
    return seen


ROLLOUT = """
import json
from tests.numeric_forms import numeric
from tests.test_numeric_learners import rollout
print(json.dumps(rollout(numeric(memory_budget=0.3), 90)))
"""


def test_another_process_with_another_hash_seed_agrees() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ROLLOUT],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == rollout(numeric(memory_budget=0.3), 90)


def vector_rollout(envs: Any, steps: int) -> str:
    envs.action_space.seed(3)
    observations, info = envs.reset(seed=3)
    seen = [observations.tolist(), info["action_mask"].tolist()]
    for _ in range(steps):
        observations, rewards, terminated, _, info = envs.step(envs.action_space.sample())
        seen += [observations.tolist(), rewards.tolist(), terminated.tolist()]
    envs.close()
    return json.dumps(seen)


@pytest.mark.parametrize("mode", list(AutoresetMode)[:2])
def test_vector_environments_agree(mode: AutoresetMode) -> None:
    def make() -> gym.Env[Any, Any]:
        return gym.make("MemAlphaNumeric-v0", **SMALL)

    sync = vector_rollout(SyncVectorEnv([make] * 2, autoreset_mode=mode), 70)
    shared = vector_rollout(AsyncVectorEnv([make] * 2, autoreset_mode=mode), 70)
    assert sync == shared


@pytest.mark.parametrize("name", ["MemAlpha-v0", "MemAlphaText-v0"])
def test_text_given_to_sb3_names_the_numeric_id(name: str) -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    with pytest.raises(UsageError, match="MemAlphaNumeric-v0"):
        PPO("MultiInputPolicy", gym.make(name, **SMALL))
    with pytest.raises(UsageError, match="MemAlphaNumeric-v0"):
        make_vec_env(lambda: gym.make(name, **SMALL), 2)


@pytest.mark.parametrize("form", FORMS)
def test_masked_ppo_learns_from_a_batch_and_keeps_to_the_mask(form: dict[str, Any]) -> None:
    from sb3_contrib import MaskablePPO

    policy = "MultiInputPolicy" if form.get("observation") == "dict" else "MlpPolicy"
    env = gym.make("MemAlphaNumeric-v0", **SMALL, **form)
    model = MaskablePPO(policy, env, n_steps=64, batch_size=32, n_epochs=1, device="cpu", seed=0)
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    model.learn(64)
    assert model.num_timesteps == 64
    after = model.policy.parameters()
    assert any(not old.equal(new) for old, new in zip(before, after, strict=True))
    observation, info = env.reset(seed=0)
    mask = info["action_mask"]
    action, _ = model.predict(observation, action_masks=mask, deterministic=True)
    parts = np.split(mask, np.cumsum(getattr(env.action_space, "nvec", [mask.size]))[:-1])
    for part, chosen in zip(parts, np.atleast_1d(action), strict=True):
        assert part[chosen]
    env.step(action)
