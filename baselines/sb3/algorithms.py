"""The algorithms of Stable-Baselines3 that take discrete actions, one class of settings each.

The fields are spelled as Stable-Baselines3 spells them; the defaults are tuned for
``MemAlphaNumeric-v0`` (see docs/sb3.md), not those of the library. Not here: what is trained on
(:mod:`.settings`) and the training itself (:mod:`.training`).
"""

import dataclasses
import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_origin, get_type_hints

from memgym.errors import UsageError, nearest
from memgym.field_types import check_field

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = [
    "A2C",
    "ALGORITHMS",
    "DQN",
    "PPO",
    "QRDQN",
    "TRPO",
    "Algorithm",
    "MaskablePPO",
    "RecurrentPPO",
    "algorithm_from_json",
    "get_algorithm",
]

_NOT_ARGUMENTS = ("lr_schedule", "net_arch", "lstm_hidden_size", "n_quantiles")


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """What the settings of all algorithms have in common.

    Attributes:
        kind: What the command line calls the algorithm.
        where: The library's class, ``module:Class``.
        joint_only: Whether it takes ``actions="joint"`` only.
        masked: Whether it is told which actions are allowed.
        recurrent: Whether its policy remembers earlier sentences.
    """

    kind: ClassVar[str]
    where: ClassVar[str]
    joint_only: ClassVar[bool] = False
    masked: ClassVar[bool] = False
    recurrent: ClassVar[bool] = False

    learning_rate: float = 1e-3
    lr_schedule: Literal["constant", "linear"] = "linear"
    """Whether the learning rate stays, or falls to 0 over the run."""
    gamma: float = 1.0
    """Discount. An episode has hundreds of decisions and is paid at its end, so none by default."""
    net_arch: tuple[int, ...] = (128, 128)
    """Hidden layers of the policy, and of the value function where there is one."""

    def __post_init__(self) -> None:
        _check(self)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values, the algorithm's under ``kind``."""
        fields = dataclasses.asdict(self)
        return {"kind": self.kind, **fields, "net_arch": list(self.net_arch)}

    def load_class(self) -> "type[BaseAlgorithm]":
        """Return the library's class.

        Raises:
            UsageError: the library is not installed.
        """
        module, _, name = self.where.partition(":")
        try:
            found: type[BaseAlgorithm] = getattr(importlib.import_module(module), name)
        except ImportError as error:
            raise UsageError(
                f'"{self.kind}" needs Stable-Baselines3 ({error}): pip install "memgym[sb3]"'
            ) from error
        return found

    def policy_name(self, *, as_dict: bool) -> str:
        """Return the library's name of the policy for observations as vector or as dict."""
        if self.recurrent:
            return "MultiInputLstmPolicy" if as_dict else "MlpLstmPolicy"
        return "MultiInputPolicy" if as_dict else "MlpPolicy"

    def policy_arguments(self) -> dict[str, Any]:
        """Return ``policy_kwargs``."""
        return {"net_arch": list(self.net_arch)}

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the library's class, but policy, environment and seed."""
        from stable_baselines3.common.utils import LinearSchedule

        given = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in _NOT_ARGUMENTS
        }
        if self.lr_schedule == "linear":
            given["learning_rate"] = LinearSchedule(self.learning_rate, 0.0, 1.0)
        return {**given, "policy_kwargs": self.policy_arguments()}


@dataclass(frozen=True, kw_only=True)
class _OnPolicy(Algorithm):
    """What algorithms that learn from their latest steps share."""

    n_steps: int = 512
    """Steps of each environment between two updates."""
    gae_lambda: float = 0.6
    """Low: what a decision earns is paid at once (``shaping``), and what comes later is noise."""


@dataclass(frozen=True, kw_only=True)
class A2C(_OnPolicy):
    """Advantage actor-critic."""

    kind = "a2c"
    where = "stable_baselines3:A2C"

    n_steps: int = 64
    ent_coef: float = 0.002
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5


@dataclass(frozen=True, kw_only=True)
class PPO(_OnPolicy):
    """Proximal policy optimisation."""

    kind = "ppo"
    where = "stable_baselines3:PPO"

    batch_size: int = 256
    n_epochs: int = 6
    clip_range: float = 0.2
    ent_coef: float = 0.002
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5


@dataclass(frozen=True, kw_only=True)
class MaskablePPO(PPO):
    """Proximal policy optimisation that never tries what the environment would refuse."""

    kind = "maskable_ppo"
    where = "sb3_contrib:MaskablePPO"
    masked = True


