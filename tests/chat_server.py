"""A real HTTP server on 127.0.0.1 that speaks OpenAI's chat API and replies by a rule.

It stands in for the model, not for the protocol: requests and replies travel through sockets, in
the form that vLLM has them. Tokens are words.
"""

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

__all__ = [
    "ChatServer",
    "LocalServer",
    "QuietHandler",
    "RawAnswer",
    "default_reply",
    "prompt_words",
]

BLOCK = 16
"""Words that the prefix cache keeps together, as vLLM does with tokens."""


class LocalServer(ThreadingHTTPServer):
    """A threaded server on a free port that leaves neither threads nor sockets behind.

    Attributes:
        url: Its address.
        closing: Set when it goes down; handlers that wait, wait on it.
    """

    daemon_threads = False
    block_on_close = True
    request_queue_size = 256

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                hang_up(connection)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.append(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of these tests hang up on purpose."""


def hang_up(connection: socket.socket) -> None:
    """End a connection under whoever reads from it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


class QuietHandler(BaseHTTPRequestHandler):
    """Keeps connections alive, sends each answer in one piece, and logs nothing."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        return

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


@dataclass(frozen=True)
class RawAnswer:
    """An answer that goes to the client as it is."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def error(cls, status: int, message: str, **headers: str) -> Self:
        """Return an error in vLLM's form."""
        told = {"message": message, "type": "Error", "param": None, "code": status}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, json.dumps({"error": told}).encode(), named)


Reply = str | Mapping[str, Any] | RawAnswer


def prompt_words(body: Mapping[str, Any]) -> list[str]:
    """Return the words of a prompt: what the tools are, then who says what."""
    words = [word for tool in body.get("tools") or () for word in json.dumps(tool).split()]
    for message in body["messages"]:
        words += [f"<{message['role']}>", *str(message.get("content") or "").split()]
    return words


def first_choice(schema: Mapping[str, Any]) -> Any:
    """Return what a schema of choices allows: a text, or an object that holds one."""
    if schema["type"] == "object":
        return {name: first_choice(inner) for name, inner in schema["properties"].items()}
    return schema["enum"][0]


def default_reply(body: Mapping[str, Any]) -> str | Mapping[str, Any]:
    """Return what keeps an episode going: the end of what was said last, stored where tools are."""
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if schema:
        return json.dumps(first_choice(schema))
    said = [str(m.get("content") or "") for m in body["messages"] if m["role"] != "system"]
    end = " ".join(said[-1].split()[-30:]) if said else "nothing"
    call = {
        "name": "new_memory_insert",
        "arguments": {"memory_type": "semantic", "content": end},
    }
    if any(tool["function"]["name"] == call["name"] for tool in body.get("tools") or ()):
        function = {**call, "arguments": json.dumps(call["arguments"])}
        return {"tool_calls": [{"id": "call_0", "type": "function", "function": function}]}
    if any("new_memory_insert" in str(message.get("content")) for message in body["messages"]):
        return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"
    return end


