"""Playing a plan: results into the run folder as they come.

Tasks without a language model are spread over worker processes, the others are left to
:mod:`memgym.benchmarks.model_runner`. Results depend on neither the number of processes nor their
timing. With ``jobs`` above 1 the workers are spawned, so a script that calls this needs the usual
``if __name__ == "__main__"``.
"""

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path

from memgym.agent import Agent
from memgym.agents.chat import RunMeter
from memgym.benchmarks.outcome import AgentError, Outcome, played
from memgym.benchmarks.plan import RunPlan, Task
from memgym.benchmarks.run_folder import RunFolder
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.errors import UsageError
from memgym.evaluation import environment_for

__all__ = ["Progress", "default_jobs", "run_plan"]

_QUEUED_PER_WORKER = 4


Progress = Callable[[int, int], None]
"""Called with the numbers of results there are and there will be."""


def default_jobs() -> int:
    """Return the number of processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_plan(
    plan: RunPlan,
    folder: Path,
    *,
    jobs: int = 1,
    concurrency: int = 16,
    meter: RunMeter | None = None,
    progress: Progress | None = None,
) -> RunFolder:
    """Play what is missing of a plan and return the folder with every result in it.

    Args:
        plan: What to play.
        folder: Where the results go; if it holds part of this very run, the rest is played.
        jobs: Worker processes for tasks without a language model; 1 plays in this process.
        concurrency: Episodes at a time for tasks with one.
        meter: Counts and limits what their models use.
        progress: Told the state at the start and after every episode.

    Raises:
        UsageError: see :class:`~memgym.benchmarks.run_folder.RunFolder`; ``jobs`` or
            ``concurrency`` is below 1.
        AgentError: an agent raised an exception; the results so far are kept.
        RunStoppedError: a language model could not be had, or its budget is spent; the same.
    """
    for name, value in (("jobs", jobs), ("concurrency", concurrency)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, got {value}")
    tasks = {task.key: task for task in plan.tasks()}
    store = RunFolder(folder, plan.description(), list(tasks))
    # Entries in turn: long and short episodes mix, so that the time left can be told early.
    missing = sorted((tasks[key] for key in store.missing), key=lambda task: task.episode.index)
    tell = progress or (lambda done, total: None)
    tell(len(store.records), len(tasks))
    plain = [task for task in missing if not task.uses_model]
    others = [task for task in missing if task.uses_model]
    streams = [_play_all(plain, min(jobs, len(plain)))]
    if others:
        from memgym.benchmarks.model_runner import ModelSession

        session = ModelSession(folder, concurrency=concurrency, meter=meter or RunMeter())
        streams.append(session.play(others))
    for stream in streams:
        with contextlib.closing(stream) as outcomes:
            for outcome in outcomes:
                store.append(outcome.record, outcome.seconds, outcome.usage)
                tell(len(store.records), len(tasks))
    store.finish()
    return store


def _play_all(tasks: Sequence[Task], jobs: int) -> Generator[Outcome]:
    if jobs > 1:
        yield from _play_in_pool(tasks, jobs)
    else:
        yield from map(_play, tasks)


def _play(task: Task) -> Outcome:
    """Play one task; every exception but a user's mistake becomes an :class:`AgentError`."""
    agent, env = _agent_and_environment(_Hashable(task), task.settings)
    try:
        return played(task, agent, env)
    except AgentError:
        _agent_and_environment.cache_clear()
        raise


class _Hashable:
    """The entry of a task as a cache key: it holds a mapping and has no hash of its own."""

    def __init__(self, task: Task) -> None:
        self.entry = task.entry
        self._key = (task.entry.spec, json.dumps(dict(task.entry.options), sort_keys=True))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashable) and self._key == other._key


@lru_cache(maxsize=32)
def _agent_and_environment(key: _Hashable, settings: str) -> tuple[Agent, MemAlphaEnv]:
    agent = key.entry.make()
    return agent, environment_for(agent, **json.loads(settings))


def _play_in_pool(tasks: Sequence[Task], jobs: int) -> Iterator[Outcome]:
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        yield from _outcomes(pool, tasks, jobs * _QUEUED_PER_WORKER)
    except BrokenProcessPool as error:
        raise AgentError(
            "a worker process died, perhaps for lack of memory; run again with fewer --jobs"
        ) from error
    except BaseException:
        # Do not wait for the episodes in flight: they are played again when the run is continued.
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcomes(pool: ProcessPoolExecutor, tasks: Sequence[Task], queued: int) -> Iterator[Outcome]:
    """Yield outcomes as they come; few tasks wait at a time, so that stopping is quick."""
    waiting = iter(tasks)
    running: set[Future[Outcome]] = set()
    while True:
        for task in waiting:
            running.add(pool.submit(_play, task))
            if len(running) >= queued:
                break
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        # A crash comes last, so that what is ready is kept.
        for future in sorted(done, key=lambda item: item.exception() is not None):
            yield future.result()


def _start_worker() -> None:
    """Let the parent handle Ctrl-C, and end when the parent is gone (even if it was killed)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "workers are started by multiprocessing"
    threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
