"""Turns sentences into text that looks like input: dated conversations and documents.

A chunk is one or more sections, conversations and documents in turn. Not here: what the sentences
say (the forms and the abilities).
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from memgym.tasks.procedural.engine import count_tokens
from memgym.tasks.procedural.filler_forms import (
    ASSISTANT_FILLER,
    DOCUMENT_FILLER,
    TITLES,
    USER_FILLER,
)
from memgym.tasks.procedural.scene import Scene

__all__ = [
    "FILLER_SENTENCE_TOKENS",
    "Style",
    "conversation",
    "conversation_header",
    "document",
    "document_header",
    "section_count",
    "section_style",
    "write_chunk",
]

Style = Literal["talk", "document"]

FILLER_SENTENCE_TOKENS = 14.5  # mean over the forms, with the share of headers and turn markers
_SECTION_TOKENS = 500
_FORM_TRIES = 4
_REMARK_SHARE = 0.4
_TURN_TOKENS = 1.2  # what a turn marker adds, spread over the sentences of a conversation


@dataclass(frozen=True, slots=True)
class _Drawn:
    text: str
    speaker: Literal["user", "assistant"]


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


def write_chunk(
    *,
    scene: Scene,
    chunk: int,
    when: datetime,
    target_tokens: int,
    planned: Iterable[tuple[int, str]],
    background_share: float,
    fact: Callable[[random.Random, Style], str],
    remark: Callable[[random.Random], str],
    rng: random.Random,
) -> str:
    """Write one chunk: the planned sentences among background facts and filler.

    Args:
        scene: Gives names and values to the filler.
        chunk: Index of the chunk, which decides the style of its first section.
        when: Date and time of the chunk.
        target_tokens: Size to reach, o200k tokens; missed by about half a sentence.
        planned: Pairs of a section index and a sentence that this section must hold.
        background_share: Share of the other sentences that state a background fact.
        fact: Draws a background fact in a style.
        remark: Draws a sentence that touches on a subject without stating anything about it.
        rng: The chunk's own generator.
    """
    sections = section_count(target_tokens)
    supply = _Supply(scene, fact, remark, rng)
    texts: list[str] = []
    used = 0.0
    owed = rng.random()
    for number in range(sections):
        style = section_style(chunk, number)
        header = (
            conversation_header(when)
            if style == "talk"
            else document_header(when, scene.render(rng.choice(TITLES), rng))
        )
        used += count_tokens(header) + 1
        mine = [_Drawn(text, "user") for at, text in planned if at == number]
        used += sum(_cost(item.text, style) for item in mine)
        goal = target_tokens * (number + 1) / sections
        while True:
            owed += background_share
            item = supply.draw(style, owed >= 1.0, mine)
            cost = _cost(item.text, style)
            if used + cost / 2 > goal and (mine or used + cost > goal * 1.5):
                owed -= background_share
                break
            owed -= owed >= 1.0
            used += cost
            mine.append(item)
        texts.append(f"{header}\n{_arrange(mine, style, rng)}")
    return "\n\n".join(texts)


def _cost(sentence: str, style: Style) -> float:
    return count_tokens(" " + sentence) + (_TURN_TOKENS if style == "talk" else 0.0)


@dataclass(frozen=True, slots=True)
class _Supply:
    """Draws the sentences that fill a section up."""

    scene: Scene
    fact: Callable[[random.Random, Style], str]
    remark: Callable[[random.Random], str]
    rng: random.Random
    _used: set[str] = field(default_factory=set)

    def draw(self, style: Style, factual: bool, before: Sequence[_Drawn]) -> _Drawn:
        rng = self.rng
        if factual:
            return _Drawn(self.fact(rng, style), "user")
        if style == "talk" and rng.random() < 0.6:
            replies = sum(item.speaker == "assistant" for item in before)
            if replies < len(before) - replies:
                return _Drawn(self._filler(ASSISTANT_FILLER), "assistant")
        if rng.random() < _REMARK_SHARE:
            return _Drawn(self.remark(rng), "user")
        forms = USER_FILLER if style == "talk" else DOCUMENT_FILLER
        return _Drawn(self._filler(forms), "user")

    def _filler(self, forms: tuple[str, ...]) -> str:
        """Fill a form, if possible one that this chunk has not used yet."""
        form = self.rng.choice(forms)
        for _ in range(_FORM_TRIES):
            if form not in self._used:
                break
            form = self.rng.choice(forms)
        self._used.add(form)
        return self.scene.render(form, self.rng)


def _arrange(items: list[_Drawn], style: Style, rng: random.Random) -> str:
    rng.shuffle(items)
    if style == "document":
        return document([item.text for item in items], rng)
    return conversation(
        [item.text for item in items if item.speaker == "user"],
        [item.text for item in items if item.speaker == "assistant"],
        rng,
    )
