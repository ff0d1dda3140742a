"""TRL's ``GRPOTrainer`` under the clock: what our learner's speed is measured against.

The trainer is given what it is fastest with for models that fit the machine: one generation for all
samples of a step, as few and as large update batches as asked for, no activation checkpointing, no
reference model, no logging, no saving. It is fed token ids, so that both sides see the same
prompts and neither pays for a tokenizer, and a reward of next to no cost.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

__all__ = ["TrlTimes", "make_random_model", "time_trl"]

VOCABULARY = 2_048
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


@dataclass(frozen=True)
class TrlTimes:
    """What some training steps took, the first ones left out.

    Attributes:
        samples: Responses that were generated and trained on.
        response_tokens: Their tokens.
        seconds: Processor seconds of the steps, from their prompts to their last update.
        generation: How many of them went into sampling the responses.
        update: How many went into forward and backward passes of the loss and the optimizer.
    """

    samples: int
    response_tokens: int
    seconds: float
    generation: float
    update: float

    @property
    def samples_per_second(self) -> float:
        return self.samples / self.seconds

    @property
    def tokens_per_second(self) -> float:
        return self.response_tokens / self.seconds

    def __str__(self) -> str:
        rest = 1 - (self.generation + self.update) / self.seconds
        return (
            f"{self.samples_per_second:.2f} samples/s, {self.tokens_per_second:,.0f} response "
            f"tokens/s; generation {self.generation / self.seconds:.0%}, update "
            f"{self.update / self.seconds:.0%}, rest {rest:.0%}"
        )


def make_random_model(folder: Path, *, width: int = 64, layers: int = 2, seed: int = 0) -> Path:
    """Write a Qwen3 with random weights that never ends a response by itself.

    Its tokenizer's end-of-text and padding tokens lie beyond the ids that the model can emit, so
    every response runs to its limit and both sides generate the same number of tokens.
    """
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    library: Any = transformers
    words = {f"w{number}": number for number in range(VOCABULARY - 1)}
    tokens = Tokenizer(models.WordLevel({**words, "<pad>": VOCABULARY - 1, "<end>": VOCABULARY}))
    tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = library.PreTrainedTokenizerFast(
        tokenizer_object=tokens, eos_token="<end>", pad_token="<pad>"
    )
    tokenizer.chat_template = TEMPLATE
    config = library.Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 32),
        num_key_value_heads=max(1, width // 64),
        head_dim=32,
        max_position_embeddings=4_096,
        eos_token_id=VOCABULARY,
        pad_token_id=VOCABULARY - 1,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = library.Qwen3ForCausalLM(config)
    model.generation_config = library.GenerationConfig(
        eos_token_id=VOCABULARY, pad_token_id=VOCABULARY - 1
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def time_trl(
    model: Path,
    prompts: Sequence[Sequence[int]],
    work: Path,
    *,
    group_size: int = 8,
    max_new_tokens: int = 64,
    minibatches: int = 1,
    steps: int = 5,
    warmup: int = 1,
    as_on_gpu: bool = False,
    settings: dict[str, Any] | None = None,
) -> TrlTimes:
    """Train with TRL and return what the steps took after the warm-up.

    Args:
        model: Folder of a model with its tokenizer.
        prompts: Token ids; every step generates for all of them.
        work: Folder for what the trainer writes.
        group_size: Responses per prompt.
        max_new_tokens: Limit of a response, tokens.
        minibatches: Updates per step, each over an equal part of its samples.
        steps: Steps that count.
        warmup: Steps before them that do not.
        as_on_gpu: Whether only response tokens meet the vocabulary in the loss. TRL does that on a
            GPU; elsewhere it puts the prompt's tokens through, too, and masks them later.
        settings: Of ``GRPOConfig``, over those chosen here.
    """
    from datasets import Dataset
    from trl import GRPOConfig

    samples = len(prompts) * group_size
    rows = Dataset.from_list([{"prompt": str(number)} for number in range(len(prompts))])
    chosen: dict[str, Any] = {
        "output_dir": str(work),
        "max_steps": (warmup + steps) * minibatches,
        "per_device_train_batch_size": samples // minibatches,
        "steps_per_generation": minibatches,
        "num_generations": group_size,
        "max_completion_length": max_new_tokens,
        "activation_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "beta": 0.0,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    clock = _Clock()
    trainer = _timed_trainer(clock, prompts)(
        model=str(model),
        reward_funcs=_reward,
        train_dataset=rows,
        args=GRPOConfig(**{**chosen, **(settings or {})}),
    )
    trainer.add_callback(_starter(clock, warmup * minibatches))
    where = "trl.trainer.utils._use_triton"  # asked to choose the tokens, not the kernel
    with patch(where, return_value=True) if as_on_gpu else nullcontext():
        trainer.train()
    spent = time.process_time() - clock.started
    return TrlTimes(
        steps * samples, clock.response_tokens, spent, clock.generation, spent - clock.collection
    )


@dataclass
class _Clock:
    """Processor seconds since ``started``: of generation, and of all that precedes the updates."""

    started: float = 0.0
    generation: float = 0.0
    collection: float = 0.0
    response_tokens: int = 0

    def start(self) -> None:
        self.generation = self.collection = 0.0
        self.response_tokens = 0
        self.started = time.process_time()


def _timed_trainer(clock: _Clock, prompts: Sequence[Sequence[int]]) -> Any:
    """Return the trainer's class with a clock in it and the prompts as token ids."""
    from trl import GRPOTrainer

    base: Any = GRPOTrainer

    class Timed(base):  # type: ignore[misc]
        def _tokenize_prompts(self, numbers: Sequence[str]) -> Any:
            return [list(prompts[int(number)]) for number in numbers], None, {}

        def _generate_single_turn(self, *given: Any, **named: Any) -> Any:
            begin = time.process_time()
            made = super()._generate_single_turn(*given, **named)
            clock.generation += time.process_time() - begin
            clock.response_tokens += sum(map(len, made[0]))
            return made

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            begin = time.process_time()
            made = super()._generate_and_score_completions(inputs)
            clock.collection += time.process_time() - begin
            return made

    return Timed


def _starter(clock: _Clock, warmup: int) -> Any:
    """Return a callback that starts the clock when the warm-up is over."""
    from transformers import TrainerCallback

    base: Any = TrainerCallback

    class Starter(base):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == warmup:
                clock.start()

    return Starter()


def _reward(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
    """Reward something that differs within every group, so that no update is skipped."""
    return [float(ids[-1] % 7) for ids in completion_ids]
