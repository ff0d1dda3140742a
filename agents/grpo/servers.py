"""Rollouts on vLLM servers: requests to the least busy one, and new weights to all of them.

The servers are ordinary ones (``vllm serve``), started with ``VLLM_SERVER_DEV_MODE=1`` for the
routes that load weights. They read these from a folder that they share with the learner.
"""

import json
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from memgym.agents.chat.local_text import LocalText, Prompt
from memgym.agents.chat.models import ModelSettings
from memgym.agents.chat.openai_server import OpenAIServer
from memgym.agents.chat.types import ChatError, ChatReply, ChatRequest, ServerError
from memgym.agents.grpo.policy import Policy
from memgym.agents.grpo.processes import is_first_process, together
from memgym.agents.grpo.settings import TrainSettings
from memgym.agents.grpo.weights import WeightFolder
from memgym.errors import UsageError, nearest

__all__ = ["OPTIONS", "ServersEngine"]

OPTIONS: Mapping[str, str] = {
    "base_urls": "addresses of the servers, e.g. http://10.0.0.2:8000/v1",
    "model": "the model's name there",
    "weights_folder": "a folder that the servers see under the same name as the learner",
    "weights_dtype": "the type that the servers compute in, e.g. bfloat16",
    "timeout_seconds": "limit of one request",
    "max_retries": "times that a request is sent again",
}
_OF_REQUESTS = ("timeout_seconds", "max_retries")
LOAD_SECONDS = 1_800.0
"""A server that has not read new weights by then is given up."""

Result = ChatReply | ChatError


class _Server:
    """One server: its requests under way, and its routes for weights."""

    def __init__(self, settings: ModelSettings) -> None:
        self.url = settings.base_url
        self.running = 0
        self.backend = OpenAIServer(settings)
        self._root = self.url.rstrip("/").removesuffix("/v1")

    def ask(self, request: ChatRequest) -> Result:
        """Return the reply; called by a thread of its own."""
        [result] = self.backend.generate([request])
        return result

    def max_model_len(self, model: str) -> int:
        """Return the most tokens of prompt and response that it takes, 0 if it does not say.

        Raises:
            UsageError: it does not have this model, or there is no such server.
        """
        try:
            listed = self._send("GET", "/v1/models")["data"]
        except ServerError as error:
            raise UsageError(str(error)) from None
        names = [str(entry["id"]) for entry in listed]
        if model not in names:
            raise UsageError(f'{self.url} has no model "{model}": {nearest(model, names)}')
        return int(listed[names.index(model)].get("max_model_len") or 0)

    def load(self, folder: str) -> None:
        """Load weights.

        Raises:
            ServerError: it did not.
        """
        given = {"method": "reload_weights", "kwargs": {"weights_path": folder}}
        self._send("POST", "/collective_rpc", given)
        if not self._send("POST", "/reset_prefix_cache").get("success"):
            # What it holds are keys and values of the old weights.
            raise ServerError(f"{self.url} is still generating for somebody else")

    def _send(self, method: str, route: str, body: object = None) -> dict[str, Any]:
        data = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._root + route,
            data if method == "POST" else None,
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=LOAD_SECONDS) as answer:
                found: dict[str, Any] = json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace").strip()[:300]
            hint = "; start it with VLLM_SERVER_DEV_MODE=1" if error.code == 404 else ""
            raise ServerError(f"{self.url}: {route} gave {error.code} {said}{hint}") from None
        except (OSError, ValueError) as error:
            raise ServerError(f"{self.url}: {route} failed: {error}") from None
        return found


