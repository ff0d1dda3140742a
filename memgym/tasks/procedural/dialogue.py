"""Lays sentences out as text that looks like input: dated conversations and documents.

A chunk is one or more sections, conversations and documents in turn. Not here: what the sentences
say (the forms and the abilities), how many of them fill a chunk (``writing``).
"""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

__all__ = [
    "Style",
    "conversation",
    "conversation_header",
    "document",
    "document_header",
    "section_count",
    "section_style",
]

Style = Literal["talk", "document"]

_SECTION_TOKENS = 500


def conversation_header(when: datetime) -> str:
    """Return the line that opens a conversation."""
    return f"[Conversation of {when:%Y-%m-%d %H:%M}]"


def document_header(when: datetime, title: str) -> str:
    """Return the line that opens a document."""
    return f"[Document read on {when:%Y-%m-%d}: {title}]"


def section_count(target_tokens: int) -> int:
    """Return how many sections a chunk of ``target_tokens`` has."""
    return max(1, round(target_tokens / _SECTION_TOKENS))


def section_style(chunk: int, section: int) -> Style:
    """Return whether a section is a conversation or a document; neighbours alternate."""
    return "talk" if (chunk + section) % 2 == 0 else "document"


def conversation(user: Sequence[str], assistant: Sequence[str], rng: random.Random) -> str:
    """Return turns in which user and assistant say their sentences, beginning with the user.

    Without assistant sentences the assistant takes over a third of the user's.
    """
    mine, theirs = list(user), list(assistant)
    if not theirs and len(mine) > 2:
        theirs = [mine.pop() for _ in range(len(mine) // 3)]
    turns = max(1, min(len(theirs), (len(mine) + 1) // 2))
    lines = []
    for said, replied in zip(_cut(mine, turns, rng), _cut(theirs, turns, rng), strict=True):
        lines.extend(["User: " + " ".join(said)] if said else [])
        lines.extend(["Assistant: " + " ".join(replied)] if replied else [])
    return "\n".join(lines)


def document(sentences: Sequence[str], rng: random.Random) -> str:
    """Return the sentences in paragraphs of about five, divided by an empty line."""
    paragraphs = max(1, round(len(sentences) / 5))
    return "\n\n".join(" ".join(part) for part in _cut(sentences, paragraphs, rng) if part)


def _cut(items: Sequence[str], parts: int, rng: random.Random) -> list[Sequence[str]]:
    """Cut ``items`` into ``parts`` runs of uneven length, none empty if there are enough."""
    spare = max(0, len(items) - parts)
    step = spare / parts
    cuts = [round(step * (number + rng.uniform(-0.5, 0.5))) for number in range(1, parts)]
    ends = [number + min(cut, spare) for number, cut in enumerate(cuts, 1)] + [len(items)]
    return [items[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
