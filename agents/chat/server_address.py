"""Where a model is served and with which key; keeps the key out of everything that is shown."""

import json
import os
import urllib.parse

from memgym.agents.chat.models import ModelSettings
from memgym.errors import UsageError

__all__ = ["ServerAddress"]

OPENAI_URL = "https://api.openai.com/v1"
_OPENAI_HOSTS = ("api.openai.com", ".openai.azure.com")


class ServerAddress:
    """Address and key of a server, from a model's settings and the environment.

    Args:
        settings: ``base_url`` names the server (OpenAI's own if it is empty), ``key_variable`` the
            environment variable that holds the key.

    Attributes:
        url: Base address of the API.
        shown: The same without credentials, for messages.
        key: ``"EMPTY"`` for a server that needs none.
        keyless: Whether no key is set.
        hosted: Whether the server is OpenAI's own, which is strict about fields.

    Raises:
        UsageError: the address is not one, the key cannot be one, or both are missing.
    """

    def __init__(self, settings: ModelSettings) -> None:
        variable = settings.key_variable
        key = os.environ.get(variable, "").strip()
        if not settings.base_url and not key:
            raise UsageError(
                f'no server is named and no key is set: give base_url="http://localhost:8000/v1" '
                f"(--base-url, MEMGYM_BASE_URL) of a server, or set {variable} for {OPENAI_URL}"
            )
        if not (key.isascii() and key.isprintable()):
            raise UsageError(f"the key in {variable} has characters that no key has")
        self.url = settings.base_url or OPENAI_URL
        parts = _parts(self.url)
        host = parts.hostname or ""
        self.shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self.key = key or "EMPTY"
        self.keyless = not key
        self.hosted = host.endswith(_OPENAI_HOSTS)
        self._secrets = _spellings(key) + _spellings(parts.password or "")

    def __repr__(self) -> str:
        return f"ServerAddress({self.shown!r})"

    def clean(self, text: str) -> str:
        """Return a text without the key, however the server may have spelt it."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text


def _parts(url: str) -> urllib.parse.SplitResult:
    """Take an address apart.

    Raises:
        UsageError: it is not one.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        valid = False
    if not valid:
        raise UsageError(
            'model setting "base_url" must be the address of a server, such as '
            f'"http://localhost:8000/v1", got "{url.rpartition("@")[2]}"'
        )
    return parts


def _spellings(secret: str) -> list[str]:
    """Return a secret as it is and as JSON, ``repr`` and addresses write it, longest first."""
    if not secret:
        return []
    spelt = [secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], urllib.parse.quote(secret, "")]
    return sorted(dict.fromkeys(spelt), key=len, reverse=True)
