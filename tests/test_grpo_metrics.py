"""The figures of a training step against hand-computed ones, and where they are written."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memgym.agents.grpo.advantages import advantages
from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.metrics import MetricsLog, rollout_metrics, step_metrics
from memgym.agents.grpo.samples import Sample, Trajectory
from memgym.agents.grpo.settings import AdvantageSettings, TrainSettings
from memgym.errors import UsageError
from memgym.rewards import DEFAULT_WEIGHTS


def sample(
    prompt: int, response: int, *, r2: float, r4: float, truncated: bool = False, chunk: int = 0
) -> Sample:
    ids = tuple(range(response))
    return Sample(chunk, tuple(range(prompt)), ids, (-1.0,) * response, truncated, r2, r4)


FIRST = Trajectory(
    group=0, rollout=0, episode_id="a", ability="conflict_resolution",
    samples=(
        sample(10, 4, r2=1.0, r4=0.5),
        sample(20, 8, r2=0.0, r4=0.5, truncated=True, chunk=1),
    ),
    correctness=0.8, compression=0.6, memory_share=0.4,
    calls={"memory_update core": 1, "new_memory_insert semantic": 2}, failed_calls=1,
    causes={"right": 4, "not_written": 1},
)  # fmt: skip
SECOND = Trajectory(
    group=0, rollout=1, episode_id="a", ability="accurate_retrieval",
    samples=(sample(30, 6, r2=1.0, r4=1.0),),
    correctness=0.4, compression=0.2, memory_share=0.8,
    calls={"new_memory_insert semantic": 1}, failed_calls=0,
    causes={"right": 2, "misread": 3},
)  # fmt: skip
NOTHING = Trajectory(0, 2, "a", "accurate_retrieval", (), 0.0, 1.0, 0.0)


def test_figures_of_rollouts() -> None:
    found = rollout_metrics([FIRST, SECOND])
    assert found["r1"] == pytest.approx(0.6)
    assert found["r2"] == pytest.approx((0.5 + 1.0) / 2)  # each rollout counts once
    assert found["r3"] == pytest.approx(0.4)
    assert found["r4"] == pytest.approx((0.5 + 1.0) / 2)
    assert found["return"] == pytest.approx(0.6 + 0.75 + 0.05 * 0.4 + 0.1 * 0.75)
    assert found["memory_share"] == pytest.approx(0.6)
    assert found["r1/accurate_retrieval"] == 0.4
    assert found["r1/conflict_resolution"] == 0.8
    assert (found["samples"], found["response_tokens"], found["response_tokens_max"]) == (3, 6, 8)
    assert (found["prompt_tokens"], found["prompt_tokens_max"]) == (20, 30)
    assert found["truncated_share"] == pytest.approx(1 / 3)
    assert found["calls"] == pytest.approx(4 / 3)
    assert found["failed_call_share"] == 0.25
    assert found["calls/memory_update core"] == 0.25
    assert found["calls/new_memory_insert semantic"] == 0.75
    assert found["cause/right"] == pytest.approx(0.6)
    assert found["cause/not_written"] == pytest.approx(0.1)
    assert found["cause/misread"] == pytest.approx(0.3)
    weights = {**DEFAULT_WEIGHTS, "compression": 2.0}
    assert rollout_metrics([FIRST, SECOND], weights)["return"] == pytest.approx(
        0.6 + 0.75 + 2.0 * 0.4 + 0.1 * 0.75
    )


def test_the_order_of_rollouts_does_not_matter_for_the_names() -> None:
    assert list(rollout_metrics([FIRST, SECOND])) == list(rollout_metrics([SECOND, FIRST]))


def test_rollouts_without_samples_and_calls() -> None:
    found = rollout_metrics([NOTHING])
    assert (found["samples"], found["calls"], found["failed_call_share"]) == (0, 0, 0)
    assert (found["r2"], found["response_tokens"], found["truncated_share"]) == (0, 0, 0)
    assert all(map(math.isfinite, found.values()))
    assert rollout_metrics([NOTHING, SECOND])["r2"] == 1.0
    with pytest.raises(ValueError, match="no trajectories"):
        rollout_metrics([])


def test_figures_of_a_step() -> None:
    made = advantages([FIRST, SECOND], AdvantageSettings(scale="none"), DEFAULT_WEIGHTS)
    found = step_metrics([FIRST, SECOND], made, {"loss": 0.5, "entropy": 0.25})
    assert (found["groups"], found["dropped_groups"]) == (1, 0)
    sizes = [abs(value) for values in made.values for value in values]
    assert found["advantage"] == pytest.approx(sum(sizes) / 3)
    assert found["advantage"] > 0
    assert (found["loss"], found["entropy"]) == (0.5, 0.25)
    assert found["r1"] == pytest.approx(0.6)
    alike = advantages([SECOND, SECOND], AdvantageSettings(), DEFAULT_WEIGHTS)
    assert step_metrics([SECOND, SECOND], alike, {})["dropped_groups"] == 1


ROW: dict[str, Any] = {
    "stage": "grpo", "step": 3, "r1": 0.5, "calls/memory_update core": 0.25, "loss": float("nan"),
    "warnings": ["beware"],
}  # fmt: skip


def begun(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.begin(TrainSettings())
    return folder


def test_rows_go_to_the_folder_and_to_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing import event_accumulator

    folder = begun(tmp_path)
    with MetricsLog(folder) as log:
        log.append(ROW, {"tokens_per_second": 900.0})
    assert folder.rows() == [{**ROW, "loss": None}]
    assert folder.timings() == [{"stage": "grpo", "step": 3, "tokens_per_second": 900.0}]
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (scalar,) = events.Scalars("grpo/r1")
    assert (scalar.step, scalar.value) == (3, 0.5)
    assert events.Scalars("grpo/calls/memory_update_core")[0].value == 0.25
    assert events.Scalars("grpo/tokens_per_second")[0].value == 900.0


def test_tensorboard_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    folder = begun(tmp_path)
    with MetricsLog(folder) as log:
        log.append(ROW, {})
    assert len(folder.rows()) == 1
    assert not (tmp_path / "tensorboard").exists()


def test_wandb_only_if_asked_for_and_the_same_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    begins: list[dict[str, Any]] = []
    logged: list[dict[str, Any]] = []

    def init(**options: Any) -> SimpleNamespace:
        begins.append(options)
        return SimpleNamespace(
            id="theirs", log=logged.append, finish=lambda: logged.append({"finished": 1})
        )

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    folder = begun(tmp_path / "run")
    with MetricsLog(folder) as log:
        log.append(ROW, {})
    assert begins == []
    for _ in range(2):
        with MetricsLog(folder, wandb="memory") as log:
            log.append(ROW, {})
    assert [item["id"] for item in begins] == [None, "theirs"]
    assert begins[0]["project"] == "memory"
    assert begins[0]["config"]["seed"] == 0
    assert logged[0]["grpo/r1"] == 0.5
    assert logged[0]["training_step"] == 3
    assert logged[1] == {"finished": 1}


def test_wandb_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="--wandb needs Weights & Biases: pip install wandb"):
        MetricsLog(begun(tmp_path), wandb="memory")
