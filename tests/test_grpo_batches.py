"""Batches: every token once, little padding, and the same sums however they are cut."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memgym.agents.grpo.batches import (
    Batch,
    denominator,
    micro_batches,
    minibatches,
    padding_share,
    share,
    token_weights,
)
from memgym.agents.grpo.loss import policy_loss, token_logprobs
from memgym.agents.grpo.samples import Sample
from memgym.agents.grpo.settings import LossSettings
from tests.tiny_model import make_tiny_model

_VOCABULARY = 11
_MEANS: tuple[Literal["tokens", "samples"], ...] = ("tokens", "samples")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keeps the tests that run beside this one from waiting for torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _sample(prompt: Sequence[int], response: Sequence[int]) -> Sample:
    logprobs = tuple(-1.0 - 0.1 * number for number in range(len(response)))
    return Sample(0, tuple(prompt), tuple(response), logprobs, False, 1.0, 1.0)


def _of_lengths(lengths: Sequence[tuple[int, int]], seed: int = 0) -> list[Sample]:
    """Return samples of these lengths of prompt and response, with random token ids from 1."""
    generator = np.random.default_rng(seed)

    def ids(length: int) -> list[int]:
        drawn: list[int] = generator.integers(1, _VOCABULARY, length).tolist()
        return drawn

    return [_sample(ids(prompt), ids(response)) for prompt, response in lengths]


_SAMPLES = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), max_size=25).map(_of_lengths)


def test_a_batch_by_hand() -> None:
    samples = [_sample([4, 5], [6]), _sample([7], [8, 9, 2]), _sample([3, 3], [])]
    (longer, shorter) = micro_batches(samples, 100)
    assert longer.samples == (1,)
    assert longer.ids.tolist() == [[7, 8, 9, 2]]
    assert longer.columns.tolist() == [0, 1, 2]
    assert longer.targets.tolist() == [8, 9, 2]
    assert shorter.samples == (0,)
    assert shorter.columns.tolist() == [1]
    assert shorter.targets.tolist() == [6]
    assert all(array.dtype == np.int64 for array in (longer.ids, longer.rows, longer.sample_index))


def test_padding_by_hand() -> None:
    samples = [_sample(range(1, 10), [5]), _sample(range(1, 9), [6]), _sample(range(1, 10), [7])]
    (batch,) = micro_batches(samples, 100)
    assert batch.samples == (0, 2, 1)
    assert batch.ids.tolist()[2] == [1, 2, 3, 4, 5, 6, 7, 8, 6, 0]
    assert batch.attention_mask.tolist() == [[1] * 10, [1] * 10, [1] * 9 + [0]]
    assert batch.rows.tolist() == [0, 1, 2]
    assert batch.columns.tolist() == [8, 8, 7]
    assert batch.targets.tolist() == [5, 7, 6]
    assert batch.sample_index.tolist() == [0, 2, 1]
    assert batch.tokens == 29
    assert batch.padding_share == pytest.approx(1 / 29)


@settings(deadline=None)
@given(_SAMPLES, st.integers(16, 200), st.integers(1, 4))
def test_every_response_token_is_once_at_its_place(
    samples: list[Sample], budget: int, processes: int
) -> None:
    batches = micro_batches(samples, budget, processes=processes)
    found: dict[int, list[int]] = {}
    for batch in batches:
        assert (
            batch.ids.shape
            == batch.attention_mask.shape
            == (len(batch.samples), batch.ids.size // len(batch.samples))
        )
        for row, place in enumerate(batch.samples):
            sample = samples[place]
            ids = batch.ids[row].tolist()
            assert tuple(ids[: sample.tokens]) == sample.prompt_ids + sample.response_ids
            assert batch.attention_mask[row].sum() == sample.tokens
            assert not any(ids[sample.tokens :])
            here = batch.rows == row
            assert (batch.sample_index[here] == place).all()
            assert batch.columns[here].tolist() == list(
                range(len(sample.prompt_ids) - 1, sample.tokens - 1)
            )
            assert place not in found
            found[place] = batch.targets[here].tolist()
    expected = {place: list(item.response_ids) for place, item in enumerate(samples)}
    assert found == {place: response for place, response in expected.items() if response}


@settings(deadline=None)
@given(_SAMPLES, st.integers(16, 200))
def test_budget_and_padding_hold(samples: list[Sample], budget: int) -> None:
    batches = micro_batches(samples, budget)
    for batch in batches:
        assert batch.ids.size <= budget or len(batch.samples) == 1
        assert batch.padding_share < 0.1
    assert padding_share(batches) < 0.1
    for batch, later in pairwise(batches):  # none ended before it had to
        lengths = [samples[place].tokens for place in (*batch.samples, later.samples[0])]
        assert lengths == sorted(lengths, reverse=True)
        cells = lengths[0] * len(lengths)
        assert cells > budget or 10 * cells >= 11 * sum(lengths)


_DRAWS: dict[str, Callable[[np.random.Generator], NDArray[Any]]] = {
    "alike": lambda generator: generator.normal(100, 10, 192),
    "uniform": lambda generator: generator.uniform(20, 400, 192),
    "long tail": lambda generator: generator.lognormal(5, 0.8, 192),
    "two kinds": lambda generator: np.r_[
        generator.normal(60, 6, 96), generator.normal(900, 90, 96)
    ],
    "runaway": lambda generator: np.r_[generator.normal(70, 15, 180), np.full(12, 1_000.0)],
}


@pytest.mark.parametrize("name", _DRAWS)
def test_realistic_lengths_fill_the_budget(name: str) -> None:
    generator = np.random.default_rng(3)
    lengths = np.maximum(_DRAWS[name](generator), 8).astype(int).tolist()
    samples = _of_lengths([(length - length // 3, length // 3) for length in lengths])
    batches = micro_batches(samples, 8_192)
    assert padding_share(batches) < 0.1
    # Few passes: as many as the tokens need, and some for the kinds of length.
    assert len(batches) <= 2 * sum(lengths) / 8_192 + 15


def test_a_sample_above_the_budget_is_alone() -> None:
    samples = _of_lengths([(30, 10), (50, 50), (30, 10)])
    assert [batch.samples for batch in micro_batches(samples, 80)] == [(1,), (0, 2)]


def test_there_is_a_pass_for_every_process() -> None:
    samples = _of_lengths([(10, 10)] * 8)
    assert len(micro_batches(samples, 10_000)) == 1
    assert [len(part.samples) for part in micro_batches(samples, 10_000, processes=4)] == [2] * 4
    # Two passes for the lengths, a third for the third process: half of the larger one.
    mixed = _of_lengths([(10, 10)] * 8 + [(100, 100)])
    sizes = [part.samples for part in micro_batches(mixed, 10_000, processes=3)]
    assert sorted(sizes) == [(0, 1, 2, 3), (4, 5, 6, 7), (8,)]


def test_samples_without_a_prompt_are_refused() -> None:
    with pytest.raises(ValueError, match="sample 1 has no prompt"):
        micro_batches([_sample([1], [2]), _sample([], [2])], 100)
    assert micro_batches([], 100) == []
    assert micro_batches([_sample([1], [])], 100) == []


# ------------------------------------------------------------------ minibatches


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 9), st.integers(0, 5))
def test_minibatches_use_every_sample_once(samples: int, count: int, seed: int) -> None:
    parts = minibatches(samples, count, seed)
    assert sorted(place for part in parts for place in part) == list(range(samples))
    assert len(parts) == min(count, samples)
    sizes = [len(part) for part in parts]
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert minibatches(samples, count, seed) == parts


def test_minibatches_are_shuffled_by_the_seed() -> None:
    first, second = minibatches(40, 4, (7, 0)), minibatches(40, 4, (7, 1))
    assert first != second
    assert first[0] != tuple(range(10))
    with pytest.raises(ValueError, match="count"):
        minibatches(4, 0, 0)


# ------------------------------------------------------------------ processes


@settings(deadline=None)
@given(_SAMPLES, st.integers(16, 200), st.integers(1, 5))
def test_processes_have_equally_many_passes_and_all_of_them(
    samples: list[Sample], budget: int, world: int
) -> None:
    batches = micro_batches(samples, budget, processes=world)
    shares = [share(batches, rank, world) for rank in range(world)]
    assert len({len(mine) for mine in shares}) == 1
    idle = sum(not batch.samples for mine in shares for batch in mine)
    assert not idle or all(len(batch.samples) == 1 for batch in batches)
    assert all(batch.ids.size <= budget or len(batch.samples) == 1 for batch in batches)
    assert padding_share(batches) < 0.1
    taken = sorted(place for mine in shares for batch in mine for place in batch.samples)
    assert taken == sorted(place for batch in batches for place in batch.samples)
    sizes = [[batch.ids.size for batch in turn] for turn in zip(*shares, strict=True)]
    for turn, later in pairwise(sizes):
        assert min(turn) >= max(later)


def test_a_pass_without_samples_weighs_nothing() -> None:
    batches = micro_batches(_of_lengths([(5, 5)]), 100)
    (empty,) = share(batches, 1, 2)
    assert empty.samples == ()
    assert empty.ids.shape == empty.attention_mask.shape == (1, 1)
    assert empty.attention_mask.sum() == 1  # attention over nothing would be no number
    assert empty.tokens == 0
    assert len(token_weights(empty, "tokens")) == len(token_weights(empty, "samples")) == 0
    assert empty.flat([[1.0]]).shape == (0,)
    assert padding_share([*batches, empty]) == pytest.approx(0.1)
    assert padding_share([]) == padding_share([empty]) == 0.0


# ------------------------------------------------------------------ values, weights, sums


def test_values_follow_their_tokens() -> None:
    samples = [_sample([1] * 9, [2]), _sample([1] * 8, [3, 4])]
    (batch,) = micro_batches(samples, 100)
    assert batch.flat([[0.5], [0.25, 0.125]]).tolist() == [0.5, 0.25, 0.125]
    assert batch.flat([[0.5], [0.25, 0.125]]).dtype == np.float32
    assert token_weights(batch, "samples").tolist() == [1.0, 0.5, 0.5]
    assert token_weights(batch, "tokens").tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="sample 1: 1 values for a response of 2 tokens"):
        batch.flat([[0.5], [0.25]])


@settings(deadline=None)
@given(_SAMPLES, st.integers(16, 200), st.sampled_from(_MEANS))
def test_the_denominator_is_the_sum_of_the_weights(
    samples: list[Sample], budget: int, mean: Literal["tokens", "samples"]
) -> None:
    weights = [token_weights(batch, mean) for batch in micro_batches(samples, budget)]
    assert sum(float(part.sum()) for part in weights) == pytest.approx(denominator(samples, mean))


def _weights() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(_VOCABULARY, _VOCABULARY, generator=generator, dtype=torch.float64)


def _logits(weights: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Return a causal model's logits [rows, columns, vocabulary]: running sums of embeddings."""
    return weights[ids].cumsum(1) / torch.arange(1, ids.shape[1] + 1)[None, :, None]


