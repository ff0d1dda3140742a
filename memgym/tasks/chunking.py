"""Packing texts into chunks of so many tokens, and the dated conversation around each chunk.

Shared by the builders from raw formats. Lengths are ``o200k_base`` tokens of the packed text, the
conversation around it not counted.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from memgym.errors import UsageError
from memgym.tasks.procedural.dialogue import conversation_header
from memgym.text import split_sentences
from memgym.tokens import get_counter

__all__ = ["PackedChunk", "Piece", "check_sizes", "conversation", "pack", "sentence_spans"]

JOINER = "\n\n"  # between the texts of one chunk

_FIRST_SESSION = datetime(2024, 1, 1, 9, 0)  # one session a day from here, as in the paper's data

_OPENERS = (
    "Here is something I have been reading today.",
    "I would like to keep what follows at hand.",
    "Another passage for your notes.",
    "Could you hold on to this for a while?",
    "I came across this and may come back to it.",
    "Let me share a few paragraphs with you.",
    "This is the next part of my reading.",
    "I will want to look this up again, so please note it.",
    "Have a look at the text below.",
    "These pages were on my desk this morning.",
    "Before I forget, here is some more material.",
    "Take in the following; questions may come much later.",
)
_EXAMPLE_OPENERS = (
    "Here are some sentences with the number of their label.",
    "I sorted these by hand, every one has its label below it.",
    "More labelled sentences for you to learn from.",
    "Study how these sentences are labelled.",
    "The next batch of examples, each with its label.",
    "These show which label goes with what kind of sentence.",
    "Please learn the labels from the sentences below.",
    "A few more examples of the same labels.",
    "Watch which number belongs to which sort of sentence.",
    "This is how I would label the following sentences.",
    "Today's examples, labelled as before.",
    "Let these examples teach you the labels.",
)
_ACKNOWLEDGEMENTS = (
    "Thanks, I have read it.",
    "Noted.",
    "All right, I will keep it in mind.",
    "Understood, go on whenever you like.",
    "I have taken that in.",
    "Good, that is stored away.",
    "Got it, thank you.",
    "Fine, I am ready for more.",
    "Read and remembered.",
    "Very well, ask me about it any time.",
    "Yes, I have it now.",
    "Done, what comes next?",
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A text, or a part of an over-long one: ``source`` is the text's index in the packed list."""

    source: int
    text: str


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """The pieces of one chunk in reading order."""

    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The pieces with a blank line between them."""
        return JOINER.join(piece.text for piece in self.pieces)


def check_sizes(min_tokens: int, max_tokens: int) -> None:
    """Check a range of chunk sizes.

    Raises:
        UsageError: it is empty or below 1.
    """
    if not 1 <= min_tokens <= max_tokens:
        raise UsageError(
            f"chunk sizes need 1 <= min_tokens <= max_tokens, got {min_tokens} and {max_tokens}"
        )


def pack(
    texts: Sequence[str], rng: random.Random, min_tokens: int, max_tokens: int
) -> Iterator[PackedChunk]:
    """Pack texts, in order, into chunks of random size.

    For every chunk a target is drawn from ``min_tokens`` to ``max_tokens``; texts are added whole
    while they fit it. The first text of a chunk is added even if it is longer than the target, but
    one longer than ``max_tokens`` is split between sentences (inside a sentence that is itself too
    long: between words), so no chunk is longer than that.
    """
    count = get_counter().count
    joint = count(JOINER)
    pieces: list[Piece] = []
    target, size = rng.randint(min_tokens, max_tokens), 0
    for source, text in enumerate(texts):
        for part in _split_long(text, max_tokens):
            tokens = count(part) + (joint if pieces else 0)
            if pieces and size + tokens > target:
                yield PackedChunk(tuple(pieces))
                pieces, size, target = [], 0, rng.randint(min_tokens, max_tokens)
                tokens -= joint
            pieces.append(Piece(source, part))
            size += tokens
    if pieces:
        yield PackedChunk(tuple(pieces))


def _split_long(text: str, max_tokens: int) -> Iterator[str]:
    count = get_counter().count
    if count(text) <= max_tokens:
        yield text
        return
    start = end = 0
    for first, last in sentence_spans(text):
        if end > start and count(text[start:last]) > max_tokens:
            yield text[start:end]
            start = first
        elif end == start:
            start = first
        end = last
        if count(text[start:end]) > max_tokens:
            yield from _split_words(text[start:end], max_tokens)
            start = end
    if end > start:
        yield text[start:end]


def _split_words(text: str, max_tokens: int) -> Iterator[str]:
    counter = get_counter()
    while counter.count(text) > max_tokens:
        head = counter.head(text, max_tokens)
        # No space (Chinese, a very long word): cut where the tokens end, but always move on.
        cut = max(head.rfind(" "), 0) or max(len(head), 1)
        yield text[:cut]
        text = text[cut:].lstrip()
    if text:
        yield text


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return where the sentences of :func:`memgym.text.split_sentences` start and end in a text."""
    spans: list[tuple[int, int]] = []
    position = 0
    for sentence in split_sentences(text):
        start = text.find(sentence, position)
        end = start + len(sentence)
        if start < 0:  # white space inside a labelled example was changed
            words = r"\s+".join(re.escape(word) for word in sentence.split())
            match = re.compile(words).search(text, position)
            if match is None:
                raise AssertionError(f"split_sentences made up a sentence: {sentence[:60]!r}")
            start, end = match.span()
        spans.append((start, end))
        position = end
    return spans


def conversation(index: int, body: str, rng: random.Random, *, examples: bool = False) -> str:
    """Return ``body`` as what a user says in a dated conversation with an assistant.

    Chunk ``index`` is dated ``index`` days after 1 January 2024, as in the paper's data; the
    wording is ours.

    Args:
        index: Chunk index.
        body: The text to remember.
        rng: Chooses the opening sentence and the acknowledgement.
        examples: Whether the body is a list of labelled examples (other openings).
    """
    date = _FIRST_SESSION + timedelta(days=index)
    opener = rng.choice(_EXAMPLE_OPENERS if examples else _OPENERS)
    return (
        f"{conversation_header(date)}\nUser: {opener}\n{body}\n"
        f"Assistant: {rng.choice(_ACKNOWLEDGEMENTS)}"
    )