class ChatServer(LocalServer):
    """See the module.

    Args:
        reply: From the request's body to the reply: its text, fields of the assistant's message,
            or a whole answer.
        model: Name under which the model is served.
        owner: What the server says it is.
        max_model_len: Tokens (words) that fit, prompt and reply together; ``None``: any number.
        shorten: Whether a reply for which there is not enough room is cut short, as newer vLLM
            does; otherwise the request is refused, as older vLLM does.
        seconds: Time that each reply takes.

    Attributes:
        bodies: Bodies of the chat requests.
        headers: Their headers; names in lower case.
        most_at_once: Most chat requests that were in work at the same time.
    """

    def __init__(
        self,
        reply: Callable[[dict[str, Any]], Reply] = default_reply,
        *,
        model: str = "tiny",
        owner: str = "vllm",
        max_model_len: int | None = None,
        shorten: bool = False,
        seconds: float = 0.0,
    ) -> None:
        super().__init__(_ChatHandler)
        self.model = model
        self.owner = owner
        self.max_model_len = max_model_len
        self.shorten = shorten
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self._reply = reply
        self._seconds = seconds
        self._at_once = 0
        self._cache: dict[str, None] = {}
        self._work = threading.Lock()

    @property
    def base_url(self) -> str:
        """For the settings of a model."""
        return f"{self.url}/v1"

    def models(self) -> RawAnswer:
        """Return the list of models, in vLLM's form."""
        entry = {"id": self.model, "owned_by": self.owner, "max_model_len": self.max_model_len}
        return RawAnswer(200, json.dumps({"object": "list", "data": [entry]}).encode())

    def complete(self, body: dict[str, Any], headers: dict[str, str]) -> RawAnswer:
        """Return the answer to a chat request."""
        with self._work:
            self.bodies.append(body)
            self.headers.append(headers)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        self.closing.wait(self._seconds)
        try:
            return self._completion(body)
        finally:
            with self._work:
                self._at_once -= 1

    def _completion(self, body: dict[str, Any]) -> RawAnswer:
        words = prompt_words(body)
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or 2**30
        refusal = self._refusal(len(words), limit)
        if refusal:
            return RawAnswer.error(400, refusal)
        reply = self._reply(body)
        if isinstance(reply, RawAnswer):
            return reply
        if self.max_model_len:
            limit = min(limit, self.max_model_len - len(words))
        return RawAnswer(200, json.dumps(self._told(body, words, reply, limit)).encode())

    def _told(
        self,
        body: Mapping[str, Any],
        words: Sequence[str],
        reply: str | Mapping[str, Any],
        limit: int,
    ) -> dict[str, Any]:
        given = {"content": reply} if isinstance(reply, str) else reply
        message = {"role": "assistant", "content": None, **given}
        text, cut = _shortened(message["content"] or "", limit, body.get("stop") or ())
        message["content"] = text if message["content"] is not None else None
        finish = "length" if cut else "tool_calls" if message.get("tool_calls") else "stop"
        written = len(text.split()) + len(json.dumps(message.get("tool_calls") or "").split()) - 1
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": finish}
        told: dict[str, Any] = {"id": "chat", "object": "chat.completion", "model": self.model}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": w, "logprob": -0.5} for w in text.split()]}
        if body.get("return_token_ids"):
            choice["token_ids"] = [len(word) for word in text.split()]
            told["prompt_token_ids"] = [len(word) for word in words]
        usage = {
            "prompt_tokens": len(words),
            "completion_tokens": written,
            "total_tokens": len(words) + written,
            "prompt_tokens_details": {"cached_tokens": self._cached(words)},
        }
        return {**told, "choices": [choice], "usage": usage}

    def _refusal(self, prompt: int, limit: int) -> str:
        window = self.max_model_len
        if window is None or prompt + (1 if self.shorten else limit) <= window:
            return ""
        start = f"This model's maximum context length is {window} tokens. However, "
        if prompt + 1 > window:
            return (
                f"{start}your prompt contains at least {window + 1} input tokens, which exceeds "
                "this limit even without any output tokens."
            )
        return (
            f"{start}you requested {limit} output tokens and your prompt contains {prompt} input "
            f"tokens, for a total of {prompt + limit} tokens. Please reduce the length of the input"
            " prompt or the number of requested output tokens."
        )

    def _cached(self, words: Sequence[str]) -> int:
        """Return how many words an earlier prompt had alike, in whole blocks from the beginning.

        The last word is always computed, as in vLLM.
        """
        chain, cached, unbroken = "", 0, True
        with self._work:
            for end in range(BLOCK, len(words) + 1, BLOCK):
                block = " ".join([chain, *words[end - BLOCK : end]])
                chain = hashlib.sha256(block.encode("utf-8", "surrogatepass")).hexdigest()
                unbroken = unbroken and chain in self._cache
                cached = end if unbroken and end < len(words) else cached
                self._cache[chain] = None
        return cached


def _shortened(text: str, limit: int, stop: Sequence[str]) -> tuple[str, bool]:
    """Return the text up to a stop string and at most so many words, and whether it was cut."""
    for end in stop:
        text = text.split(end, 1)[0]
    words = text.split()
    return (text, False) if len(words) <= limit else (" ".join(words[:limit]), True)


class _ChatHandler(QuietHandler):
    server: ChatServer

    def do_GET(self) -> None:
        found = self.path == "/v1/models"
        self._send(self.server.models() if found else RawAnswer.error(404, "Not Found"))

    def do_POST(self) -> None:
        body = self.read_body()
        if self.path != "/v1/chat/completions":
            self._send(RawAnswer.error(404, "Not Found"))
            return
        self._send(
            self.server.complete(json.loads(body), {n.lower(): v for n, v in self.headers.items()})
        )

    def _send(self, answer: RawAnswer) -> None:
        headers = {"Content-Type": "application/json", **answer.headers}
        self.answer(answer.status, answer.body, headers)
