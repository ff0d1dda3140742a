"""Feeds a model in this process with the requests of many threads: continuous batching.

One worker thread owns the engine. It starts whatever is waiting, advances everything that runs by
one step, hands back what has ended, and starts what came in meanwhile: no request waits for a batch
to end, and none is failed by another. What a step is, is the engine's business.
"""

import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol

from memgym.agents.chat.types import ChatError, ChatReply, ChatRequest, ServerError
from memgym.usage import Usage

__all__ = ["Batcher", "Engine"]

Result = ChatReply | ChatError


class Engine(Protocol):
    """A model that generates for several requests at once. Only one thread ever uses it."""

    def start(self, number: int, request: ChatRequest) -> None:
        """Take a request in; its result comes out of a later :meth:`step` under this number.

        Raises:
            ChatError: this request cannot be served.
        """
        ...

    def step(self) -> list[tuple[int, Result]]:
        """Advance what runs, and return what has ended. An exception loses all that runs."""
        ...

    def drop(self) -> None:
        """Forget all that runs; called after a step that failed."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    """One request on its way."""

    request: ChatRequest
    future: "Future[Result]" = field(default_factory=Future)
    asked: float = field(default_factory=time.perf_counter)

    def end(self, result: Result) -> None:
        spent = Usage(seconds=time.perf_counter() - self.asked)
        if isinstance(result, ChatError):
            result.usage += spent
        else:
            result = replace(result, usage=result.usage + spent)
        self.future.set_result(result)


class Batcher:
    """A backend (see :class:`memgym.agents.chat.types.Backend`) out of an engine.

    Args:
        engine: Used by the worker thread alone from now on, and closed by it.
        limit: Requests that run at a time; more wait their turn.
    """

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine = engine
        self._limit = limit
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._running: dict[int, _Job] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="memgym-model", daemon=True)
        self._worker.start()

    def generate(self, requests: Sequence[ChatRequest]) -> list[Result]:
        """Return one reply or fault per request, in order."""
        jobs = [_Job(request) for request in requests]
        with self._lock:  # nothing is put behind the last look at the queue
            for job in jobs:
                if self._closed:
                    job.end(_closed())
                else:
                    self._waiting.put(job)
        return [job.future.result() for job in jobs]

    def close(self) -> None:
        """Fail what is under way, and free the model."""
        with self._lock:
            self._closed = True
        self._waiting.put(None)  # wakes the worker
        self._worker.join()

    def _work(self) -> None:
        try:
            while self._take():
                self._step()
        finally:  # whatever happened: nobody is left waiting
            with self._lock:
                self._closed = True
            while not self._waiting.empty():
                if job := self._waiting.get():
                    job.end(_closed())
            self._end_running(_closed)
            self._engine.close()

    def _take(self) -> bool:
        """Start what is waiting, waiting for it only if nothing runs; tell whether to go on."""
        while not self._closed and len(self._running) < self._limit:
            try:
                job = self._waiting.get(block=not self._running)
            except queue.Empty:
                break
            if job:
                self._start(job)
        return not self._closed

    def _start(self, job: _Job) -> None:
        number = next(self._numbers)
        try:
            self._engine.start(number, job.request)
        except ChatError as error:
            job.end(error)
        except Exception as error:  # libraries of others: anything may come, and it fails only this
            job.end(_fault(error))
        else:
            self._running[number] = job

    def _step(self) -> None:
        try:
            ended = self._engine.step()
        except Exception as error:  # as above; which requests are to blame cannot be known
            fault = error
            self._end_running(lambda: _fault(fault))
            self._engine.drop()
            return
        for number, result in ended:
            self._running.pop(number).end(result)

    def _end_running(self, fault: Callable[[], ServerError]) -> None:
        while self._running:
            self._running.popitem()[1].end(fault())


def _closed() -> ServerError:
    return ServerError("the model is closed")


def _fault(error: Exception) -> ServerError:
    lines = str(error).strip().splitlines() or ["no message"]
    return ServerError(f"the model failed: {type(error).__name__}: {lines[0][:300]}")
