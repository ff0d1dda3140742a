"""Which model, where, and how it is asked: settings, presets of published models, opening one.

Keys are read from the environment by the backend, at the moment of use; no setting may hold one.
"""

import atexit
import dataclasses
import functools
import hashlib
import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_type_hints

from memgym.agents.chat.model_folder import folder_digest, without_folders
from memgym.agents.chat.types import Backend
from memgym.errors import UsageError, nearest
from memgym.field_types import check_field
from memgym.secret_settings import is_secret, refuse_secrets

__all__ = ["MODEL_PRESETS", "ModelSettings", "close_backends", "model_settings", "open_backend"]

MODEL_VARIABLE = "MEMGYM_MODEL"
BASE_URL_VARIABLES = ("MEMGYM_BASE_URL", "OPENAI_BASE_URL")

ToolFormat = Literal["hermes", "markers", "native"]


@dataclass(frozen=True)
class ModelSettings:
    """A model and how it is asked; plain JSON values throughout."""

    model: str
    """Name at the server, name on the model hub, or a local folder (in-process backends)."""
    backend: Literal["openai", "transformers", "vllm"] = "openai"
    """``openai``: any server with OpenAI's chat API (vLLM, SGLang, hosted); the others load the
    model into this process."""
    base_url: str = ""
    """Of the server, e.g. ``http://localhost:8000/v1``; by default what ``MEMGYM_BASE_URL`` or
    ``OPENAI_BASE_URL`` says."""
    temperature: float = 0.0
    """Of sampling; 0 is greedy."""
    top_p: float = 1.0
    """Nucleus sampling; 1 is off."""
    max_tokens: int = 2_048
    """Longest reply, in the model's tokens, unless the agent asks for less."""
    seed: int = 0
    """Seeds sampling together with the episode and the number of the call."""
    tool_format: ToolFormat = "hermes"
    """How tool calls travel: described in the prompt and written as ``<tool_call>`` blocks
    (``hermes``, works with every server) or in Qwen-Agent's marker form (``markers``), or through
    the server's own tool parser (``native``)."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the chat template, e.g. ``{"enable_thinking": False}`` for Qwen3."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; a local server needs none."""
    timeout_seconds: float = 300.0
    """Limit of one request."""
    max_retries: int = 8
    """Times that a request is sent again after 429, 5xx, a timeout or a broken connection."""
    concurrency: int = 64
    """Requests in flight at a time."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the in-process engine, e.g. ``{"dtype": "bfloat16", "device": "cuda"}``."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def title(self) -> str:
        """Name for tables and messages: a path is shortened to its last part.

        Two models may share it; :attr:`digest` tells them apart.
        """
        if self._is_folder or os.path.isabs(self.model):
            return Path(self.model).absolute().name or self.model
        return self.model

    @functools.cached_property
    def digest(self) -> str:
        """What tells models of one title apart, ``""`` if the title is the model's whole name.

        Of a folder that is loaded into this process its content, looked at once; of a model that a
        server calls by a path, that path.
        """
        if self._is_folder:
            return folder_digest(Path(self.model))
        if self.title != self.model:
            return hashlib.sha256(os.fsencode(self.model)).hexdigest()[:16]
        return ""

    @property
    def _is_folder(self) -> bool:
        return self.backend != "openai" and Path(self.model).is_dir()

    def model_identity(self) -> dict[str, Any]:
        """Return which model replies, as JSON values: no path, host or key."""
        return {
            "model": self.title,
            "digest": self.digest,
            "backend": self.backend,
            "engine_options": without_folders(dict(self.engine_options)),
        }

    def identity(self) -> dict[str, Any]:
        """Return all that replies depend on, as JSON values: no path, host or key."""
        kept = {name: getattr(self, name) for name in _IDENTITY}
        template = without_folders(dict(self.template_options))
        return {**self.model_identity(), **kept, "template_options": template}


_IDENTITY = ("temperature", "top_p", "max_tokens", "seed", "tool_format")

# Names as published on the model hub. Sampling is greedy unless the method samples (top_p 0.95).
_NO_THINKING: Mapping[str, Any] = {"template_options": {"enable_thinking": False}}
MODEL_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "qwen3-4b": {"model": "Qwen/Qwen3-4B", **_NO_THINKING},
    "qwen3-8b": {"model": "Qwen/Qwen3-8B", **_NO_THINKING},
    "qwen3-32b": {"model": "Qwen/Qwen3-32B", **_NO_THINKING},
    "memalpha-4b": {"model": "YuWangX/Memalpha-4B", "tool_format": "markers", **_NO_THINKING},
    "memagent-7b": {
        "model": "BytedTsinghua-SIA/RL-MemoryAgent-7B", "temperature": 0.1, "top_p": 0.95,
        "max_tokens": 1_024,
    },
    "memagent-14b": {
        "model": "BytedTsinghua-SIA/RL-MemoryAgent-14B", "temperature": 0.1, "top_p": 0.95,
        "max_tokens": 1_024,
    },
    "mem1-7b": {
        "model": "Mem-Lab/Qwen2.5-7B-RL-RAG-Q2-EM-Release", "temperature": 0.01, "top_p": 0.95,
        "max_tokens": 1_024,
    },
}  # fmt: skip
"""Published models with the settings they were evaluated with (Mem-alpha, appendix; MemAgent)."""


def model_settings(model: str = "", **given: Any) -> ModelSettings:
    """Return checked settings.

    Args:
        model: A preset, a model's name (that of a preset's model brings the preset along), or a
            folder; by default what ``MEMGYM_MODEL`` names.
        **given: Fields of :class:`ModelSettings`, over those of the preset.

    Raises:
        UsageError: no model is named, or a setting is unknown or invalid.
    """
    model = model or os.environ.get(MODEL_VARIABLE, "")
    if not model:
        raise UsageError(
            f"no model is named; give model=… (--model), a preset ({', '.join(MODEL_PRESETS)}), or "
            f"set {MODEL_VARIABLE}"
        )
    names = [item.name for item in dataclasses.fields(ModelSettings)]
    for name in given:
        if name not in names:
            raise UsageError(f'a model has no setting "{name}": {nearest(name, names)}')
    chosen = {"model": model, **_preset(model), **given}
    if chosen.get("backend", "openai") == "openai" and not chosen.get("base_url"):
        found = (os.environ.get(name, "") for name in BASE_URL_VARIABLES)
        chosen["base_url"] = next(filter(None, found), "")
    return ModelSettings(**chosen)


def _preset(model: str) -> Mapping[str, Any]:
    """Return the preset that is called so, or that holds the model of that name."""
    for name, preset in MODEL_PRESETS.items():
        if model.lower() in (name, preset["model"].lower()):
            return preset
    return {}


def open_backend(settings: ModelSettings) -> Backend:
    """Return the backend of a model, shared by all who ask the same model in the same place.

    How replies are sampled is no part of that, since it comes with each request. Backends are
    closed at exit. Of several threads that want the same one, the first opens it and the others
    wait for that alone.

    Raises:
        UsageError: the library of the backend is missing, the model cannot be loaded, or neither
            a server nor a key is known.
    """
    key = _backend_key(settings)
    with _lock:
        found = _backends.get(key)
        mine = found or _backends.setdefault(key, Future())
    if not found:
        try:
            mine.set_result(_opened(settings))
        except BaseException as error:  # an interrupt, too: others wait for this
            with _lock:
                if _backends.get(key) is mine:
                    del _backends[key]  # who asks later may try again
            mine.set_exception(error)
    return mine.result()


def close_backends() -> None:
    """Close every shared backend; what still waits for a reply gets an error. They open again."""
    with _lock:
        closing = list(_backends.values())
        _backends.clear()
    for future in closing:
        if future.done():
            _close(future)
        else:  # by the thread that is opening it, once it has; nobody waits for that here
            future.add_done_callback(_close)


def _close(future: "Future[Backend]") -> None:
    if not future.exception():
        future.result().close()


_backends: "dict[tuple[str, ...], Future[Backend]]" = {}
_lock = threading.Lock()  # of that table; nothing is opened or closed under it

_OPENED_WITH: Mapping[str, tuple[str, ...]] = {
    "openai": (
        "model", "base_url", "key_variable", "timeout_seconds", "max_retries", "concurrency",
    ),
    "transformers": ("model", "digest", "engine_options", "concurrency"),
    "vllm": ("model", "digest", "engine_options", "concurrency"),
}  # fmt: skip


def _backend_key(settings: ModelSettings) -> tuple[str, ...]:
    """Return what a backend reads of the settings."""
    names = _OPENED_WITH[settings.backend]
    return (settings.backend, *(repr(getattr(settings, name)) for name in names))


def _opened(settings: ModelSettings) -> Backend:
    if settings.backend == "openai":
        from memgym.agents.chat.openai_server import OpenAIServer

        return OpenAIServer(settings)
    if settings.backend == "transformers":
        from memgym.agents.chat.transformers_local import TransformersModel

        return TransformersModel(settings)
    from memgym.agents.chat.vllm_local import VLLMModel

    return VLLMModel(settings)


atexit.register(close_backends)


_LEAST: Mapping[str, float] = {
    "temperature": 0, "max_tokens": 1, "seed": 0, "timeout_seconds": 0.1, "max_retries": 0,
    "concurrency": 1,
}  # fmt: skip


def _check(settings: ModelSettings) -> None:
    """Check every field against its annotation and its range, and that none holds a key."""
    if is_secret("key_variable", settings.key_variable):
        raise UsageError(
            'model setting "key_variable" must be the name of an environment variable, such as '
            "OPENAI_API_KEY; what was given is none (and may be a key, so it is not shown)"
        )
    for name, hint in get_type_hints(ModelSettings).items():
        value, where = getattr(settings, name), f'model setting "{name}"'
        check_field(where, value, hint)
        if isinstance(value, Mapping):
            refuse_secrets(where, value)
        if name in _LEAST and value < _LEAST[name]:
            raise UsageError(f"{where} must be at least {_LEAST[name]:g}, got {value}")
    if not 0 < settings.top_p <= 1:
        raise UsageError(
            f'model setting "top_p" must be above 0 and at most 1, got {settings.top_p}'
        )
