"""Which model, where, and how it is asked: settings, presets of published models, opening one.

Keys are read from the environment by the backend, at the moment of use; no setting holds one.
"""

import atexit
import dataclasses
import functools
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from memgym.agents.chat.types import Backend
from memgym.errors import UsageError, nearest

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
        """Name for tables and files: a local path is shortened to its last part."""
        return Path(self.model).name if os.sep in self.model and self._is_local else self.model

    @property
    def _is_local(self) -> bool:
        return Path(self.model).expanduser().exists()

    def identity(self) -> dict[str, Any]:
        """Return what replies depend on, as JSON values: no path, host or key."""
        kept = {name: getattr(self, name) for name in _IDENTITY}
        return {**kept, "model": self.title, "template_options": dict(self.template_options)}


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
    """Return the backend of a model; equal settings share one, which is closed at exit.

    Raises:
        UsageError: the library of the backend is missing, the model cannot be loaded, or neither
            a server nor a key is known.
    """
    with _lock:  # two threads that need the same model must not load it twice
        return _open(settings.backend, _frozen(settings))


def close_backends() -> None:
    """Close every shared backend; what still waits for a reply gets an error. They open again."""
    with _lock:
        _open.cache_clear()
        closing, _opened[:] = list(_opened), []
    for backend in closing:
        backend.close()


_opened: list[Backend] = []
_lock = threading.Lock()


class _Frozen(tuple[Any, ...]):
    """Settings as a hashable key that still carries them."""

    settings: ModelSettings


def _frozen(settings: ModelSettings) -> _Frozen:
    key = _Frozen(repr(getattr(settings, item.name)) for item in dataclasses.fields(settings))
    key.settings = settings
    return key


@functools.lru_cache(maxsize=8)
def _open(backend: str, key: _Frozen) -> Backend:
    opened: Backend
    if backend == "openai":
        from memgym.agents.chat.openai_server import OpenAIServer

        opened = OpenAIServer(key.settings)
    elif backend == "transformers":
        from memgym.agents.chat.transformers_local import TransformersModel

        opened = TransformersModel(key.settings)
    else:
        from memgym.agents.chat.vllm_local import VLLMModel

        opened = VLLMModel(key.settings)
    _opened.append(opened)
    return opened


atexit.register(close_backends)


_LEAST: Mapping[str, float] = {
    "temperature": 0, "max_tokens": 1, "seed": 0, "timeout_seconds": 0.1, "max_retries": 0,
    "concurrency": 1,
}  # fmt: skip


def _check(settings: ModelSettings) -> None:
    """Check every field against its annotation and its range."""
    for name, hint in get_type_hints(ModelSettings).items():
        value = getattr(settings, name)
        where = f'model setting "{name}"'
        origin = get_origin(hint)
        if origin is Literal:
            if value not in get_args(hint):
                raise UsageError(
                    f'{where}: unknown value "{value}": {nearest(str(value), get_args(hint))}'
                )
        elif isinstance(value, bool) or not isinstance(value, _KINDS.get(hint, (Mapping,))):
            wanted = " or ".join(kind.__name__.lower() for kind in _KINDS.get(hint, (Mapping,)))
            raise UsageError(f"{where} must be of type {wanted}, got {value!r}")
        if name in _LEAST and value < _LEAST[name]:
            raise UsageError(f"{where} must be at least {_LEAST[name]:g}, got {value}")
    if not 0 < settings.top_p <= 1:
        raise UsageError(
            f'model setting "top_p" must be above 0 and at most 1, got {settings.top_p}'
        )


_KINDS: Mapping[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float)}
