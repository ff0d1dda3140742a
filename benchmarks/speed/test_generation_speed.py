"""Tokens per processor second of our own loop over tokens, beside ``generate`` of transformers.

One small model made from nothing, float32, one thread, sampling at temperature 1, a seed per reply.
Two tasks. *Even*: all replies are equally long and all prompts are there from the start, which is
what ``generate`` is made for. *Ragged*: lengths differ and a new request comes as soon as one has
ended, as in rollouts; ``generate`` takes the same requests batch by batch, each to its longest.
"""

import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from memgym.agents.chat import ChatReply, ChatRequest
from memgym.agents.chat.transformers_local import LocalEngine
from memgym.agents.grpo.tiny import make_tiny
from memgym.benchmarks.speed.measure import alternate, zipf_texts

EVEN_TOKENS = 64
RAGGED_TOKENS = (20, 100)
BATCHES = 2
ROUNDS = 3
SIZES = (32, 64, 128, 256)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def policy() -> Any:
    made = make_tiny(0)
    made.model.eval()
    return made


def requests(count: int, tokens: tuple[int, int], seed: int) -> list[ChatRequest]:
    """Return requests with prompts of about 60 to 250 tokens and replies of these lengths."""
    random = Random(seed)
    return [
        ChatRequest(
            ({"role": "user", "content": text},),
            max_tokens=random.randint(*tokens),
            temperature=1.0,
            seed=number,
            logprobs=True,
        )
        for number, text in enumerate(zipf_texts(count, (20, 80), seed))
    ]


def ours(policy: Any, asked: Sequence[ChatRequest], rows: int) -> float:
    """Return the processor seconds per token, with so many requests at a time."""
    engine = LocalEngine(policy.model, policy.tokenizer, ends=())
    begin = time.process_time()
    begun = ended = tokens = 0
    while ended < len(asked):
        while begun < len(asked) and begun - ended < rows:
            engine.start(begun, asked[begun])
            begun += 1
        for number, reply in engine.step():
            assert isinstance(reply, ChatReply), reply
            assert len(reply.token_ids) == asked[number].max_tokens
            ended, tokens = ended + 1, tokens + len(reply.token_ids)
    return (time.process_time() - begin) / tokens


def theirs(policy: Any, asked: Sequence[ChatRequest], rows: int) -> float:
    """Return the processor seconds per wanted token with ``generate``, batch by batch."""
    tokenizer = policy.tokenizer
    tokenizer.padding_side = "left"
    begin = time.process_time()
    for first in range(0, len(asked), rows):
        batch = asked[first : first + rows]
        given = tokenizer.apply_chat_template(
            [list(request.messages) for request in batch],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        )
        longest = max(request.max_tokens for request in batch)
        torch.manual_seed(first)
        policy.model.generate(
            **given,
            do_sample=True,
            top_k=0,
            min_new_tokens=longest,
            max_new_tokens=longest,
        )
    return (time.process_time() - begin) / sum(request.max_tokens for request in asked)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("task", ["even", "ragged"])
def test_generation_speed(benchmark: BenchmarkFixture, policy: Any, task: str, rows: int) -> None:
    lengths = (EVEN_TOKENS, EVEN_TOKENS) if task == "even" else RAGGED_TOKENS
    asked = requests(rows * (1 if task == "even" else BATCHES), lengths, seed=rows)
    spent: list[float] = []

    def our_round(_: int) -> float:
        spent.append(ours(policy, asked, rows))
        return spent[-1]

    ours(policy, asked[:rows], rows)  # warms both up: caches of the allocator
    theirs(policy, asked[:rows], rows)
    ratio = alternate(lambda _: theirs(policy, asked, rows), our_round, ROUNDS)
    speed = 1 / min(spent)
    print(f"\n{task}, {rows} rows: {speed:,.0f} tokens/cpu-s; generate takes {ratio}")  # noqa: T201
    benchmark.extra_info.update(tokens_per_second=round(speed), ratio=round(ratio.median, 3))
    benchmark.pedantic(our_round, args=(0,), rounds=1)  # type: ignore[no-untyped-call]
    assert ratio.median > (0.9 if task == "even" else 1.3)
