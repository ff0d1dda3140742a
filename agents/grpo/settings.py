"""Everything that can be chosen about a training run: one section per piece, plain JSON values.

A :class:`TrainSettings` is ``run.json`` of the run's folder. Presets and configuration files are
in :mod:`.presets`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

from memgym.envs.settings import Settings
from memgym.errors import UsageError, nearest
from memgym.field_types import check_field

__all__ = [
    "AdvantageSettings",
    "EvaluationSettings",
    "LossSettings",
    "OptimizerSettings",
    "PolicySettings",
    "PromptSettings",
    "RolloutSettings",
    "SupervisedSettings",
    "TrainSettings",
    "settings_from",
]


class _Section:
    """Checks every field against its annotation and its range."""

    def __post_init__(self) -> None:
        section = type(self).__name__.removesuffix("Settings").lower()
        for name, hint in get_type_hints(type(self)).items():
            value, where = getattr(self, name), f"{section}.{name}"
            check_field(where, value, hint)
            low, high = _RANGES.get(where, (None, None))
            if low is not None and value < low:
                raise UsageError(f"{where} must be at least {low:g}, got {value:g}")
            if high is not None and value > high:
                raise UsageError(f"{where} must be at most {high:g}, got {value:g}")


@dataclass(frozen=True)
class PolicySettings(_Section):
    """The language model that is trained."""

    model: str = "tiny"
    """Folder or hub name of a causal language model with a chat template; ``tiny`` makes one from
    nothing (:mod:`.tiny`)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the trained weights. With ``bfloat16`` use ``lora`` or a learning rate above 1e-6:
    smaller updates round to nothing."""
    autocast: bool = False
    """Whether to compute in bfloat16 on float32 weights."""
    device: str = ""
    """A torch device; by default a GPU if there is one."""
    attention: str = "sdpa"
    """``attn_implementation`` of transformers."""
    gradient_checkpointing: bool = False
    """Whether to compute activations a second time instead of keeping them."""
    lora: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of :class:`peft.LoraConfig`, e.g. ``{"r": 16, "target_modules": "all-linear"}``;
    empty: all weights are trained."""


@dataclass(frozen=True)
class PromptSettings(_Section):
    """What the policy is shown with each chunk, the same in training and in play."""

    instructions: Literal["full", "none"] = "full"
    """Whether the task and the tools are described; a trained model can do without."""
    tool_format: Literal["hermes", "markers", "native"] = "hermes"
    """How tool calls are written (see :data:`memgym.prompts.CALL_FORMATS`)."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the chat template, e.g. ``{"enable_thinking": false}``."""
    context_tokens: int = 0
    """Limit of prompt and response together, in the model's tokens; 0: what the model takes."""
    max_tokens: int = 1_024
    """Limit of a response, in the model's tokens."""


@dataclass(frozen=True)
class SupervisedSettings(_Section):
    """The warm-up: supervised fine-tuning on what other agents do."""

    copying_steps: int = 0
    """Updates in which the model is first taught to repeat random tokens; for one that is made from
    nothing, which does not pick up copying from a few thousand examples of calls."""
    copying_learning_rate: float = 2e-3
    """Peak of those."""

    agents: tuple[str, ...] = ()
    """Agents whose trajectories are learned from, in turn by episode: names of baselines, trained
    agents or ``module:Class``; empty: no warm-up."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """The model of those that need one, as :func:`memgym.agents.chat.models.model_settings` takes
    it: ``{"model": "qwen3-32b", "base_url": "http://localhost:8000/v1"}``."""
    episodes: int = 200
    """Episodes of the train split that they play."""
    least_score: float = 0.0
    """Trajectories with a lower answer score are left out."""
    steps: int = 500
    """Updates."""
    batch_size: int = 32
    """Samples per update."""
    learning_rate: float = 3e-3
    """Peak; warmed up over ``warmup_share`` of the steps, then linear to 0."""
    warmup_share: float = 0.03
    """Share of the steps in which the learning rate grows."""


@dataclass(frozen=True)
class RolloutSettings(_Section):
    """How the policy plays in training."""

    engine: Literal["transformers", "vllm", "servers"] = "transformers"
    """``transformers``: the trained weights themselves, in this process; ``vllm``: vLLM in this
    process; ``servers``: vLLM servers that take new weights."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    """Of vLLM's engine, or ``{"base_urls": [...]}`` of the servers."""
    episodes: int = 8
    """Episodes per step."""
    group_size: int = 8
    """Rollouts per episode (the paper's G)."""
    temperature: float = 1.0
    """Of sampling."""
    concurrency: int = 128
    """Rollouts that are played at a time; more wait until one has ended."""
    workers: Literal["local", "ray"] = "local"
    """Where rollouts run: in this process, or on the machines of a Ray cluster."""
    worker_options: Mapping[str, Any] = field(default_factory=dict)
    """Of the Ray workers: ``workers`` (number), ``cpus``, ``gpus`` (each), ``address``."""


