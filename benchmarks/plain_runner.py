"""Playing tasks without a language model: they need a processor all the time.

Several worker processes share them, or one after another is played in this process.
"""

import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import Generic, ParamSpec, Self, TypeVar

from memgym.agent import Agent
from memgym.benchmarks.outcome import AgentError, Outcome, played
from memgym.benchmarks.plan import Task
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.evaluation import environment_for

__all__ = ["PlainSession", "Workers"]

_QUEUED_PER_WORKER = 4

_P = ParamSpec("_P")
_T = TypeVar("_T")
_W = TypeVar("_W")


class Workers(Generic[_W, _T]):
    """Does tasks that need a processor all the time; a context manager.

    Args:
        do: Does one; found by its name in other processes.
        tasks: In the order in which they are started.
        jobs: Worker processes; 1 plays in this process.
        alone: Whether nothing else is played meanwhile. One job then plays in the caller's thread,
            where Ctrl-C stops it at once.

    Attributes:
        running: What has been started and not been taken.
    """

    def __init__(
        self, do: Callable[[_W], _T], tasks: Sequence[_W], jobs: int, *, alone: bool
    ) -> None:
        self.running: set[Future[_T]] = set()
        self._do = do
        self._waiting = iter(tasks)
        self._others = multiprocessing.active_children()
        jobs = min(jobs, len(tasks))
        # Few tasks wait at a time, so that stopping is quick.
        self._room = jobs * _QUEUED_PER_WORKER if jobs > 1 else 1
        self._pool: Executor
        if jobs > 1:
            self._pool = ProcessPoolExecutor(
                jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
            )
        else:
            self._pool = _Here() if alone else ThreadPoolExecutor(1, thread_name_prefix="plain")

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Start as many tasks as there is room for."""
        while len(self.running) < self._room:
            task = next(self._waiting, None)
            if task is None:
                return
            with _explained():
                self.running.add(self._pool.submit(self._do, task))

    def take(self, future: Future[_T]) -> _T:
        """Return what came out of a task that is done.

        Raises:
            AgentError: an agent raised an exception, or its process died.
        """
        self.running.discard(future)
        with _explained():
            return future.result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            # Do not wait for the episodes in flight: they are played again when the run is
            # continued. (A thread cannot be stopped; one episode is waited for.)
            for process in multiprocessing.active_children():
                if process not in self._others:
                    process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)


class PlainSession(Workers[Task, Outcome]):
    """Plays tasks without a language model; see :class:`Workers`."""

    def __init__(self, tasks: Sequence[Task], jobs: int, *, alone: bool) -> None:
        super().__init__(_play, tasks, jobs, alone=alone)

    def check(self) -> None:
        """Do nothing: tasks without a model are all played, or :meth:`take` has raised."""


class _Here(Executor):
    """Calls at once, in the caller's thread."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Return the result of a call, which is there already."""
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)  # as any executor does; Ctrl-C goes on to the caller
        return future


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise AgentError(
            "a worker process died, perhaps for lack of memory; run again with fewer --jobs"
        ) from error


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


def _start_worker() -> None:
    """Let the parent handle Ctrl-C, and end when the parent is gone (even if it was killed)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "workers are started by multiprocessing"
    threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
