"""Playing tasks with a language model in them: many episodes at once, so that its batch stays full.

Episodes wait for the model most of the time, so they run in threads of this process. Every reply is
kept in the run folder: an episode that was stopped is played again from its beginning with the
replies it had, which takes milliseconds, and goes on at the call it was at.
"""

import contextlib
import json
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from memgym.agents.chat import (
    Chat,
    ReplyStore,
    RunMeter,
    ServerError,
    StoppedError,
    close_backends,
)
from memgym.benchmarks.outcome import Outcome, RunStoppedError, played
from memgym.benchmarks.plan import Task
from memgym.evaluation import environment_for

__all__ = ["ModelSession"]

_FAILURES_IN_A_ROW = 3


class ModelSession:
    """Plays tasks that use a language model.

    Args:
        folder: Of the run; replies are kept in ``replies/`` below it.
        concurrency: Episodes at a time.
        meter: Counts and limits what is spent.
    """

    def __init__(self, folder: Path, *, concurrency: int, meter: RunMeter) -> None:
        self._concurrency = concurrency
        self._meter = meter
        self._journal = ReplyStore(folder / "replies")

    def play(self, tasks: Sequence[Task]) -> Generator[Outcome]:
        """Yield outcomes as they come.

        An episode whose model cannot be had is left out and the others go on, up to three in a row.

        Raises:
            RunStoppedError: after the last outcome, if some episodes could not be played.
            AgentError: an agent raised an exception.
        """
        pool = ThreadPoolExecutor(self._concurrency, thread_name_prefix="episode")
        finished = False
        try:
            yield from self._outcomes(pool, tasks)
            finished = True
        finally:
            if not finished:  # an error or Ctrl-C: let go of whatever waits for a reply
                self._meter.stop("the run was stopped")
                close_backends()
            pool.shutdown(wait=True, cancel_futures=True)
            self._journal.close()

    def _outcomes(self, pool: ThreadPoolExecutor, tasks: Sequence[Task]) -> Iterator[Outcome]:
        waiting = iter(tasks)
        running: set[Future[Outcome]] = set()
        failures: list[ServerError] = []
        in_a_row = 0
        while True:
            while len(running) < self._concurrency and not self._meter.stopped:
                task = next(waiting, None)
                if task is None:
                    break
                running.add(pool.submit(self._play, task))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda item: item.exception() is not None):
                try:
                    yield future.result()
                    in_a_row = 0
                except StoppedError:
                    continue
                except ServerError as error:
                    failures.append(error)
                    in_a_row += 1
                    if in_a_row >= _FAILURES_IN_A_ROW:
                        self._meter.stop(f"{in_a_row} episodes in a row failed")
        if failures:
            more = f" ({len(failures)} episodes)" if len(failures) > 1 else ""
            raise RunStoppedError(f"{failures[0]}{more}")
        if self._meter.stopped:
            raise RunStoppedError(self._meter.stopped)

    def _play(self, task: Task) -> Outcome:
        self._meter.check()
        entry = task.entry
        chat = None
        if entry.model is not None:
            chat = Chat(entry.model, store=self._journal, meter=self._meter, label=entry.name)
        agent = entry.make(chat)
        env = environment_for(agent, **json.loads(task.settings))
        for part in (env.reader, env.content_judge, env.answer_judge):
            line = getattr(part, "chat", None)
            if isinstance(line, Chat):
                line.join(self._meter)
        with contextlib.closing(env):
            return played(task, agent, env)