@dataclass(frozen=True)
class AdvantageSettings(_Section):
    """How rewards become advantages (see :mod:`.advantages`)."""

    kind: Literal["two_level", "paper"] = "two_level"
    """``two_level``: trajectory terms over the rollouts, step terms over the rollouts at the same
    chunk; ``paper``: one flat group of all samples of an episode."""
    scale: Literal["episode", "level", "none"] = "episode"
    """What centred rewards are divided by: the standard deviation of ``episode``, of their sum over
    all samples of the group; ``level``, of each comparison on its own; or nothing. For ``paper``
    the first two are the same."""
    chunk_credit: float = 0.0
    """Share of r1 and r3 that is credited to chunks instead of to whole rollouts: r1 by where the
    evidence of each question lies, which is known in training data only, r3 by what a chunk added
    to the memory; for ``two_level``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chunk_credit and self.kind != "two_level":
            raise UsageError(
                f'advantage.chunk_credit is for two_level, not for kind "{self.kind}"; '
                "leave it at 0"
            )


@dataclass(frozen=True)
class LossSettings(_Section):
    """The clipped policy-gradient loss (see :mod:`.loss`)."""

    clip_low: float = 0.2
    """Ratios below 1 - this are clipped."""
    clip_high: float = 0.2
    """Ratios above 1 + this are clipped."""
    dual_clip: float = 0.0
    """Limit of the ratio where the advantage is negative, above 1; 0: none."""
    mean: Literal["tokens", "samples"] = "tokens"
    """Mean over all response tokens of the batch, or over samples of their token means."""
    kl_weight: float = 0.0
    """Weight of the KL divergence (k3) to the policy at the start of GRPO; 0: none is computed."""
    importance_cap: float = 0.0
    """Cap of the weight that corrects for rollout engines whose log-probabilities differ from the
    trainer's (truncated importance sampling); 0: the rollout's log-probabilities are the old ones
    in the ratio, and there is no such weight."""


@dataclass(frozen=True)
class OptimizerSettings(_Section):
    """The updates (AdamW)."""

    steps: int = 50
    """Training steps: one batch of rollouts each; 0: supervised fine-tuning alone."""
    minibatches: int = 4
    """Updates per batch of rollouts."""
    learning_rate: float = 4e-4
    """Peak."""
    warmup_steps: int = 0
    """Training steps in which the learning rate grows from 0."""
    schedule: Literal["constant", "linear"] = "constant"
    """``linear``: to 0 at the last step."""
    betas: tuple[float, ...] = (0.9, 0.99)
    """Of Adam."""
    weight_decay: float = 0.0
    """Of AdamW."""
    max_gradient_norm: float = 1.0
    """Gradients are scaled down to it."""
    micro_batch_tokens: int = 32_768
    """Tokens of a forward pass, padding included: it bounds the memory."""


@dataclass(frozen=True)
class EvaluationSettings(_Section):
    """How the policy is judged on the way, on the validation split."""

    every: int = 10
    """Training steps between two evaluations, which are also the checkpoints."""
    episodes: int = 32
    """Validation episodes, the first of the split."""
    temperature: float = 0.0
    """0: greedy."""
    patience: int = 0
    """Evaluations without a new best after which training stops; 0: never."""


_RANGES: Mapping[str, tuple[float | None, float | None]] = {
    "prompt.context_tokens": (0, None),
    "prompt.max_tokens": (1, None),
    "supervised.copying_steps": (0, None),
    "supervised.copying_learning_rate": (0, 1),
    "supervised.episodes": (1, None),
    "supervised.least_score": (0, 1),
    "supervised.steps": (1, None),
    "supervised.batch_size": (1, None),
    "supervised.learning_rate": (0, 1),
    "supervised.warmup_share": (0, 1),
    "rollout.episodes": (1, None),
    "rollout.group_size": (2, None),
    "rollout.temperature": (0.01, None),
    "rollout.concurrency": (1, None),
    "advantage.chunk_credit": (0, 1),
    "loss.clip_low": (0, 1),
    "loss.clip_high": (0, None),
    "loss.dual_clip": (0, None),
    "loss.kl_weight": (0, None),
    "loss.importance_cap": (0, None),
    "optimizer.steps": (0, None),
    "optimizer.minibatches": (1, None),
    "optimizer.learning_rate": (0, 1),
    "optimizer.warmup_steps": (0, None),
    "optimizer.max_gradient_norm": (0, None),
    "optimizer.micro_batch_tokens": (16, None),
    "evaluation.every": (1, None),
    "evaluation.episodes": (1, None),
    "evaluation.temperature": (0, None),
    "evaluation.patience": (0, None),
}

SECTIONS: Mapping[str, type[_Section]] = {
    "policy": PolicySettings,
    "prompt": PromptSettings,
    "supervised": SupervisedSettings,
    "rollout": RolloutSettings,
    "advantage": AdvantageSettings,
    "loss": LossSettings,
    "optimizer": OptimizerSettings,
    "evaluation": EvaluationSettings,
}


@dataclass(frozen=True)
class TrainSettings:
    """One training run.

    Attributes:
        seed: Of everything random.
        environment: Settings of ``MemAlpha-v0`` (:class:`memgym.envs.settings.Settings`, and
            ``preset``); it is trained on their ``train`` split and evaluated on ``validation``.
        policy, prompt, supervised, rollout, advantage, loss, optimizer, evaluation: See each.

    Raises:
        UsageError: a setting is unknown, of the wrong type or out of range.
    """

    seed: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    policy: PolicySettings = field(default_factory=PolicySettings)
    prompt: PromptSettings = field(default_factory=PromptSettings)
    supervised: SupervisedSettings = field(default_factory=SupervisedSettings)
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    advantage: AdvantageSettings = field(default_factory=AdvantageSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise UsageError(f"seed must be a whole number from 0, got {self.seed!r}")
        known = ["preset", *(item.name for item in dataclasses.fields(Settings))]
        for name in self.environment:
            if name not in known:
                raise UsageError(
                    f'environment has no setting "{name}": {nearest(str(name), known)}'
                )
        if "split" in self.environment:
            raise UsageError(
                "environment.split cannot be set: it is trained on train and evaluated on "
                "validation"
            )
        if 0 < self.loss.dual_clip <= 1:
            raise UsageError(f"loss.dual_clip must be above 1, or 0, got {self.loss.dual_clip:g}")
        if self.loss.importance_cap and self.rollout.temperature != 1:
            raise UsageError(
                "loss.importance_cap compares log-probabilities at temperature 1: leave "
                f"rollout.temperature at 1 (it is {self.rollout.temperature:g})"
            )
        if not self.optimizer.steps and not self.supervised.agents:
            raise UsageError(
                "nothing to train: optimizer.steps is 0 and supervised.agents is empty"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return dataclasses.asdict(self)


def settings_from(value: Mapping[str, Any], where: str) -> TrainSettings:
    """Return settings out of nested mappings, as in a configuration file.

    What is left out has its default.

    Args:
        value: Sections and ``seed``.
        where: Where it is from, for messages.

    Raises:
        UsageError: a name is unknown or a value wrong.
    """
    names = [item.name for item in dataclasses.fields(TrainSettings)]
    for name in value:
        if name not in names:
            raise UsageError(f'{where}: no section "{name}": {nearest(str(name), names)}')
    made: dict[str, Any] = {}
    try:
        for name, given in value.items():
            made[name] = _section(name, given) if name in SECTIONS else given
        return TrainSettings(**made)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _section(name: str, given: Any) -> _Section:
    if not isinstance(given, Mapping):
        raise UsageError(f"{name} must be a table of settings, got {given!r}")
    kind = SECTIONS[name]
    known = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in given:
        if key not in known:
            raise UsageError(f'{name} has no setting "{key}": {nearest(str(key), known)}')
    tuples = {key: tuple(item) for key, item in given.items() if isinstance(item, list)}
    return kind(**{**given, **tuples})
