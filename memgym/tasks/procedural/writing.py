"""Writes the text of one chunk: the planned sentences among background facts and filler.

Not here: which facts are planned (the abilities, ``layout``), the markup (``dialogue``).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from memgym.tasks.procedural.dialogue import (
    Style,
    conversation,
    conversation_header,
    document,
    document_header,
    section_count,
    section_style,
)
from memgym.tasks.procedural.engine import count_tokens
from memgym.tasks.procedural.filler_forms import (
    ASSISTANT_FILLER,
    DOCUMENT_FILLER,
    TITLES,
    USER_FILLER,
)
from memgym.tasks.procedural.scene import Scene

__all__ = ["ChunkWriter"]

_TRIES = 4
_REMARK_SHARE = 0.4  # of the filler that the user or a document says
_REPLY_SHARE = 0.6  # of the filler in conversations, as long as the user has said more
_TURN_TOKENS = 1.2  # what turn markers add to a sentence of a conversation, on average


class _Sentence(NamedTuple):
    text: str
    speaker: Literal["user", "assistant"] = "user"


@dataclass(slots=True)
class ChunkWriter:
    """Writes one chunk.

    Attributes:
        scene: Gives names and values to the filler.
        fact: Draws a background fact in a style.
        remark: Draws a sentence that touches on a subject without stating how things are.
        background_share: Share of the sentences that are not planned which state a background fact.
        rng: The chunk's own generator.
    """

    scene: Scene
    fact: Callable[[random.Random, Style], str]
    remark: Callable[[random.Random], str]
    background_share: float
    rng: random.Random
    _owed: float = field(init=False)
    _used: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        # The fraction of a background fact that is due; starting anywhere keeps the share of facts
        # right on average, however small the chunks are.
        self._owed = self.rng.random()

    def write(
        self, chunk: int, when: datetime, target_tokens: int, planned: Sequence[tuple[int, str]]
    ) -> str:
        """Return the text of the chunk.

        Args:
            chunk: Its index, which decides the style of its first section.
            when: Its date and time.
            target_tokens: Size to reach, o200k tokens; missed by about half a sentence.
            planned: Pairs of a section index and a sentence that this section must hold.
        """
        sections = section_count(target_tokens)
        texts = []
        tokens = 0.0
        for number in range(sections):
            style = section_style(chunk, number)
            header = self._header(style, when)
            mine = [_Sentence(text) for section, text in planned if section == number]
            tokens += count_tokens(header) + 1 + sum(_cost(item, style) for item in mine)
            tokens += self._fill(mine, style, target_tokens * (number + 1) / sections - tokens)
            texts.append(f"{header}\n{self._arrange(mine, style)}")
        return "\n\n".join(texts)

    def _header(self, style: Style, when: datetime) -> str:
        if style == "talk":
            return conversation_header(when)
        return document_header(when, self.scene.render(self.rng.choice(TITLES), self.rng))

    def _fill(self, sentences: list[_Sentence], style: Style, room_tokens: float) -> float:
        """Add sentences up to the one that comes nearest to ``room_tokens``; return their cost."""
        added = 0.0
        while True:
            factual = self._owed + self.background_share >= 1.0
            item = self._draw(style, factual, sentences)
            cost = _cost(item, style)
            if sentences and added + cost / 2 > room_tokens:
                return added
            self._owed += self.background_share - factual
            added += cost
            sentences.append(item)

    def _draw(self, style: Style, factual: bool, before: Sequence[_Sentence]) -> _Sentence:
        if factual:
            return _Sentence(self.fact(self.rng, style))
        if style == "talk" and self.rng.random() < _REPLY_SHARE:
            replies = sum(item.speaker == "assistant" for item in before)
            if replies < len(before) - replies:
                return _Sentence(self._filler(ASSISTANT_FILLER), "assistant")
        if self.rng.random() < _REMARK_SHARE:
            return _Sentence(self._unused(lambda: self.remark(self.rng)))
        return _Sentence(self._filler(USER_FILLER if style == "talk" else DOCUMENT_FILLER))

    def _filler(self, forms: Sequence[str]) -> str:
        form = self._unused(lambda: self.rng.choice(forms))
        return self.scene.render(form, self.rng)

    def _unused(self, draw: Callable[[], str]) -> str:
        """Draw a form or sentence, if possible one that this chunk has not used yet."""
        drawn = draw()
        for _ in range(_TRIES):
            if drawn not in self._used:
                break
            drawn = draw()
        self._used.add(drawn)
        return drawn

    def _arrange(self, sentences: list[_Sentence], style: Style) -> str:
        self.rng.shuffle(sentences)
        if style == "document":
            return document([item.text for item in sentences], self.rng)
        user = [item.text for item in sentences if item.speaker == "user"]
        assistant = [item.text for item in sentences if item.speaker == "assistant"]
        return conversation(user, assistant, self.rng)


def _cost(sentence: _Sentence, style: Style) -> float:
    return count_tokens(" " + sentence.text) + (_TURN_TOKENS if style == "talk" else 0.0)
