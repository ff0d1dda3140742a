"""A whole run on the smallest scale: its stages, what a kill undoes, what it keeps as the best."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.grpo import training
from memgym.agents.grpo.advantages import advantages
from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.manifest import read_manifest
from memgym.agents.grpo.page import write_page
from memgym.agents.grpo.policy import load_policy
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import PolicySettings, TrainSettings
from memgym.agents.grpo.stages import Episodes, Players
from memgym.agents.grpo.training import Progress, train
from memgym.errors import UsageError
from memgym.tasks import registry
from tests.grpo_small import small_policy, small_settings

SUPERVISED: dict[str, Any] = {
    "agents": ["beginner"],
    "episodes": 2,
    "steps": 4,
    "batch_size": 2,
    "copying_steps": 3,
}
FULL: dict[str, Any] = {
    "supervised": SUPERVISED,
    "loss": {"kl_weight": 0.01},  # so that there is a reference to be kept, too
    "optimizer": {"steps": 3, "minibatches": 2, "learning_rate": 1e-3},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    small_policy().save(folder)
    return str(folder)


@pytest.fixture(scope="module", autouse=True)
def _small_scale() -> Iterator[None]:
    """Save often, and pay for tokens: a model that writes nonsense would get 0 for everything."""

    def scored(trajectories: Sequence[Trajectory], *given: Any) -> Any:
        return advantages([replace(one, correctness=_digest(one)) for one in trajectories], *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "advantages", scored)
        patch.setattr(training, "_SAVED_EVERY", 2)
        patch.setattr(training, "_COPIED_CHUNKS", 4)
        yield


def _digest(one: Trajectory) -> float:
    responses = str([sample.response_ids for sample in one.samples])
    return hashlib.sha256(responses.encode()).digest()[0] / 255


def settings_of(model: str, **sections: Any) -> TrainSettings:
    return small_settings(**{"policy": {"model": model}, **sections})


@pytest.fixture(scope="module")
def whole(model: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Return a run that nothing disturbed."""
    return train(settings_of(model, **FULL), tmp_path_factory.mktemp("whole") / "run")


def places(folder: RunFolder) -> list[tuple[str, int]]:
    return [(row["stage"], row["step"]) for row in folder.rows()]


def weights(model: Path) -> bytes:
    return (model / "model.safetensors").read_bytes()


# ------------------------------------------------------------------ stages


def test_stages_follow_each_other_and_every_step_has_a_row(whole: RunFolder, model: str) -> None:
    assert places(whole) == [
        *(("copying", step) for step in (1, 2, 3)),
        *(("supervised", step) for step in (1, 2, 3, 4)),
        *(("grpo", step) for step in (0, 1, 2, 3)),
    ]
    rows = dict(zip(places(whole), whole.rows(), strict=True))
    assert rows["supervised", 4]["loss"] < rows["supervised", 1]["loss"]
    judged = [place for place, row in rows.items() if "validation/r1" in row]
    assert judged == [("grpo", 0), ("grpo", 2), ("grpo", 3)]
    for step in (1, 2, 3):
        row = rows["grpo", step]
        assert row["updates"] == 2
        assert row["gradient_norm"] > 0
        assert row["rollout_difference_max"] < 1e-3
    assert rows["grpo", 3]["reference_kl"] > 0
    assert weights(whole.final) != weights(Path(model))
    assert [timing["step"] for timing in whole.timings()] == [row["step"] for row in whole.rows()]


def test_a_finished_folder_holds_models_examples_and_nothing_to_go_on_from(
    whole: RunFolder,
) -> None:
    names = {item.name for item in whole.path.iterdir()} - {"tensorboard"}
    assert names == {
        "run.json", "metrics.jsonl", "timings.jsonl", "start", "best", "final", "done", "lock",
        "examples.json",
    }  # fmt: skip
    assert whole.done
    for folder in (whole.start, whole.best, whole.final):
        assert load_policy(PolicySettings(model=str(folder), device="cpu")).parameters > 1_000
        assert read_manifest(folder).environment == {"view_recent": 1, "view_relevant": 1}
        assert read_manifest(folder).chunk_tokens == 500
    sides = json.loads((whole.path / "examples.json").read_text())
    assert set(sides) == {"before", "after"}
    for shown in sides.values():
        assert all(chunk["text"] and chunk["response"] for chunk in shown["chunks"])
        assert len(shown["questions"]) == 3