@dataclass(frozen=True, kw_only=True)
class RecurrentPPO(PPO):
    """Proximal policy optimisation with a policy that remembers (LSTM); slow."""

    kind = "recurrent_ppo"
    where = "sb3_contrib:RecurrentPPO"
    recurrent = True

    batch_size: int = 512
    """Large: the library cuts and pads sequences anew for every batch."""
    n_epochs: int = 4
    lstm_hidden_size: int = 64

    def policy_arguments(self) -> dict[str, Any]:
        """Return ``policy_kwargs``."""
        return {**super().policy_arguments(), "lstm_hidden_size": self.lstm_hidden_size}


@dataclass(frozen=True, kw_only=True)
class TRPO(_OnPolicy):
    """Trust region policy optimisation."""

    kind = "trpo"
    where = "sb3_contrib:TRPO"

    batch_size: int = 256
    target_kl: float = 0.01
    cg_max_steps: int = 15
    cg_damping: float = 0.1
    n_critic_updates: int = 10


@dataclass(frozen=True, kw_only=True)
class DQN(Algorithm):
    """Deep Q-network."""

    kind = "dqn"
    where = "stable_baselines3:DQN"
    joint_only = True

    learning_rate: float = 5e-4
    gamma: float = 0.99
    """Q-learning from one step at a time diverges without a discount."""
    buffer_size: int = 50_000
    learning_starts: int = 2_000
    batch_size: int = 128
    train_freq: int = 4
    gradient_steps: int = 1
    target_update_interval: int = 1_000
    exploration_fraction: float = 0.3
    exploration_initial_eps: float = 1.0
    exploration_final_eps: float = 0.05


@dataclass(frozen=True, kw_only=True)
class QRDQN(DQN):
    """Deep Q-network that learns the distribution of returns (quantile regression)."""

    kind = "qrdqn"
    where = "sb3_contrib:QRDQN"

    n_quantiles: int = 25

    def policy_arguments(self) -> dict[str, Any]:
        """Return ``policy_kwargs``."""
        return {**super().policy_arguments(), "n_quantiles": self.n_quantiles}


ALGORITHMS: Mapping[str, type[Algorithm]] = {
    kind.kind: kind for kind in (PPO, MaskablePPO, RecurrentPPO, A2C, TRPO, DQN, QRDQN)
}
"""The settings class of every algorithm by name."""


def get_algorithm(kind: str, given: Mapping[str, Any] | None = None) -> Algorithm:
    """Return the settings of an algorithm, its defaults overridden by ``given``.

    Raises:
        UsageError: no such algorithm or setting, or a value of the wrong type or out of range.
    """
    if kind not in ALGORITHMS:
        raise UsageError(f'unknown algorithm "{kind}": {nearest(str(kind), ALGORITHMS)}')
    made = ALGORITHMS[kind]
    names = [field.name for field in dataclasses.fields(made)]
    for name in given or {}:
        if name not in names:
            raise UsageError(f'{kind} has no setting "{name}": {nearest(str(name), names)}')
    return made(**(given or {}))


def algorithm_from_json(value: Mapping[str, Any]) -> Algorithm:
    """Return what :meth:`Algorithm.to_json` was called on.

    Raises:
        UsageError: see :func:`get_algorithm`.
    """
    given = dict(value)
    return get_algorithm(given.pop("kind", ""), given)


_SHARES = (
    "gamma", "gae_lambda", "exploration_fraction", "exploration_initial_eps",
    "exploration_final_eps",
)  # fmt: skip
_FROM_ZERO = ("ent_coef", "vf_coef", "learning_starts")


def _check(settings: Algorithm) -> None:
    """Check every field against its annotation and range; what JSON gives becomes what is due."""
    hints = get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        name, hint = field.name, hints[field.name]
        value, where = getattr(settings, name), f"{settings.kind}: {name}"
        if get_origin(hint) is tuple:
            object.__setattr__(settings, name, _layers(where, value))
            continue
        check_field(where, value, hint)
        if hint in (int, float):
            _check_range(where, name, value)
            object.__setattr__(settings, name, hint(value))


def _layers(where: str, value: Any) -> tuple[int, ...]:
    whole = isinstance(value, (list, tuple)) and all(
        isinstance(item, int) and not isinstance(item, bool) and item > 0 for item in value
    )
    if not whole:
        raise UsageError(f"{where} must list widths of layers such as [64, 64], got {value!r}")
    return tuple(value)


def _check_range(where: str, name: str, value: float) -> None:
    high = 1.0 if name in _SHARES else math.inf
    may_be_zero = name in (*_FROM_ZERO, *_SHARES)
    if not (0 <= value <= high and math.isfinite(value)) or (value == 0 and not may_be_zero):
        least = "from" if may_be_zero else "above"
        most = " to 1" if name in _SHARES else ""
        raise UsageError(f"{where} must be a number {least} 0{most}, got {value}")
