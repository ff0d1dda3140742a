"""Finds tool calls in model text: which stretches are thinking, which are calls, which are prose.

It reads text and JSON only; what a call is made of and whether it is valid is decided in
:mod:`memgym.actions` and :mod:`memgym.tools`. One pass from left to right, linear in the length of
the text:

* ``<think>…</think>`` is dropped; unclosed, it takes the rest. A closing tag without an opening
  one (the opening was part of the prompt) drops everything before it.
* ``<tool_call>`` opens a JSON value, which may contain any of the other marks.
* ``✿FUNCTION✿: name`` and ``✿ARGS✿: {…}`` are one call (the format of Qwen-Agent); from
  ``✿RESULT✿`` on the model was inventing the tool's answer, so the rest is dropped.
* A bare JSON object, or a list of them, counts when it is shaped like a call.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from memgym.tools import TOOL_NAMES, clip

__all__ = ["Found", "UnreadableError", "load_json", "mend_json", "plain_text", "scan"]

_MARKS = re.compile(
    r"</?think>|</?tool_call>|✿(?:FUNCTION|ARGS|RESULT|RETURN)✿[ \t]*:?"
    # A bare call: an object, alone or first in a list, whose first key is one of a call's own.
    r"|(?:\[\s*)?\{\s*[\"'“]?"
    r"(?:name|arguments|parameters|function|function_call|tool_calls|id|type|index|role|content)"
    r"[\"'”]?\s*:"
)
_CALL_WORDS = re.compile("|".join(("arguments", "parameters", "tool_calls", *TOOL_NAMES)))
_JSON_START = re.compile(r"\s*(?:```(?:json)?\s*)?")
_ARGUMENTS_START = re.compile(r"\s*:?\s*(?:```(?:json)?\s*)?")
_BLOCK_CLOSE = re.compile(r"\s*(?:```\s*)?</tool_call>")
_BLOCK_END = re.compile(r"</?tool_call>")
_MARKER_END = re.compile("✿")
_BARE_END = re.compile(r"```|</?tool_call>|✿")
_EMPTY_FENCE = re.compile(r"```\w*\s*```")
_OBJECT_START = re.compile(r"(?:\[\s*)?\{")
_QUOTES = {'"': '"', "'": "'", "“": "”"}
_STRING_END = re.compile(r"\s*(?:[,:}\]]|$)")
_STRING_START = re.compile(r"[\[{:,]\s*$")
_SWALLOWED = re.compile(r"[\"'”]\s*[}\]]+$")
_MENDABLE_CHARACTERS = 65_536  # the repair library needs about 5 microseconds a character


class UnreadableError(ValueError):
    """JSON text that cannot be read; the one-line message is meant for the policy.

    ``mendable`` tells a slip of syntax, whose meaning a repair can guess, from JSON that is well
    formed but says two things at once or more than can be read.
    """

    def __init__(self, message: str, *, mendable: bool = False) -> None:
        super().__init__(message)
        self.mendable = mendable


class Found(NamedTuple):
    """One stretch of model text that stands for calls.

    Attributes:
        value: the JSON value, when it could be read.
        name: the tool named outside the JSON (marker format), else ``""``.
        error: why it could not be read, or ``""``.
        broken: the text that could not be read, where mending it may be tried, else ``""``.
    """

    value: Any = None
    name: str = ""
    error: str = ""
    broken: str = ""


def plain_text(text: str) -> str:
    """Return model text without its thinking and without anything that is read as a call."""
    return _EMPTY_FENCE.sub("", scan(text)[1]).strip()


def scan(text: str) -> tuple[list[Found], str]:
    """Return what stands for calls in ``text``, in order, and the prose around it."""
    scanner = _Scanner(text)
    scanner.run()
    prose = "".join(scanner.prose)
    rest = _EMPTY_FENCE.sub("", prose).strip()
    if not scanner.found and _OBJECT_START.match(rest):
        # Nothing but an object that is no call: somebody meant it as an action, so say what is odd.
        try:
            return [Found(load_json(rest))], prose
        except UnreadableError as error:
            return [_unread(error, rest)], prose
    return scanner.found, prose


class _Scanner:
    """State of one pass over a text; ``position`` only ever moves forward."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.found: list[Found] = []
        self.prose: list[str] = []

    def run(self) -> None:
        """Read the whole text."""
        while match := _MARKS.search(self.text, self.position):
            self.prose.append(self.text[self.position : match.start()])
            self.position = match.end()
            mark = match[0]
            if mark == "<think>":
                end = self.text.find("</think>", self.position)
                self.position = end + len("</think>") if end >= 0 else len(self.text)
            elif mark == "</think>":
                self.found.clear()
                self.prose.clear()
            elif mark == "<tool_call>":
                self._read_block()
            elif mark.startswith("✿FUNCTION"):
                self._read_marker()
            elif mark.startswith("✿RESULT"):
                self.position = len(self.text)
            elif mark[0] in "[{":
                self._read_bare(match.start())
        self.prose.append(self.text[self.position :])

    def _read_block(self) -> None:
        """Read the JSON after ``<tool_call>``; the closing tag may be missing."""
        match = _JSON_START.match(self.text, self.position)
        self._read_json(match.end() if match else self.position, _BLOCK_END)
        if close := _BLOCK_CLOSE.match(self.text, self.position):
            self.position = close.end()

    def _read_marker(self) -> None:
        """Read ``name ✿ARGS✿: {…}`` after ``✿FUNCTION✿:``."""
        mark = self.text.find("✿", self.position)
        name = self.text[self.position : mark if mark >= 0 else None].strip()
        if mark < 0 or not self.text.startswith("✿ARGS✿", mark):
            error = f'"✿FUNCTION✿: {clip(name)}" must be followed by "✿ARGS✿:" and a JSON object'
            self.found.append(Found(name=clip(name) or "?", error=error))
            self.position = mark if mark >= 0 else len(self.text)
            return
        start = mark + len("✿ARGS✿")
        match = _ARGUMENTS_START.match(self.text, start)
        self._read_json(match.end() if match else start, _MARKER_END, name or "?")

    def _read_json(self, start: int, end_mark: re.Pattern[str], name: str = "") -> None:
        try:
            value, self.position = _raw_load(self.text, start)
            self.found.append(Found(value, name))
        except UnreadableError as error:
            end = end_mark.search(self.text, start)
            self.position = end.start() if end else len(self.text)
            self.found.append(_unread(error, self.text[start : self.position], name))

    def _read_bare(self, start: int) -> None:
        """Read a JSON value in the middle of prose, if it is a call at all."""
        try:
            value, self.position = _raw_load(self.text, start)
        except UnreadableError as error:
            end = _BARE_END.search(self.text, start)
            self.position = end.start() if end else len(self.text)
            broken = self.text[start : self.position]
            if _CALL_WORDS.search(broken):
                self.found.append(_unread(error, broken))
            else:
                self.prose.append(broken)
            return
        if _is_call(value):
            self.found.append(Found(value))
        else:
            self.prose.append(self.text[start : self.position])


