"""A backend for every server with OpenAI's chat API: vLLM, SGLang, hosted models.

Requests of all threads run in one event loop, at most ``concurrency`` at a time. What goes wrong
on the way is asked again; what the server refuses, and what stays wrong, becomes a
:class:`~memgym.agents.chat.types.ChatError`, never the text of a reply.
"""

import asyncio
import hashlib
import itertools
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from memgym.agents.chat.models import ModelSettings
from memgym.agents.chat.openai_wire import (
    BadReplyError,
    LengthFault,
    length_fault,
    read_reply,
    request_body,
)
from memgym.agents.chat.server_address import ServerAddress
from memgym.agents.chat.types import (
    ChatError,
    ChatReply,
    ChatRequest,
    ContextLengthError,
    RefusedError,
    ServerError,
    without_words,
)
from memgym.errors import UsageError, nearest
from memgym.usage import Usage

if TYPE_CHECKING:
    from openai import APIStatusError

__all__ = ["OpenAIServer"]

BACKOFF_SECONDS = 0.5
"""Wait before a request is sent again; it doubles with each attempt."""
LONGEST_BACKOFF_SECONDS = 20.0
LONGEST_RETRY_AFTER_SECONDS = 120.0
"""What a server may ask us to wait at most."""
CONNECT_SECONDS = 15.0
LEAST_REPLY = 64
"""Tokens of room for the reply with which a prompt still counts as fitting the model."""

_PASSING_STATUS = (408, 409, 425, 429)
_WORDS_STATUS = (400, 422)  # with which a server may refuse what a request says
_SHOWN = 500  # characters of a server's words in a message
_LISTED = 20  # models in a message
_T = TypeVar("_T")


class _PassingError(Exception):
    """Something went wrong that may go well when it is asked again."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class _FinalError(Exception):
    """The server has said no, or nothing useful for too long.

    Attributes:
        status: HTTP status of its answer, 0 if there was none.
        withheld: Whether there was a reply that it does not hand out.
    """

    def __init__(self, message: str, status: int = 0, *, withheld: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.withheld = withheld


class _TooLongError(Exception):
    """Prompt and reply do not fit the model."""

    def __init__(self, fault: LengthFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class _Call:
    """One request on its way: its number, and what it has cost so far."""

    def __init__(self, request: ChatRequest, number: int) -> None:
        self.request = request
        self.number = number
        self.spent = Usage()
        self._begin: float | None = None

    def start(self) -> None:
        """Start the clock; waiting for a free place is not the server's time."""
        self._begin = self._begin or time.monotonic()

    def again(self) -> None:
        """Count a request that is sent again."""
        self.spent += Usage(retries=1)

    def total(self, **outcome: int) -> Usage:
        """Return what the call has cost."""
        seconds = time.monotonic() - self._begin if self._begin else 0.0
        return self.spent + Usage(seconds=seconds, **outcome)


