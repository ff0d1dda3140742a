"""One training step, as each of several processes takes it.

``python -m tests.grpo_processes MODEL FOLDER MODE``, started by :mod:`tests.test_grpo_processes`
through ``accelerate launch``. Every process writes the weights that it ends with; the first one the
gradients of each update, too.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from memgym.agents.grpo.learner import Learner, TrainedSample
from memgym.agents.grpo.policy import load_policy
from memgym.agents.grpo.samples import Sample
from memgym.agents.grpo.settings import (
    LossSettings,
    OptimizerSettings,
    PolicySettings,
    TrainSettings,
)
from memgym.agents.grpo.updates import Updates
from memgym.agents.grpo.weights import named_weights

__all__ = ["samples", "take_step"]

UPDATES = 2


def samples() -> list[TrainedSample]:
    """Return seven samples, of lengths that no two processes can share evenly."""
    random = np.random.default_rng(5)
    found = []
    for number, (prompt, response) in enumerate(
        [(5, 3), (40, 9), (7, 30), (12, 1), (90, 4), (3, 3), (33, 17)]
    ):
        ids = random.integers(10, 900, prompt + response).tolist()
        sample = Sample(
            chunk=0,
            prompt_ids=tuple(ids[:prompt]),
            response_ids=tuple(ids[prompt:]),
            logprobs=tuple(float(value) for value in random.uniform(-9, -5, response)),
            truncated=False,
            format=1.0,
            content=0.0,
        )
        found.append(TrainedSample(sample, (number - 3) / 2))
    return found


def take_step(model: str, mode: str) -> tuple[list[dict[str, Any]], dict[str, Any], Any]:
    """Return the gradients of each update, the weights at the end, and the learner's figures.

    Args:
        model: Folder.
        mode: ``fsdp2`` if the model is to be found sharded over the processes.
    """
    settings = TrainSettings(
        policy=PolicySettings(model=model, device="cpu"),
        optimizer=OptimizerSettings(
            minibatches=UPDATES, learning_rate=1e-3, micro_batch_tokens=128
        ),
        loss=LossSettings(kl_weight=0.1),
    )
    policy = load_policy(settings.policy)
    updates = Updates(policy)
    learner = Learner(updates, settings)
    learner.begin()
    gradients: list[dict[str, Any]] = []
    step = updates.step

    def noted(learning_rate: float, max_gradient_norm: float) -> float:
        gradients.append({name: _whole(item.grad) for name, item in _parameters(policy.model)})
        return step(learning_rate, max_gradient_norm)

    updates.step = noted  # type: ignore[method-assign]
    figures = learner.update(samples())
    sharded = any(hasattr(item, "full_tensor") for item in policy.model.parameters())
    assert sharded == (mode == "fsdp2"), "what the weights lie in is not what was asked for"
    weights = {name: weight.clone() for name, weight in named_weights(policy.model)}
    return gradients, weights, figures


def _parameters(model: Any) -> list[tuple[str, Any]]:
    return [(name, item) for name, item in model.named_parameters() if item.grad is not None]


def _whole(gradient: Any) -> Any:
    return (gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient).clone()


def main(model: str, folder: Path, mode: str) -> None:
    """Take the step in this process."""
    import torch
    from torch import distributed

    gradients, weights, figures = take_step(model, mode)
    rank = distributed.get_rank()
    torch.save(weights, folder / f"weights-{rank}.pt")
    if rank == 0:
        torch.save({"gradients": gradients, "figures": figures}, folder / "step.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
