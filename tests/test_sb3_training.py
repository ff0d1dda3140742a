"""Every algorithm trains, is saved, plays as an agent, and goes on where it was stopped."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memgym.baselines.sb3 import ALGORITHMS, TRAINED, TrainingFolder
from memgym.baselines.sb3.agent import PolicyPlayer
from memgym.baselines.sb3.training import evaluate, train
from memgym.baselines.sentences import Sentences
from memgym.envs.numeric import MemAlphaNumericEnv
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from tests.tiny_sb3 import StoppedError, names_in, parameters, small, stop_after


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_every_algorithm_trains_and_plays_as_it_was_saved(kind: str, tmp_path: Path) -> None:
    settings = small(kind)
    run = train(settings, tmp_path / "run")
    assert names_in(run) == ["best.zip", "last.zip", "metrics.jsonl", "run.json", "timings.csv"]
    rows = run.metrics()
    assert [row["steps"] // 1_000 for row in rows] == [0, 1, 2]
    assert any("training_return" in row for row in rows)
    assert all(0 <= row["score"] <= 1 and row["abilities"] for row in rows)
    assert len(run.seconds()) == 3

    # The library's own way to load gives the same actions as our agent, on a whole episode.
    model = settings.algorithm.load_class().load(run.best)
    env = MemAlphaNumericEnv(**{**settings.numeric_settings(0.25), "split": "validation"})
    calls, info = _play_in_numbers(model, env, masked=settings.algorithm.masked)
    agent = TRAINED[kind](str(run.path))
    played = play_episode(agent, environment_for(agent, **settings.text_settings(0.25)), 0)
    assert played.score == info["metrics"]["correctness"]
    assert played.memory_digest == env.text_env.memory.digest()
    assert played.answers == info["answers"]
    assert played.calls == calls == played.valid_calls

    # And the agent's score is the one that the best model was chosen by.
    found = evaluate(agent, settings)
    best = max(row["score"] for row in rows)
    assert sum(item.score for item in found) / len(found) == pytest.approx(best, abs=1e-6)


def _play_in_numbers(
    model: Any, env: MemAlphaNumericEnv, *, masked: bool
) -> tuple[int, dict[str, Any]]:
    """Play episode 0 as the library's documentation says, and return calls made and last info."""
    observation, info = env.reset(options={"episode": 0})
    state, start, ended, calls = None, np.array([True]), False, 0
    while not ended:
        more = {"action_masks": env.action_masks()} if masked else {}
        action, state = model.predict(
            observation, state=state, episode_start=start, deterministic=True, **more
        )
        observation, _, ended, _, info = env.step(action)
        start = np.array([False])
        calls += info.get("n_calls", 0)
    return calls, info


