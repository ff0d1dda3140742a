"""The loss: values by hand, an independent computation with loops, gradients by differences."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from memgym.agents.grpo import loss as loss_module
from memgym.agents.grpo.loss import (
    mean_statistics,
    merged_statistics,
    policy_loss,
    token_logprobs,
)
from memgym.agents.grpo.settings import LossSettings


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keeps the tests that run beside this one from waiting for torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _tensor(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _loss(
    ratios: Sequence[float],
    advantages: Sequence[float],
    settings: LossSettings | None = None,
    *,
    weights: Sequence[float] | None = None,
    denominator: float | None = None,
    **more: Any,
) -> tuple[float, dict[str, float], list[float]]:
    """Return loss, mean statistics, and the gradient by the log-probabilities, of these ratios."""
    old = torch.full((len(ratios),), -2.0, dtype=torch.float64)
    new = (old + _tensor(ratios).log()).requires_grad_()
    value, statistics = policy_loss(
        new,
        old,
        _tensor(advantages),
        torch.ones_like(old) if weights is None else _tensor(weights),
        settings or LossSettings(),
        denominator=denominator or len(ratios),
        **more,
    )
    assert not any(number.requires_grad for number in statistics.values())
    (gradient,) = torch.autograd.grad(value, new)
    return value.item(), mean_statistics(statistics), gradient.tolist()


# ------------------------------------------------------------------ by hand


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 2.0, -2.2, -2.2),
        (1.3, 2.0, -2.4, 0.0),  # clipped: no reward for going further up
        (0.5, 2.0, -1.0, -1.0),
        (0.5, -2.0, 1.6, 0.0),  # clipped: no reward for going further down
        (1.3, -2.0, 2.6, 2.6),
        (9.0, -2.0, 18.0, 18.0),
        (9.0, 0.0, 0.0, 0.0),
    ],
)
def test_clipped_ratio(ratio: float, advantage: float, loss: float, gradient: float) -> None:
    value, _, slopes = _loss([ratio], [advantage])
    assert value == pytest.approx(loss)
    assert slopes == pytest.approx([gradient])


def test_limits_below_and_above_may_differ() -> None:
    settings = LossSettings(clip_low=0.1, clip_high=0.4)
    assert _loss([1.35], [1.0], settings)[0] == pytest.approx(-1.35)
    assert _loss([1.45], [1.0], settings)[0] == pytest.approx(-1.4)
    assert _loss([0.85], [-1.0], settings)[0] == pytest.approx(0.9)


def test_dual_clip_bounds_what_a_bad_token_may_cost() -> None:
    settings = LossSettings(dual_clip=3.0)
    value, statistics, slopes = _loss([9.0, 2.0, 9.0], [-2.0, -2.0, 2.0], settings, denominator=1)
    assert value == pytest.approx(6.0 + 4.0 - 2.4)
    assert slopes == pytest.approx([0.0, 4.0, 0.0])
    assert statistics["clipped_dual"] == pytest.approx(1 / 3)


def test_divergence_from_the_reference() -> None:
    settings = LossSettings(kl_weight=0.5)
    reference = _tensor([-2.0 + math.log(2.0)])  # k3 of ratio 2: 2 - log 2 - 1
    value, statistics, slopes = _loss([1.0], [0.0], settings, reference_logprobs=reference)
    assert value == pytest.approx(0.5 * (1 - math.log(2)))
    assert slopes == pytest.approx([0.5 * (1 - 2)])  # towards the reference, which is more likely
    assert statistics["reference_kl"] == pytest.approx(1 - math.log(2))


def test_importance_weights_are_capped() -> None:
    rollout = _tensor([-2.0 - math.log(1.5), -2.0 - math.log(5.0), -2.0 + math.log(2.0)])
    settings = LossSettings(importance_cap=2.0)
    value, statistics, slopes = _loss(
        [1.0, 1.0, 1.0], [1.0, 1.0, 1.0], settings, denominator=1, rollout_logprobs=rollout
    )
    assert value == pytest.approx(-1.5 - 2.0 - 0.5)
    assert slopes == pytest.approx([-1.5, -2.0, -0.5])
    assert statistics["importance"] == pytest.approx(4 / 3)
    assert statistics["importance_max"] == pytest.approx(2.0)
    assert statistics["importance_capped"] == pytest.approx(1 / 3)
    assert statistics["rollout_difference_max"] == pytest.approx(math.log(5))


def test_the_importance_weight_is_not_on_the_divergence() -> None:
    settings = LossSettings(importance_cap=2.0, kl_weight=1.0)
    rollout, reference = _tensor([-3.0]), _tensor([-1.0])
    value, _, _ = _loss(
        [1.0], [0.0], settings, rollout_logprobs=rollout, reference_logprobs=reference
    )
    assert value == pytest.approx(math.e - 2)


def test_without_a_cap_the_rollout_is_only_compared() -> None:
    rollout = _tensor([-2.5, -1.0])
    value, statistics, _ = _loss([1.0, 1.0], [1.0, 1.0], rollout_logprobs=rollout)
    assert value == pytest.approx(-1.0)
    assert statistics["rollout_difference"] == pytest.approx(0.75)
    assert "importance" not in statistics


def test_statistics_by_hand() -> None:
    ratios, advantages = [0.5, 0.5, 1.5, 1.5, 1.1], [-1.0, 1.0, 1.0, -1.0, 1.0]
    _, statistics, _ = _loss(ratios, advantages, entropy=_tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert statistics["tokens"] == 5
    assert statistics["clipped_low"] == pytest.approx(0.2)
    assert statistics["clipped_high"] == pytest.approx(0.2)
    assert statistics["ratio"] == pytest.approx(1.02)
    assert statistics["ratio_max"] == pytest.approx(1.5)
    assert statistics["entropy"] == pytest.approx(3.0)
    expected = sum(ratio - 1 - math.log(ratio) for ratio in ratios) / 5
    assert statistics["update_kl"] == pytest.approx(expected)


def test_tokens_of_weight_zero_take_no_part() -> None:
    value, statistics, slopes = _loss(
        [1.0, 50.0], [1.0, -1.0], weights=[1.0, 0.0], denominator=1, entropy=_tensor([1.0, 9.0])
    )
    assert value == pytest.approx(-1.0)
    assert slopes == pytest.approx([-1.0, 0.0])
    assert statistics["tokens"] == 1
    assert statistics["ratio_max"] == pytest.approx(1.0)
    assert statistics["entropy"] == pytest.approx(1.0)


def test_no_tokens_give_a_loss_of_zero_that_has_gradients() -> None:
    none = torch.zeros(0, requires_grad=True)
    nothing = torch.zeros(0)
    value, statistics = policy_loss(
        none, nothing, nothing, nothing, LossSettings(), denominator=3, rollout_logprobs=nothing
    )
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == 0.0
    assert none.grad is not None
    assert set(mean_statistics(statistics).values()) == {0.0}
    assert mean_statistics({}) == {}


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_nothing_becomes_infinite(sign: float, advantage: float) -> None:
    new = torch.tensor([sign * 1e4], requires_grad=True)
    settings = LossSettings(kl_weight=0.1, importance_cap=1e30)
    value, statistics = policy_loss(
        new,
        torch.zeros(1),
        torch.tensor([advantage]),
        torch.ones(1),
        settings,
        denominator=1,
        reference_logprobs=torch.tensor([-sign * 1e4]),
        rollout_logprobs=torch.tensor([-sign * 1e4]),
    )
    value.backward()  # type: ignore[no-untyped-call]
    assert new.grad is not None
    assert torch.isfinite(new.grad).all()
    assert math.isfinite(value.item())
    assert all(math.isfinite(float(number)) for number in statistics.values())


def test_what_is_not_a_number_stays_so() -> None:
    value, statistics, slopes = _loss([math.nan, 1.0], [1.0, 1.0])
    assert math.isnan(value)
    assert math.isnan(slopes[0])
    assert math.isnan(statistics["ratio"])
    assert math.isnan(statistics["ratio_max"])


def test_what_is_missing_is_said() -> None:
    with pytest.raises(ValueError, match="kl_weight needs"):
        _loss([1.0], [1.0], LossSettings(kl_weight=0.1))
    with pytest.raises(ValueError, match="importance_cap needs"):
        _loss([1.0], [1.0], LossSettings(importance_cap=2.0))
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="denominator must be above 0"):
            _loss([1.0], [1.0], denominator=wrong)


# ------------------------------------------------------------------ by loops and by differences

_LOGPROB = st.floats(-4.0, -0.01)
_TOKENS = st.lists(
    st.tuples(
        _LOGPROB, _LOGPROB, _LOGPROB, _LOGPROB, st.floats(-3.0, 3.0), st.sampled_from([1.0, 0.25])
    ),
    min_size=1,
    max_size=12,
)
_SETTINGS = st.builds(
    LossSettings,
    clip_low=st.sampled_from([0.1, 0.2]),
    clip_high=st.sampled_from([0.2, 0.4]),
    dual_clip=st.sampled_from([0.0, 3.0]),
    kl_weight=st.sampled_from([0.0, 0.1]),
    importance_cap=st.sampled_from([0.0, 2.0]),
)
_Tokens = list[tuple[float, float, float, float, float, float]]


def _plain(tokens: _Tokens, settings: LossSettings, denominator: float) -> float:
    """Return the loss from its textbook cases, one token at a time."""
    total = 0.0
    for new, old, rollout, reference, advantage, weight in tokens:
        ratio = math.exp(new - old)
        if advantage >= 0:
            objective = advantage * min(ratio, 1 + settings.clip_high)
        else:
            limit = settings.dual_clip or math.inf
            objective = advantage * min(max(ratio, 1 - settings.clip_low), limit)
        if settings.importance_cap:
            objective *= min(math.exp(old - rollout), settings.importance_cap)
        distance = math.exp(reference - new) - 1 - (reference - new)
        total += weight * (settings.kl_weight * distance - objective)
    return total / denominator


def _computed(
    tokens: _Tokens, settings: LossSettings, denominator: float
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    columns = [_tensor(column) for column in zip(*tokens, strict=True)]
    new, old, rollout, reference, advantages, weights = columns
    new.requires_grad_()
    value, statistics = policy_loss(
        new,
        old,
        advantages,
        weights,
        settings,
        denominator=denominator,
        reference_logprobs=reference,
        rollout_logprobs=rollout,
    )
    (gradient,) = torch.autograd.grad(value, new)
    return value.detach(), gradient, statistics


@limits(max_examples=60, deadline=None)
@given(_TOKENS, _SETTINGS)
def test_as_a_plain_computation(tokens: _Tokens, settings: LossSettings) -> None:
    value, _, _ = _computed(tokens, settings, 7.0)
    assert value.item() == pytest.approx(_plain(tokens, settings, 7.0), abs=1e-9)


@limits(max_examples=60, deadline=None)
@given(_TOKENS, _SETTINGS)
def test_gradient_by_finite_differences(tokens: _Tokens, settings: LossSettings) -> None:
    _, gradient, _ = _computed(tokens, settings, 7.0)
    step = 1e-6
    kinks = [1 - settings.clip_low, 1 + settings.clip_high, 3.0]
    for place, token in enumerate(tokens):
        if any(abs(math.exp(token[0] - token[1]) - kink) < 1e-4 for kink in kinks):
            continue  # the loss has a corner there
        ends = []
        for moved in (token[0] + step, token[0] - step):
            changed = [*tokens[:place], (moved, *token[1:]), *tokens[place + 1 :]]
            ends.append(_plain(changed, settings, 7.0))
        assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-5)


@limits(max_examples=60, deadline=None)
@given(_TOKENS, _SETTINGS, st.integers(0, 12))
def test_parts_add_up_to_the_whole(tokens: _Tokens, settings: LossSettings, cut: int) -> None:
    value, gradient, statistics = _computed(tokens, settings, 7.0)
    parts = [_computed(part, settings, 7.0) for part in (tokens[:cut], tokens[cut:]) if part]
    assert sum(part[0].item() for part in parts) == pytest.approx(value.item())
    assert torch.allclose(torch.cat([part[1] for part in parts]), gradient)
    merged = merged_statistics(part[2] for part in parts)
    assert mean_statistics(merged) == pytest.approx(mean_statistics(statistics))


# ------------------------------------------------------------------ log-probabilities of tokens


def _logits(rows: int, vocabulary: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows * 1_000 + vocabulary)
    return 3 * torch.randn(rows, vocabulary, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("block", [1, 14, 10**6])
def test_token_logprobs_and_entropy(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "_BLOCK", block)
    logits, ids = _logits(5, 7).requires_grad_(), torch.tensor([0, 6, 3, 3, 1])
    logprobs, entropy = token_logprobs(logits, ids)
    for row, token in enumerate(ids.tolist()):
        scores = [math.exp(score) for score in logits[row].tolist()]
        shares = [score / sum(scores) for score in scores]
        assert logprobs[row].item() == pytest.approx(math.log(shares[token]))
        plain = -sum(share * math.log(share) for share in shares)
        assert entropy[row].item() == pytest.approx(plain)
    assert not entropy.requires_grad
    weights = _tensor([1.0, -2.0, 0.5, 3.0, 1.0])
    (gradient,) = torch.autograd.grad((weights * logprobs).sum(), logits)
    chosen = torch.nn.functional.one_hot(ids, 7)
    expected = weights[:, None] * (chosen - logits.detach().softmax(-1))
    assert torch.allclose(gradient, expected)


def test_of_a_large_vocabulary_nothing_is_kept_but_the_logits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kept(block: int) -> int:
        monkeypatch.setattr(loss_module, "_BLOCK", block)
        logits = _logits(64, 50).requires_grad_()
        given, sizes = logits.untyped_storage().data_ptr(), [0]

        def pack(saved: torch.Tensor) -> torch.Tensor:
            if saved.untyped_storage().data_ptr() != given:
                sizes.append(saved.numel())
            return saved

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
            token_logprobs(logits, torch.zeros(64, dtype=torch.long))
        return sum(sizes)

    assert kept(10**6) >= 64 * 50
    assert kept(4 * 50) <= 2 * 64


@pytest.mark.parametrize("block", [14, 10**6])
def test_half_precision_logits_are_summed_in_full(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "_BLOCK", block)
    logits, ids = _logits(6, 7).bfloat16().requires_grad_(), torch.arange(6)
    logprobs, entropy = token_logprobs(logits, ids)
    assert logprobs.dtype == entropy.dtype == torch.float32
    exact = logits.detach().double().log_softmax(-1)[torch.arange(6), ids]
    assert torch.allclose(logprobs.detach().double(), exact, atol=1e-6)
    (gradient,) = torch.autograd.grad(logprobs.sum(), logits)
    assert gradient.dtype == torch.bfloat16


def test_tokens_that_cannot_come_add_no_entropy() -> None:
    logits = torch.tensor([[0.0, 0.0, -math.inf]])
    logprobs, entropy = token_logprobs(logits, torch.tensor([1]))
    assert logprobs.item() == pytest.approx(-math.log(2))
    assert entropy.item() == pytest.approx(math.log(2))


def test_no_tokens_keep_the_graph() -> None:
    logits = torch.zeros(0, 5, requires_grad=True)
    logprobs, entropy = token_logprobs(logits, torch.zeros(0, dtype=torch.long))
    assert (logprobs.shape, entropy.shape) == ((0,), (0,))
    assert logprobs.requires_grad


def test_steps_on_the_loss_stop_at_the_limits() -> None:
    """They move probability from the bad token to the good one, as far as the ratio allows."""
    scores = torch.zeros(2, requires_grad=True)
    ids, advantages = torch.tensor([0, 1]), torch.tensor([1.0, -1.0])
    old = torch.full((2,), math.log(0.5))
    optimizer = torch.optim.SGD([scores], lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        logprobs, _ = token_logprobs(scores.expand(2, 2), ids)
        value, _ = policy_loss(
            logprobs, old, advantages, torch.ones(2), LossSettings(), denominator=2
        )
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    # Ratio 1.2 or 0.8 is where nothing pulls any more: 0.5 * 1.2 = 0.6.
    assert scores.softmax(0)[0].item() == pytest.approx(0.6, abs=0.01)
