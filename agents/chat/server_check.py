"""One question to a server before a run: is it there, does it take the key, has it the model?

A wrong address is told in seconds, before the first episode, instead of after many patient tries.
What may pass (a server that is busy or starting) is no reason to refuse: requests try again.
"""

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from memgym.agents.chat.models import ModelSettings
from memgym.agents.chat.server_address import ServerAddress
from memgym.errors import UsageError, nearest

if TYPE_CHECKING:
    import openai

__all__ = ["check_server", "check_servers"]

CONNECT_SECONDS = 5.0
"""Wait for a connection; there are two tries."""
REPLY_SECONDS = 15.0
PAUSE_SECONDS = 0.5
_LISTED = 20  # models in a message
_SHOWN = 200  # characters of a server's words in a message
_ENGINES = ("vllm", "sglang")
# As the client's HTTP library calls it when there is nobody at the other end.
_NOT_CONNECTED = ("ConnectError", "ConnectTimeout")


def check_servers(models: Iterable[ModelSettings]) -> None:
    """Check every server once per model.

    Raises:
        UsageError: see :func:`check_server`.
    """
    checked: dict[tuple[str, ...], None] = {}
    for settings in models:
        key = (settings.backend, settings.base_url, settings.key_variable, settings.model)
        if key not in checked:
            check_server(settings)
            checked[key] = None


def check_server(settings: ModelSettings) -> None:
    """Ask a model's server which models it has; nothing happens for a model in this process.

    That the model is not among them counts if the server is known to be exact about it: vLLM,
    SGLang, OpenAI's own, and those without a key, which may play any other model in its place.

    Raises:
        UsageError: nobody answers there, the server refuses the key, or it has not that model; or
            the address or key is none, or the openai client is missing.
    """
    if settings.backend != "openai":
        return
    address = ServerAddress(settings)
    listed = [entry for entry in _listed(settings, address) if entry.get("id")]
    names = [str(entry["id"]) for entry in listed]
    engine = any(entry.get("owned_by") in _ENGINES for entry in listed)
    exact = engine or address.keyless or urlsplit(address.url).hostname == "api.openai.com"
    if names and exact and not _has(names, settings.model):
        raise UsageError(
            f'{address.shown} has no model "{settings.model}": '
            f"{nearest(settings.model, names[:_LISTED])}"
        )


def _has(names: Iterable[str], model: str) -> bool:
    """Whether a model is listed; some servers put ``models/`` before it or ``:latest`` behind."""
    return any(name in (model, f"models/{model}", f"{model}:latest") for name in names)


def _listed(settings: ModelSettings, address: ServerAddress) -> list[dict[str, Any]]:
    """Return what the server lists, ``[]`` if it does not tell."""
    content = _models_page(settings, address)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return []
    listed = body.get("data") if isinstance(body, dict) else None
    return [entry for entry in listed or () if isinstance(entry, dict)]


def _models_page(settings: ModelSettings, address: ServerAddress) -> bytes:
    """Return what the server sends as its list of models, ``b""`` if nothing of use."""
    try:
        import openai
    except ImportError as error:
        raise UsageError(
            'asking a server needs the openai client: pip install "memgym[llm]"'
        ) from error
    client = openai.OpenAI(
        api_key=address.key,
        base_url=address.url,
        timeout=openai.Timeout(REPLY_SECONDS, connect=CONNECT_SECONDS),
        max_retries=0,
    )
    with client:
        status, content, fault = _ask(client)
        if fault:
            time.sleep(PAUSE_SECONDS)
            status, content, fault = _ask(client)
    # Errors are made here, outside of any exception that carries request headers.
    if fault:
        raise UsageError(
            f"no server answers at {address.shown} ({address.clean(fault)[:_SHOWN]}); start it, or "
            "give its address with base_url (--base-url, MEMGYM_BASE_URL)"
        )
    if status in (401, 403):
        state = "which is not set" if address.keyless else "which is set"
        raise UsageError(
            f"{address.shown} refuses the key ({status}); check the key in "
            f"{settings.key_variable}, {state}"
        )
    return content if status == 200 else b""


def _ask(client: "openai.OpenAI") -> tuple[int, bytes, str]:
    """Return status (0: none), body, and what was wrong if there was no connection."""
    import openai

    try:
        response = client.models.with_raw_response.list()
    except openai.APIStatusError as error:
        return error.status_code, b"", ""
    except openai.APIConnectionError as error:
        cause = error.__cause__
        connected = type(cause).__name__ not in _NOT_CONNECTED
        return 0, b"", "" if connected else str(cause) or "no connection"
    return response.status_code, bytes(response.content), ""
