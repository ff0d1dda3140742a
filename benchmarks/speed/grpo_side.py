"""Our learner under the same clock as TRL's: same model, prompts, lengths, group and updates."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.agents.chat import ChatReply, ChatRequest
from memgym.agents.grpo.batches import micro_batches, padding_share
from memgym.agents.grpo.engines import SharedEngine
from memgym.agents.grpo.learner import Learner, TrainedSample
from memgym.agents.grpo.policy import load_policy
from memgym.agents.grpo.samples import Sample
from memgym.agents.grpo.settings import settings_from
from memgym.agents.grpo.updates import Updates

__all__ = ["OurTimes", "time_ours"]


@dataclass(frozen=True)
class OurTimes:
    """What some training steps took; see :class:`benchmarks.speed.trl_side.TrlTimes`."""

    samples: int
    response_tokens: int
    trained_tokens: int
    generation: float
    update: float
    padding: float

    @property
    def samples_per_second(self) -> float:
        return self.samples / (self.generation + self.update)

    def __str__(self) -> str:
        seconds = self.generation + self.update
        return (
            f"{self.samples_per_second:.2f} samples/s; generation {self.generation / seconds:.0%} "
            f"({self.response_tokens / self.generation:,.0f} tokens/s), update "
            f"{self.update / seconds:.0%} ({self.trained_tokens / self.update:,.0f} tokens/s), "
            f"padding {self.padding:.1%}"
        )


def time_ours(
    model: Path,
    prompts: Sequence[Sequence[int]],
    *,
    group_size: int = 8,
    max_new_tokens: int = 64,
    minibatches: int = 1,
    steps: int = 5,
    warmup: int = 1,
) -> OurTimes:
    """Train with our learner and return what the steps took after the warm-up."""
    settings = settings_from(
        {
            "policy": {"model": str(model)},
            "optimizer": {"minibatches": minibatches, "learning_rate": 1e-4},
        },
        "benchmark",
    )
    policy = load_policy(settings.policy, settings.seed)
    engine = SharedEngine(policy.model, policy.tokenizer)
    learner = Learner(Updates(policy), settings)
    learner.begin()
    texts = [" ".join(policy.tokenizer.convert_ids_to_tokens(list(ids))) for ids in prompts]
    spent = [0.0, 0.0]
    tokens, trained, padding = 0, 0, 0.0
    for step in range(warmup + steps):
        begin = time.process_time()
        samples = _generated(engine, texts, group_size, max_new_tokens, step)
        middle = time.process_time()
        updated = learner.update([TrainedSample(item, _advantage(item)) for item in samples])
        if step >= warmup:
            spent[0] += middle - begin
            spent[1] += time.process_time() - middle
            tokens += sum(len(item.response_ids) for item in samples)
            trained += int(updated["trained_tokens"])
            padding = padding_share(micro_batches(samples, settings.optimizer.micro_batch_tokens))
    return OurTimes(steps * len(prompts) * group_size, tokens, trained, spent[0], spent[1], padding)


def _generated(
    engine: Any, texts: Sequence[str], group_size: int, max_new_tokens: int, step: int
) -> list[Sample]:
    wanted = [(text, rollout) for text in texts for rollout in range(group_size)]
    for number, (text, _) in enumerate(wanted):
        request = ChatRequest(
            ({"role": "user", "content": text},),
            max_tokens=max_new_tokens,
            temperature=1.0,
            seed=step * len(wanted) + number,
            logprobs=True,
        )
        engine.start(number, request)
    replies: dict[int, ChatReply] = {}
    while len(replies) < len(wanted):
        replies.update(dict(engine.step()))
    return [
        Sample(0, reply.prompt_ids, reply.token_ids, reply.logprobs, True, 0.0, 0.0)
        for _, reply in sorted(replies.items())
    ]


def _advantage(sample: Sample) -> float:
    return float(sample.response_ids[-1] % 7) - 3.0
