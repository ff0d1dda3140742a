"""A scripted model behind readers and judges, as though a server were there."""

from collections.abc import Callable, Iterable, Sequence

import pytest

from memgym.agents.chat import ChatError, ChatReply, ChatRequest
from tests.scripted import Reply, ScriptedBackend

__all__ = ["Batches", "serve"]


class Batches(ScriptedBackend):
    """Remembers how many requests came together.

    Attributes:
        sizes: Requests in each batch.
    """

    def __init__(self, replies: Callable[[ChatRequest], Reply] | Iterable[Reply]) -> None:
        super().__init__(replies)
        self.sizes: list[int] = []

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        """Return the scripted replies."""
        self.sizes.append(len(requests))
        return super().generate(requests)


def serve(
    monkeypatch: pytest.MonkeyPatch,
    replies: Callable[[ChatRequest], Reply] | Iterable[Reply],
) -> Batches:
    """Let every line to a model that is opened from now on end at a scripted one."""
    backend = Batches(replies)
    monkeypatch.setattr("memgym.agents.chat.chat.open_backend", lambda settings: backend)
    return backend
