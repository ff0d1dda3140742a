"""How the one long ``context`` string of a MemoryAgentBench row becomes chunks.

Every family of sources writes its context in a shape of its own; each is cut where its parts end
and its parts are packed into chunks. Nothing of a context is lost: what does not have the shape of
its family is kept as prose.
"""

import ast
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from memgym.errors import UsageError
from memgym.tasks.chunking import conversation, pack
from memgym.tasks.files import field
from memgym.tasks.procedural.dialogue import conversation_header
from memgym.text import format_example

__all__ = ["context_chunks"]

_DOCUMENT = re.compile(r"^(?=Document \d+:)", re.MULTILINE)
_DIALOGUE = re.compile(r"(?<!\S)(?=Dialogue \d+:)")
# "play some jazz\nlabel: 45"; a blank line may stand between examples.
_EXAMPLE = re.compile(
    r"(?P<text>[^\n]*\S)[ \t]*\n[ \t]*label[ \t]*:[ \t]*(?P<label>\S+)[ \t]*", re.I
)
_TIME = re.compile(r"(\d{4})[/-](\d{2})[/-](\d{2})\D*(?:(\d{2}):(\d{2}))?")


_Session = tuple[datetime, list[str]]  # when it was, and what was said in turn


def context_chunks(
    source: str, context: str, rng: random.Random, max_tokens: int, where: str
) -> list[str]:
    """Return the chunks of a context.

    Args:
        source: The row's ``metadata.source``, which tells its shape.
        context: The text.
        rng: Chooses the sentences around each chunk.
        max_tokens: Largest size of a chunk's own text, ``o200k_base`` tokens.
        where: Names the row in messages.

    Raises:
        UsageError: a chat history is no list of times and turns.
    """
    if source.startswith("longmemeval") and context.lstrip().startswith("["):
        sessions = _sessions(context, f'{where}, column "context"')
        return list(_chat_chunks(sessions, rng, max_tokens))
    texts = next(split for prefix, split in _SHAPES if source.startswith(prefix))(context)
    examples = source.startswith("icl_")
    chunks = []
    for index, packed in enumerate(pack(texts, rng, max_tokens, max_tokens)):
        body = "\n".join(piece.text for piece in packed.pieces)
        chunks.append(conversation(index, body, rng, examples=examples))
    return chunks


def _documents(context: str) -> list[str]:
    return _stripped(_DOCUMENT.split(context))


def _dialogues(context: str) -> list[str]:
    return _stripped(_DIALOGUE.split(context))


def _lines(context: str) -> list[str]:
    return _stripped(context.splitlines())


def _examples(context: str) -> list[str]:
    """Return the labelled examples in the two lines that every memgym source writes."""
    texts: list[str] = []
    position = 0
    for match in _EXAMPLE.finditer(context):
        texts += _lines(context[position : match.start()])
        texts.append(format_example(match["text"].strip(), match["label"]))
        position = match.end()
    return texts + _lines(context[position:])


def _stripped(parts: Sequence[str]) -> list[str]:
    return [part.strip() for part in parts if part.strip()]


# The first prefix that matches counts.
_SHAPES: tuple[tuple[str, Callable[[str], list[str]]], ...] = (
    ("ruler_qa", _documents),
    ("recsys", _dialogues),
    ("icl_", _examples),
    ("", _lines),  # novels
)


def _sessions(context: str, where: str) -> list[_Session]:
    """Return the sessions of a chat history.

    The published string is a list that alternates times and lists of turns, written as JSON or as
    a Python literal. It is parsed as data, never evaluated.
    """
    try:
        items = json.loads(context)
    except ValueError:
        try:
            items = ast.literal_eval(context)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(f"{where}: neither JSON nor a list of sessions: {reason}") from error
    if not isinstance(items, list) or not items or len(items) % 2:
        raise UsageError(f"{where}: must alternate times and sessions")
    return [
        (_time(items[i], f"{where}, item {i}"), _turns(items[i + 1], f"{where}, item {i + 1}"))
        for i in range(0, len(items), 2)
    ]


def _time(item: Any, where: str) -> datetime:
    found = _TIME.search(item) if isinstance(item, str) else None
    try:
        if found:
            year, month, day, hour, minute = (int(part or 0) for part in found.groups())
            return datetime(year, month, day, hour, minute)
    except ValueError as error:
        raise UsageError(f'{where}: "{item}" is no time: {error}') from error
    raise UsageError(f"{where}: must hold a time such as 2023/05/20 (Sat) 02:21, got {item!r:.60}")


def _turns(item: Any, where: str) -> list[str]:
    if not isinstance(item, list):
        raise UsageError(f"{where}: must be a list of turns")
    turns = []
    for number, turn in enumerate(item):
        spot = f"{where}, turn {number}"
        role, content = field(turn, "role", str, spot), field(turn, "content", str, spot)
        if content.strip():  # the published histories hold empty turns
            turns.append(f"{role.capitalize()}: {content.strip()}")
    return turns


def _chat_chunks(
    sessions: Sequence[_Session], rng: random.Random, max_tokens: int
) -> Iterator[str]:
    """Yield a chunk per session, several if it is long; each begins with the session's time."""
    for time, turns in sessions:
        for packed in pack(turns, rng, max_tokens, max_tokens):
            yield "\n".join([conversation_header(time), *(piece.text for piece in packed.pieces)])
