"""Trained policies as agents: what was learnt on ``MemAlphaNumeric-v0`` plays ``MemAlpha-v0``.

A chunk is read sentence by sentence through the same :class:`~memgym.envs.micro_steps.MicroSteps`
as in training; the calls for its sentences are the action. Not here: how a model is trained.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from memgym.agent import Agent, Briefing
from memgym.baselines.sb3.algorithms import ALGORITHMS, Algorithm
from memgym.baselines.sb3.folder import find_trained
from memgym.errors import UsageError

if TYPE_CHECKING:
    from stable_baselines3.common.policies import BasePolicy

    from memgym.baselines.sb3.folder import TrainingFolder
    from memgym.baselines.sb3.settings import TrainingSettings
    from memgym.envs.numeric_form import NumericForm

__all__ = ["TRAINED", "PolicyPlayer", "TrainedAgent", "trained_folder"]


class PolicyPlayer(Agent):
    """Plays with a policy of Stable-Baselines3 that is in memory; deterministic.

    Args:
        algorithm: What trained it.
        form: Arguments of :class:`memgym.envs.numeric_form.NumericForm`, but the token counter.
        policy: Takes the form's observations; by default that of a subclass.
    """

    name = "policy"
    # It reads the memory through its own account, so nobody needs the text of it.
    settings: ClassVar[Mapping[str, Any]] = {"view_recent": 0, "view_relevant": 0}

    def __init__(
        self, algorithm: Algorithm, form: Mapping[str, Any], policy: "BasePolicy | None" = None
    ) -> None:
        self._algorithm = algorithm
        self._arguments = dict(form)
        self._forms: dict[str, NumericForm] = {}
        self._policy = policy

    def policy(self, form: "NumericForm") -> "BasePolicy":
        """Return the policy, which is for the spaces of ``form``."""
        assert self._policy is not None, "a player without a policy overrides this"
        return self._policy

    def reset(self, briefing: Briefing) -> None:
        """Start with an empty account of the memory."""
        super().reset(briefing)
        self._form = self._form_for(briefing.counter.name)
        self._steps = self._form.begin(briefing.memory, briefing.max_calls)
        self._state: Any = None
        self._first = True

    def _form_for(self, counter: str) -> "NumericForm":
        """Return the form, kept with the features of the texts that it has met."""
        from memgym.envs.numeric_form import NumericForm

        if counter not in self._forms:
            self._forms[counter] = NumericForm(**self._arguments, token_counter=counter)
        return self._forms[counter]

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Decide about the chunk's sentences and return the calls; questions get no answer."""
        if observation.get("question"):
            return ()
        form, steps, policy = self._form, self._steps, self.policy(self._form)
        steps.open(observation["chunk"], info["chunk_index"], self.briefing.info["n_chunks"])
        while steps.reading:
            steps.take(form.number(self._choose(policy, form)))
        return tuple(steps.calls)

    def _choose(self, policy: "BasePolicy", form: "NumericForm") -> Any:
        import numpy as np

        observation = form.observe(self._steps)
        more: dict[str, Any] = {}
        if self._algorithm.masked:
            more["action_masks"] = form.mask(self._steps)
        if self._algorithm.recurrent:
            more |= {"state": self._state, "episode_start": np.array([self._first])}
        action, self._state = policy.predict(observation, deterministic=True, **more)
        self._first = False
        return action


class TrainedAgent(PolicyPlayer):
    """Plays with the best model of a training run.

    The model's parameters are loaded, and nothing else of its file: a model that somebody else
    trained can be played without running code of theirs.

    Args:
        folder: Of the run, or one that holds a single run.
        digest: What :meth:`~memgym.baselines.sb3.folder.TrainingFolder.digest` should be, ``""``
            for anything.

    Raises:
        UsageError: no such run, or one of another algorithm, or another digest.
    """

    kind: ClassVar[str]

    def __init__(self, folder: str, digest: str = "") -> None:
        self._folder = trained_folder(self.kind, folder)
        if digest and digest != self._folder.digest():
            raise UsageError(f"the model in {folder} was trained anew since the run began")
        settings: TrainingSettings = self._folder.settings()
        super().__init__(settings.algorithm, settings.form)

    def policy(self, form: "NumericForm") -> "BasePolicy":
        """Return the policy, loaded when it is first needed."""
        if self._policy is None:
            from memgym.baselines.sb3.models import load_policy

            self._policy = load_policy(self._folder.best, self._algorithm, form)
        return self._policy


def trained_folder(kind: str, folder: str) -> "TrainingFolder":
    """Return the run that ``folder`` means.

    Raises:
        UsageError: it holds no run or several, or one of another algorithm.
    """
    found = find_trained(folder)
    if not found:
        raise UsageError(
            f"{kind}:{folder}: no trained model in that folder; train one with "
            f"memgym train-sb3 --algo {kind} --out {folder}"
        )
    if len(found) > 1:
        choices = ", ".join(f"{kind}:{item.path}" for item in found)
        raise UsageError(f"{kind}:{folder} holds several runs; name one: {choices}")
    trained = found[0].settings().algorithm.kind
    if trained != kind:
        raise UsageError(f"{kind}:{folder} was trained with {trained}; write {trained}:{folder}")
    return found[0]


class _PPO(TrainedAgent):
    """Trained with PPO."""

    kind = name = "ppo"


class _MaskablePPO(TrainedAgent):
    """Trained with MaskablePPO."""

    kind = name = "maskable_ppo"


class _RecurrentPPO(TrainedAgent):
    """Trained with RecurrentPPO."""

    kind = name = "recurrent_ppo"


class _A2C(TrainedAgent):
    """Trained with A2C."""

    kind = name = "a2c"


class _TRPO(TrainedAgent):
    """Trained with TRPO."""

    kind = name = "trpo"


class _DQN(TrainedAgent):
    """Trained with DQN."""

    kind = name = "dqn"


class _QRDQN(TrainedAgent):
    """Trained with QR-DQN."""

    kind = name = "qrdqn"


TRAINED: Mapping[str, type[TrainedAgent]] = {
    agent.kind: agent for agent in (_PPO, _MaskablePPO, _RecurrentPPO, _A2C, _TRPO, _DQN, _QRDQN)
}
"""The agent class of every algorithm by name; ``ppo:runs/x`` is ``TRAINED["ppo"]("runs/x")``."""

assert list(TRAINED) == list(ALGORITHMS), "every algorithm has an agent"
