"""The clipped policy-gradient loss on the tokens of responses, and their log-probabilities.

Tensors in, a number out: no model, no optimiser. Tokens are flat, one entry per response token, so
no padding gets in. The loss is a weighted sum over a constant that the caller gives for the whole
minibatch; so the losses and gradients of its micro-batches, on however many processes, add up to
those of the minibatch, exactly but for rounding.

Sources: clipped ratio, Schulman et al. 2017 (arXiv 1707.06347); group-relative advantages and the
divergence term, Shao et al. 2024 (GRPO, arXiv 2402.03300); different limits below and above, and
the mean over tokens, Yu et al. 2025 (DAPO, arXiv 2503.14476); dual clip, Ye et al. 2020 (arXiv
1912.09729); the estimator k3, Schulman 2020 ("Approximating KL Divergence"); truncated importance
weights per token, Yao et al. 2025 ("Your Efficient RL Framework Secretly Brings You Off-Policy RL
Training").
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from memgym.agents.grpo.settings import LossSettings

if TYPE_CHECKING:
    import torch

__all__ = ["mean_statistics", "merged_statistics", "policy_loss", "token_logprobs"]

_MAX_LOG_RATIO = 20.0  # exp(20) is 5e8: far beyond any limit, and far from infinity
_BLOCK = 2**26  # float32 numbers that are worked on at a time: 256 MiB
_LEAST_LOGPROB = -1e4  # of tokens that cannot come, so that probability 0 adds 0 to the entropy
_COUNT = "tokens"
_LARGEST = "_max"


def token_logprobs(
    logits: "torch.Tensor", ids: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the log-probability of each token, and the entropy of where it was drawn from.

    Computed in float32 (float64 if the logits are), in blocks that are computed a second time on
    the way back, so that of a large vocabulary there is only one float32 block at a time.

    Args:
        logits: [tokens, vocabulary].
        ids: [tokens], the tokens that were written.

    Returns:
        Two tensors [tokens], in nats; the entropy is without gradient.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    rows = max(1, _BLOCK // logits.shape[-1])
    if len(ids) <= rows:
        return _block(logits, ids)
    done = [
        checkpoint(_block, *pair, use_reentrant=False, preserve_rng_state=False)
        for pair in zip(torch.split(logits, rows), torch.split(ids, rows), strict=True)
    ]
    return torch.cat([logprobs for logprobs, _ in done]), torch.cat(
        [entropy for _, entropy in done]
    )


def policy_loss(
    logprobs: "torch.Tensor",
    old_logprobs: "torch.Tensor",
    advantages: "torch.Tensor",
    weights: "torch.Tensor",
    settings: LossSettings,
    *,
    denominator: float,
    reference_logprobs: "torch.Tensor | None" = None,
    rollout_logprobs: "torch.Tensor | None" = None,
    entropy: "torch.Tensor | None" = None,
) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
    """Return the loss to minimise, and statistics about its tokens.

    Log-ratios are held within 20, so nothing becomes infinite; what is not a number stays so.

    Args:
        logprobs: [tokens], under the policy as it is now, with gradient.
        old_logprobs: [tokens], under the policy that the ratio compares with.
        advantages: [tokens], each that of its sample.
        weights: [tokens], of each in the sum: see :func:`.batches.token_weights`. Tokens of weight
            0 take no part.
        settings: Limits and weights.
        denominator: What the sum is divided by: see :func:`.batches.denominator`, of all samples
            of the minibatch, those of other micro-batches and processes too.
        reference_logprobs: [tokens], under the reference; needed if ``kl_weight`` is set.
        rollout_logprobs: [tokens], as the rollout's engine gave them; needed if ``importance_cap``
            is set, otherwise only compared with the old ones.
        entropy: [tokens], only for the statistics.

    Returns:
        The loss, and sums over tokens by name (``tokens`` is their number), with ``..._max`` for
        the largest value: see :func:`merged_statistics` and :func:`mean_statistics`.

        * ``clipped_low``, ``clipped_high``, ``clipped_dual``: tokens that a limit left without
          gradient.
        * ``ratio``, ``ratio_max``; ``log_ratio`` (absolute), ``log_ratio_max``; ``update_kl``: k3
          of the old policy to the new one.
        * ``reference_kl``: k3 of the new policy to the reference.
        * ``rollout_difference``, ``rollout_difference_max``: absolute difference between old and
          rollout log-probability, in nats.
        * ``importance``, ``importance_max``, ``importance_capped``: the importance weights, and how
          many of them reached the cap.
        * ``entropy``, in nats.

    Raises:
        ValueError: the denominator is not above 0, or log-probabilities that the settings need
            are missing.
    """
    import torch

    if not denominator > 0:
        raise ValueError(f"denominator must be above 0, got {denominator}")
    statistics = _Statistics(weights)
    log_ratio = _bounded(logprobs - old_logprobs)
    ratio = log_ratio.exp()
    losses = _clipped(ratio, advantages, settings, statistics)
    statistics.add("ratio", ratio, largest=True)
    statistics.add("log_ratio", log_ratio.abs(), largest=True)
    statistics.add("update_kl", ratio - log_ratio - 1)
    if rollout_logprobs is not None:
        difference = old_logprobs - rollout_logprobs
        statistics.add("rollout_difference", difference.abs(), largest=True)
        if settings.importance_cap:
            losses = losses * _importance(difference, settings.importance_cap, statistics)
    elif settings.importance_cap:
        raise ValueError("importance_cap needs the rollout's log-probabilities")
    if reference_logprobs is not None:
        to_reference = _bounded(reference_logprobs - logprobs)
        divergence = to_reference.exp() - to_reference - 1
        losses = losses + settings.kl_weight * divergence
        statistics.add("reference_kl", divergence)
    elif settings.kl_weight:
        raise ValueError("kl_weight needs the reference's log-probabilities")
    if entropy is not None:
        statistics.add("entropy", entropy)
    return torch.sum(weights * losses) / denominator, statistics.values


def merged_statistics(
    parts: "Iterable[Mapping[str, torch.Tensor]]",
) -> "dict[str, torch.Tensor]":
    """Return the statistics of several micro-batches, or of several processes, as those of one."""
    import torch

    merged: dict[str, torch.Tensor] = {}
    for part in parts:
        for name, value in part.items():
            if name not in merged:
                merged[name] = value
            elif name.endswith(_LARGEST):
                merged[name] = torch.maximum(merged[name], value)
            else:
                merged[name] = merged[name] + value
    return merged


def mean_statistics(statistics: "Mapping[str, torch.Tensor | float]") -> dict[str, float]:
    """Return sums as means over tokens, which for counts are shares; the largest as they are.

    ``tokens`` stays their number. Without tokens, all are 0.0.
    """
    values = {name: float(value) for name, value in statistics.items()}
    tokens = values.get(_COUNT, 0.0)
    return {
        name: value if name == _COUNT or name.endswith(_LARGEST) else value / (tokens or 1.0)
        for name, value in values.items()
    }


class _Statistics:
    """Sums over the tokens that take part, kept on their device so that nothing waits for them."""

    def __init__(self, weights: "torch.Tensor") -> None:
        self._counted = weights != 0
        self.values = {_COUNT: self._counted.sum()}

    def add(self, name: str, value: "torch.Tensor", *, largest: bool = False) -> None:
        """Add the sum of ``value`` [tokens], and its largest (of values from 0) if asked to."""
        import torch

        counted = torch.where(self._counted, value.detach(), torch.zeros_like(value))
        self.values[name] = counted.sum()
        if largest:
            none = counted.new_zeros(())
            self.values[name + _LARGEST] = counted.max() if counted.numel() else none


def _clipped(
    ratio: "torch.Tensor",
    advantages: "torch.Tensor",
    settings: LossSettings,
    statistics: _Statistics,
) -> "torch.Tensor":
    """Return the negative clipped objective of each token."""
    import torch

    low, high = 1 - settings.clip_low, 1 + settings.clip_high
    objective = torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
    worse = advantages < 0
    statistics.add("clipped_low", worse & (ratio < low))
    statistics.add("clipped_high", (advantages > 0) & (ratio > high))
    if settings.dual_clip:
        bounded = torch.maximum(objective, settings.dual_clip * advantages)
        objective = torch.where(worse, bounded, objective)
        statistics.add("clipped_dual", worse & (ratio > settings.dual_clip))
    return -objective


def _importance(difference: "torch.Tensor", cap: float, statistics: _Statistics) -> "torch.Tensor":
    """Return the truncated weights of old against rollout log-probabilities, [tokens]."""
    weights = _bounded(difference).exp().clamp(max=cap)
    statistics.add("importance", weights, largest=True)
    statistics.add("importance_capped", weights >= cap)
    return weights


def _bounded(log_ratio: "torch.Tensor") -> "torch.Tensor":
    """Return log-ratios within the bounds, without gradient where they were not."""
    import torch

    # A plain clamp has no gradient where its input is not a number, which would hide that it isn't.
    bounds = log_ratio.detach().clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    return torch.where(log_ratio.abs() > _MAX_LOG_RATIO, bounds, log_ratio)


def _block(logits: "torch.Tensor", ids: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    import torch

    wide = logits if logits.dtype == torch.float64 else logits.float()
    logprobs = wide.log_softmax(-1)
    picked = logprobs.gather(-1, ids[:, None])[:, 0]
    # After what the gradient needs, so that the second computation stops before it.
    with torch.no_grad():
        entropy = -(logprobs.exp() * logprobs.clamp(min=_LEAST_LOGPROB)).sum(-1)
    return picked, entropy