class ServersEngine:
    """See :class:`memgym.agents.grpo.engines.RolloutEngine`.

    A request goes to the server with the fewest under way. Prompts are measured with the policy's
    own tokenizer, and what a server says it has read must be just that: token ids are what is
    trained on.

    Args:
        policy: Its tokenizer is used. Its weights are *not* sent: :meth:`load_weights` does that.
        settings: ``rollout.engine_options`` holds some of :data:`OPTIONS`, the first three at
            least.

    Raises:
        UsageError: an option is unknown, missing or wrong, or a server does not answer.
    """

    def __init__(self, policy: Policy, settings: TrainSettings) -> None:
        options = _checked(settings.rollout.engine_options)
        known = {name: options[name] for name in _OF_REQUESTS if name in options}
        served = ModelSettings(options["model"], concurrency=settings.rollout.concurrency, **known)
        self._folder = WeightFolder(options["weights_folder"], options.get("weights_dtype", ""))
        self._servers = [_Server(replace(served, base_url=url)) for url in options["base_urls"]]
        limits = [settings.prompt.context_tokens]
        limits += [server.max_model_len(served.model) for server in self._servers]
        self._text = LocalText(policy.tokenizer, min(filter(None, limits), default=0))
        self._pool = ThreadPoolExecutor(settings.rollout.concurrency, "memgym-servers")
        self._ended: queue.SimpleQueue[tuple[object, int, Result]] = queue.SimpleQueue()
        self._asked: list[Future[None]] = []  # since the last weights
        self._running = 0
        self._round = object()  # what was started before a drop() has another one
        self._lock = threading.Lock()

    def start(self, number: int, request: ChatRequest) -> None:
        """See :class:`~memgym.agents.chat.batching.Engine`."""
        prompt = self._text.prompt(request)
        fitted = replace(request, max_tokens=prompt.max_tokens)
        with self._lock:
            server = min(self._servers, key=lambda one: one.running)
            server.running += 1
        asked = self._pool.submit(self._ask, self._round, number, server, fitted, prompt)
        self._asked.append(asked)
        self._running += 1

    def step(self) -> list[tuple[int, Result]]:
        """Wait until something has ended, and return all that has."""
        found: list[tuple[int, Result]] = []
        while self._running and (not found or not self._ended.empty()):
            begun, number, result = self._ended.get()
            if begun is self._round:
                self._running -= 1
                found.append((number, result))
        return found

    def drop(self) -> None:
        """Forget all that runs. The servers write it to its end."""
        self._round = object()
        self._running = 0

    def load_weights(self, model: Any, version: int) -> None:
        """See :class:`memgym.agents.grpo.engines.RolloutEngine`."""
        wait(self._asked)  # what was dropped is still being written
        self._asked.clear()
        folder = self._folder.write(model, version)

        def send() -> None:
            if is_first_process():
                with ThreadPoolExecutor(len(self._servers)) as pool:
                    list(pool.map(lambda server: server.load(folder), self._servers))

        together(send)
        self._folder.remove(version)

    def rest(self) -> None:
        """Nothing is held here."""

    def close(self) -> None:
        """Close the connections; the servers go on."""
        self.drop()
        for server in self._servers:
            server.backend.close()
        self._pool.shutdown()
        self._folder.close()

    def _ask(
        self, begun: object, number: int, server: _Server, request: ChatRequest, prompt: Prompt
    ) -> None:
        result: Result
        try:
            result = _exact(server.ask(request), request, prompt, server.url)
        except Exception as error:  # whatever it was: somebody waits for this number
            result = ServerError(f"{server.url}: {type(error).__name__}: {error}")
        with self._lock:
            server.running -= 1
        self._ended.put((begun, number, result))


def _exact(result: Result, request: ChatRequest, prompt: Prompt, url: str) -> Result:
    """Return a reply if it can be trained on, and else what is wrong with it."""
    if isinstance(result, ChatError) or not request.logprobs:
        return result
    if len(result.token_ids) != len(result.logprobs) or not result.token_ids:
        return ServerError(f"{url} gives no token ids with log-probabilities; is it vLLM?")
    if result.prompt_ids != prompt.ids:
        return ServerError(
            f"{url} reads a prompt as other tokens than the policy's tokenizer does: serve the "
            "model from the folder that is trained, with its tokenizer and chat template"
        )
    return result


def _checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in options:
        if name not in OPTIONS:
            raise UsageError(f'rollout engine "servers" has no option "{name}": '
                             f"{nearest(name, OPTIONS)}")  # fmt: skip
    for name in ("base_urls", "model", "weights_folder"):
        if not options.get(name):
            raise UsageError(f'rollout engine "servers" needs "{name}": {OPTIONS[name]}')
    urls = options["base_urls"]
    if not isinstance(urls, Sequence) or isinstance(urls, str):
        raise UsageError(f"rollout.engine_options.base_urls must be a list, got {urls!r}")
    return options
