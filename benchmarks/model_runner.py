"""Playing tasks with a language model in them: many episodes at once, so that its batch stays full.

Episodes wait for the model most of the time, so they run in threads of this process. Every reply is
kept in the run folder: an episode that was stopped is played again from its beginning with the
replies it had, which takes milliseconds, and goes on at the call it was at.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from memgym.agents.chat import (
    Chat,
    ModelSettings,
    ReplyStore,
    RunMeter,
    ServerError,
    StoppedError,
    close_backends,
)
from memgym.benchmarks.outcome import Outcome, RunStoppedError, played
from memgym.benchmarks.parts import WITHOUT_MODEL, make_parts, model_of
from memgym.benchmarks.plan import Task
from memgym.envs.settings import make_settings
from memgym.evaluation import environment_for

__all__ = ["ModelSession", "models_of"]

_FAILURES_IN_A_ROW = 3


class ModelSession:
    """Plays tasks that use a language model; a context manager.

    An episode whose model cannot be had is left out and the others go on, up to three in a row.

    Args:
        tasks: In the order in which they are started.
        folder: Of the run; replies are kept in ``replies/`` below it.
        concurrency: Episodes at a time.
        meter: Counts and limits what is spent.

    Attributes:
        running: What has been started and not been taken.

    Raises:
        UsageError: a model cannot be opened. Nothing has been played then, and no other thread
            waits: loading a model may take minutes.
    """

    def __init__(
        self, tasks: Sequence[Task], folder: Path, *, concurrency: int, meter: RunMeter
    ) -> None:
        for settings in models_of(tasks):
            Chat(settings)
        self.running: set[Future[Outcome]] = set()
        self._waiting = iter(tasks)
        self._concurrency = concurrency
        self._meter = meter
        self._failures: list[ServerError] = []
        self._in_a_row = 0
        self._journal = ReplyStore(folder / "replies")
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="episode")

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Start as many tasks as there is room for; none when the run is to stop."""
        while len(self.running) < self._concurrency and not self._meter.stopped:
            task = next(self._waiting, None)
            if task is None:
                return
            self.running.add(self._pool.submit(self._play, task))

    def take(self, future: Future[Outcome]) -> Outcome | None:
        """Return what came out of a task that is done, ``None`` if its model could not be had.

        Raises:
            AgentError: an agent raised an exception.
        """
        self.running.discard(future)
        try:
            outcome = future.result()
        except StoppedError:
            return None
        except ServerError as error:
            self._failures.append(error)
            self._in_a_row += 1
            if self._in_a_row >= _FAILURES_IN_A_ROW:
                self._meter.stop(f"{self._in_a_row} episodes in a row failed")
            return None
        self._in_a_row = 0
        return outcome

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:  # an error or Ctrl-C: let go of whatever waits for a reply
            self._meter.stop("the run was stopped")
            close_backends()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._journal.close()

    def check(self) -> None:
        """Raise if some episodes could not be played.

        Raises:
            RunStoppedError: the message says why.
        """
        if self._failures:
            episodes = len(self._failures)
            more = f" ({episodes} episodes)" if episodes > 1 else ""
            raise RunStoppedError(f"{self._failures[0]}{more}")
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
        for role in WITHOUT_MODEL:
            line = getattr(getattr(env, role), "chat", None)
            if isinstance(line, Chat):
                line.join(self._meter)
        with contextlib.closing(env):
            return played(task, agent, env)


def models_of(tasks: Sequence[Task]) -> Iterator[ModelSettings]:
    """Yield the models of agents, readers and judges that are asked, some perhaps several times."""
    for entry in {task.entry.name: task.entry for task in tasks}.values():
        if entry.model is not None:
            yield entry.model
    for text in dict.fromkeys(task.settings for task in tasks):
        settings = make_settings("default", json.loads(text))
        for role, part in make_parts(settings).items():
            model = model_of(part)
            if model is not None and (role != "reader" or settings.answer_mode == "reader"):
                yield model
