"""The language model that is trained: loading, saving, and the log-probabilities of its responses.

Any causal language model of transformers with a chat template will do; nothing here knows a family
by name.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.agents.chat.local_text import load_tokenizer
from memgym.agents.chat.models import ModelSettings
from memgym.agents.chat.transformers_local import LOADING, without_bars
from memgym.agents.grpo.settings import PolicySettings
from memgym.agents.grpo.weights import gathered_weights, plain_model
from memgym.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = [
    "Policy",
    "device_of",
    "ends_of",
    "load_policy",
    "prepared",
    "response_model",
]


@dataclass(frozen=True, slots=True)
class Policy:
    """A model with its tokenizer.

    Attributes:
        model: A causal language model of transformers, or one of peft around it.
        tokenizer: With a chat template.
    """

    model: Any
    tokenizer: Any

    @property
    def adapted(self) -> bool:
        """Whether a part beside the model is trained (LoRA), and not the model."""
        return hasattr(self.model, "peft_config")

    @property
    def parameters(self) -> int:
        """Number of weights, and not only of those that are trained."""
        return sum(item.numel() for item in self.model.parameters())

    @contextlib.contextmanager
    def reference(self) -> Iterator[Any]:
        """Give the model as it was before training (with LoRA only)."""
        with self.model.disable_adapter():
            yield self.model

    def save(self, folder: Path, weights: "Mapping[str, torch.Tensor] | None" = None) -> None:
        """Write model and tokenizer in the format of transformers; an adapter is merged into it.

        Args:
            folder: Made if it does not exist.
            weights: Of the model, as :func:`.weights.gathered_weights` returns them; by default it
                is asked, which a sharded model has to be by all processes.
        """
        if weights is None:
            weights = gathered_weights(self.model)
        with without_bars():
            plain_model(self.model).save_pretrained(folder, state_dict=dict(weights))
        self.tokenizer.save_pretrained(folder)


def load_policy(settings: PolicySettings, seed: int = 0) -> Policy:
    """Return the policy that the settings name, ready to be trained.

    Args:
        settings: What is loaded, and how it is trained.
        seed: Of the weights of an adapter.

    Raises:
        UsageError: it cannot be loaded, or has no chat template.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise UsageError('training needs torch: pip install "memgym[train]"') from error
    tokenizer = load_tokenizer(ModelSettings(model=settings.model, backend="transformers"))
    try:
        with LOADING, without_bars():
            model: Any = AutoModelForCausalLM.from_pretrained(
                settings.model,
                dtype=getattr(torch, settings.dtype),
                attn_implementation=settings.attention,
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f'cannot load the model "{settings.model}": {reason}') from error
    return prepared(Policy(model, tokenizer), settings, seed)


def prepared(policy: Policy, settings: PolicySettings, seed: int = 0) -> Policy:
    """Return the policy as the settings want it trained: with an adapter, on a device.

    Args:
        policy: Changed in place.
        settings: What is wanted.
        seed: Of the weights of an adapter.

    Raises:
        UsageError: there is no such adapter or device.
    """
    model = policy.model
    if settings.gradient_checkpointing:
        # Its name in older versions of transformers gives a warning in newer ones.
        enable = getattr(model, "activation_checkpointing_enable", None)
        (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
    if settings.lora:
        model = _with_adapter(model, settings, seed)
    return Policy(model.to(device_of(settings.device)), policy.tokenizer)


def device_of(name: str) -> "torch.device":
    """Return the torch device of that name; without one a GPU, if there is one.

    Raises:
        UsageError: there is no such device.
    """
    import torch

    # Each process of a launcher has a GPU of its own.
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        return torch.device(name or (own if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise UsageError(f'policy.device must be a torch device, got "{name}"') from error


def _with_adapter(model: Any, settings: PolicySettings, seed: int) -> Any:
    import torch

    try:
        import peft
    except ImportError as error:
        raise UsageError('policy.lora needs peft: pip install "memgym[train]"') from error
    try:
        config = peft.LoraConfig(task_type="CAUSAL_LM", **settings.lora)
        if settings.gradient_checkpointing:
            model.enable_input_require_grads()
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # peft reads a property by a name that transformers has replaced.
            warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
            return peft.get_peft_model(model, config)
    except (TypeError, ValueError) as error:
        raise UsageError(f"policy.lora: {str(error).strip().splitlines()[0]}") from error


def ends_of(policy: Policy) -> tuple[int, ...]:
    """Return the token ids that end a response."""
    ends = [policy.model.generation_config.eos_token_id, policy.tokenizer.eos_token_id]
    flat = [number for end in ends for number in (end if isinstance(end, list) else [end])]
    return tuple(sorted({number for number in flat if number is not None}))


def response_model(model: Any) -> "torch.nn.Module":
    """Return a module that gives the logits of chosen places only.

    The vocabulary is large, and most of a batch is prompt. Its ``forward(ids, mask, rows,
    columns)`` takes token ids and mask ``[rows, columns]`` and returns ``[places, vocabulary]``.
    It shares the weights of ``model``.
    """
    import torch

    class ResponseModel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self._split = _can_split(model)
            # The layers that FSDP gathers one at a time; accelerate looks for their names here.
            self._no_split_modules = sorted(plain_model(model)._no_split_modules or ())

        def forward(
            self,
            ids: torch.Tensor,
            mask: torch.Tensor,
            rows: torch.Tensor,
            columns: torch.Tensor,
        ) -> torch.Tensor:
            if not self._split:
                logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
                return logits[rows, columns]  # type: ignore[no-any-return]
            return _chosen_logits(self.model, ids, mask, rows, columns)

    return ResponseModel()


def _chosen_logits(
    model: Any, ids: "torch.Tensor", mask: "torch.Tensor", rows: Any, columns: Any
) -> "torch.Tensor":
    hidden = plain_model(model).get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
    chosen: torch.Tensor = _head(model)(hidden.last_hidden_state[rows, columns])
    return chosen


def _head(model: Any) -> Any:
    return plain_model(model).get_output_embeddings()


def _can_split(model: Any) -> bool:
    """Tell whether decoder and head alone give the model's logits (some models scale or cap them).

    A cap shows in large logits only, which a model need not have before it is trained; so they are
    put in place of what its head gives. A model whose weights are not all here yet is not tried; it
    is computed whole.
    """
    import torch

    device = next(model.parameters()).device
    if device.type == "meta":
        return False
    ids = torch.arange(1, 9, device=device)[None] % model.config.get_text_config().vocab_size
    mask, column = torch.ones_like(ids), torch.arange(8, device=device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            whole = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0]
            parts = _chosen_logits(model, ids, mask, torch.zeros_like(column), column)
            if whole.shape != parts.shape:
                return False
            large = torch.linspace(-100, 100, parts.numel(), device=device).reshape(parts.shape)
            large = large.to(parts.dtype)[None]
            with _output(_head(model), large):
                kept = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    except (AttributeError, TypeError, NotImplementedError):
        return False
    finally:
        model.train(training)
    return all(
        torch.allclose(one, other, atol=1e-3, rtol=1e-3)
        for one, other in ((whole, parts), (kept.to(large.dtype), large))
    )


@contextlib.contextmanager
def _output(module: Any, value: "torch.Tensor") -> Iterator[None]:
    """Let a module give a value, whatever it is called with."""
    hook = module.register_forward_hook(lambda *_: value)
    try:
        yield
    finally:
        hook.remove()
