"""The figures of a training step, and where they are written.

A row is a flat mapping from a name to a number. The names, beside those that
:func:`.loss.policy_loss` and the learner add:

========================  ==================================================================
name                      meaning
========================  ==================================================================
``r1`` to ``r4``          reward terms, means over rollouts (see :mod:`memgym.rewards`)
``return``                their weighted sum
``r1/<ability>``          r1 of the episodes that test one ability
``memory_share``          tokens of the final memory as a share of the text's
``samples``               responses
``response_tokens``       mean length of a response, in the model's tokens; ``..._max`` largest
``prompt_tokens``         mean length of a prompt; ``..._max`` largest
``truncated_share``       responses that were cut off at their limit
``calls``                 tool calls per response
``calls/<tool>``          share of a tool among the calls
``failed_call_share``     share of the calls that failed
``cause/<cause>``         share of the questions by why they were answered wrongly, or ``right``
``groups``                episodes of the step
``dropped_groups``        those with nothing to learn from: all their rollouts were alike
``advantage``             mean absolute advantage
========================  ==================================================================

What was measured on the validation split has the same names after ``validation/``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from statistics import fmean
from types import TracebackType
from typing import Any

from memgym.agents.grpo.advantages import Advantages
from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.samples import Sample, Trajectory
from memgym.atomic import write_whole
from memgym.errors import UsageError
from memgym.rewards import DEFAULT_WEIGHTS

__all__ = ["MetricsLog", "rollout_metrics", "step_metrics"]

_Writer = Callable[[Mapping[str, float], int], None]


def rollout_metrics(
    trajectories: Sequence[Trajectory], weights: Mapping[str, float] = DEFAULT_WEIGHTS
) -> dict[str, float]:
    """Return what rollouts alone say; see the module for the names.

    Args:
        trajectories: At least one.
        weights: Weights of the reward terms, all four.

    Raises:
        ValueError: there are no trajectories.
    """
    if not trajectories:
        raise ValueError("no trajectories, no figures")
    samples = [sample for item in trajectories for sample in item.samples]
    terms = {
        "r1": fmean(item.correctness for item in trajectories),
        "r2": _step_term(trajectories, lambda sample: sample.format),
        "r3": fmean(item.compression for item in trajectories),
        "r4": _step_term(trajectories, lambda sample: sample.content),
    }
    weighted = zip(("correctness", "format", "compression", "content"), terms.values(), strict=True)
    return {
        **terms,
        "return": sum(weights[name] * value for name, value in weighted),
        "memory_share": fmean(item.memory_share for item in trajectories),
        **_by_ability(trajectories),
        **_lengths(samples),
        **_calls(trajectories, len(samples)),
        **_shares("cause", Counter(_all_counts(item.causes for item in trajectories))),
    }


def step_metrics(
    trajectories: Sequence[Trajectory],
    advantages: Advantages,
    update: Mapping[str, float],
    weights: Mapping[str, float] = DEFAULT_WEIGHTS,
) -> dict[str, float]:
    """Return the figures of a training step.

    Args:
        trajectories: Its rollouts.
        advantages: What was made of them.
        update: What the learner measured, taken over as it is.
        weights: Weights of the reward terms, all four.
    """
    sizes = [abs(value) for values in advantages.values for value in values]
    return {
        **rollout_metrics(trajectories, weights),
        "groups": advantages.groups,
        "dropped_groups": advantages.dropped_groups,
        "advantage": _mean(sizes),
        **update,
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return fmean(found) if found else 0.0


def _step_term(trajectories: Sequence[Trajectory], term: Callable[[Sample], float]) -> float:
    """Return the mean over rollouts of each one's mean over its samples, as its return has it."""
    return _mean(fmean(map(term, item.samples)) for item in trajectories if item.samples)


def _by_ability(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    scores: dict[str, list[float]] = {}
    for item in sorted(trajectories, key=lambda item: item.ability):
        scores.setdefault(item.ability, []).append(item.correctness)
    return {f"r1/{ability}": fmean(values) for ability, values in scores.items()}


def _lengths(samples: Sequence[Sample]) -> dict[str, float]:
    responses = [len(sample.response_ids) for sample in samples]
    prompts = [len(sample.prompt_ids) for sample in samples]
    return {
        "samples": len(samples),
        "response_tokens": _mean(responses),
        "response_tokens_max": max(responses, default=0),
        "prompt_tokens": _mean(prompts),
        "prompt_tokens_max": max(prompts, default=0),
        "truncated_share": _mean(sample.truncated for sample in samples),
    }


def _calls(trajectories: Sequence[Trajectory], samples: int) -> dict[str, float]:
    made = Counter(_all_counts(item.calls for item in trajectories))
    failed = sum(item.failed_calls for item in trajectories)
    return {
        "calls": made.total() / max(samples, 1),
        "failed_call_share": failed / max(made.total(), 1),
        **_shares("calls", made),
    }


def _all_counts(counts: Iterable[Mapping[str, int]]) -> Iterable[str]:
    return chain.from_iterable(Counter(item).elements() for item in counts)


def _shares(kind: str, counts: "Counter[str]") -> dict[str, float]:
    total = max(counts.total(), 1)
    return {f"{kind}/{name}": counts[name] / total for name in sorted(counts)}


class MetricsLog:
    """Writes rows to the run's folder, and to what shows them live; use as a context manager.

    TensorBoard gets them if it is installed, under ``tensorboard/``.

    Args:
        folder: The run's; it has been begun.
        wandb: Project on Weights & Biases that gets them too; empty: none.

    Raises:
        UsageError: a project is named and wandb is not installed.
    """

    def __init__(self, folder: RunFolder, wandb: str = "") -> None:
        self._folder = folder
        self._closers: list[Callable[[], Any]] = []
        self._writers: list[_Writer] = []
        if wandb:
            self._add_wandb(wandb)
        self._add_tensorboard()

    def append(self, row: Mapping[str, Any], timings: Mapping[str, float]) -> None:
        """Write the figures of one step; see :meth:`.folder.RunFolder.append`."""
        self._folder.append(row, timings)
        numbers = {
            f"{row['stage']}/{name}": float(value)
            for name, value in {**row, **timings}.items()
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool)
        }
        for write in self._writers:
            write(numbers, row["step"])

    def close(self) -> None:
        """Finish what shows the rows live."""
        while self._closers:
            self._closers.pop()()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _add_tensorboard(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return  # it is optional, and metrics.jsonl has everything
        writer: Any = SummaryWriter(str(self._folder.path / "tensorboard"))

        def write(numbers: Mapping[str, float], step: int) -> None:
            for name, value in numbers.items():
                writer.add_scalar(name.replace(" ", "_"), value, step)
            writer.flush()

        self._writers.append(write)
        self._closers.append(writer.close)

    def _add_wandb(self, project: str) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UsageError("--wandb needs Weights & Biases: pip install wandb") from error
        kept = self._folder.path / "wandb_run.txt"
        run = wandb.init(
            project=project,
            name=self._folder.path.resolve().name,
            dir=str(self._folder.path),
            config=self._folder.settings().to_json(),
            id=kept.read_text(encoding="utf-8").strip() if kept.is_file() else None,
            resume="allow",
        )
        write_whole(kept, f"{run.id}\n")  # so that a stopped run goes on as the same one there
        self._writers.append(lambda numbers, step: run.log({**numbers, "training_step": step}))
        self._closers.append(run.finish)