@pytest.mark.parametrize("kind", ["maskable_ppo", "recurrent_ppo", "dqn"])
def test_a_stopped_run_ends_in_the_same_model(kind: str, tmp_path: Path) -> None:
    settings = small(kind, steps=1_000, evaluate_every=500, evaluation_episodes=1)
    whole = train(settings, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(settings, tmp_path / "stopped", progress=stop_after(700))
    stopped = TrainingFolder(tmp_path / "stopped")
    checkpoint = stopped.checkpoint()
    assert checkpoint is not None
    assert 0 < checkpoint[0] < 700
    assert not stopped.ended
    train(settings, stopped.path)
    assert stopped.metrics() == whole.metrics()
    assert parameters(stopped.last) == parameters(whole.last)
    assert stopped.digest() == whole.digest()
    assert names_in(stopped) == names_in(whole)
    again = (stopped.path / "last.zip").stat().st_mtime_ns
    train(settings, stopped.path)  # nothing is left to do
    assert (stopped.path / "last.zip").stat().st_mtime_ns == again


def test_a_kill_between_metrics_and_checkpoint_loses_nothing(tmp_path: Path) -> None:
    settings = small("a2c", steps=768, evaluate_every=256, evaluation_episodes=1)
    whole = train(settings, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(settings, tmp_path / "run", progress=stop_after(400))
    run = TrainingFolder(tmp_path / "run")
    later = {**run.metrics()[-1], "steps": 512, "score": 1.0}
    run.write_metrics([*run.metrics(), later], [*run.seconds(), 9.0])
    (run.path / "partial-checkpoint-512").mkdir()
    train(settings, run.path)
    assert run.metrics() == whole.metrics()
    assert parameters(run.best) == parameters(whole.best)


def test_the_seed_decides(tmp_path: Path) -> None:
    runs = [
        train(small("a2c", steps=300, seed=seed, evaluation_episodes=1), tmp_path / name)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    first, same, other = (parameters(run.last) for run in runs)
    assert first == same != other
    assert runs[0].digest() == runs[1].digest()
    shutil.copy(runs[2].best, runs[1].best)  # the same settings, another model
    assert runs[0].digest() != runs[1].digest()


class _Recorder:
    """A policy that skips everything and counts in its state; keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, bool]] = []

    def predict(
        self, observation: Any, *, state: Any, episode_start: Any, deterministic: bool
    ) -> tuple[int, int]:
        assert deterministic
        self.given.append((state, bool(episode_start[0])))
        return 0, len(self.given)


def test_a_recurrent_policy_remembers_within_an_episode_only() -> None:
    settings = small("recurrent_ppo")
    recorder: Any = _Recorder()
    player = PolicyPlayer(settings.algorithm, settings.form, recorder)
    env = environment_for(player, **settings.text_settings(0.25))
    for _ in range(2):
        recorder.given.clear()
        play_episode(player, env, 0)
        states, starts = zip(*recorder.given, strict=True)
        assert states == (None, *range(1, len(states)))
        assert starts == (True, *[False] * (len(starts) - 1))


@pytest.mark.parametrize(
    ("environment", "budgets"),
    [
        ({"observation": "dict", "actions": "multi", "similar_items": 1}, (0.5,)),
        ({"words": 16, "shaping": 1.0, "core_capacity": 64}, (0.1, 200, 0)),
    ],
)
def test_other_forms_and_budgets_train_and_play(
    environment: dict[str, Any], budgets: tuple[float, ...], tmp_path: Path
) -> None:
    settings = small("maskable_ppo", steps=500, environment=environment, memory_budgets=budgets)
    run = train(settings, tmp_path)
    agent = TRAINED["maskable_ppo"](str(run.path))
    results = evaluate(agent, settings)
    assert len(results) == 2 * len(budgets)
    assert all(item.valid_calls == item.calls for item in results)


def test_a_policy_plays_at_budgets_and_limits_it_was_not_trained_for(tmp_path: Path) -> None:
    settings = small("maskable_ppo", steps=500)
    run = train(settings, tmp_path)
    agent = TRAINED["maskable_ppo"](str(run.path))
    for budget in (0.1, 1.0, 0):
        text = {**settings.text_settings(budget), "max_calls": 2}
        result = play_episode(agent, environment_for(agent, **text), 1)
        assert result.valid_calls == result.calls <= 2 * result.steps


def test_the_agent_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no trained model in that folder; train one with"):
        TRAINED["ppo"](str(tmp_path))
    run = train(small("a2c", steps=100, evaluation_episodes=1), tmp_path / "seed-0")
    with pytest.raises(UsageError, match=r"was trained with a2c; write a2c:"):
        TRAINED["ppo"](str(tmp_path))
    with pytest.raises(UsageError, match="was trained anew since the run began"):
        TRAINED["a2c"](str(tmp_path), digest="0" * 16)
    assert TRAINED["a2c"](str(tmp_path), digest=run.digest()).name == "a2c"
    shutil.copytree(run.path, tmp_path / "seed-1")
    with pytest.raises(UsageError, match=r"holds several runs; name one: .*seed-0, .*seed-1"):
        TRAINED["a2c"](str(tmp_path))
    changed = json.loads((run.path / "run.json").read_text())
    changed["algorithm"]["net_arch"] = [8]
    (run.path / "run.json").write_text(json.dumps(changed))
    agent = TRAINED["a2c"](str(run.path))
    with pytest.raises(UsageError, match=r"best\.zip does not fit its run\.json"):
        evaluate(agent, run.settings())
    run.best.write_bytes(b"no zip")
    with pytest.raises(UsageError, match="is no model of Stable-Baselines3"):
        run.digest()


def test_baselines_can_be_evaluated_on_the_same_episodes() -> None:
    settings = small("ppo")
    results = evaluate(Sentences(), settings)
    assert [item.split for item in results] == ["validation", "validation"]
    assert {item.agent for item in results} == {"sentences"}


# The library asks every environment for pictures, and Gymnasium says that there are none.
NO_PICTURES = pytest.mark.filterwarnings("ignore:.*render_mode='rgb_array':UserWarning")


@NO_PICTURES
def test_the_tutorial_of_the_library_needs_another_id_only(tmp_path: Path) -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    vec_env = make_vec_env("MemAlphaNumeric-v0", n_envs=4)
    model = PPO("MlpPolicy", vec_env, n_steps=128, device="cpu")
    model.learn(total_timesteps=512)
    model.save(tmp_path / "ppo_memory")
    del model
    model = PPO.load(tmp_path / "ppo_memory", device="cpu")
    mean_reward, std_reward = evaluate_policy(model, vec_env, n_eval_episodes=4)
    assert np.isfinite([mean_reward, std_reward]).all()
    observations: Any = vec_env.reset()
    for _ in range(10):
        actions, _states = model.predict(observations)
        observations, _rewards, _dones, _infos = vec_env.step(actions)


@NO_PICTURES
def test_the_library_is_told_which_id_to_use_for_text() -> None:
    from stable_baselines3 import PPO

    with pytest.raises(UsageError, match="MemAlphaNumeric-v0"):
        PPO("MultiInputPolicy", "MemAlpha-v0", device="cpu")
