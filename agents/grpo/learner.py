"""Updates the policy from trajectories: old log-probabilities, minibatches, the loss, updates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memgym.agents.grpo.advantages import Advantages
from memgym.agents.grpo.batches import (
    Batch,
    denominator,
    micro_batches,
    minibatches,
    padding_share,
    share,
    token_weights,
)
from memgym.agents.grpo.loss import mean_statistics, merged_statistics, policy_loss
from memgym.agents.grpo.samples import Sample, Trajectory
from memgym.agents.grpo.settings import TrainSettings
from memgym.agents.grpo.updates import Updates

if TYPE_CHECKING:
    import torch

__all__ = ["Learner", "TrainedSample", "trained_samples"]

_Values = Sequence[Sequence[float]] | None


@dataclass(frozen=True, slots=True)
class TrainedSample:
    """A sample with its advantage."""

    sample: Sample
    advantage: float


def trained_samples(trajectories: Sequence[Trajectory], found: Advantages) -> list[TrainedSample]:
    """Return the samples of a step but for those of groups with nothing to learn from."""
    dropped = set(found.dropped)
    return [
        TrainedSample(sample, value)
        for trajectory, values in zip(trajectories, found.values, strict=True)
        if trajectory.group not in dropped
        for sample, value in zip(trajectory.samples, values, strict=True)
    ]


class Learner:
    """Takes training steps.

    Args:
        updates: The weights.
        settings: Of the run.

    Attributes:
        version: Training steps taken.
    """

    def __init__(self, updates: Updates, settings: TrainSettings) -> None:
        self._updates = updates
        self._settings = settings
        self.version = 0
        self._reference: Any = None

    def begin(self) -> None:
        """Start the stage; the policy as it is now becomes the reference, if the loss has one."""
        chosen, policy = self._settings.optimizer, self._updates.policy
        self._updates.begin(chosen.betas, chosen.weight_decay)
        if self._settings.loss.kl_weight and not policy.adapted:
            self._reference = self._updates.reference()

    def refer_to(self, model: Any) -> None:
        """Make a model the reference."""
        self._reference = self._updates.reference(model)

    @property
    def reference(self) -> Any:
        """The reference model, ``None`` without one; with LoRA it is the model without adapter."""
        return self._reference.model if self._reference is not None else None

    def update(self, samples: Sequence[TrainedSample]) -> dict[str, float]:
        """Take one training step: every sample is used once.

        Args:
            samples: Of all processes, in the same order on each.

        Returns:
            Statistics of the loss (see :func:`.loss.policy_loss`) as means over tokens, and
            ``loss``, ``gradient_norm`` (mean over updates), ``learning_rate``, ``padding_share``,
            ``trained_tokens``, ``updates``, ``skipped_updates`` (a gradient was no number).
        """
        chosen, model = self._settings.optimizer, self._updates.policy.model
        rate = self._learning_rate()
        old, reference = self._before(samples)
        parts, norms, losses, used = [], [], [], list[Batch]()
        model.train()
        for places in minibatches(
            len(samples), chosen.minibatches, (self._settings.seed, self.version)
        ):
            loss, statistics, batches = self._gradients(
                [samples[place] for place in places], _of(old, places), _of(reference, places)
            )
            norms.append(self._updates.step(rate, chosen.max_gradient_norm))
            losses.append(loss)
            parts.append(statistics)
            used += batches
        model.eval()
        self.version += 1
        finite = [norm for norm in norms if math.isfinite(norm)]
        return {
            **_statistics(parts, recomputed=old is not None),
            "loss": sum(losses) / len(losses) if losses else 0.0,
            "gradient_norm": sum(finite) / len(finite) if finite else (math.nan if norms else 0.0),
            "learning_rate": rate,
            "padding_share": padding_share(used),
            "trained_tokens": float(sum(batch.tokens for batch in used)),
            "updates": float(len(finite)),
            "skipped_updates": float(len(norms) - len(finite)),
        }

    def logprobs(self, samples: Sequence[Sample], module: Any = None) -> list[list[float]]:
        """Return the log-probability of every response token under the policy as it is now.

        Args:
            samples: Of all processes, in the same order on each.
            module: Computes them; by default the policy.
        """
        import torch

        found: list[list[float]] = [[] for _ in samples]
        model = self._updates.policy.model
        model.eval()
        temperature = self._settings.rollout.temperature
        with torch.no_grad():
            for batch in micro_batches(samples, self._settings.optimizer.micro_batch_tokens):
                # On every process alike: each needs all of them.
                values, _ = self._updates.response_logprobs(batch, temperature, module)
                for place, value in zip(batch.sample_index.tolist(), values.tolist(), strict=True):
                    found[place].append(value)
        return found

    def _before(self, samples: Sequence[TrainedSample]) -> tuple[_Values, _Values]:
        """Return what has to be known before the first update: old and reference log-probs."""
        plain = [item.sample for item in samples]
        settings = self._settings
        # The rollout's are at temperature 1; with a cap, its difference to the trainer counts.
        recompute = settings.loss.importance_cap or settings.rollout.temperature != 1
        old = self.logprobs(plain) if recompute else None
        if not settings.loss.kl_weight:
            return old, None
        if self._reference is not None:
            return old, self.logprobs(plain, self._reference)
        with self._updates.policy.reference():
            return old, self.logprobs(plain)

    def _gradients(
        self, samples: Sequence[TrainedSample], old: _Values, reference: _Values
    ) -> "tuple[float, dict[str, torch.Tensor], list[Batch]]":
        """Compute the gradients of a minibatch; return its loss, statistics and passes."""
        updates = self._updates
        plain = [item.sample for item in samples]
        whole = micro_batches(
            plain, self._settings.optimizer.micro_batch_tokens, processes=updates.processes
        )
        mine = share(whole, updates.rank, updates.processes)
        total = denominator(plain, self._settings.loss.mean)
        parts: list[dict[str, torch.Tensor]] = []
        for number, batch in enumerate(mine):
            with updates.one_pass(last=number == len(mine) - 1):
                loss, statistics = self._loss(batch, samples, old, reference, total)
                updates.backward(loss)
            parts.append({**statistics, "loss": loss.detach()})
        merged = updates.summed(merged_statistics(parts))
        return float(merged.pop("loss")), merged, whole

    def _loss(
        self,
        batch: Batch,
        samples: Sequence[TrainedSample],
        old: _Values,
        reference: _Values,
        total: float,
    ) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
        import numpy as np

        updates, settings = self._updates, self._settings
        rollout = [item.sample.logprobs for item in samples]
        advantages = np.array([item.advantage for item in samples], dtype=np.float32)
        values, entropy = updates.response_logprobs(batch, settings.rollout.temperature)
        return policy_loss(
            values,
            updates.tensor(batch.flat(old or rollout)),
            updates.tensor(advantages[batch.sample_index]),
            updates.tensor(token_weights(batch, settings.loss.mean)),
            settings.loss,
            denominator=total,
            reference_logprobs=updates.tensor(batch.flat(reference)) if reference else None,
            rollout_logprobs=updates.tensor(batch.flat(rollout)),
            entropy=entropy,
        )

    def _learning_rate(self) -> float:
        chosen, step = self._settings.optimizer, self.version
        grown = min(1.0, (step + 1) / (chosen.warmup_steps + 1))
        if chosen.schedule == "constant":
            return chosen.learning_rate * grown
        return chosen.learning_rate * grown * max(0.0, 1 - step / chosen.steps)


def _statistics(
    parts: "Sequence[dict[str, torch.Tensor]]", *, recomputed: bool
) -> dict[str, float]:
    """Return the statistics of a step out of those of its minibatches, in order."""
    if not parts:
        return {}
    found = mean_statistics(merged_statistics(parts))
    if not recomputed:
        # The ratio compares with the rollout's log-probabilities; in the first minibatch nothing
        # has been updated yet, so what differs there is how the two were computed.
        first = mean_statistics(parts[0])
        found["rollout_difference"] = first["log_ratio"]
        found["rollout_difference_max"] = first["log_ratio_max"]
    return found


def _of(values: _Values, places: Sequence[int]) -> _Values:
    return [values[place] for place in places] if values is not None else None
