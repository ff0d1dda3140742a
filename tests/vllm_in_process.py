"""Asks a model through vLLM in this process: ``python -m tests.vllm_in_process MODEL REPLIES``.

Run by :mod:`tests.check_vllm` with the Python that has vLLM; replies go to a JSON file.
"""

import dataclasses
import json
import sys
from pathlib import Path

from memgym.agents.chat import ChatReply, ChatRequest, ModelSettings, open_backend
from tests.vllm_server import ENGINE_OPTIONS

__all__ = ["requests"]

# What else it needs on a CPU, the backend knows itself.
IN_PROCESS = {name: ENGINE_OPTIONS[name] for name in ("dtype", "enforce_eager", "block_size")}


def requests() -> list[ChatRequest]:
    """Return what is asked."""

    def ask(text: str, **given: object) -> ChatRequest:
        plain = ChatRequest(({"role": "user", "content": text},), max_tokens=12, logprobs=True)
        return dataclasses.replace(plain, **given)  # type: ignore[arg-type]

    long = "Ada Holm lives in Lund. "
    return [
        ask(long * 4),
        ask("Ben?", max_tokens=30),
        ask("Ben?", prefill="Alder"),
        ask("Ben?", template_options={"enable_thinking": False}),
        ask("Ben?", choices=("Alder Hall", "unknown")),
        ask("Ben?", temperature=1.0, top_p=0.9, seed=7),
        ask("Ben?", temperature=1.0, top_p=0.9, seed=7),
        ask(long * 2_000),
        ChatRequest(({"role": "stranger", "content": "Hello"},)),
        ask(long * 4),
    ]


def main(model: str, replies: Path) -> None:
    """Ask everything, and once more what was asked first."""
    backend = open_backend(ModelSettings(model, backend="vllm", engine_options=IN_PROCESS))
    asked = requests()
    results = [*backend.generate(asked[:-1]), *backend.generate(asked[-1:])]
    backend.close()
    records = [
        dataclasses.asdict(result)
        if isinstance(result, ChatReply)
        else {"fault": type(result).__name__, "message": str(result)}
        for result in results
    ]
    replies.write_text(json.dumps(records))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
