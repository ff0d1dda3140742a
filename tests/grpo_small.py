"""Policies, settings and engines that are small enough for the tests of the GRPO learner."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from memgym.agent import Agent
from memgym.agents.chat import ChatError, ChatReply, ChatRequest
from memgym.agents.grpo.policy import Policy
from memgym.agents.grpo.settings import TrainSettings, settings_from
from tests import tiny_model

__all__ = ["Parrot", "ScriptedEngine", "block", "insert", "small_policy", "small_settings"]

ENVIRONMENT: Mapping[str, Any] = {
    "source": "procedural-accurate-retrieval",
    "source_options": {"tokens": 1_000, "chunk_tokens": 500, "questions": 3},
    "view_recent": 1,
    "view_relevant": 1,
}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 2_048,
             "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
}  # fmt: skip
SHAPE: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 2_048,
    "initializer_range": 0.1,
}


def block(name: str, **arguments: Any) -> str:
    """Return a call as a model writes it."""
    call = {"name": name, "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>\n"


def insert(content: str) -> str:
    """Return a call that stores a fact."""
    return block("new_memory_insert", memory_type="semantic", content=content)


def small_settings(**sections: Any) -> TrainSettings:
    """Return settings with short texts and responses; sections are merged into them."""
    base: dict[str, Any] = {
        "environment": dict(ENVIRONMENT),
        "policy": {"device": "cpu"},
        "prompt": {"instructions": "none", "max_tokens": 12},
        "rollout": {"episodes": 2, "group_size": 2},
        "optimizer": {"steps": 3, "minibatches": 2},
        "evaluation": {"every": 2, "episodes": 2},
    }
    for name, given in sections.items():
        base[name] = {**base.get(name, {}), **given} if isinstance(given, Mapping) else given
    return settings_from(base, "test")


@functools.cache
def tokenizer() -> Any:
    """Return the tokenizer of all small policies."""
    return tiny_model._tokenizer(2_048)


def small_policy(kind: str = "qwen3", seed: int = 0, **shape: Any) -> Policy:
    """Return a policy with random weights.

    Args:
        kind: A ``model_type`` of transformers.
        seed: Of the weights.
        **shape: Over the usual one.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    marks = tokenizer().convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    ends = {"eos_token_id": marks[0], "bos_token_id": marks[1], "pad_token_id": marks[1]}
    given = {"vocab_size": len(tokenizer()), **ends, **SHAPES.get(kind, SHAPE), **shape}
    config = AutoConfig.for_model(kind, **given)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.generation_config = GenerationConfig(eos_token_id=marks[0], pad_token_id=marks[1])
    return Policy(model.eval(), tokenizer())


class ScriptedEngine:
    """An engine whose replies come from a function, each after a number of steps.

    Args:
        reply: Of a request.
        steps: Steps until it comes.
        fits: Whether a request is taken in at all.

    Attributes:
        asked: Requests taken in.
        running: How many were under way in each step.
        dropped: Whether all that ran was forgotten.
    """

    def __init__(
        self,
        reply: Callable[[ChatRequest], str | ChatError],
        steps: Callable[[ChatRequest], int] = lambda request: 1,
        fits: Callable[[ChatRequest], ChatError | None] = lambda request: None,
    ) -> None:
        self._reply, self._steps, self._fits = reply, steps, fits
        self._left: dict[int, tuple[ChatRequest, int]] = {}
        self.asked: list[ChatRequest] = []
        self.running: list[int] = []
        self.dropped = False

    def start(self, number: int, request: ChatRequest) -> None:
        """Take a request in."""
        if fault := self._fits(request):
            raise fault
        assert number not in self._left
        self.asked.append(request)
        self._left[number] = (request, self._steps(request))

    def step(self) -> list[tuple[int, ChatReply | ChatError]]:
        """Go on with all; return what has ended."""
        assert self._left, "asked to go on with nothing"
        self.running.append(len(self._left))
        self._left = {number: (one, left - 1) for number, (one, left) in self._left.items()}
        ended = [number for number, (_, left) in self._left.items() if not left]
        return [(number, self._made(self._left.pop(number)[0])) for number in ended]

    def drop(self) -> None:
        """Forget all."""
        self.dropped = True
        self._left.clear()

    def close(self) -> None:
        """Do nothing."""

    def _made(self, request: ChatRequest) -> ChatReply | ChatError:
        found = self._reply(request)
        if isinstance(found, ChatError):
            return found
        ids = tuple(found.encode())
        logprobs = (-0.5,) * len(ids)
        return ChatReply(found, prompt_ids=(1, 2), token_ids=ids, logprobs=logprobs)


class Parrot(Agent):
    """Writes the same call whatever it reads: what a small model learns in a few updates.

    Attributes:
        text: What it writes.
    """

    name = "parrot"
    text = insert("the same")

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        """Return it."""
        return self.text


def chunk_of(request: ChatRequest) -> str:
    """Return the chunk that a prompt of :mod:`memgym.agents.writing` shows."""
    shown = str(request.messages[-1]["content"])
    return shown.partition("\n")[2].partition("\n\nYour memory so far:\n")[0]


def plain_logprobs(model: Any, prompt_ids: Any, response_ids: Any) -> Any:
    """Return the log-probabilities of a response, of one sample alone, with gradient."""
    import torch

    ids = torch.tensor([[*prompt_ids, *response_ids]])
    logits = model(input_ids=ids).logits[0, len(prompt_ids) - 1 : -1]
    chosen = torch.tensor(response_ids)[:, None]
    return torch.log_softmax(logits, -1).gather(-1, chosen)[:, 0]


def trained_names(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters that are trained by name."""
    return ((name, item) for name, item in model.named_parameters() if item.requires_grad)
