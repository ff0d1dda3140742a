"""Rollouts on a Ray cluster of two nodes, both on this machine and on the loopback interface."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from memgym.agents.grpo.engines import open_engine
from memgym.agents.grpo.policy import Policy, load_policy
from memgym.agents.grpo.ray_rollouts import RayWorkers
from memgym.agents.grpo.rollouts import Job, Rollouts, by_group, groups
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import (
    PolicySettings,
    PromptSettings,
    RolloutSettings,
    TrainSettings,
)
from memgym.errors import UsageError
from tests.tiny_model import make_tiny_model

MEMORY = 80 * 2**20  # bytes of each node's object store


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)  # stay on the loopback interface
        patch.setenv(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "0")
        patch.setenv("RAY_worker_niceness", "0")  # other tests run beside
        node = {"num_cpus": 1, "object_store_memory": MEMORY, "node_ip_address": "127.0.0.1"}
        started = Cluster(True, head_node_args={**node, "include_dashboard": False})
        started.add_node(**node)
        ray.init(address=started.address, log_to_driver=False)
        yield
        ray.shutdown()
        started.shutdown()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    return TrainSettings(
        environment={
            "source": "procedural",
            "source_options": {"tokens": 1_000, "chunk_tokens": 500, "questions": 2},
        },
        policy=PolicySettings(
            model=str(make_tiny_model(tmp_path_factory.mktemp("model"))), device="cpu"
        ),
        prompt=PromptSettings(instructions="none", max_tokens=12),
        rollout=RolloutSettings(group_size=2, worker_options={"workers": 2}),
    )


def _local(settings: TrainSettings, policy: Policy, jobs: list[Job]) -> list[Trajectory]:
    engine = open_engine(policy, settings)
    return by_group(list(Rollouts(settings, engine).play(jobs, 7)))


def _same(ours: list[Trajectory], theirs: list[Trajectory]) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        for ours_sample, sample in zip(mine.samples, other.samples, strict=True):
            assert sample.logprobs == pytest.approx(ours_sample.logprobs, abs=1e-4)
            assert replace(sample, logprobs=()) == replace(ours_sample, logprobs=())
        assert replace(other, samples=()) == replace(mine, samples=())


def test_two_nodes_play_what_one_process_would(cluster: None, settings: TrainSettings) -> None:
    """Also with new weights, and although one of two workers dies while it plays."""
    import ray
    import torch

    policy = load_policy(settings.policy)
    jobs = groups([0, 1, 2, 3], 2, (0,))
    before = _local(settings, policy, jobs)
    workers = RayWorkers(settings, policy)
    rollouts = workers.rollouts()
    assert len({node["NodeID"] for node in ray.nodes() if node["Alive"]}) == 2
    workers.load_weights(policy.model, 7)
    _same(before, by_group(list(rollouts.play(jobs, 7))))

    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(1.5)
    after = _local(settings, policy, jobs)
    assert after != before
    with pytest.raises(ValueError, match="version 8"):
        next(rollouts.play(jobs, 8))
    workers.load_weights(policy.model, 7)
    playing = rollouts.play(jobs, 7)
    found = [next(playing)]
    ray.kill(workers._hands[0].actor, no_restart=False)
    _same(after, by_group([*found, *playing]))
    workers.close()


def test_a_fault_of_the_environment_comes_back_as_it_is(
    cluster: None, settings: TrainSettings
) -> None:
    policy = load_policy(settings.policy)
    one = replace(settings, rollout=replace(settings.rollout, worker_options={"workers": 1}))
    workers = RayWorkers(one, policy)
    workers.load_weights(policy.model, 0)
    with pytest.raises(UsageError, match="nowhere"):
        list(workers.rollouts(split="validation").play([Job(0, 0, "nowhere", 0)], 0))
    workers.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"worker": 2}, 'no option "worker".*workers'),
        ({"workers": 0}, "worker_options.workers is their number"),
        ({"gpus": "all"}, "worker_options.gpus"),
        ({"address": 6379}, "worker_options.address"),
    ],
)
def test_wrong_options_are_told(
    settings: TrainSettings, options: dict[str, Any], message: str
) -> None:
    policy = load_policy(settings.policy)
    wrong = replace(settings, rollout=replace(settings.rollout, worker_options=options))
    with pytest.raises(UsageError, match=message):
        RayWorkers(wrong, policy)
