"""Several training processes as one: who is first, and how a failure of one becomes that of all.

Plain torch.distributed, whatever has set it up; without it there is one process.
"""

import os
import pickle
from collections.abc import Callable
from typing import TypeVar

__all__ = ["from_first", "is_first_process", "process_count", "together"]

_Result = TypeVar("_Result")


def process_count() -> int:
    """Return the number of training processes."""
    from torch import distributed

    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first_process() -> bool:
    """Tell whether this is the process that writes; without others it is."""
    from torch import distributed

    if distributed.is_initialized():
        return distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"  # what the launcher says before they have met


def from_first(value: _Result) -> _Result:
    """Return what the first process gives; the others' values are not looked at."""
    from torch import distributed

    if process_count() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


def together(action: Callable[[], _Result]) -> _Result:
    """Do something in every process; if it fails in one, it fails in all of them.

    Without this, the others would wait for the one that failed.

    Args:
        action: May be another one in each process. Those in which it does not fail must not wait
            for those in which it does: it exchanges nothing, or what it calls fails everywhere.

    Returns:
        What it returned here.

    Raises:
        Exception: what it raised in the first of the processes in which it failed.
    """
    from torch import distributed

    if process_count() == 1:
        return action()
    fault: Exception | None = None
    try:
        result = action()
    except Exception as error:  # whatever it was: the others have to hear of it
        fault = error
    faults: list[bytes | None] = [None] * process_count()
    distributed.all_gather_object(faults, _packed(fault))
    failed = [rank for rank, packed in enumerate(faults) if packed is not None]
    if not failed:
        return result
    if fault is not None and failed[0] == distributed.get_rank():
        raise fault  # with its own traceback
    raise pickle.loads(faults[failed[0]] or b"") from fault


def _packed(fault: Exception | None) -> bytes | None:
    if fault is None:
        return None
    try:
        packed = pickle.dumps(fault)
        pickle.loads(packed)  # some can be written and not read
    except Exception:  # whatever it holds: its words will do
        packed = pickle.dumps(RuntimeError(f"{type(fault).__name__}: {fault}"))
    return packed
