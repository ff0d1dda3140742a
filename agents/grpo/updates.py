"""The trained weights with their optimizer, on one process or many: forward, backward, step, save.

What runs on several processes is the business of ``accelerate``, by its own configuration file.
Nothing else in this package knows how many there are, but that sums over samples go over all.
"""

import contextlib
import copy
import logging
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.agents.grpo.batches import Batch
from memgym.agents.grpo.loss import token_logprobs
from memgym.agents.grpo.policy import Policy, response_model
from memgym.agents.grpo.processes import together
from memgym.agents.grpo.weights import whole_copy
from memgym.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["Updates", "open_accelerator"]


class Updates:
    """Changes the weights of a policy.

    Args:
        policy: Trained in place.
        accelerator: As :func:`open_accelerator` returns it, which by default is asked for one.
        autocast: Whether to compute in bfloat16 on float32 weights, if it is asked.

    Attributes:
        policy: As given.
        accelerator: As given.

    Raises:
        UsageError: see :func:`open_accelerator`.
    """

    def __init__(self, policy: Policy, accelerator: Any = None, *, autocast: bool = False) -> None:
        import torch

        self.policy = policy
        cpu = policy.model.device.type == "cpu"
        self.accelerator = accelerator or open_accelerator(cpu=cpu, autocast=autocast)
        trained = [item for item in policy.model.parameters() if item.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0)
        self._module, self._optimizer = self.accelerator.prepare(
            response_model(policy.model), optimizer
        )
        if self.sharded:
            _kept_sharded(self._module)

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the weights only."""
        return bool(self.accelerator.is_fsdp2)

    @property
    def processes(self) -> int:
        """Number of processes."""
        return int(self.accelerator.num_processes)

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self.accelerator.process_index)

    def begin(self, betas: tuple[float, ...], weight_decay: float) -> None:
        """Start a stage of training: the optimizer forgets the one before.

        Its state is what it would make of it at its first step. It is made now, because torch fills
        in a missing state with a step of its own when it writes the checkpoint of a sharded model,
        and that step would count.
        """
        import torch

        optimizer = self._optimizer.optimizer
        optimizer.state.clear()
        for group in optimizer.param_groups:
            group.update(betas=(betas[0], betas[1]), weight_decay=weight_decay)
            for item in group["params"]:
                optimizer.state[item] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(item),
                    "exp_avg_sq": torch.zeros_like(item),
                }

    def reference(self, model: Any = None) -> Any:
        """Return what gives the logits of a model that is not trained, and is sharded alike.

        Args:
            model: A whole one, changed in place; by default a copy of the policy as it is now.
        """
        device = self.accelerator.device
        if model is None and self.sharded:
            trained = self.policy.model
            model = whole_copy(trained, trained.dtype, "cpu")
        elif model is None:
            model = copy.deepcopy(self.policy.model)
        module = response_model(model.eval().requires_grad_(False))
        if not self.sharded:
            return module.to(device)
        from accelerate.utils.fsdp_utils import fsdp2_prepare_model

        return _kept_sharded(fsdp2_prepare_model(self.accelerator, module))

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
                and not before. Those of sharded weights are exchanged at every pass, since a
                process has no room for all of them.
        """
        if last or self.processes == 1 or self.sharded:
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
        """Write weights, optimizer and random numbers; called by every process.

        Raises:
            UsageError: a process does not see the folder.
            OSError: it cannot be written.
        """

        def look() -> None:
            if not folder.is_dir():
                raise UsageError(
                    f"a training process does not see {folder}: the folder of a run must be on a "
                    "file system that all machines share"
                )

        def write() -> None:
            with _without_word_of_tied_weights(), _failures_of_any_process():
                self.accelerator.save_state(str(folder), safe_serialization=True)

        together(look)
        together(write)

    def load(self, folder: Path) -> None:
        """Take back what :meth:`save` wrote.

        Raises:
            UsageError: it is of another model.
        """
        try:
            with _failures_of_any_process():
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


@contextlib.contextmanager
def _failures_of_any_process() -> Iterator[None]:
    """Raise as an :class:`OSError` what failed in any of the processes that share a checkpoint."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as error:  # no Exception
        [(first, _), *_] = error.failures.values()
        if isinstance(first, OSError):
            raise first from None
        raise OSError(f"{type(first).__name__}: {first}") from None


def open_accelerator(*, cpu: bool, autocast: bool) -> Any:
    """Return an :class:`accelerate.Accelerator` for what the launcher has set up.

    Args:
        cpu: Whether to leave GPUs alone.
        autocast: Whether to compute in bfloat16 on float32 weights.

    Raises:
        UsageError: accelerate is missing, or it is asked for what cannot be had here.
    """
    try:
        from accelerate import Accelerator, DistributedType, PartialState
    except ImportError as error:
        raise UsageError('training needs accelerate: pip install "memgym[train]"') from error
    plugin = _sharding(autocast)
    accelerator = Accelerator(
        mixed_precision="bf16" if autocast else "no", cpu=cpu, fsdp_plugin=plugin
    )
    state = accelerator.state
    if plugin and state.distributed_type == DistributedType.MULTI_CPU:
        # Without a GPU accelerate leaves the plugin out, although torch shards on CPUs as well.
        state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, plugin
        PartialState().distributed_type = DistributedType.FSDP  # from which it is read again
    if state.distributed_type == DistributedType.DEEPSPEED:
        raise UsageError(
            "DeepSpeed takes an optimizer step of its own in each backward pass, which does "
            "not fit minibatches of several passes; shard with FSDP2 "
            "(docs/accelerate/fsdp2.yaml)"
        )
    return accelerator


def _sharding(autocast: bool) -> Any:
    """Return the plugin for FSDP2 if the launcher asks for it, else ``None``."""
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return None
    import torch
    from accelerate import FullyShardedDataParallelPlugin
    from torch.distributed.fsdp import MixedPrecisionPolicy

    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise UsageError("only FSDP2 is known here: set fsdp_version: 2 in the file for accelerate")
    # Gradients are added up in float32: bfloat16 would round what many processes have found.
    precision = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    plugin = FullyShardedDataParallelPlugin(
        mixed_precision_policy=precision if autocast else None,
        # It makes all but one process load nothing, which leaves tied weights untied.
        cpu_ram_efficient_loading=False,
    )
    if plugin.activation_checkpointing:
        raise UsageError(
            "set policy.gradient_checkpointing in the run's configuration instead of "
            "fsdp_activation_checkpointing in the file for accelerate, which renames the weights"
        )
    return plugin


def _kept_sharded(module: Any) -> Any:
    """Let a module give back what it has gathered after each forward pass, the outermost included.

    That one keeps it by default, in the type that is computed in: what reads the weights in between
    would find them rounded.
    """
    module.set_reshard_after_forward(True, recurse=False)
    return module
