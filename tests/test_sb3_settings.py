"""Settings of training runs: round trips, defaults, and errors that say what would be right."""

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memgym.baselines.sb3 import (
    ALGORITHMS,
    TRAINED,
    TrainingFolder,
    TrainingSettings,
    find_trained,
    get_algorithm,
)
from memgym.baselines.sb3.algorithms import algorithm_from_json
from memgym.baselines.sb3.settings import DEFAULT_ENVIRONMENT, settings_from_json
from memgym.errors import UsageError
from tests.tiny_sb3 import small

OWN_NAMES = {"lr_schedule", "net_arch", "lstm_hidden_size", "n_quantiles"}


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_settings_are_spelled_as_the_library_spells_them(kind: str) -> None:
    settings = get_algorithm(kind)
    accepted = inspect.signature(settings.load_class()).parameters
    names = {field.name for field in dataclasses.fields(settings)} - OWN_NAMES
    assert names <= accepted.keys()
    assert settings.load_class().__name__.replace("_", "") == type(settings).__name__


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_algorithms_survive_json(kind: str) -> None:
    settings = get_algorithm(kind, {"learning_rate": 1, "net_arch": [8, 8]})
    assert settings.learning_rate == 1.0
    assert settings.net_arch == (8, 8)
    value = json.loads(json.dumps(settings.to_json()))
    assert algorithm_from_json(value) == settings
    assert value["kind"] == kind == TRAINED[kind].name


def test_runs_survive_json() -> None:
    settings = small("dqn", memory_budgets=[0.5, 2000, 0], environment={"words": 16})
    value = json.loads(json.dumps(settings.to_json()))
    found = settings_from_json(value, "run.json")
    assert found == settings
    # A share and a number of tokens stay apart.
    assert [type(item) for item in found.memory_budgets] == [float, int, int]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("pppo", {}, 'unknown algorithm "pppo": did you mean "ppo"'),
        ("ppo", {"nsteps": 3}, 'ppo has no setting "nsteps": did you mean "n_steps"'),
        ("ppo", {"n_steps": 2.5}, "ppo: n_steps must be of type int, got 2.5"),
        ("ppo", {"n_steps": True}, "ppo: n_steps must be of type int, got True"),
        ("ppo", {"gamma": "1"}, "ppo: gamma must be of type int or float, got '1'"),
        ("a2c", {"gamma": 1.5}, "a2c: gamma must be a number from 0 to 1, got 1.5"),
        ("dqn", {"batch_size": 0}, "dqn: batch_size must be a number above 0, got 0"),
        (
            "trpo",
            {"learning_rate": float("nan")},
            "trpo: learning_rate must be a number above 0, got nan",
        ),
        ("qrdqn", {"net_arch": 64}, "qrdqn: net_arch must list widths of layers such as"),
        ("ppo", {"net_arch": [0]}, "ppo: net_arch must list widths of layers such as"),
        ("ppo", {"lr_schedule": "cosine"}, 'lr_schedule: unknown value "cosine"'),
    ],
)
def test_wrong_algorithm_settings(kind: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        get_algorithm(kind, given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps must be a whole number from 1, got 0"),
        ({"envs": 1.5}, "envs must be a whole number from 1, got 1.5"),
        ({"memory_budgets": 0.25}, "memory_budgets must list shares or tokens, got 0.25"),
        (
            {"memory_budgets": [0.1, 0.2, 500], "envs": 2},
            "3 memory budgets need at least as many environments, got envs=2: take more",
        ),
        ({"memory_budgets": [-1]}, "memory_budgets must list shares or tokens, got -1"),
        ({"environment": {"wrods": 3}}, 'no argument "wrods" to be set here: did you mean "words"'),
        ({"environment": {"split": "test"}}, 'environment has no argument "split"'),
        ({"environment": {"actions": "multi"}}, 'dqn takes actions="joint" only'),
    ],
)
def test_wrong_runs(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        small("dqn", **given)
    assert message in str(error.value)


def test_training_and_evaluation_play_different_splits_of_one_task() -> None:
    settings = small(
        "ppo", training_options={"tokens": 2_000}, environment={"words": 16, "shaping": 1.0}
    )
    training, held_out = settings.numeric_settings(0.25), settings.text_settings(0.25)
    assert (training["split"], held_out["split"]) == ("train", "validation")
    assert training["source_options"]["tokens"] == 2_000
    assert held_out["source_options"]["tokens"] == 1_000
    assert training["shaping"] == 1.0
    assert training["words"] == 16
    assert not {"words", "shaping"} & held_out.keys()


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path / "run")
    folder.begin(small("ppo"))
    folder.begin(small("ppo"))
    assert folder.settings() == small("ppo")
    with pytest.raises(UsageError, match="holds another run: its seed is 0, asked for is 1"):
        folder.begin(small("ppo", seed=1))
    assert find_trained(tmp_path) == []
    with pytest.raises(UsageError, match=r"holds no best\.zip: its training has not come that far"):
        folder.digest()
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"is not empty and holds no run\.json"):
        TrainingFolder(other).begin(small("ppo"))
    for text, message in (("{", "is not JSON"), ("[]", "does not describe a training run")):
        (other / "run.json").write_text(text)
        with pytest.raises(UsageError, match=message):
            TrainingFolder(other).settings()


def test_importing_the_agents_loads_neither_the_library_nor_torch() -> None:
    code = (
        "import sys, memgym, memgym.baselines.sb3, memgym.benchmarks.entries, memgym.cli.main\n"
        "print([n for n in ('torch', 'stable_baselines3', 'matplotlib') if n in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(UsageError, match=r'"maskable_ppo" needs Stable-Baselines3 .*memgym\[sb3\]'):
        get_algorithm("maskable_ppo").load_class()


def test_defaults_are_written_out_and_give_way() -> None:
    settings = TrainingSettings(get_algorithm("maskable_ppo"))
    assert settings.memory_budgets == (0.1, 0.25, 0.5, 1.0)
    assert settings.environment == DEFAULT_ENVIRONMENT
    assert settings.training_options == {"tokens": 2_000}
    given = {"shaping": 0.0, "reward_weights": {"format": 1.0}}
    settings = TrainingSettings(
        get_algorithm("ppo"), source_options={"tokens": 4_000}, environment=given
    )
    assert settings.training_options == {}
    assert settings.environment == {
        "words": 512,
        "similar_items": 1,
        "edits": False,
        "shaping": 0.0,
        "room_price": 1.2,
        "reward_weights": {"format": 1.0, "content": 0.0, "compression": 0.0},
    }
    assert TrainingSettings(get_algorithm("ppo"), source="squad").training_options == {}
