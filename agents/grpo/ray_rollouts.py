"""Rollouts on the machines of a Ray cluster, in place of one engine in this process.

Every worker has environments and an engine of its own, and gets the weights through Ray's object
store after each update. A free worker takes the next groups. What a rollout does depends on its
job alone, so the trajectories are those that one process would have played.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memgym.agents.chat.types import ServerError
from memgym.agents.grpo.engines import open_engine
from memgym.agents.grpo.policy import Policy
from memgym.agents.grpo.processes import is_first_process
from memgym.agents.grpo.rollouts import Job, Rollouts
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import TrainSettings
from memgym.agents.grpo.weights import copy_weights, gathered_weights, plain_model
from memgym.errors import UsageError, nearest

__all__ = ["OPTIONS", "Blueprint", "RayRollouts", "RayWorkers", "RolloutWorker"]

OPTIONS: Mapping[str, str] = {
    "workers": "their number, at least 1",
    "cpus": "CPUs of each",
    "gpus": "GPUs of each",
    "address": 'of the cluster, e.g. "auto" on one of its machines',
    "patience_seconds": "how long to wait while no worker plays at all",
}
PATIENCE_SECONDS = 600.0
DEATHS = 3
"""In a row, after which a worker is given up."""
_PARTS = 2  # a free worker takes this fraction of its share of what is left, at least one group


@dataclass(frozen=True)
class Blueprint:
    """What a policy is made of but for its weights; small, and the same on every machine."""

    config: Any
    generation_config: Any
    tokenizer: Any

    @classmethod
    def of(cls, policy: Policy) -> "Blueprint":
        """Return that of a policy; adapters are merged on the way, so they are no part of it."""
        model = plain_model(policy.model)
        return cls(model.config, model.generation_config, policy.tokenizer)

    def build(self, settings: TrainSettings) -> Policy:
        """Return a policy with random weights, on a GPU if there is one."""
        import torch
        from transformers import AutoModelForCausalLM

        chosen = settings.policy
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if settings.rollout.engine != "transformers":
            device = "cpu"  # the engine has a copy of its own, where it generates
        with torch.device(device):
            model: Any = AutoModelForCausalLM.from_config(
                self.config,
                dtype=getattr(torch, chosen.dtype),
                attn_implementation=chosen.attention,
            )
        model.generation_config = self.generation_config
        return Policy(model.eval().requires_grad_(False), self.tokenizer)


class RolloutWorker:
    """Plays in a process of its own; made and called by :class:`RayWorkers`.

    Args:
        settings: Of the run.
        blueprint: Of the policy.
    """

    def __init__(self, settings: TrainSettings, blueprint: Blueprint) -> None:
        self._settings = settings
        self._policy = blueprint.build(settings)
        self._engine = open_engine(self._policy, settings)
        self._rollouts: dict[str, Rollouts] = {}

    def load_weights(self, weights: Mapping[str, Any], version: int) -> None:
        """Play with these weights from now on."""
        copy_weights(self._policy.model, weights.items())
        self._engine.load_weights(self._policy.model, version)

    def play(self, given: Mapping[str, Any], jobs: Sequence[Job], version: int) -> list[Trajectory]:
        """Play jobs to their end on :class:`.rollouts.Rollouts` with these arguments."""
        key = repr(sorted(given.items()))
        if key not in self._rollouts:
            self._rollouts[key] = Rollouts(self._settings, self._engine, **given)
        return list(self._rollouts[key].play(jobs, version))


@dataclass(eq=False)
class _Hand:
    """A worker as the learner sees it."""

    actor: Any
    jobs: list[Job] = field(default_factory=list)
    """What it plays; empty: it loads weights."""
    deaths: int = 0
    """In a row, with nothing done in between."""


class RayWorkers:
    """The workers of a run: to the learner what an engine is, as far as it is concerned.

    A worker that dies is started again by Ray, on another machine if need be; its jobs are played
    by whoever is free, from their beginning. With several training processes the first one alone
    has workers, and all of them call :meth:`load_weights`.

    Args:
        settings: ``rollout.worker_options`` are described in :data:`OPTIONS`. The machines need
            memgym and whatever the environment reads (data, a reader's server).
        policy: Its configuration and tokenizer are sent to the workers.

    Raises:
        UsageError: Ray is missing or has no such cluster, or an option is wrong.
    """

    def __init__(self, settings: TrainSettings, policy: Policy) -> None:
        options = _checked(settings.rollout.worker_options)
        self._patience = float(options.get("patience_seconds", PATIENCE_SECONDS))
        self._hands: list[_Hand] = []
        self._weights: Any = None
        self._version = -1
        self._pending: dict[Any, _Hand] = {}  # calls that have not returned yet
        if not is_first_process():
            return
        self._ray = _connected(str(options.get("address", "")))
        kind = self._ray.remote(
            num_cpus=options.get("cpus", 1), num_gpus=options.get("gpus", 0), max_restarts=-1
        )(RolloutWorker)
        # Kept: Ray needs them to start a worker again.
        self._parts = [self._ray.put(part) for part in (settings, Blueprint.of(policy))]
        self._hands = [_Hand(kind.remote(*self._parts)) for _ in range(options.get("workers", 1))]

    def rollouts(self, **given: Any) -> "RayRollouts":
        """Return what plays on the workers.

        Args:
            **given: Arguments of :class:`.rollouts.Rollouts`: ``split``, ``temperature``, ``data``.
        """
        return RayRollouts(self, given)

    def load_weights(self, model: Any, version: int) -> None:
        """Send weights to all workers; they load them on their own time.

        Args:
            model: See :func:`.weights.named_weights`.
            version: Updates that it has seen.
        """
        named = gathered_weights(model)
        if not is_first_process():
            return
        self._weights, self._version = self._ray.put(named), version
        self._pending = {}
        for hand in self._hands:
            self._equip(hand)

    def rest(self) -> None:
        """Nothing is held where the learner works."""

    def play(
        self, given: Mapping[str, Any], jobs: Sequence[Job], version: int
    ) -> Iterator[Trajectory]:
        """Play jobs; see :meth:`RayRollouts.play`."""
        if version != self._version:
            raise ValueError(f"weights of version {version} are not loaded")
        waiting = deque(jobs)
        left = len(waiting)
        idle = [hand for hand in self._hands if hand not in self._pending.values()]
        while left:
            while idle and waiting:
                self._deal(idle.pop(), given, waiting)
            for hand, trajectories in self._returned(waiting):
                left -= len(trajectories)
                yield from trajectories
                idle.append(hand)

    def close(self) -> None:
        """End the workers; the cluster stays."""
        for hand in self._hands:
            self._ray.kill(hand.actor)
        self._hands.clear()

    def _equip(self, hand: _Hand) -> None:
        hand.jobs = []
        call = hand.actor.load_weights.remote(self._weights, self._version)
        self._pending[call] = hand

    def _deal(self, hand: _Hand, given: Mapping[str, Any], waiting: deque[Job]) -> None:
        """Give a worker the next groups: many at first, one at a time towards the end."""
        groups = len({job.group for job in waiting})
        count = max(1, groups // (_PARTS * len(self._hands)))
        taken: list[Job] = []
        seen: set[int] = set()
        while waiting and (waiting[0].group in seen or len(seen) < count):
            seen.add(waiting[0].group)
            taken.append(waiting.popleft())
        hand.jobs = taken
        self._pending[hand.actor.play.remote(given, taken, self._version)] = hand

    def _returned(self, waiting: deque[Job]) -> Iterator[tuple[_Hand, list[Trajectory]]]:
        """Wait for a worker; yield those that are free again with what they have played."""
        done, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=self._patience)
        playing = any(hand.jobs for hand in self._pending.values())
        if not done and not playing:
            raise ServerError(
                f"no Ray worker has come up within {self._patience:g} seconds; `ray status` tells "
                "what the cluster has and what was asked for"
            )
        for call in done:
            hand = self._pending.pop(call)
            try:
                found = self._ray.get(call)
            except self._ray.exceptions.RayActorError as error:  # the process or its machine
                waiting.extendleft(reversed(hand.jobs))
                self._revive(hand, error)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            else:
                hand.deaths = 0
                yield hand, found or []

    def _revive(self, hand: _Hand, error: Any) -> None:
        """Give a worker that has died its weights, for when Ray has started it again."""
        reason = str(error).strip().splitlines()[-1]
        if error.actor_init_failed:
            raise ServerError(f"a Ray worker could not be set up: {reason}") from None
        hand.deaths += 1
        if hand.deaths < DEATHS:
            self._equip(hand)
            return
        self._hands.remove(hand)
        if not self._hands:
            raise ServerError(
                f"each Ray worker died {DEATHS} times in a row; last: {reason}"
            ) from None


class RayRollouts:
    """Plays jobs on Ray workers as :class:`.rollouts.Rollouts` plays them on an engine."""

    def __init__(self, workers: RayWorkers, given: Mapping[str, Any]) -> None:
        self._workers = workers
        self._given = dict(given)

    def play(self, jobs: Sequence[Job], version: int = 0) -> Iterator[Trajectory]:
        """Play all jobs and yield each trajectory as it comes back.

        Where another process has the workers, nothing is played.

        Args:
            jobs: The jobs of a group side by side; begun in this order.
            version: Of the weights that the workers have got last.

        Raises:
            ChatError: as in :meth:`.rollouts.Rollouts.play`, or no worker lives.
            UsageError: as there.
            ValueError: the weights of this version were not loaded.
        """
        if is_first_process():
            yield from self._workers.play(self._given, jobs, version)


def _connected(address: str) -> Any:
    """Return Ray, connected to the cluster; without an address to a new one on this machine."""
    try:
        import ray
    except ImportError as error:
        raise UsageError('rollouts on a cluster need Ray: pip install "memgym[ray]"') from error
    if not ray.is_initialized():
        try:
            ray.init(address=address or None, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(f'no Ray cluster at "{address}": {reason}') from error
    return ray


def _checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, value in options.items():
        if name not in OPTIONS:
            raise UsageError(f'Ray workers have no option "{name}": {nearest(name, OPTIONS)}')
        if name == "address":
            good = isinstance(value, str)
        else:
            good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if name == "workers":
            good = good and isinstance(value, int) and value > 0
        if not good:
            raise UsageError(f"rollout.worker_options.{name} is {OPTIONS[name]}; {value!r} is not")
    return options
