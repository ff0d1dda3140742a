"""The trained weights with their optimizer, on one process or many: forward, backward, step, save.

What runs on several processes is the business of ``accelerate``, by its own configuration file.
Nothing else in this package knows how many there are, but that sums over samples go over all.
"""

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.agents.grpo.batches import Batch
from memgym.agents.grpo.loss import token_logprobs
from memgym.agents.grpo.policy import Policy, response_model
from memgym.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["Updates"]


class Updates:
    """Changes the weights of a policy.

    Args:
        policy: Trained in place.
        accelerator: An :class:`accelerate.Accelerator`; by default one for what it finds.
        autocast: Whether to compute in bfloat16 on float32 weights.

    Attributes:
        policy: As given.
        accelerator: As given.

    Raises:
        UsageError: accelerate is missing, or it is to use DeepSpeed.
    """

    def __init__(self, policy: Policy, accelerator: Any = None, *, autocast: bool = False) -> None:
        import torch

        self.policy = policy
        self.accelerator = accelerator or _accelerator(policy, autocast)
        if self.distribution == "DEEPSPEED":
            raise UsageError(
                "DeepSpeed takes an optimizer step of its own in each backward pass, which does "
                "not fit minibatches of several passes; launch data-parallel"
            )
        trained = [item for item in policy.model.parameters() if item.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)
        self._module, self._optimizer = self.accelerator.prepare(
            response_model(policy.model), optimizer
        )

    @property
    def distribution(self) -> str:
        """How accelerate distributes the weights, such as ``NO``, ``MULTI_GPU`` or ``FSDP``."""
        return str(self.accelerator.distributed_type.value)

    @property
    def processes(self) -> int:
        """Number of processes."""
        return int(self.accelerator.num_processes)

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self.accelerator.process_index)

    def begin(self, betas: tuple[float, ...], weight_decay: float) -> None:
        """Start a stage of training: the optimizer forgets the one before."""
        optimizer = self._optimizer.optimizer
        optimizer.state.clear()
        for group in optimizer.param_groups:
            group.update(betas=(betas[0], betas[1]), weight_decay=weight_decay)

    def response_logprobs(
        self, batch: Batch, temperature: float = 1.0, module: Any = None
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return log-probability and entropy of the response tokens of a pass, [tokens].

        Args:
            batch: The pass.
            temperature: Of the distribution they were drawn from.
            module: Computes the logits; by default the trained weights.
        """
        logits = self._logits(batch, module or self._module)
        scaled = logits if temperature == 1 else logits / temperature
        return token_logprobs(scaled, self.tensor(batch.targets))

    def negative_log_likelihood(self, batch: Batch) -> "torch.Tensor":
        """Return the sum over the response tokens of a pass of minus their log-probability."""
        from torch.nn.functional import cross_entropy

        logits = self._logits(batch, self._module).float()
        return cross_entropy(logits, self.tensor(batch.targets), reduction="sum")

    def _logits(self, batch: Batch, module: Any) -> "torch.Tensor":
        arrays = (batch.ids, batch.attention_mask, batch.rows, batch.columns)
        with self.accelerator.autocast():
            logits: torch.Tensor = module(*(self.tensor(array) for array in arrays))
        return logits

    def backward(self, loss: "torch.Tensor") -> None:
        """Add to the gradients.

        Args:
            loss: This process's part of a sum over all passes of all processes.
        """
        # Data-parallel gradients are means over processes, and this is a part of a sum.
        self.accelerator.backward(loss * self.processes)

    def one_pass(self, *, last: bool) -> Any:
        """Return the context for a forward pass and its :meth:`backward`.

        Args:
            last: Whether it is the last one before :meth:`step`: processes exchange gradients there
                and not before.
        """
        if last or self.processes == 1:
            return contextlib.nullcontext()
        return self.accelerator.no_sync(self._module)

    def step(self, learning_rate: float, max_gradient_norm: float) -> float:
        """Update the weights unless a gradient is no number.

        Args:
            learning_rate: Of this update.
            max_gradient_norm: Gradients are scaled down to it; 0: never.

        Returns:
            The norm that the gradients had.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        trained = [item for item in self.policy.model.parameters() if item.requires_grad]
        norm = float(self.accelerator.clip_grad_norm_(trained, max_gradient_norm or math.inf))
        if math.isfinite(norm):
            self._optimizer.step()
        self._optimizer.zero_grad()
        return norm

    def tensor(self, values: Any) -> "torch.Tensor":
        """Return an array as a tensor on the device of the weights."""
        import torch

        return torch.as_tensor(values, device=self.accelerator.device)

    def summed(self, values: "Mapping[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
        """Return sums (where names end in ``_max``: the largest) over all processes."""
        if self.processes == 1:
            return dict(values)
        names = sorted(values)
        import torch

        mine = torch.stack([self.tensor(values[name]).double().reshape(()) for name in names])
        everyone = self.accelerator.gather(mine[None])
        return {
            name: everyone[:, place].max() if name.endswith("_max") else everyone[:, place].sum()
            for place, name in enumerate(names)
        }

    def save(self, folder: Path) -> None:
        """Write weights, optimizer and random numbers; called by every process."""
        with _without_word_of_tied_weights():
            self.accelerator.save_state(str(folder), safe_serialization=True)

    def load(self, folder: Path) -> None:
        """Take back what :meth:`save` wrote.

        Raises:
            UsageError: it is of another model.
        """
        try:
            self.accelerator.load_state(str(folder))
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(f"cannot go on from {folder}: {reason}") from error


@contextlib.contextmanager
def _without_word_of_tied_weights() -> Iterator[None]:
    """Keep accelerate from warning that it writes tied weights once, which is what is wanted."""

    def other(record: logging.LogRecord) -> bool:
        return "Removed shared tensor" not in record.getMessage()

    logger = logging.getLogger("accelerate.utils.other")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def _accelerator(policy: Policy, autocast: bool) -> Any:
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise UsageError('training needs accelerate: pip install "memgym[train]"') from error
    cpu = policy.model.device.type == "cpu"
    return Accelerator(mixed_precision="bf16" if autocast else "no", cpu=cpu)
