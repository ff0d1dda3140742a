"""Models of Stable-Baselines3: making one for training, loading the policy of one to play."""

import functools
import multiprocessing
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gymnasium import spaces

from memgym.baselines.sb3.algorithms import Algorithm
from memgym.baselines.sb3.settings import TrainingSettings
from memgym.errors import UsageError

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.policies import BasePolicy
    from stable_baselines3.common.vec_env import VecEnv

    from memgym.envs.numeric_form import NumericForm

__all__ = ["load_model", "load_policy", "make_environments", "make_model"]


def make_environments(settings: TrainingSettings, data: str = "") -> "VecEnv":
    """Return the environments to train in; with several budgets they take turns.

    Args:
        settings: Of the run.
        data: Folder with raw datasets.

    Raises:
        UsageError: a setting of the environment is invalid, or its data cannot be loaded.
    """
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    from memgym.envs.numeric import MemAlphaNumericEnv

    def make(index: int) -> Monitor[Any, Any]:
        budget = settings.memory_budgets[index % len(settings.memory_budgets)]
        return Monitor(MemAlphaNumericEnv(**settings.numeric_settings(budget, data)))

    return DummyVecEnv([functools.partial(make, index) for index in range(settings.envs)])


def make_model(settings: TrainingSettings, environments: "VecEnv") -> "BaseAlgorithm":
    """Return an untrained model.

    Raises:
        UsageError: the library is not installed.
    """
    algorithm = settings.algorithm
    return algorithm.load_class()(
        algorithm.policy_name(as_dict=settings.form.get("observation") == "dict"),
        environments,
        seed=settings.seed,
        device="cpu",  # the networks are too small for anything else to pay
        **algorithm.arguments(),
    )


def load_model(path: Path, settings: TrainingSettings, environments: "VecEnv") -> "BaseAlgorithm":
    """Return a model to train on, from a file that this user has written."""
    return settings.algorithm.load_class().load(path, env=environments, device="cpu")


def load_policy(path: Path, algorithm: Algorithm, form: "NumericForm") -> "BasePolicy":
    """Return the policy of a model's file, reading its parameters only.

    Raises:
        UsageError: the library is missing, or the file does not fit the algorithm's settings.
    """
    made = algorithm.load_class()
    import torch
    from stable_baselines3.common.save_util import load_from_zip_file

    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # a worker beside others: more threads would fight over the cores
    as_dict = isinstance(form.observation_space, spaces.Dict)
    policy = made.policy_aliases[algorithm.policy_name(as_dict=as_dict)](
        form.observation_space,
        form.action_space,
        lr_schedule=lambda _: algorithm.learning_rate,
        **algorithm.policy_arguments(),
    )
    try:
        _, parameters, _ = load_from_zip_file(path, load_data=False, device="cpu")
        state: Any = parameters["policy"]
        policy.load_state_dict(state)
    except (zipfile.BadZipFile, KeyError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{path} does not fit its run.json ({reason})") from error
    policy.set_training_mode(False)
    return policy
