"""A real HTTP proxy on 127.0.0.1 that spoils a share of the requests to the server behind it.

From a shell: ``python -m tests.fault_proxy --upstream http://127.0.0.1:8000 --port 9000``.
"""

import argparse
import hashlib
import http.client
import itertools
import json
import signal
import threading
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tests.chat_server import LocalServer, QuietHandler, RawAnswer, hang_up

__all__ = ["FAULTS", "GARBAGE", "FaultProxy"]

FAULTS = (
    "dropped_before",
    "dropped_after",
    "too_many_requests",
    "server_error",
    "slow",
    "truncated",
    "garbage",
    "error_page",
)
"""What can happen to a request: each is equally likely."""

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}
PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"
_MESSAGE = {"role": "assistant", "content": "garbage"}
GARBAGE: tuple[bytes, ...] = (
    b"",
    b"\x00\xff\xfe not JSON at all",
    b"null",
    b"[]",
    b'{"choices": []}',
    b'{"choices": [{"message": {"role": "assistant"}, "finish_reason": "stop"}]}',
    b'{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}',
    b'{"choices": [{"message": {"content": ["garbage"]}, "finish_reason": "stop"}]}',
    b'{"choices": [{"message": "garbage", "finish_reason": "stop"}]}',
    b'{"choices": "garbage"}',
    json.dumps({"choices": [{"message": _MESSAGE}]}).encode(),
    json.dumps({"choices": [{"message": _MESSAGE, "finish_reason": "abort"}]}).encode(),
    json.dumps({"choices": [{"message": _MESSAGE, "finish_reason": "stop"}]}).encode()[:-9],
    json.dumps({"error": {"message": "the worker died", "code": 502}}).encode(),
    b"<html><body>sign in to the network</body></html>",
    b"[" * 100_000,
)
"""Bodies that come with status 200 and are no replies."""


class FaultProxy(LocalServer):
    """See the module.

    Args:
        upstream: Address of the server, without ``/v1``.
        rate: Share of the requests that are spoilt; which ones, and how, follows from the seed
            and the number of the request.
        seed: Of the choice.
        kinds: What may happen.
        slow_seconds: How long a slow request hangs before the connection ends; longer than the
            client waits.
        port: 0: any free one.

    Attributes:
        done: How often each kind has happened.
        passed: Requests that went through.
    """

    def __init__(
        self,
        upstream: str,
        rate: float = 0.2,
        seed: int = 0,
        *,
        kinds: Sequence[str] = FAULTS,
        slow_seconds: float = 2.0,
        port: int = 0,
    ) -> None:
        super().__init__(_ProxyHandler, port)
        self.upstream = urllib.parse.urlsplit(upstream)
        self.slow_seconds = slow_seconds
        self.done: Counter[str] = Counter()
        self.passed = 0
        self._rate = rate
        self._seed = seed
        self._kinds = kinds
        self._numbers = itertools.count()
        self._choice = threading.Lock()

    @property
    def base_url(self) -> str:
        """For the settings of a model."""
        return f"{self.url}/v1"

    def next_fault(self) -> tuple[str, int]:
        """Return what happens to the next request (``""``: nothing), and a number to vary it."""
        with self._choice:
            digest = hashlib.sha256(f"{self._seed}/{next(self._numbers)}".encode()).digest()
            if int.from_bytes(digest[:4]) / 2**32 >= self._rate:
                self.passed += 1
                return "", 0
            kind = self._kinds[int.from_bytes(digest[4:8]) % len(self._kinds)]
            self.done[kind] += 1
            return kind, int.from_bytes(digest[8:12])


class _ProxyHandler(QuietHandler):
    server: FaultProxy

    def do_GET(self) -> None:  # noqa: N802
        self._handle()

    def do_POST(self) -> None:  # noqa: N802
        self._handle()

    def _handle(self) -> None:
        fault, number = self.server.next_fault()
        if fault == "dropped_before":
            self._drop()
            return
        body = self.read_body()
        if fault in ("", "dropped_after", "truncated"):
            self._relay(body, fault)
        elif fault == "slow":
            self.server.closing.wait(self.server.slow_seconds)
            self._drop()
        else:
            answer = _made_up(fault, number)
            self.answer(answer.status, answer.body, answer.headers)

    def _relay(self, body: bytes, fault: str) -> None:
        answer = self._forward(body)
        if fault == "dropped_after":
            self._drop()
        elif fault == "truncated":
            headers = {**answer.headers, "Content-Length": str(len(answer.body))}
            self.answer(answer.status, answer.body[: len(answer.body) // 2], headers)
            self._drop()
        else:
            self.answer(answer.status, answer.body, answer.headers)

    def _forward(self, body: bytes) -> RawAnswer:
        upstream = self.server.upstream
        line = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=600)
        try:
            line.request(
                self.command,
                upstream.path + self.path,
                body,
                _passed_on(dict(self.headers.items())),
            )
            response = line.getresponse()
            content = response.read()
            return RawAnswer(response.status, content, _passed_on(dict(response.getheaders())))
        except (OSError, http.client.HTTPException) as error:
            return RawAnswer.error(502, f"the server behind the proxy: {error}")
        finally:
            line.close()

    def _drop(self) -> None:
        self.close_connection = True
        hang_up(self.connection)


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are not about one connection only."""
    own = ("connection", "keep-alive", "transfer-encoding", "content-length", "host")
    return {name: value for name, value in headers.items() if name.lower() not in own}


def _made_up(fault: str, number: int) -> RawAnswer:
    if fault == "too_many_requests":
        return RawAnswer.error(429, "too many requests", Retry_After="0")
    if fault == "server_error":
        return RawAnswer.error(500, "the engine has crashed")
    if fault == "error_page":
        return RawAnswer(502, PAGE, HTML)
    return RawAnswer(200, GARBAGE[number % len(GARBAGE)], JSON)


def main(arguments: Iterable[str] | None = None) -> None:
    """Serve until interrupted, then print what was done, as JSON."""
    parser = argparse.ArgumentParser(description="Spoils a share of the requests to a server.")
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow-seconds", type=float, default=30.0)
    given = parser.parse_args(None if arguments is None else list(arguments))
    proxy = FaultProxy(
        given.upstream, given.rate, given.seed, slow_seconds=given.slow_seconds, port=given.port
    )
    # A shell starts what it runs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with proxy:
        print(proxy.base_url, flush=True)  # noqa: T201
        try:
            proxy.closing.wait()
        except KeyboardInterrupt:
            print(json.dumps({"passed": proxy.passed, **proxy.done}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
