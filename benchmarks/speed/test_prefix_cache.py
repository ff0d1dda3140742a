"""How much of a group's prompts a prefix cache serves: chunk before memory, and the reverse.

A learner rolls out the same episode several times; at every chunk the rollouts share instructions,
tools and chunk, and differ in their memories. The share of prompt tokens that need no computation
is counted twice: by a simulation of the cache of paged-attention servers, and, where
``MEMGYM_BASE_URL`` (and ``MEMGYM_MODEL``) name a server, by what that server reports.
"""

import dataclasses
import json
import os
import secrets
from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar

import pytest
import splintr
from pytest_benchmark.fixture import BenchmarkFixture

from memgym.agents.chat import (
    Backend,
    Chat,
    ChatError,
    ChatReply,
    ChatRequest,
    ModelSettings,
    model_settings,
    open_backend,
)
from memgym.agents.prompt_only import PromptOnly
from memgym.baselines.calls import insert
from memgym.benchmarks.speed.measure import zipf_texts
from memgym.episode import Episode, Question
from memgym.evaluation import environment_for, play_episode
from memgym.usage import Usage

ROLLOUTS, CHUNKS, BLOCK_TOKENS = 8, 6, 16


class MemoryFirst(PromptOnly):
    """The published order: memory, then chunk."""

    prompts: ClassVar[Any] = {
        **PromptOnly.prompts,
        "user": "Your memory so far:\n{memory}\n\nThe piece to read now:\n{chunk}{results}",
    }


class Writer:
    """Stands in for the model: each rollout keeps sentences of its own choice."""

    def __init__(self, rollout: int) -> None:
        self.requests: list[ChatRequest] = []
        self._draw = Random(f"rollout {rollout}")

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        return [self._reply(request) for request in requests]

    def _reply(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        shown = str(request.messages[1]["content"]).split("The piece to read now:\n")[1]
        words = shown.split("\n\nYour memory")[0].split()
        starts = [self._draw.randrange(len(words)) for _ in range(4)]
        calls = [insert("semantic", " ".join(words[start : start + 30])) for start in starts]
        return ChatReply(
            "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)
        )

    def close(self) -> None:
        return


def group(cls: type[PromptOnly]) -> list[list[ChatRequest]]:
    """Return the requests of every rollout, one per chunk: the same chunks, other memories."""
    texts = zipf_texts(CHUNKS, (500, 900), seed=5)
    question = Question("which word?", ("none",))
    episode = Episode("group", "group", "accurate_retrieval", tuple(texts), (question,))
    rollouts = []
    for number in range(ROLLOUTS):
        model = Writer(number)
        agent = cls(Chat(ModelSettings("writer"), model))
        env = environment_for(agent, source_options={"tokens": 1_000}, turns_per_chunk=1)
        play_episode(agent, env, episode, seed=number)
        rollouts.append(model.requests)
    return rollouts


class PrefixCache:
    """Prompt blocks by everything up to their end; as in vLLM, only whole blocks are kept.

    The last token of a prompt is always computed, because the first new token comes from it.
    Nothing is evicted: the group's prompts are small beside a server's cache.
    """

    def __init__(self) -> None:
        self._held: set[int] = set()

    def serve(self, tokens: Sequence[int]) -> int:
        """Return how many of a prompt's tokens were there, and keep all of its blocks."""
        key, found, all_found = 0, 0, True
        for end in range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS):
            key = hash((key, *tokens[end - BLOCK_TOKENS : end]))
            all_found = all_found and key in self._held and end < len(tokens)
            found += BLOCK_TOKENS * all_found
            self._held.add(key)
        return found


def simulated_share(rollouts: list[list[ChatRequest]]) -> float:
    """Return the share of prompt tokens from the cache, the rollouts going chunk by chunk."""
    encode = splintr.Tokenizer.from_pretrained("qwen3").encode_ordinary
    cache, cached, total = PrefixCache(), 0, 0
    for together in zip(*rollouts, strict=True):
        for request in together:
            tokens = encode(
                "".join(
                    f"<{message['role']}>\n{message['content']}\n" for message in request.messages
                )
            )
            cached += cache.serve(tokens)
            total += len(tokens)
    return cached / total


def server_share(rollouts: list[list[ChatRequest]], server: Backend) -> float | None:
    """Return the share that a server reports; ``None`` if it does not tell.

    A fresh word in front keeps what an earlier run has left in the server's cache out of it.
    """
    usage, fresh = Usage(), secrets.token_hex(8)
    for together in zip(*rollouts, strict=True):
        asked = []
        for request in together:
            system, user = request.messages
            system = {**system, "content": f"{fresh}\n{system['content']}"}
            asked.append(dataclasses.replace(request, messages=(system, user), max_tokens=1))
        # One first: requests that arrive together are all computed before any is cached.
        replies = server.generate(asked[:1]) + server.generate(asked[1:])
        for reply in replies:
            usage += reply.usage
    return usage.cached_tokens / usage.prompt_tokens if usage.cached_tokens else None


def test_share_of_prompt_tokens_from_the_prefix_cache(benchmark: BenchmarkFixture) -> None:
    """Ours against the published order; the ratio is that of the tokens left to compute."""
    ours, published = group(PromptOnly), group(MemoryFirst)
    first, last = simulated_share(ours), simulated_share(published)
    lines = [
        f"chunk first {first:.1%}, memory first {last:.1%} of prompt tokens cached; tokens left to "
        f"compute {(1 - last) / (1 - first):.2f}x (simulated, {ROLLOUTS} rollouts, {CHUNKS} chunks)"
    ]
    if os.environ.get("MEMGYM_BASE_URL"):
        server = open_backend(model_settings())
        shares = [server_share(rollouts, server) for rollouts in (ours, published)]
        told = " / ".join("not told" if share is None else f"{share:.1%}" for share in shares)
        lines.append(f"reported by the server: chunk first / memory first {told}")
        benchmark.extra_info["server"] = told
    print("\n" + "\n".join(lines))  # noqa: T201
    benchmark.extra_info.update(chunk_first=round(first, 4), memory_first=round(last, 4))
    benchmark.pedantic(simulated_share, args=(ours,), rounds=3)  # type: ignore[no-untyped-call]
    assert first > last
    assert (1 - last) / (1 - first) >= 2


@pytest.mark.parametrize(("tokens", "again"), [(64, 48), (65, 64), (15, 0)])
def test_the_simulated_cache_keeps_whole_blocks(tokens: int, again: int) -> None:
    cache = PrefixCache()
    assert cache.serve(range(tokens)) == 0
    assert cache.serve(range(tokens)) == again
    assert cache.serve([-1, *range(1, tokens)]) == 0
