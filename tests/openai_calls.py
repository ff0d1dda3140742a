"""Asking servers on 127.0.0.1 through the backend under test; shared by its tests."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from memgym.agents.chat import ChatRequest, ModelSettings, openai_server
from memgym.agents.chat.openai_server import OpenAIServer

__all__ = ["ask", "asking", "in_turn", "opened", "quick_and_without_key"]


@pytest.fixture(autouse=True)
def quick_and_without_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait next to nothing between tries, and know no key."""
    monkeypatch.setattr(openai_server, "BACKOFF_SECONDS", 0.002)
    monkeypatch.setattr(openai_server, "LONGEST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def opened(base_url: str, **settings: Any) -> Iterator[OpenAIServer]:
    backend = OpenAIServer(ModelSettings("tiny", base_url=base_url, **settings))
    try:
        yield backend
    finally:
        backend.close()


def asking(text: str = "hello there", **given: Any) -> ChatRequest:
    return ChatRequest(({"role": "user", "content": text},), **given)


def ask(base_url: str, request: ChatRequest | None = None, **settings: Any) -> Any:
    with opened(base_url, **settings) as backend:
        [result] = backend.generate([request or asking()])
    return result


def in_turn(*answers: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Reply with one answer after another, then with the last one for good."""
    left = list(answers)
    return lambda _body: left.pop(0) if len(left) > 1 else left[0]
