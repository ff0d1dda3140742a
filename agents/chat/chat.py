"""A line to a model: it fills in the settings, counts, remembers, and stops when it is told to."""

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from memgym.agents.chat.models import ModelSettings, open_backend
from memgym.agents.chat.store import ReplyStore
from memgym.agents.chat.types import (
    Backend,
    ChatError,
    ChatReply,
    ChatRequest,
    Message,
    RefusedError,
    StoppedError,
)
from memgym.usage import Usage

__all__ = ["Chat", "RunMeter"]


class RunMeter:
    """What all lines of a run have spent since it began; thread-safe.

    Args:
        limit_tokens: Prompt and completion tokens after which nothing more is asked; 0: no limit.
            Calls in flight when it is reached are still paid for.
    """

    def __init__(self, limit_tokens: int = 0) -> None:
        self._lock = threading.Lock()
        self._limit = limit_tokens
        self._total = Usage()
        self._stop = ""

    @property
    def total(self) -> Usage:
        """Everything spent so far."""
        return self._total

    @property
    def stopped(self) -> str:
        """Why nothing more is asked, ``""`` while it is."""
        return self._stop

    def add(self, usage: Usage) -> None:
        """Count what a call has cost."""
        with self._lock:
            self._total += usage
            if self._limit and self._total.tokens >= self._limit and not self._stop:
                self._stop = f"the limit of {self._limit:,} tokens is reached"

    def stop(self, reason: str) -> None:
        """Ask nothing more from now on."""
        with self._lock:
            self._stop = self._stop or reason

    def check(self) -> None:
        """Raise :class:`StoppedError` if nothing more is to be asked."""
        if self._stop:
            raise StoppedError(self._stop)


class Chat:
    """One user's line to a model. Not for several threads at a time; the backend under it is.

    Args:
        settings: The model and how it is asked.
        backend: By default the one that the settings name, shared with other lines; it is opened
            at once, and again if it has been closed since.
        store: Where replies are kept. Without :meth:`begin` it is a cache: equal requests are
            asked once. After :meth:`begin` it is a journal: the calls of the same episode, given
            in the same order, are answered from it, so that a stopped episode resumes where it was.
            A journal keeps refusals, too; a cache only what answers the request.
        meter: Of the run. It counts and limits what is asked; replies from disk are free.
        label: Tells lines apart that share a journal.

    Attributes:
        usage: What this line has used since it was made. A reply from disk counts as what it once
            cost; one from a cache also in ``from_disk``.
    """

    def __init__(
        self,
        settings: ModelSettings,
        backend: Backend | None = None,
        *,
        store: ReplyStore | None = None,
        meter: RunMeter | None = None,
        label: str = "",
    ) -> None:
        self.settings = settings
        self.usage = Usage()
        self._own_backend = backend
        self._backend()
        self._store = store
        self._meter = meter or RunMeter()
        self._label = label
        self._scope: tuple[Any, ...] = ()
        self._number = 0

    def join(self, meter: RunMeter) -> None:
        """Count on a run's meter from now on."""
        self._meter = meter

    def begin(self, *scope: str | int) -> None:
        """Begin an episode: its name and seed go into the journal's keys and the sampling seeds."""
        self._scope = (self._label, *scope)
        self._number = 0

    def request(self, messages: Sequence[Message], **given: Any) -> ChatRequest:
        """Return a request with the settings of this line.

        Args:
            messages: The conversation.
            **given: Fields of :class:`ChatRequest` over the settings; ``max_tokens`` lowers the
                setting and never raises it.
        """
        chosen = self.settings
        given["max_tokens"] = min(given.get("max_tokens", chosen.max_tokens), chosen.max_tokens)
        options: dict[str, Any] = {
            "temperature": chosen.temperature,
            "top_p": chosen.top_p,
            "template_options": chosen.template_options,
            **given,
        }
        return ChatRequest(tuple(messages), **options)

    def ask(self, messages: Sequence[Message], **given: Any) -> ChatReply:
        """Return the reply to one conversation; see :meth:`request`.

        Raises:
            ContextLengthError: it does not fit the model.
            RefusedError: this request will never get a reply.
            ServerError: there is no answer to be had.
            StoppedError: the run is being stopped.
        """
        [result] = self.generate([self.request(messages, **given)])
        if isinstance(result, ChatError):
            raise result
        return result

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        """Return one reply or fault per request, in order; here they get their numbers and seeds.

        Raises:
            StoppedError: the run is being stopped.
            UsageError: the store cannot be read or written.
        """
        numbers = range(self._number, self._number + len(requests))
        self._number += len(requests)
        asked = [self._seeded(request, n) for request, n in zip(requests, numbers, strict=True)]
        keys = [self._key(request, n) for request, n in zip(asked, numbers, strict=True)]
        found: list[ChatReply | ChatError | None] = [
            self._store.get(key) if self._store else None for key in keys
        ]
        missing = [index for index, reply in enumerate(found) if reply is None]
        for reply in found:
            if reply is not None:
                self.usage += reply.usage + Usage(from_disk=int(not self._scope))
        if missing:
            fresh = self._ask_backend([asked[index] for index in missing])
            for index, result in zip(missing, fresh, strict=True):
                found[index] = result
                self._count(keys[index], asked[index], result)
        return [result for result in found if result is not None]

    def _backend(self) -> Backend:
        return self._own_backend or open_backend(self.settings)

    def _ask_backend(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        self._meter.check()
        backend = self._backend()
        self._meter.check()  # a run that stops closes its backends; this one may be open since then
        return backend.generate(requests)

    def _count(self, key: str, request: ChatRequest, result: ChatReply | ChatError) -> None:
        self.usage += result.usage
        self._meter.add(result.usage)
        if self._store is None or not isinstance(result, ChatReply | RefusedError):
            return
        if self._scope or _answers(request, result):
            self._store.put(key, result)

    def _key(self, request: ChatRequest, number: int) -> str:
        asked = {name: getattr(request, name) for name in ChatRequest.__slots__}
        # An episode may go on at another server. For a cache, it may serve another model.
        scope = [*self._scope, number] if self._scope else self.settings.base_url.rstrip("/")
        told = [scope, self.settings.model_identity(), asked]
        text = json.dumps(told, sort_keys=True, default=dict)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def _seeded(self, request: ChatRequest, number: int) -> ChatRequest:
        """Return a request whose sampling follows from the episode and the number of the call."""
        if not request.temperature or request.seed is not None:
            return request
        text = json.dumps([self.settings.seed, *self._scope, number if self._scope else 0])
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
        return replace(request, seed=seed)


def _answers(request: ChatRequest, result: ChatReply | RefusedError) -> bool:
    """Return whether no other server would have done better."""
    if isinstance(result, RefusedError):
        return False
    return not request.choices or result.text in request.choices
