"""The trained weights on their way to engines that hold a copy: as named tensors, and as files.

Engines in this process share the weights with the learner and need none of this. Everything here
is collective: with several training processes, all of them call it, and the first one writes.
"""

import copy
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memgym.agents.chat.transformers_local import LOADING
from memgym.agents.grpo.processes import is_first_process, together
from memgym.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = [
    "WeightFolder",
    "copy_weights",
    "gathered_weights",
    "is_sharded",
    "named_weights",
    "plain_model",
    "whole_copy",
]

_SHARD = "5GB"  # size of a file: several can be read at a time
_MEMORY_DISK = Path("/dev/shm")
_WRAPPED = ".base_layer."  # what peft puts into the names of the layers that it adapts


def plain_model(model: Any) -> Any:
    """Return the model of transformers inside what peft or data parallelism put around it."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "peft_config") else model


def named_weights(model: Any) -> "Iterator[tuple[str, torch.Tensor]]":
    """Yield the weights as transformers names them, whole, with adapters added to what they adapt.

    Nothing is copied that is whole already; a sharded weight (FSDP2) is gathered when its turn
    comes, by all processes together. Tied weights come once. Adapters are added to a copy: adding
    them and taking them off again would change the weights a little every time.
    """
    import torch

    plain = plain_model(model)
    adapted = {
        f"{name}{_WRAPPED}weight": layer
        for name, layer in plain.named_modules()
        if hasattr(layer, "get_delta_weight")
    }
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if _of_adapter(name):
                continue
            weight = _whole(parameter.detach())
            if layer := adapted.get(name):
                for adapter in layer.active_adapters:
                    weight = weight + _whole(layer.get_delta_weight(adapter)).to(weight.dtype)
            yield name.replace(_WRAPPED, "."), weight


def gathered_weights(model: Any, dtype: Any = None) -> "dict[str, torch.Tensor]":
    """Return the weights whole in main memory in the first process, and nothing in the others.

    Args:
        model: See :func:`named_weights`.
        dtype: Type that they are returned in; by default the one that they have.
    """
    first = is_first_process()
    kept = {}
    for name, weight in named_weights(model):
        if first:  # the others only take part in gathering
            kept[name] = weight.to("cpu", dtype)
    return kept


def is_sharded(model: Any) -> bool:
    """Tell whether each process has a part of the weights only (FSDP2)."""
    return any(hasattr(item, "full_tensor") for item in model.parameters())


def whole_copy(model: Any, dtype: Any, device: Any) -> Any:
    """Return a frozen model with whole weights of its own, the same as those of the model.

    Args:
        model: See :func:`named_weights`. All processes call this, and each gets a copy.
        dtype: Torch type of the copy.
        device: Where it lies.
    """
    import torch
    from transformers import AutoModelForCausalLM

    plain = plain_model(model)
    with LOADING, torch.random.fork_rng(devices=[]), torch.device("cpu"):
        made: Any = AutoModelForCausalLM.from_config(
            copy.deepcopy(plain.config),  # it notes the type there
            dtype=dtype,
            attn_implementation=plain.config._attn_implementation,
        )
    made.generation_config = plain.generation_config
    made = made.to(device).eval().requires_grad_(False)
    copy_weights(made, named_weights(model))
    return made


def _of_adapter(name: str) -> bool:
    return any(part.startswith("lora_") for part in name.split("."))


def _whole(weight: "torch.Tensor") -> "torch.Tensor":
    gather = getattr(weight, "full_tensor", None)  # of a DTensor
    return gather() if gather else weight


class WeightFolder:
    """A folder through which engines in other processes get new weights, in vLLM's own formats.

    Args:
        path: Seen under this name by all training processes and by the engines; by default a new
            one in the memory of this machine, for one process and its own engine.
        dtype: Name of the torch type that is written, e.g. ``bfloat16``; by default that of the
            weights. The type that the engines compute in halves the bytes and loses nothing.

    Raises:
        UsageError: there is no such type, or the folder cannot be made.
    """

    def __init__(self, path: str = "", dtype: str = "") -> None:
        import torch

        self._dtype = getattr(torch, dtype, None) if dtype else None
        if dtype and not isinstance(self._dtype, torch.dtype):
            raise UsageError(f'weights cannot be written as "{dtype}": give a torch type, e.g. '
                             "bfloat16")  # fmt: skip
        self._temporary = not path
        where = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
        self._path = Path(path or tempfile.mkdtemp(prefix="memgym-weights-", dir=where))
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder for weights: {error}") from error

    def write(self, model: Any, version: int) -> str:
        """Write the weights and the configuration of a model, and return the complete folder.

        Args:
            model: See :func:`named_weights`.
            version: Names the folder; one that is there already is written over.
        """
        folder = self._path / f"weights-{version}"
        kept = gathered_weights(model, self._dtype)

        def write() -> None:
            if is_first_process():
                plain_model(model).save_pretrained(folder, state_dict=kept, max_shard_size=_SHARD)

        together(write)
        return str(folder)

    def remove(self, version: int) -> None:
        """Remove a version that every engine has read, if it is there."""
        if is_first_process():
            shutil.rmtree(self._path / f"weights-{version}", ignore_errors=True)

    def close(self) -> None:
        """Remove the folder if it was made here for the time being."""
        if self._temporary and is_first_process():
            shutil.rmtree(self._path, ignore_errors=True)


def copy_weights(model: Any, weights: "Iterable[tuple[str, torch.Tensor]]") -> None:
    """Copy weights into a model of the same architecture, one at a time.

    Args:
        model: Changed in place.
        weights: As :func:`named_weights` yields them.

    Raises:
        ValueError: the names differ.
    """
    import torch

    own = dict(model.named_parameters())
    missing = set(own)
    with torch.no_grad():
        for name, weight in weights:
            if name not in own:
                raise ValueError(f"other weights: there is no {name}")
            own[name].copy_(weight)
            missing.discard(name)
    if missing:
        raise ValueError(f"other weights: {sorted(missing)[:5]} are missing")