def test_a_run_that_never_got_better_has_a_page_too(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, scores = Players.judge, iter([0.5, 0.1, 0.3])

    def worse(self: Players, episodes: Sequence[int], step: int) -> list[Trajectory]:
        score = next(scores)
        return [replace(one, correctness=score) for one in judge(self, episodes, step)]

    monkeypatch.setattr(Players, "judge", worse)
    settings = settings_of(model, optimizer={"steps": 2}, evaluation={"every": 1})
    found = train(settings, tmp_path / "run")
    assert weights(found.best) == weights(found.start)
    shown = json.loads((found.path / "examples.json").read_text())
    assert (shown["before"]["score"], shown["after"]["score"]) == (0.5, 0.3)
    assert "before and after" in write_page(found).read_text(encoding="utf-8")


def test_a_finished_run_is_not_trained_again(whole: RunFolder, model: str) -> None:
    seen: list[Progress] = []
    before = weights(whole.final)
    train(settings_of(model, **FULL), whole.path, progress=seen.append)
    assert not seen
    assert weights(whole.final) == before
    with pytest.raises(UsageError, match="holds another run"):
        train(settings_of(model, **FULL, seed=1), whole.path)


def test_another_seed_is_another_run(whole: RunFolder, model: str, tmp_path: Path) -> None:
    warm = {"supervised": {**SUPERVISED, "copying_steps": 0}, "optimizer": {"steps": 0}}
    runs = [
        train(settings_of(model, **warm, seed=seed), tmp_path / name)
        for seed, name in ((0, "first"), (0, "again"), (1, "other"))
    ]
    first, again, other = (weights(run.final) for run in runs)
    assert first == again != other
    # Supervised learning alone: the model at the end is the best, and nothing is judged.
    for run in runs:
        assert places(run) == [("supervised", step) for step in (1, 2, 3, 4)]
        assert run.done
        assert weights(run.best) == weights(run.final)


# ------------------------------------------------------------------ kills


class KilledError(Exception):
    """Stands for a kill."""


def killed_at(stage: str, step: int) -> Callable[[Progress], None]:
    def progress(now: Progress) -> None:
        if (now.stage, now.step) == (stage, step):
            raise KilledError

    return progress


KILLS = [
    ("copying", 1),  # before the first checkpoint
    ("copying", 3),
    ("demonstrations", 1),
    ("supervised", 1),
    ("supervised", 3),  # after the checkpoint of step 2
    ("grpo", 0),
    ("grpo", 1),
    ("grpo", 3),  # all is done but the end
]


def test_a_run_that_was_killed_in_every_stage_ends_as_if_it_had_not_been(
    whole: RunFolder, model: str, tmp_path: Path
) -> None:
    settings, path = settings_of(model, **FULL), tmp_path / "run"
    for stage, step in KILLS:
        with pytest.raises(KilledError):
            train(settings, path, progress=killed_at(stage, step))
    found = train(settings, path)
    assert (found.path / "metrics.jsonl").read_bytes() == (
        whole.path / "metrics.jsonl"
    ).read_bytes()
    assert weights(found.final) == weights(whole.final)
    assert weights(found.best) == weights(whole.best)
    assert (found.path / "examples.json").read_bytes() == (
        whole.path / "examples.json"
    ).read_bytes()


# ------------------------------------------------------------------ the best model


def test_the_best_model_is_that_of_the_best_validation_and_patience_ends_a_run(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.1, 0.5, 0.3, 0.4])
    kept: list[bytes] = []
    play = Players.judge

    def judge(self: Players, episodes: Sequence[int], version: int) -> list[Trajectory]:
        assert list(episodes) == [0, 1]
        found, score = play(self, episodes, version), next(scores)
        self._updates.policy.save(tmp_path / "now")
        kept.append(weights(tmp_path / "now"))
        return [replace(one, correctness=score) for one in found]

    monkeypatch.setattr(Players, "judge", judge)
    settings = settings_of(
        model,
        optimizer={"steps": 9, "learning_rate": 1e-3},
        evaluation={"every": 1, "patience": 2},
    )
    found = train(settings, tmp_path / "run")
    assert [row["validation/r1"] for row in found.rows()] == [0.1, 0.5, 0.3, 0.4]
    assert weights(found.best) == kept[1]
    assert weights(found.final) == kept[3]
    assert len(set(kept)) == 4
    shown = json.loads((found.path / "examples.json").read_text())
    assert (shown["before"]["score"], shown["after"]["score"]) == (0.1, 0.5)


# ------------------------------------------------------------------ what is read and written


def test_the_test_split_is_never_touched(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits: list[str] = []
    load = registry._load

    def noted(name: str, split: str, *given: Any) -> Any:
        splits.append(split)
        return load(name, split, *given)

    monkeypatch.setattr(registry, "_load", noted)
    train(settings_of(model, supervised=SUPERVISED, optimizer={"steps": 1}), tmp_path / "run")
    assert sorted(set(splits)) == ["train", "validation"]


def test_nothing_is_written_beside_the_folder(
    model: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = settings_of(model, **{**FULL, "supervised": {}})
    with pytest.raises(KilledError):
        train(settings, tmp_path / "run", progress=killed_at("grpo", 1))
    train(settings, tmp_path / "run")
    assert capfd.readouterr() == ("", "")
    assert [record.getMessage() for record in caplog.records if record.levelno >= 30] == []


def test_a_source_without_a_validation_split_is_refused_before_anything_is_trained(
    model: str, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    settings = settings_of(model, environment={"source": "memoryagentbench", "source_options": {}})
    with pytest.raises(UsageError, match='no split "train"'):
        train(settings, tmp_path / "run", progress=seen.append)
    assert not seen


def test_episodes_of_stages_steps_and_seeds_are_never_the_same() -> None:
    taken: list[int] = []
    for seed in (0, 1):
        episodes = Episodes(small_settings(seed=seed), "")
        shown = episodes.demonstrated()
        taken += [next(shown) for _ in range(5)]
        taken += [number for step in range(3) for number in episodes.of_step(step)]
    assert len(set(taken)) == len(taken) == 2 * (5 + 3 * 2)


def test_episodes_of_a_finite_source_are_all_played_before_one_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Five:
        size = 5

    monkeypatch.setattr("memgym.agents.grpo.stages.load_source", lambda *given: Five())
    episodes = Episodes(small_settings(rollout={"episodes": 5}, evaluation={"episodes": 9}), "")
    assert sorted(episodes.of_step(0)) == sorted(episodes.of_step(1)) == [0, 1, 2, 3, 4]
    assert episodes.of_step(0) != episodes.of_step(1)
    assert list(episodes.judged) == [0, 1, 2, 3, 4]
