"""Means over seeds with intervals over seeds and episodes; runs grouped by all but the seed."""

from pathlib import Path

import numpy as np
import pytest

from memgym.baselines.sb3 import TrainingFolder
from memgym.benchmarks.sb3_results import groups_in
from memgym.benchmarks.statistics import draws_over_runs, interval, mean_interval
from memgym.errors import UsageError
from tests.tiny_sb3 import small


def test_one_run_keeps_its_draws() -> None:
    draws = np.random.default_rng(0).random((3, 500))
    assert (draws_over_runs(draws, [1]) == draws[1]).all()


def test_runs_that_differ_widen_the_interval() -> None:
    draws = np.full((5, 2_000), 0.5) + np.linspace(-0.2, 0.2, 5)[:, None]
    alike = interval(draws_over_runs(draws[[2, 2, 2, 2, 2]], range(5)))
    apart = interval(draws_over_runs(draws, range(5)))
    assert alike == pytest.approx((0.5, 0.5))
    # The standard error of a mean of five is 0.063.
    assert apart[0] == pytest.approx(0.5 - 1.96 * 0.063, abs=0.02)
    assert apart[1] == pytest.approx(0.5 + 1.96 * 0.063, abs=0.02)


def test_the_interval_of_a_mean_is_taken_place_by_place() -> None:
    low, high = mean_interval(np.array([[0.0, 1.0], [1.0, 1.0]]))
    assert low.tolist() == [0.0, 1.0]
    assert high.tolist() == [1.0, 1.0]


def finished(folder: Path, kind: str, **changed: object) -> None:
    run = TrainingFolder(folder)
    run.begin(small(kind, **changed))
    run.best.touch()


def test_runs_are_grouped_by_everything_but_the_seed(tmp_path: Path) -> None:
    for seed in (10, 9):
        finished(tmp_path / f"ppo/seed-{seed}", "ppo", seed=seed)
    finished(tmp_path / "a2c", "a2c")
    [a2c, ppo] = groups_in(tmp_path)
    assert (a2c.name, ppo.name) == ("a2c", "ppo")
    assert [run.settings().seed for run in ppo.runs] == [9, 10]
    finished(tmp_path / "longer/seed-0", "ppo", steps=4_000)
    names = [group.name for group in groups_in(tmp_path)]
    assert names == ["a2c", "ppo (longer)", "ppo (ppo)"]
    finished(tmp_path / "longer/seed-1", "ppo", steps=5_000)
    with pytest.raises(UsageError, match=r"two groups of runs are called ppo \(longer\)"):
        groups_in(tmp_path)
