"""What readers and judges with a language model have in common: options, one batch, kept replies.

Nobody trains these models and they keep nothing between questions, so that equal questions get
equal replies: those are asked once and kept on disk.
"""

import atexit
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.agents.chat import (
    Chat,
    ChatReply,
    ContextLengthError,
    Message,
    ModelSettings,
    RefusedError,
    ReplyStore,
    model_settings,
)
from memgym.agents.chat.store import default_cache_folder
from memgym.errors import UsageError
from memgym.usage import Usage

__all__ = ["FrozenModel", "Prompt", "Reply"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that can be made shorter.

    Attributes:
        messages: Returns it with the first so many of its items.
        items: How many there are.
    """

    messages: Callable[[int], Sequence[Message]]
    items: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, and how many items its prompt had room for."""

    chat: ChatReply
    items: int


class FrozenModel:
    """A language model behind a reader or a judge. One per environment; the backend is shared.

    Args:
        model: A preset, a model's name or a folder; by default what ``MEMGYM_MODEL`` names.
        base_url: Of the server; by default what ``MEMGYM_BASE_URL`` or ``OPENAI_BASE_URL`` says.
        backend: ``openai`` (any server with OpenAI's chat API), ``transformers`` or ``vllm``.
        temperature: 0 is greedy.
        max_tokens: Longest reply, tokens of the model.
        cache: Whether replies are kept on disk (``MEMGYM_CACHE``, or the user's cache folder).
        model_options: Further fields of :class:`~memgym.agents.chat.models.ModelSettings`.

    Raises:
        UsageError: no model is named, or an option is invalid.
    """

    def __init__(
        self,
        *,
        model: str = "",
        base_url: str = "",
        backend: str = "openai",
        temperature: float = 0.0,
        max_tokens: int = 16,
        cache: bool = True,
        model_options: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(cache, bool):
            raise UsageError(f"cache must be true or false, got {cache!r}")
        further = {} if model_options is None else model_options
        if not isinstance(further, Mapping):
            raise UsageError(f"model_options must be a mapping, got {further!r}")
        named: dict[str, Any] = {
            "base_url": base_url, "backend": backend, "temperature": temperature,
            "max_tokens": max_tokens,
        }  # fmt: skip
        for name in (*named, "model"):
            if name in further:
                raise UsageError(f'"{name}" is an option of its own; take it out of model_options')
        self.settings: ModelSettings = model_settings(model, **named, **further)
        self._cache = cache
        self._unusable = 0

    @functools.cached_property
    def chat(self) -> Chat:
        """The line to the model, opened at first use."""
        store = _store(default_cache_folder() / "replies") if self._cache else None
        return Chat(self.settings, store=store)

    @property
    def usage(self) -> Usage:
        """What has been used so far; replies of no use count as failures."""
        used = self.chat.usage if "chat" in vars(self) else Usage()
        return used + Usage(failures=self._unusable)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy, which opens a line of its own."""
        return {name: value for name, value in vars(self).items() if name != "chat"}

    def ask_all(
        self, prompts: Sequence[Prompt], *, choices: Sequence[str] = ()
    ) -> list[Reply | None]:
        """Return the reply to every prompt, in order; ``None`` where there is none to be had.

        That is a prompt that cannot fit the model, or that is refused for good. All are asked in
        one batch. Those that do not fit are asked once more with half of their items, and so on
        down to none; one over-long prompt costs the others nothing.

        Args:
            prompts: What to ask.
            choices: If given, every reply is one of these.

        Raises:
            ServerError: a prompt got no reply. What was replied to the others is kept.
            StoppedError: the run is being stopped.
        """
        replies: list[Reply | None] = [None] * len(prompts)
        left = {place: prompt.items for place, prompt in enumerate(prompts)}
        while left:
            asked = dict(left)
            requests = [
                self.chat.request(prompts[place].messages(items), choices=tuple(choices))
                for place, items in asked.items()
            ]
            for place, result in zip(asked, self.chat.generate(requests), strict=True):
                items = left.pop(place)
                if isinstance(result, ChatReply):
                    replies[place] = Reply(result, items)
                elif isinstance(result, ContextLengthError):
                    if items:
                        left[place] = items // 2
                elif not isinstance(result, RefusedError):
                    raise result
        return replies

    def choose_all(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[str]:
        """Return which of the choices the model takes for every prompt.

        ``""`` stands for a prompt without a reply (see :meth:`ask_all`), or a reply that is none of
        the choices (a server that ignores the constraint); both count as failures.

        Raises:
            ServerError, StoppedError: see :meth:`ask_all`.
        """
        chosen = []
        for reply in self.ask_all(prompts, choices=choices):
            text = reply.chat.text.strip() if reply else ""
            if reply and text not in choices:
                self._unusable += 1
            chosen.append(text if text in choices else "")
        return chosen


_stores: dict[Path, ReplyStore] = {}
_stores_lock = threading.Lock()


def _store(folder: Path) -> ReplyStore:
    """Return the store of a folder, one for all readers and judges of this process."""
    with _stores_lock:
        if folder not in _stores:
            _stores[folder] = ReplyStore(folder)
            atexit.register(_stores[folder].close)
        return _stores[folder]