class OpenAIServer:
    """A model behind an OpenAI-compatible server; see :class:`~memgym.agents.chat.types.Backend`.

    Args:
        settings: The model, where it is served, and how patient to be.

    Raises:
        UsageError: the openai client is missing, the address is not one, or neither a server nor
            a key is known.
    """

    def __init__(self, settings: ModelSettings) -> None:
        try:
            import openai
        except ImportError as error:
            raise UsageError(
                'asking a server needs the openai client: pip install "memgym[llm]"'
            ) from error
        self._settings = settings
        self._address = ServerAddress(settings)
        self._loop = asyncio.new_event_loop()
        self._slots = asyncio.Semaphore(settings.concurrency)
        patience = settings.timeout_seconds
        self._client = openai.AsyncOpenAI(
            api_key=self._address.key,
            base_url=self._address.url,
            timeout=openai.Timeout(patience, connect=min(patience, CONNECT_SECONDS)),
            max_retries=0,  # ours are counted, and know a broken body from a reply
        )
        self._numbers = itertools.count()
        self._models: list[dict[str, Any]] | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="memgym-openai", daemon=True
        )
        self._thread.start()

    def __repr__(self) -> str:
        return f"OpenAIServer({self._settings.model!r}, {self._address.shown!r})"

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        """Return one reply or fault per request, in order; one request never fails another."""
        calls = [_Call(request, next(self._numbers)) for request in requests]
        with self._lock:
            if self._closed:
                return [ServerError("the line to the server is closed") for _ in calls]
            future = asyncio.run_coroutine_threadsafe(self._answer_all(calls), self._loop)
        try:
            return future.result()
        except CancelledError:  # by close(), from another thread
            return [ServerError("the line to the server was closed") for _ in calls]
        except BaseException:
            future.cancel()  # interrupted: nobody waits for the replies any more
            raise

    def close(self) -> None:
        """Drop what is in flight and close the connections; harmless when it is done already."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut_down(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    async def _answer_all(self, calls: Sequence[_Call]) -> list[ChatReply | ChatError]:
        return list(await asyncio.gather(*map(self._answer, calls)))

    async def _answer(self, call: _Call) -> ChatReply | ChatError:
        """Return the reply or the fault of one call.

        Faults are made here, outside of any exception that carries request headers.
        """
        try:
            reply = await self._fitted(call)
        except _TooLongError as error:
            kind: type[ChatError] = ContextLengthError
            message = f"prompt and reply do not fit the model: {error}"
        except _FinalError as error:
            kind = RefusedError if await self._minds_words(call, error) else ServerError
            message = await self._explained(call, error)
        else:
            return replace(reply, usage=call.total(calls=1))
        return kind(self._address.clean(message), call.total(failures=1))

    async def _fitted(self, call: _Call) -> ChatReply:
        """Ask; if the prompt fits but leaves less room than wanted, ask again for what is left."""
        body = await self._body(call, call.request)
        limit = "max_completion_tokens" if self._address.hosted else "max_tokens"
        try:
            return await self._reply(call, body, body[limit])
        except _TooLongError as error:
            fault = error.fault
        room = await self._room(call, body, limit, fault)
        call.again()
        return await self._reply(call, {**body, limit: room}, room)

    async def _body(self, call: _Call, request: ChatRequest) -> dict[str, Any]:
        hosted = self._address.hosted
        bare = bool(request.choices) and await self._is_engine(call)
        return request_body(request, self._settings.model, hosted=hosted, bare=bare)

    async def _minds_words(self, call: _Call, error: _FinalError) -> bool:
        """Return whether a refusal is about what this request says, not about its kind.

        Servers do not tell these apart, so one of the same kind that says nothing is asked.
        """
        if error.status not in _WORDS_STATUS:
            return error.withheld
        call.again()
        harmless = without_words(call.request)
        body = await self._body(call, harmless)
        try:
            await self._persist(call, lambda: self._complete(call, body, harmless))
        except (_FinalError, _TooLongError):
            return False
        return True

    async def _room(self, call: _Call, body: dict[str, Any], limit: str, fault: LengthFault) -> int:
        """Return the tokens that are left for the reply.

        Raises:
            _TooLongError: they are too few, or cannot be found out.
        """
        window = fault.window or (0 if fault.hopeless else await self._window(call))
        if fault.hopeless or not window:
            raise _TooLongError(fault)
        prompt = fault.prompt or await self._measure(call, body, limit)
        wanted = body[limit]
        room = window - prompt - 1  # some servers want one token to spare
        if not min(wanted, LEAST_REPLY) <= room < wanted or not prompt:
            raise _TooLongError(fault)
        return int(room)

    async def _measure(self, call: _Call, body: dict[str, Any], limit: str) -> int:
        """Return the tokens of a prompt; what a reply of one token reports."""
        call.again()
        request = replace(call.request, choices=())
        small = {k: v for k, v in body.items() if k != "response_format"} | {limit: 1}
        reply = await self._persist(call, lambda: self._complete(call, small, request))
        return reply.usage.prompt_tokens

    async def _is_engine(self, call: _Call) -> bool:
        """Return whether the server is vLLM or SGLang, which say so."""
        listed = [] if self._address.hosted else await self._list_models(call)
        return any(entry.get("owned_by") in ("vllm", "sglang") for entry in listed)

    async def _window(self, call: _Call) -> int:
        """Return the tokens that fit the model, as the server lists it; 0 if it does not tell."""
        listed = await self._list_models(call)
        named = [entry for entry in listed if entry.get("id") == self._settings.model]
        found = (named or listed or [{}])[0].get("max_model_len")
        return found if isinstance(found, int) else 0

    async def _reply(self, call: _Call, body: dict[str, Any], limit: int) -> ChatReply:
        def send() -> Awaitable[ChatReply]:
            return self._complete(call, body, call.request)

        reply = await self._persist(call, send)
        choices = call.request.choices
        if choices and reply.text not in choices:  # once more; then it is what the server does
            call.again()
            reply = await self._persist(call, send)
        written = reply.usage.completion_tokens
        if reply.finish_reason == "length" and 0 < written < min(limit, LEAST_REPLY):
            # vLLM silently shortens a reply for which there is no room; this one is a stump.
            raise _TooLongError(
                LengthFault(f"there was room for {written} tokens of reply only", hopeless=True)
            )
        return reply

    async def _persist(self, call: _Call, send: Callable[[], Awaitable[_T]]) -> _T:
        """Send something until it works.

        Raises:
            _FinalError: it was sent ``max_retries`` times more, in vain.
        """
        tries = self._settings.max_retries + 1
        for attempt in range(tries):
            try:
                return await send()
            except _PassingError as error:
                fault = error
            if attempt + 1 < tries:
                call.again()
                await asyncio.sleep(_pause(call.number, attempt, fault.wait))
        raise _FinalError(f"{self._address.shown}: gave up after {tries} tries; last {fault}")

    async def _complete(self, call: _Call, body: dict[str, Any], request: ChatRequest) -> ChatReply:
        """Send a request once and return its reply, whose tokens are counted either way."""
        create = self._client.chat.completions.with_raw_response.create
        content = await self._exchange(call, lambda: create(**body))
        try:
            reply = read_reply(content, request)
        except BadReplyError as error:
            call.spent += error.usage
            message = self._address.clean(str(error))[:_SHOWN]
            if error.final:
                raise _FinalError(message, withheld=True) from None
            raise _PassingError(f"the server sent {message}") from None
        call.spent += reply.usage
        return reply

    async def _exchange(self, call: _Call, send: Callable[[], Awaitable[Any]]) -> bytes:
        """Return the body of the server's answer; sort out what can go wrong before there is one.

        Raises:
            _PassingError: it is worth asking again.
            _TooLongError: prompt and reply do not fit.
            _FinalError: the server has said no.
        """
        import openai

        limit = self._settings.timeout_seconds
        try:
            async with self._slots:
                call.start()
                # The client's own limit is on each read: a server that drips would never reach it.
                async with asyncio.timeout(limit):
                    response = await send()
        except openai.APIStatusError as error:
            self._judge(error)
        except (openai.APITimeoutError, TimeoutError):
            raise _PassingError(f"there was no reply within {limit:g} seconds") from None
        except (openai.APIConnectionError, OSError) as error:
            cause = self._address.clean(str(error.__cause__ or error))
            raise _PassingError(f"the connection failed: {cause[:_SHOWN]}") from None
        except openai.OpenAIError as error:
            raise _FinalError(str(error)) from None
        return bytes(response.content)

    def _judge(self, error: "APIStatusError") -> NoReturn:
        """Raise what an answer other than 200 means."""
        status, code = error.status_code, str(error.code or "")
        words = self._address.clean(_words(error.body))
        if fault := length_fault(status, code, words):
            raise _TooLongError(fault) from None
        message = f"{status} {words[:_SHOWN]}".strip()
        passing = status in _PASSING_STATUS or (status >= 500 and status != 501)
        if passing and code != "insufficient_quota":
            raise _PassingError(f"the server said {message}", _wait(error.response.headers))
        raise _FinalError(f"{self._address.shown} said {message}", status) from None

    async def _explained(self, call: _Call, error: _FinalError) -> str:
        """Return why the server has refused, and what to check."""
        variable, model = self._settings.key_variable, self._settings.model
        said = str(error).rstrip(". ")
        if error.status in (401, 403):
            state = "which is not set" if self._address.keyless else "which is set"
            return f"{said}; check the key in {variable}, {state}"
        if error.status == 404 or (error.status == 400 and model in str(error)):
            names = [str(entry.get("id")) for entry in await self._list_models(call)]
            if names and model not in names:
                return f'{said}; it has no model "{model}": {nearest(model, names[:_LISTED])}'
            if not names:
                return f"{said}; check base_url, which mostly ends in /v1"
        if call.request.tools and "tool" in str(error).lower():
            return f'{said}; tool_format="native" needs a server with a tool parser'
        return str(error)

    async def _list_models(self, call: _Call) -> list[dict[str, Any]]:
        """Return what the server lists, ``[]`` if it lists nothing."""
        if self._models is None:
            try:
                self._models = await self._persist(call, lambda: self._listing(call))
            except _TooLongError:
                return []
            except _FinalError as error:
                if not error.status:
                    return []  # it may work next time
                self._models = []
        return self._models

    async def _listing(self, call: _Call) -> list[dict[str, Any]]:
        content = await self._exchange(call, self._client.models.with_raw_response.list)
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        listed = body.get("data") if isinstance(body, dict) else None
        if not isinstance(listed, list):
            raise _PassingError("the server sent no list of models")
        return [entry for entry in listed if isinstance(entry, dict)]


def _words(body: object) -> str:
    """Return what an error body says, in one line."""
    for name in ("message", "detail", "error"):
        if isinstance(body, dict) and isinstance(body.get(name), str):
            body = body[name]
    if body is None:
        return ""
    text = body if isinstance(body, str) else json.dumps(body)
    return " ".join(text.split())


def _wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server wants us to wait, ``None`` if it does not say."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:  # a date, which needs a clock that agrees with the server's
            continue
        if seconds >= 0:
            return min(seconds, LONGEST_RETRY_AFTER_SECONDS)
    return None


def _pause(number: int, attempt: int, wanted: float | None) -> float:
    """Return the seconds before the next try: half fixed, half spread by the request's number."""
    if wanted is not None:
        return wanted
    digest = hashlib.sha256(f"{number}/{attempt}".encode()).digest()
    spread = int.from_bytes(digest[:4]) / 2**32
    longest = min(LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** min(attempt, 32))
    return longest * (0.5 + 0.5 * spread)
