"""The learner: right gradients of the right loss, and a policy that goes where rewards point."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from memgym.agents.grpo.advantages import advantages
from memgym.agents.grpo.engines import open_engine
from memgym.agents.grpo.learner import Learner, TrainedSample, trained_samples
from memgym.agents.grpo.policy import Policy, prepared, response_model
from memgym.agents.grpo.rollouts import Rollouts, by_group, groups
from memgym.agents.grpo.samples import Sample, Trajectory
from memgym.agents.grpo.settings import AdvantageSettings, PolicySettings, TrainSettings
from memgym.agents.grpo.updates import Updates
from tests.grpo_small import plain_logprobs, small_policy, small_settings, trained_names

VOCABULARY = 60
LORA = {"r": 4, "target_modules": "all-linear"}


def bare_policy(kind: str = "qwen3", **shape: Any) -> Policy:
    """Return a policy with few tokens; nothing is read or written as text with it."""
    return small_policy(kind, vocab_size=VOCABULARY, **shape)


def with_adapter(policy: Policy, *, checkpointing: bool = False) -> Policy:
    """Return the policy with an adapter that has learned something already."""
    chosen = PolicySettings(device="cpu", lora=LORA, gradient_checkpointing=checkpointing)
    model = prepared(policy, chosen).model
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    return Policy(model.eval(), policy.tokenizer)


def some_samples(model: Any, count: int = 5, *, shift: float = 0.0) -> list[TrainedSample]:
    """Return samples of different lengths, with log-probabilities as the model gives them."""
    random = np.random.default_rng(3)
    found = []
    for number in range(count):
        prompt, response = 2 + 3 * number, 1 + (number * 5) % 7
        ids = random.integers(1, VOCABULARY, prompt + response).tolist()
        with torch.no_grad():
            known = plain_logprobs(model, ids[:prompt], ids[prompt:])
        noise = random.normal(scale=shift, size=response) if shift else np.zeros(response)
        sample = Sample(
            chunk=0,
            prompt_ids=tuple(ids[:prompt]),
            response_ids=tuple(ids[prompt:]),
            logprobs=tuple((known.double().numpy() + noise).tolist()),
            truncated=False,
            format=0.0,
            content=0.0,
        )
        found.append(TrainedSample(sample, (number - 1.5) / 2))
    return found


def learner_of(policy: Policy, **sections: Any) -> Learner:
    made = Learner(Updates(policy), small_settings(**sections))
    made.begin()
    return made


def first_gradients(learner: Learner, samples: Sequence[TrainedSample]) -> dict[str, Any]:
    """Take a step, and return the gradients of its first update, before they are clipped."""
    updates, found = learner._updates, list[dict[str, Any]]()
    step = updates.step

    def noted(learning_rate: float, max_gradient_norm: float) -> float:
        model = updates.policy.model
        found.append({name: item.grad.clone() for name, item in trained_names(model)})
        return step(learning_rate, max_gradient_norm)

    updates.step = noted  # type: ignore[method-assign]
    learner.update(samples)
    return found[0]


# ------------------------------------------------------------------ rollout and trainer agree


@dataclass(frozen=True)
class Kind:
    """A sort of policy."""

    architecture: str
    adapted: bool = False
    checkpointing: bool = False


KINDS = [
    Kind("qwen3"),
    Kind("llama"),
    Kind("gpt2"),
    Kind("qwen3", adapted=True),
    Kind("llama", checkpointing=True),
    Kind("qwen3", adapted=True, checkpointing=True),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_log_probabilities_of_rollout_and_trainer_agree_after_an_update_too(kind: Kind) -> None:
    policy = small_policy(kind.architecture)
    if kind.adapted:
        policy = with_adapter(policy, checkpointing=kind.checkpointing)
    elif kind.checkpointing:
        policy = prepared(policy, PolicySettings(device="cpu", gradient_checkpointing=True))
    settings = small_settings(
        prompt={"max_tokens": 6}, optimizer={"minibatches": 1, "learning_rate": 1e-3}
    )
    learner = Learner(Updates(policy), settings)
    learner.begin()
    engine = open_engine(policy, settings)
    for version in range(2):
        engine.load_weights(policy.model, version)
        found = by_group(list(Rollouts(settings, engine).play(groups([0], 2, (version,)))))
        samples = [sample for one in found for sample in one.samples]
        for sample, values in zip(samples, learner.logprobs(samples), strict=True):
            assert values == pytest.approx(sample.logprobs, abs=1e-4)
        trained = [TrainedSample(sample, 1.0) for sample in samples]
        figures = learner.update(trained)
        assert figures["rollout_difference_max"] < 1e-4
        assert figures["ratio_max"] == pytest.approx(1.0, abs=1e-3)
        after = learner.logprobs(samples)
        assert sum(map(sum, after)) > sum(sum(sample.logprobs) for sample in samples)


def test_the_better_sample_becomes_likelier_and_the_worse_one_less_likely() -> None:
    policy = bare_policy()
    samples = some_samples(policy.model, 4)
    better, worse = samples[1].sample, samples[3].sample
    learner = learner_of(policy, optimizer={"minibatches": 1, "learning_rate": 1e-3})
    before = learner.logprobs([better, worse])
    learner.update([TrainedSample(better, 1.0), TrainedSample(worse, -1.0)])
    after = learner.logprobs([better, worse])
    assert sum(after[0]) > sum(before[0]) + 0.01
    assert sum(after[1]) < sum(before[1]) - 0.01
    assert learner.version == 1


# ------------------------------------------------------------------ the gradients

LOSSES: list[dict[str, Any]] = [
    {},
    {"mean": "samples", "clip_low": 0.1, "clip_high": 0.3},
    {"dual_clip": 1.5, "clip_low": 0.0, "clip_high": 0.0},
    {"kl_weight": 0.3},
    {"importance_cap": 1.1},
]


def plain_loss(
    model: Any, reference: Any, samples: Sequence[TrainedSample], settings: TrainSettings
) -> Any:
    """Return the loss as it is written in the papers, one sample and one token after another."""
    chosen = settings.loss
    means, tokens = [], 0
    for item in samples:
        sample, advantage = item.sample, item.advantage
        logprobs = plain_logprobs(model, sample.prompt_ids, sample.response_ids)
        rollout = torch.tensor(sample.logprobs, dtype=torch.float64)
        old = logprobs.detach() if chosen.importance_cap else rollout
        with torch.no_grad():
            base = plain_logprobs(reference, sample.prompt_ids, sample.response_ids)
        total: Any = torch.zeros(())
        for place in range(len(logprobs)):
            ratio = torch.exp(logprobs[place] - old[place])
            limited = min(max(ratio.item(), 1 - chosen.clip_low), 1 + chosen.clip_high)
            objective = ratio * advantage
            if limited * advantage < objective.item():
                objective = torch.tensor(limited * advantage)
            if (
                chosen.dual_clip
                and advantage < 0
                and objective.item() < (chosen.dual_clip * advantage)
            ):
                objective = torch.tensor(chosen.dual_clip * advantage)
            if chosen.importance_cap:
                weight = math.exp((old[place] - rollout[place]).item())
                objective = objective * min(weight, chosen.importance_cap)
            if chosen.kl_weight:
                gap = base[place] - logprobs[place]
                objective = objective - chosen.kl_weight * (torch.exp(gap) - gap - 1)
            total = total - objective
        means.append(total / len(logprobs) if chosen.mean == "samples" else total)
        tokens += len(logprobs)
    return sum(means) / (len(samples) if chosen.mean == "samples" else tokens)


@pytest.mark.parametrize("budget", [16, 60, 10_000])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_gradients_are_those_of_a_plain_loop_however_they_are_cut(
    loss: dict[str, Any], budget: int
) -> None:
    policy = bare_policy()
    samples = some_samples(policy.model, shift=0.4)
    settings = small_settings(loss=loss, optimizer={"minibatches": 1, "micro_batch_tokens": budget})
    learner = Learner(Updates(policy), settings)
    learner.begin()
    with torch.no_grad():  # the reference is the policy as it was
        for _, weight in trained_names(policy.model):
            weight.mul_(1.05)
    other = bare_policy()
    other.model.load_state_dict(policy.model.state_dict())
    if loss.get("importance_cap"):
        samples = [
            TrainedSample(replace(item.sample, logprobs=again), item.advantage)
            for item, again in zip(
                samples,
                [tuple(value - 0.2 + 0.1 * n for n, value in enumerate(item.sample.logprobs))
                 for item in samples],
                strict=True,
            )
        ]  # fmt: skip
    plain_loss(other.model, bare_policy().model, samples, settings).backward()
    for name, gradient in first_gradients(learner, samples).items():
        expected = dict(other.model.named_parameters())[name].grad
        largest = float(expected.abs().max())
        assert largest > 0
        assert float((gradient - expected).abs().max()) < 1e-5 * max(1.0, largest), name


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_of_an_adapter_are_those_of_a_plain_loop(checkpointing: bool) -> None:
    policy = with_adapter(bare_policy("llama"), checkpointing=checkpointing)
    other = with_adapter(bare_policy("llama"))
    samples = some_samples(other.model, shift=0.3)
    learner = learner_of(policy, optimizer={"minibatches": 1})
    plain_loss(other.model, bare_policy("llama").model, samples, small_settings()).backward()
    found = first_gradients(learner, samples)
    expected = dict(trained_names(other.model))
    assert found.keys() == expected.keys()
    assert all("lora_" in name for name in found)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name].grad, atol=1e-5, rtol=1e-5)


def test_samples_of_groups_without_differences_are_left_out() -> None:
    samples = tuple(item.sample for item in some_samples(bare_policy().model, 2))
    trajectories = [
        Trajectory(
            group=group, rollout=rollout, episode_id="e", ability="a", samples=samples,
            correctness=float(group == 1 and rollout == 0), compression=0.0, memory_share=0.0,
        )
        for group in range(3)
        for rollout in range(2)
    ]  # fmt: skip
    found = trained_samples(trajectories, advantages(trajectories, AdvantageSettings(), {}))
    assert [item.sample for item in found] == [*samples, *samples]
    values = [item.advantage for item in found]
    assert values[0] == values[1] == -values[2] == -values[3] > 0


def test_every_sample_is_used_once_in_a_step() -> None:
    policy = bare_policy()
    samples = some_samples(policy.model, 5)
    learner = learner_of(policy, optimizer={"minibatches": 2})
    figures = learner.update(samples)
    assert figures["updates"] == 2
    assert figures["trained_tokens"] == sum(item.sample.tokens for item in samples)
    assert figures["tokens"] == sum(len(item.sample.response_ids) for item in samples)
    assert figures["skipped_updates"] == 0


def test_without_samples_nothing_changes() -> None:
    policy = bare_policy()
    learner = learner_of(policy)
    before = weights_of(policy)
    figures = learner.update([])
    assert (figures["loss"], figures["updates"], learner.version) == (0.0, 0.0, 1)
    assert weights_of(policy) == before


def test_a_stage_begins_with_an_optimizer_that_remembers_nothing() -> None:
    policy = bare_policy()
    samples = some_samples(policy.model, 2)
    learner = learner_of(policy, optimizer={"minibatches": 1, "learning_rate": 1e-3})
    for _ in range(3):
        learner.update(samples)
    learner.begin()
    before = torch.cat([weight.detach().flatten() for _, weight in trained_names(policy.model)])
    learner.update([replace(item, advantage=-item.advantage) for item in samples])
    after = torch.cat([weight.detach().flatten() for _, weight in trained_names(policy.model)])
    # The first step of Adam is as long as the learning rate, whatever the gradient.
    steps = (after - before).abs()
    assert steps.max().item() == pytest.approx(1e-3, rel=1e-2)
    assert (steps > 0.9e-3).float().mean() > 0.5


def test_the_learning_rate_grows_and_falls() -> None:
    policy = bare_policy()
    learner = learner_of(
        policy,
        optimizer={"steps": 4, "warmup_steps": 1, "schedule": "linear", "learning_rate": 1e-3},
    )
    rates = [learner.update([])["learning_rate"] for _ in range(4)]
    assert rates == pytest.approx([0.5e-3, 0.75e-3, 0.5e-3, 0.25e-3])


def weights_of(policy: Policy) -> dict[str, list[float]]:
    return {name: item.flatten().tolist() for name, item in trained_names(policy.model)}


# ------------------------------------------------------------------ reference, rollouts, faults


@pytest.mark.parametrize("adapted", [False, True])
def test_the_reference_is_the_policy_at_the_start(adapted: bool) -> None:
    policy = bare_policy()
    start = bare_policy().model
    if adapted:
        policy = with_adapter(policy)
    samples = some_samples(start, 4)
    chosen = {"minibatches": 1, "learning_rate": 1e-2}
    learner = learner_of(policy, loss={"kl_weight": 0.01}, optimizer=chosen)
    assert (learner.reference is None) == adapted  # with LoRA it is the model beneath
    first = learner.update(samples)["reference_kl"]
    assert (first > 1e-3) if adapted else (first == pytest.approx(0.0, abs=1e-6))
    gaps = []
    for item, now in zip(samples, learner.logprobs([one.sample for one in samples]), strict=True):
        with torch.no_grad():
            base = plain_logprobs(start, item.sample.prompt_ids, item.sample.response_ids)
        gaps += [value - other for value, other in zip(base.tolist(), now, strict=True)]
    expected = sum(math.exp(gap) - gap - 1 for gap in gaps) / len(gaps)
    assert learner.update(samples)["reference_kl"] == pytest.approx(expected, rel=1e-3)
    assert expected > 1e-4


def test_tokens_that_the_rollout_engine_found_too_unlikely_are_capped() -> None:
    policy = bare_policy()
    samples = some_samples(policy.model, 3)
    shifted = [
        replace(item, sample=replace(item.sample, logprobs=tuple(
            value - 0.5 for value in item.sample.logprobs
        )))
        for item in samples
    ]  # fmt: skip
    learner = learner_of(policy, loss={"importance_cap": 1.2}, optimizer={"minibatches": 1})
    figures = learner.update(shifted)
    assert figures["importance"] == pytest.approx(1.2)
    assert figures["importance_capped"] == 1.0
    assert figures["rollout_difference"] == pytest.approx(0.5, abs=1e-4)
    assert figures["ratio"] == pytest.approx(1.0, abs=1e-4)  # old ones are the trainer's
    loose = learner_of(bare_policy(), loss={"importance_cap": 9.0}, optimizer={"minibatches": 1})
    assert loose.update(shifted)["importance"] == pytest.approx(math.exp(0.5), rel=1e-3)


def test_the_ratio_is_at_the_temperature_of_the_rollouts() -> None:
    policy = bare_policy()
    samples = some_samples(policy.model, 3)
    learner = learner_of(policy, rollout={"temperature": 0.5}, optimizer={"minibatches": 1})
    (values,) = learner.logprobs([samples[2].sample])
    sample = samples[2].sample
    ids = torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
    with torch.no_grad():
        logits = policy.model(input_ids=ids).logits[0, len(sample.prompt_ids) - 1 : -1] / 0.5
    expected = torch.log_softmax(logits, -1).gather(-1, torch.tensor(sample.response_ids)[:, None])
    assert values == pytest.approx(expected[:, 0].tolist(), abs=1e-5)
    assert learner.update(samples)["ratio"] == pytest.approx(1.0, abs=1e-5)


def test_an_update_whose_gradient_is_no_number_is_skipped() -> None:
    policy = bare_policy()
    good = some_samples(policy.model, 2)
    bad = replace(good[0].sample, logprobs=(math.nan,) * len(good[0].sample.logprobs))
    learner = learner_of(policy, optimizer={"minibatches": 1})
    before = weights_of(policy)
    figures = learner.update([TrainedSample(bad, 1.0), good[1]])
    assert (figures["updates"], figures["skipped_updates"]) == (0.0, 1.0)
    assert math.isnan(figures["gradient_norm"])
    assert weights_of(policy) == before
    figures = learner.update(good)  # and nothing of it is left
    assert math.isfinite(figures["loss"])
    assert weights_of(policy) != before
    assert all(math.isfinite(value) for row in weights_of(policy).values() for value in row)


# ------------------------------------------------------------------ logits of chosen places

SPLIT: dict[str, dict[str, Any]] = {"qwen3": {}, "llama": {}, "gpt2": {}}
WHOLE: dict[str, dict[str, Any]] = {
    "gemma2": {"final_logit_softcapping": 5.0, "query_pre_attn_scalar": 16},
    "granite": {"logits_scaling": 4.0},
    "cohere": {"logit_scale": 0.25},
}


@pytest.mark.parametrize(
    ("kind", "adapted"),
    [*((kind, False) for kind in (*SPLIT, *WHOLE)), ("llama", True), ("gemma2", True)],
)
def test_chosen_logits_are_those_of_the_whole_model(kind: str, adapted: bool) -> None:
    # As random weights are: so small that a cap does not show yet.
    policy = bare_policy(kind, **{**SPLIT, **WHOLE}[kind], initializer_range=0.01)
    if adapted:
        policy = with_adapter(policy)
    module: Any = response_model(policy.model)
    assert module._split == (kind in SPLIT)
    with torch.no_grad():
        for _, weight in policy.model.named_parameters():
            weight.mul_(20)  # as though it had been trained
    ids = torch.tensor([[5, 9, 33, 2, 7], [1, 2, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    rows, columns = torch.tensor([0, 0, 1]), torch.tensor([1, 4, 2])
    with torch.no_grad():
        found = module(ids, mask, rows, columns)
        whole = policy.model(input_ids=ids, attention_mask=mask).logits[rows, columns]
        alone = policy.model(input_ids=ids[1:, :3]).logits[0, 2]
    torch.testing.assert_close(found, whole)
    torch.testing.assert_close(found[2], alone, atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------ learning, and not

TARGET, LENGTH, PROMPT = 7, 4, (3, 5)


def bandit(judged: Callable[[list[Trajectory]], list[Trajectory]]) -> tuple[float, float]:
    """Train for 16 steps to write one token; return how often it is written before and after."""
    policy = small_policy(vocab_size=32, num_hidden_layers=1)
    learner = learner_of(policy, optimizer={"minibatches": 2, "learning_rate": 5e-3}, seed=1)
    draws = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(16):
        trajectories = judged(drawn(policy.model, draws))
        shares.append(sum(one.correctness for one in drawn(policy.model, draws)) / 64)
        found = advantages(trajectories, AdvantageSettings(), {})
        learner.update(trained_samples(trajectories, found))
    return shares[0], sum(shares[-3:]) / 3


def drawn(model: Any, draws: torch.Generator) -> list[Trajectory]:
    """Return 64 responses in 8 groups; a response is right if the token is in it."""
    ids = torch.tensor([PROMPT]).repeat(64, 1)
    logprobs: list[Any] = []
    with torch.no_grad():
        for _ in range(LENGTH):
            known = torch.log_softmax(model(input_ids=ids).logits[:, -1], -1)
            token = torch.multinomial(known.exp(), 1, generator=draws)
            logprobs.append(known.gather(-1, token)[:, 0])
            ids = torch.cat([ids, token], 1)
    values = torch.stack(logprobs, 1).tolist()
    return [
        Trajectory(
            group=row // 8, rollout=row % 8, episode_id="e", ability="a",
            samples=(Sample(0, PROMPT, tuple(response), tuple(values[row]), False, 0.0, 0.0),),
            correctness=float(TARGET in response), compression=0.0, memory_share=0.0,
        )
        for row, response in enumerate(ids[:, len(PROMPT) :].tolist())
    ]  # fmt: skip


def test_right_rewards_teach() -> None:
    before, after = bandit(lambda trajectories: trajectories)
    assert before < 0.35
    assert after > 0.8


def test_shuffled_rewards_teach_nothing() -> None:
    random = np.random.default_rng(0)

    def shuffled(trajectories: list[Trajectory]) -> list[Trajectory]:
        rewards = random.permutation([one.correctness for one in trajectories]).tolist()
        return [
            replace(one, correctness=reward)
            for one, reward in zip(trajectories, rewards, strict=True)
        ]

    before, after = bandit(shuffled)
    assert after < before + 0.2
