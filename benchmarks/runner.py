"""Playing a plan: results into the run folder as they come.

Tasks without a language model (:mod:`memgym.benchmarks.plain_runner`) and those with one
(:mod:`memgym.benchmarks.model_runner`) are played at the same time; their results are written by
this thread alone. Results depend on neither the number of processes nor their timing. With ``jobs``
above 1 the workers are spawned, so a script that calls this needs the usual
``if __name__ == "__main__"``.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from memgym.agents.chat import RunMeter
from memgym.benchmarks.description import code_digest, describe_agent
from memgym.benchmarks.outcome import Outcome
from memgym.benchmarks.plain_runner import PlainSession
from memgym.benchmarks.plan import RunPlan, Task
from memgym.benchmarks.run_folder import RunFolder, playing_alone
from memgym.errors import UsageError

__all__ = ["Progress", "default_jobs", "run_plan"]


Progress = Callable[[int, int], None]
"""Called with the numbers of results there are and there will be."""


class _Session(Protocol):
    """Plays tasks of one kind. Left with an exception, it drops what is in flight."""

    running: set[Future[Outcome]]

    def __enter__(self) -> Self: ...

    def start(self) -> None: ...

    def take(self, future: Future[Outcome]) -> Outcome | None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def check(self) -> None: ...


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
    traces: bool = True,
) -> RunFolder:
    """Play what is missing of a plan and return the folder with every result in it.

    Args:
        plan: What to play.
        folder: Where the results go; if it holds part of this very run, the rest is played.
        jobs: Worker processes for tasks without a language model; 1 plays in this process.
        concurrency: Episodes at a time for tasks with one.
        meter: Counts and limits what their models use.
        progress: Told the state at the start and after every episode.
        traces: Whether the trace of every episode is kept; a result that has none is played again.

    Raises:
        UsageError: see :class:`~memgym.benchmarks.run_folder.RunFolder`; ``jobs`` or
            ``concurrency`` is below 1; a model cannot be opened; another process plays the run.
        AgentError: an agent raised an exception; the results so far are kept.
        RunStoppedError: a language model could not be had, or its budget is spent; the same.
    """
    for name, value in (("jobs", jobs), ("concurrency", concurrency)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, got {value}")
    tasks = {task.key: task for task in (_traced(plan) if traces else plan.tasks())}
    with playing_alone(folder):
        store = RunFolder(folder, plan.description(), list(tasks), traced=traces)
        # Entries in turn: long and short episodes mix, so that the time left can be told early.
        missing = sorted((tasks[key] for key in store.missing), key=lambda x: x.episode.index)
        left = len(missing)
        tell = progress or (lambda done, total: None)
        tell(len(tasks) - left, len(tasks))

        def keep(outcome: Outcome) -> None:
            nonlocal left
            store.append(outcome.record, outcome.seconds, outcome.usage, outcome.trace)
            left -= 1
            tell(len(tasks) - left, len(tasks))

        sessions = _sessions(missing, folder, jobs, concurrency, meter or RunMeter())
        _play_all(sessions, keep)
        store.finish()
    return store


def _traced(plan: RunPlan) -> Iterator[Task]:
    """Yield the tasks of a plan with what their traces say of suite, agent and versions."""
    suites = {suite.suite.name: suite for suite in plan.suites}
    agents = {entry.name: describe_agent(entry) for entry in plan.agents}
    for task in plan.tasks():
        played = suites[task.episode.suite]
        suite = {
            "name": played.suite.name,
            "version": played.suite.version,
            "hash": played.content_hash,
            "entry": task.episode.entry,
        }
        traced = {
            "suite": suite,
            "agent": agents[task.entry.name],
            "versions": {"code": code_digest()},
        }
        yield replace(task, traced=json.dumps(traced, sort_keys=True))


def _sessions(
    tasks: Sequence[Task], folder: Path, jobs: int, concurrency: int, meter: RunMeter
) -> list[_Session]:
    """Return what plays the tasks; the last is stopped first.

    Models are opened before there are workers: processes that they start are none of those.
    """
    plain = [task for task in tasks if not task.uses_model]
    others = [task for task in tasks if task.uses_model]
    sessions: list[_Session] = []
    if others:
        from memgym.benchmarks.model_runner import ModelSession

        sessions.append(ModelSession(others, folder, concurrency=concurrency, meter=meter))
    if plain:
        sessions.insert(0, PlainSession(plain, jobs, alone=not others))
    return sessions


def _play_all(sessions: Sequence[_Session], keep: Callable[[Outcome], None]) -> None:
    """Play all tasks of all sessions at once and keep what comes out in this thread."""
    with contextlib.ExitStack() as stack:
        for session in sessions:
            stack.enter_context(session)
        while True:
            for session in sessions:
                session.start()
            running = {future: session for session in sessions for future in session.running}
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            # A crash comes last, so that what is ready is kept.
            for future in sorted(done, key=lambda item: item.exception() is not None):
                outcome = running[future].take(future)
                if outcome is not None:
                    keep(outcome)
    for session in sessions:
        session.check()
