"""What two datasets share: the check that nothing of a test set is trained on.

Compared are

- questions: the same words and at least one gold in common (a question such as "Summarise the
  meeting" is asked of every meeting, and gives nothing away with another gold);
- labelled sentences, whether shown as an example or asked about, whatever their labels;
- passages: lines of text of at least 13 words, the same word by word;
- near passages: lines that share a run of 13 words, the usual measure of contamination.

Words are runs of letters and digits, case folded. What memgym writes around a text (the line that
opens a conversation, names of speakers) is left aside; runs of words never cross a line.

Procedural text says everything in the same few hundred sentence forms, so lines of it are equal by
design. Of that text the sentences that questions rest on are compared, whole.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from memgym.episode import Episode
from memgym.text import labelled_examples

__all__ = ["RUN_WORDS", "Fingerprint", "Overlap", "Place", "find_overlaps", "fingerprint"]

RUN_WORDS = 13
"""Length of the shared run of words that makes two passages near, words."""

_WORD = re.compile(r"\w+")
_AROUND = re.compile(r"\[(?:Conversation|Document|Dialogue|Event)\b[^\n]*\]$")
_SPEAKER = re.compile(r"^<?(?:User|Assistant|System)(?:>|: ?)", re.IGNORECASE | re.MULTILINE)
_EXAMPLE_LINE = re.compile(r"(?:Sentence|Sample|Text|Utterance|Labels?)[ \t]*:", re.IGNORECASE)
_BASE = 0x9E3779B97F4A7C15  # odd, so that products keep all 64 bits


class Place(NamedTuple):
    """Where something stands: an episode id, and a chunk or question of it."""

    episode: str
    part: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """Something that two datasets share.

    Attributes:
        kind: What is the same, see the module.
        first: Where it stands in the first dataset; the first place, if it stands in several.
        second: Where it stands in the second.
        text: What is shared; of near passages the first shared run of words.
    """

    kind: Literal["question", "labelled sentence", "passage", "near passage"]
    first: Place
    second: Place
    text: str


@dataclass(slots=True)
class Fingerprint:
    """What a dataset is compared by. Its size is that of the dataset's distinct text.

    Attributes:
        name: Names the dataset.
        questions: "words = gold" -> place and question.
        sentences: Words of a labelled sentence -> place.
        passages: Words of a line -> place, in reading order.
        statements: Words of a procedural sentence that a question rests on -> place.
        runs: Hashes of the distinct runs of 13 words, sorted.
        sources: Index into ``passages`` of the first passage of each run.
    """

    name: str
    questions: dict[str, tuple[Place, str]] = field(default_factory=dict)
    sentences: dict[str, Place] = field(default_factory=dict)
    passages: dict[str, Place] = field(default_factory=dict)
    statements: dict[str, Place] = field(default_factory=dict)
    runs: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    sources: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def fingerprint(name: str, episodes: Iterable[Episode]) -> Fingerprint:
    """Read a dataset once and return what it is compared by."""
    found = Fingerprint(name)
    for episode in episodes:
        _add_questions(found, episode)
        for number, chunk in enumerate(episode.chunks):
            place = Place(episode.id, f"chunk {number}")
            for example in labelled_examples(_SPEAKER.sub("", chunk)):
                found.sentences.setdefault(_key(example.text), place)
            if not episode.source.startswith("procedural"):
                _add_passages(found, chunk, place)
    found.runs, found.sources = _runs(list(found.passages))
    return found


def _add_passages(found: Fingerprint, chunk: str, place: Place) -> None:
    for line in _lines(chunk):
        words = _words(line)
        if len(words) >= RUN_WORDS:
            found.passages.setdefault(" ".join(words), place)


def _add_questions(found: Fingerprint, episode: Episode) -> None:
    for number, question in enumerate(episode.questions):
        place = Place(episode.id, f"question {number}")
        if question.kind == "label":
            found.sentences.setdefault(_key(question.question), place)
        else:
            for gold in question.answers:
                key = f"{_key(question.question)} = {_key(gold)}"
                found.questions.setdefault(key, (place, question.question))
            if episode.source.startswith("procedural"):
                for item in question.evidence:
                    found.statements.setdefault(_key(item.text), place)


def _lines(chunk: str) -> Iterator[str]:
    """Yield the lines of text, without labelled examples and what stands around the text."""
    for line in chunk.splitlines():
        said = _SPEAKER.sub("", line)
        if not _AROUND.match(line) and not _EXAMPLE_LINE.match(said):
            yield said


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _key(text: str) -> str:
    return " ".join(_words(text)) or text.strip()


def _runs(passages: Sequence[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Return the distinct hashes of all runs of words, sorted, and the passage of each."""
    numbers: dict[str, int] = {}
    hashes: list[npt.NDArray[np.uint64]] = []
    places: list[npt.NDArray[np.int64]] = []
    for index, passage in enumerate(passages):
        words = np.array([_word_hash(word, numbers) for word in passage.split()], np.uint64)
        count = len(words) - RUN_WORDS + 1
        run = np.zeros(count, np.uint64)
        for offset in range(RUN_WORDS):
            run = run * np.uint64(_BASE) + words[offset : offset + count]
        hashes.append(run)
        places.append(np.full(count, index, np.int64))
    if not hashes:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    distinct, first = np.unique(np.concatenate(hashes), return_index=True)
    return distinct, np.concatenate(places)[first]


def _word_hash(word: str, known: dict[str, int]) -> int:
    if word not in known:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        known[word] = int.from_bytes(digest, "big")
    return known[word]


def find_overlaps(first: Fingerprint, second: Fingerprint) -> list[Overlap]:
    """Return what two datasets share: questions, labelled sentences, passages, near passages."""
    overlaps: list[Overlap] = []
    asked: set[tuple[Place, Place]] = set()
    for key, (place, text) in first.questions.items():
        if key in second.questions:
            other = second.questions[key][0]
            if (place, other) not in asked:  # one of several golds in common is enough
                asked.add((place, other))
                overlaps.append(Overlap("question", place, other, text))
    for key, place in first.sentences.items():
        if key in second.sentences:
            overlaps.append(Overlap("labelled sentence", place, second.sentences[key], key))
    for mine, theirs in (
        (first.passages, second.passages),
        (first.statements, second.statements),
    ):
        for key, place in mine.items():
            if key in theirs:
                overlaps.append(Overlap("passage", place, theirs[key], key))
    return overlaps + list(_near(first, second))


def _near(first: Fingerprint, second: Fingerprint) -> Iterator[Overlap]:
    """Yield pairs of passages that share a run of words but are not the same."""
    _, mine, theirs = np.intersect1d(
        first.runs, second.runs, assume_unique=True, return_indices=True
    )
    pairs = zip(first.sources[mine].tolist(), second.sources[theirs].tolist(), strict=True)
    passages, others = list(first.passages), list(second.passages)
    for one, other in sorted(set(pairs)):
        text = passages[one]
        # A passage that the other dataset has whole was reported as such.
        if text in second.passages or others[other] in first.passages:
            continue
        shared = _shared_run(text, others[other])
        if shared:  # hashes of different runs can be equal
            yield Overlap(
                "near passage", first.passages[text], second.passages[others[other]], shared
            )


def _shared_run(first: str, second: str) -> str:
    words, padded = first.split(), f" {second} "
    for start in range(len(words) - RUN_WORDS + 1):
        run = " ".join(words[start : start + RUN_WORDS])
        if f" {run} " in padded:
            return run
    return ""
