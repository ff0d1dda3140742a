"""A server with the routes of vLLM that rollouts use, and a real model of transformers behind it.

It stands in for vLLM where that cannot be installed: ``tests/check_vllm_grpo.py`` does the same
with vLLM itself.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memgym.agents.chat import ChatReply, ChatRequest
from memgym.agents.chat.batching import Batcher
from memgym.agents.chat.transformers_local import LOADING, LocalEngine
from memgym.agents.grpo.policy import load_policy
from memgym.agents.grpo.settings import PolicySettings
from tests.chat_server import LocalServer, QuietHandler

__all__ = ["ServedModel", "weight_server"]


@dataclass
class ServedModel:
    """A model that is served.

    Attributes:
        folder: Where it was loaded from first; its tokenizer is kept.
        takes_weights: Whether the routes for weights are there.
        busy: Whether its prefix cache cannot be emptied.
        asked: Bodies of the requests for replies.
        answered: How many of them have got one.
        loaded: Folders that were loaded.
        changes: Laid over each reply's choice.
    """

    folder: Path
    takes_weights: bool = True
    busy: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)
    answered: int = 0
    loaded: list[str] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._policy = load_policy(PolicySettings(model=str(self.folder), device="cpu"))
        self._open()

    def _open(self) -> None:
        engine = LocalEngine(self._policy.model.eval(), self._policy.tokenizer)
        self._backend = Batcher(engine, 8)

    def close(self) -> None:
        """Free the model."""
        self._backend.close()

    def load(self, folder: str) -> None:
        """Take other weights."""
        from transformers import AutoModelForCausalLM

        self.loaded.append(folder)
        with LOADING:  # other servers load in threads of their own
            new: Any = AutoModelForCausalLM.from_pretrained(folder)
        self._policy.model.load_state_dict(new.state_dict())

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return vLLM's answer to a request."""
        self.asked.append(body)
        request = ChatRequest(
            tuple(body["messages"]),
            max_tokens=body["max_tokens"],
            temperature=body["temperature"],
            seed=body.get("seed"),
            logprobs=body["logprobs"],
        )
        [reply] = self._backend.generate([request])
        if not isinstance(reply, ChatReply):
            raise reply
        self.answered += 1
        choice: dict[str, Any] = {
            "message": {"role": "assistant", "content": reply.text},
            "finish_reason": reply.finish_reason,
            "token_ids": reply.token_ids,
            "logprobs": {"content": [{"logprob": value} for value in reply.logprobs]},
        }
        return {
            "choices": [{**choice, **self.changes}],
            "prompt_token_ids": reply.prompt_ids,
            "usage": {
                "prompt_tokens": len(reply.prompt_ids),
                "completion_tokens": len(reply.token_ids),
            },
        }


def weight_server(model: ServedModel) -> LocalServer:
    """Return a server, to be used in a ``with`` statement."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802
            entry = {"id": "tiny", "owned_by": "vllm", "max_model_len": 4_096}
            self._send(200, {"data": [entry]})

        def do_POST(self) -> None:  # noqa: N802
            body = self.read_body()
            route = self.path
            if route == "/v1/chat/completions":
                self._send(200, model.reply(json.loads(body)))
            elif model.takes_weights and route == "/collective_rpc":
                call = json.loads(body)
                assert call["method"] == "reload_weights"
                model.load(call["kwargs"]["weights_path"])
                self._send(200, {"results": [None]})
            elif model.takes_weights and route == "/reset_prefix_cache":
                self._send(200, {"success": not model.busy})
            else:
                self._send(404, {"detail": "Not Found"})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            self.answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    return LocalServer(Handler)