def _gradient(
    samples: list[Sample], advantages: NDArray[Any], batches: list[Batch], settings: LossSettings
) -> tuple[float, torch.Tensor]:
    weights, total = _weights().requires_grad_(), 0.0
    logprobs = [sample.logprobs for sample in samples]
    for batch in batches:
        logits = _logits(weights, torch.from_numpy(batch.ids))[batch.rows, batch.columns]
        found, _ = token_logprobs(logits, torch.from_numpy(batch.targets))
        value, _ = policy_loss(
            found,
            torch.from_numpy(batch.flat(logprobs)),
            torch.from_numpy(advantages[batch.sample_index]),
            torch.from_numpy(token_weights(batch, settings.mean)),
            settings,
            denominator=denominator(samples, settings.mean),
        )
        value.backward()  # type: ignore[no-untyped-call]
        total += value.item()
    assert weights.grad is not None
    return total, weights.grad


@pytest.mark.parametrize("mean", _MEANS)
def test_the_gradient_does_not_depend_on_the_cut(mean: Literal["tokens", "samples"]) -> None:
    generator = np.random.default_rng(5)
    lengths = [(int(a), int(b)) for a, b in generator.integers(1, 25, (30, 2))]
    samples, advantages = _of_lengths(lengths), generator.normal(size=30)
    settings = LossSettings(mean=mean)
    alone = micro_batches(samples, 1)
    assert len(alone) == 30
    value, gradient = _gradient(samples, advantages, alone, settings)
    assert gradient.abs().max() > 1e-3
    for budget in (64, 500, 100_000):
        cut = micro_batches(samples, budget)
        assert len(cut) < 30
        again, same = _gradient(samples, advantages, cut, settings)
        assert again == pytest.approx(value, rel=1e-6)
        assert torch.allclose(same, gradient, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("world", [3, 7])
@pytest.mark.parametrize("mean", _MEANS)
def test_the_gradients_of_processes_add_up(mean: Literal["tokens", "samples"], world: int) -> None:
    samples = _of_lengths([(9, 8), (3, 20), (7, 2), (20, 3), (5, 5)])
    advantages = np.array([1.0, -1.0, 0.5, -0.25, 2.0])
    settings = LossSettings(mean=mean)
    value, gradient = _gradient(samples, advantages, micro_batches(samples, 1_000), settings)
    parts = micro_batches(samples, 1_000, processes=world)
    shares = [share(parts, rank, world) for rank in range(world)]
    idle = sum(not batch.samples for mine in shares for batch in mine)
    assert idle == (2 if world == 7 else 0)
    found = [_gradient(samples, advantages, mine, settings) for mine in shares]
    assert sum(part[0] for part in found) == pytest.approx(value, rel=1e-6)
    assert torch.allclose(sum((part[1] for part in found), torch.zeros(())), gradient, rtol=1e-6)


def test_a_real_model_sees_the_same_with_and_without_padding(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(make_tiny_model(tmp_path / "model")).eval()
    samples = _of_lengths([(20, 9), (21, 10), (19, 9), (22, 10)])
    (batch,) = micro_batches(samples, 1_000)
    assert batch.padding_share > 0
    with torch.no_grad():
        logits = model(
            input_ids=torch.from_numpy(batch.ids),
            attention_mask=torch.from_numpy(batch.attention_mask),
        ).logits[batch.rows, batch.columns]
        found, _ = token_logprobs(logits, torch.from_numpy(batch.targets))
        for place, sample in enumerate(samples):
            ids = sample.prompt_ids + sample.response_ids
            rows = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            expected = [
                rows[column - 1, ids[column]].item()
                for column in range(len(sample.prompt_ids), sample.tokens)
            ]
            assert found[batch.sample_index == place].tolist() == pytest.approx(expected, abs=1e-5)
