"""A line to a model: it fills in the settings, counts, remembers, and stops when it is told to."""

import hashlib
import json
import threading
from collections.abc import Sequence
from typing import Any

from memgym.agents.chat.models import ModelSettings, open_backend
from memgym.agents.chat.store import ReplyStore
from memgym.agents.chat.types import (
    Backend,
    ChatError,
    ChatReply,
    ChatRequest,
    Message,
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
        backend: By default the one that the settings name, shared with other lines.
        store: Where replies are kept. Without :meth:`begin` it is a cache: equal requests are
            asked once. After :meth:`begin` it is a journal: the calls of the same episode, given
            in the same order, are answered from it, so that a stopped episode resumes where it was.
        meter: Of the run.
        label: Tells lines apart that share a journal.

    Attributes:
        usage: What this line has used since it was made. Replies from a journal count as what they
            once cost; replies from a cache cost nothing.
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
        self._backend = backend or open_backend(settings)
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
        if options["temperature"] and options.get("seed") is None:
            options["seed"] = self._sampling_seed()
        self._number += 1
        return ChatRequest(tuple(messages), **options)

    def ask(self, messages: Sequence[Message], **given: Any) -> ChatReply:
        """Return the reply to one conversation; see :meth:`request`.

        Raises:
            ContextLengthError: it does not fit the model.
            ServerError: there is no answer to be had.
            StoppedError: the run is being stopped.
        """
        [result] = self.generate([self.request(messages, **given)])
        if isinstance(result, ChatError):
            raise result
        return result

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        """Return one reply or fault per request, in order.

        Requests are made with :meth:`request`, which numbers them.

        Raises:
            StoppedError: the run is being stopped.
        """
        first = self._number - len(requests)
        keys = [self._key(request, first + n) for n, request in enumerate(requests)]
        found: list[ChatReply | ChatError | None] = [
            self._store.get(key) if self._store else None for key in keys
        ]
        missing = [index for index, reply in enumerate(found) if reply is None]
        for reply in found:
            if isinstance(reply, ChatReply):
                self.usage += reply.usage if self._scope else Usage(calls=1, from_disk=1)
        if missing:
            self._meter.check()
            fresh = self._backend.generate([requests[index] for index in missing])
            for index, result in zip(missing, fresh, strict=True):
                found[index] = result
                self._count(keys[index], result)
        return [result for result in found if result is not None]

    def _count(self, key: str, result: ChatReply | ChatError) -> None:
        self.usage += result.usage
        self._meter.add(result.usage)
        if self._store and isinstance(result, ChatReply):
            self._store.put(key, result)

    def _key(self, request: ChatRequest, number: int) -> str:
        asked = {name: getattr(request, name) for name in ChatRequest.__slots__}
        scope = [*self._scope, number] if self._scope else []
        # The title, not the path: a folder that was moved still holds the same model.
        text = json.dumps([scope, self.settings.title, asked], sort_keys=True, default=dict)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def _sampling_seed(self) -> int:
        text = json.dumps([self.settings.seed, *self._scope, self._number if self._scope else 0])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