def _unread(error: UnreadableError, text: str, name: str = "") -> Found:
    return Found(name=name, error=str(error), broken=text if error.mendable else "")


def _is_call(value: Any) -> bool:
    if isinstance(value, list):
        return any(_is_call(item) for item in value if isinstance(item, dict))
    if "name" in value:
        return "arguments" in value or "parameters" in value or value["name"] in TOOL_NAMES
    return "function" in value or "tool_calls" in value or "function_call" in value


# --- JSON ---------------------------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        left = list(value)[::-1]  # first appearances in order, popped one by one
        twice = next(key for key, _ in pairs if not left or left.pop() != key)
        raise UnreadableError(f'the key "{clip(twice)}" stands twice in one object')
    return value


# Not strict: a line break inside a string is the commonest slip of models, and it is unambiguous.
_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_object)


def _raw_load(text: str, start: int) -> tuple[Any, int]:
    """Read one JSON value at ``start``; return it with the position after it.

    Raises:
        UnreadableError: no JSON, nested too deep, a key twice, or a number of too many digits.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except UnreadableError:
        raise
    except json.JSONDecodeError as error:
        if error.msg.startswith("Unterminated string"):
            problem = "it ends inside a string (cut off?)"
        else:
            near = clip(text[error.pos : error.pos + 20])
            problem = f'{error.msg}, near "{near}"' if near else f"{error.msg}, at its end"
        message = f"not valid JSON at character {error.pos - start}: {problem}"
        raise UnreadableError(message, mendable=True) from None
    except RecursionError:
        raise UnreadableError("not readable JSON: it is nested too deep") from None
    except ValueError:
        # Python refuses to read integers of more than 4,300 digits.
        raise UnreadableError("not readable JSON: it holds a number of too many digits") from None


def load_json(text: str) -> Any:
    """Read ``text`` as one JSON value.

    Raises:
        UnreadableError: see the message; text after the value counts as an error too.
    """
    text = text.strip()
    value, end = _raw_load(text, 0)
    if end < len(text):
        near = clip(text[end : end + 20])
        message = f'not valid JSON at character {end}: extra text "{near}" after the value'
        raise UnreadableError(message, mendable=True)
    return value


def mend_json(text: str, repairer: Callable[[str], Any] | None) -> Any:
    """Return the object or list that the malformed ``text`` most likely meant, else ``None``.

    Text that breaks off inside a string, or anywhere but after a closing bracket or quote, is never
    mended: a truncated memory would be stored as if it were whole.
    """
    text = text.strip().removesuffix("```").strip()
    if repairer is None or len(text) > _MENDABLE_CHARACTERS or _is_cut_off(text):
        return None
    try:
        value = repairer(text)
        meant = isinstance(value, (dict, list)) and bool(value) and _is_plausible(value)
    except (ValueError, RecursionError):
        return None
    return value if meant else None


def _is_plausible(value: Any) -> bool:
    """Return whether no string of a mended value swallowed the brackets that should close it."""
    if isinstance(value, str):
        return not _SWALLOWED.search(value[-32:])
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(_is_plausible(part) for part in parts)


def _is_cut_off(text: str) -> bool:
    """Return whether ``text`` may end inside a string, or ends after a colon, comma or bare word.

    A quote opens a string after ``{ [ : ,`` and closes it before ``, : } ]`` or the end, so that
    unescaped quotes and apostrophes inside a string are passed over. Where there are such stray
    quotes, a quote at the very end may be one of them, so only a bracket will do there.
    """
    if text[-1:] not in ("}", "]", '"', "'", "”"):
        return True
    closing, stray = "", False
    for match in re.finditer(r"\\.|[\"'“”]", text, re.DOTALL):
        mark, start = match[0], match.start()
        if closing and mark == closing and _STRING_END.match(text, match.end()):
            closing = ""
        elif closing:
            stray = stray or mark == closing
        elif mark in _QUOTES and _STRING_START.search(text[max(0, start - 32) : start]):
            closing = _QUOTES[mark]
        else:
            stray = True
    return bool(closing) or (stray and text[-1] not in "}]")
