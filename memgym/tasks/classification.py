"""Classification taught by examples: the part that every source of labelled sentences shares.

A source reads its own files into rows and describes itself; here the rows are given to splits and
drawn into episodes (for labelled abstracts see :mod:`memgym.tasks.abstracts`). A hash of its text
gives each train row to one use in one split:

===========  ========  =========
split        examples  questions
===========  ========  =========
train        45 %      10 %
validation   15 %      5 %
test         25 %      the test rows
===========  ========  =========

So no sentence is in two splits, adding rows moves none, and no question is also an example.
"""

import random
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from memgym.episode import Episode, Evidence, Question
from memgym.errors import UsageError
from memgym.tasks.chunking import check_sizes, conversation, pack
from memgym.tasks.files import bucket, digest
from memgym.tasks.procedural.engine import generator
from memgym.tasks.source import LABEL_PREFACE, ListedEpisodes
from memgym.text import format_example
from memgym.tokens import get_counter

__all__ = [
    "ClassificationOptions",
    "LabelledRow",
    "classification_episodes",
    "label_questions",
    "next_questions",
    "number_labels",
    "text_key",
]

_USES = (
    (0.45, ("train", "example")),
    (0.55, ("train", "question")),
    (0.70, ("validation", "example")),
    (0.75, ("validation", "question")),
    (1.00, ("test", "example")),
)
_MOST_EVIDENCE = 5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class ClassificationOptions:
    """Options of a classification source.

    Attributes:
        shots: Examples per label; a label with fewer rows shows all it has.
        questions: Most questions per episode.
        instances: Number of episodes, each with examples of its own. Questions are dealt out in
            turn, so that they repeat between episodes only once all have been asked.
        min_tokens: Smallest target size of a chunk, tokens.
        max_tokens: Largest size of a chunk, tokens.
        path: A folder with the source's files, instead of its folder in the data folder.
    """

    shots: int = 5
    questions: int = 100
    instances: int = 10
    min_tokens: int = 1_000
    max_tokens: int = 2_000
    path: str = ""

    def __post_init__(self) -> None:
        check_sizes(self.min_tokens, self.max_tokens)
        for name in ("shots", "questions", "instances"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")


class LabelledRow(NamedTuple):
    """A sentence and its label, a number written out."""

    text: str
    label: str


def classification_episodes(
    source: str,
    split: str,
    train: Iterable[LabelledRow],
    test: Iterable[LabelledRow],
    options: ClassificationOptions,
    *,
    family: str = "",
) -> ListedEpisodes:
    """Return the episodes of one split of a classification source.

    Args:
        source: Registry name.
        split: ``train``, ``validation`` or ``test``.
        train: Rows of the training file.
        test: Rows of the test file, asked about in split ``test`` only.
        options: Checked options.
        family: Shared name of sources that label the same sentences in different ways: a sentence
            then has the same split and use in all of them. By default the source itself.

    Raises:
        UsageError: no example or no question is left for the split, or an example is longer than
            a chunk.
    """
    excluded: Counter[str] = Counter()
    examples, questions = _divide(family or source, split, train, test, excluded)
    if not examples or not questions:
        raise UsageError(
            f"{source}/{split}: {len(examples)} examples and {len(questions)} questions fall into "
            "this split; it needs some of both"
        )
    _check_lengths(examples, source, options.max_tokens)
    settings = str({**asdict(options), "path": ""})
    order = generator(digest(source, split, "questions")).sample(questions, len(questions))
    content = digest(settings, split, *(str(row) for row in (*examples, *order)))
    ids = [f"{source}/{split}/{index}-{content[:8]}" for index in range(options.instances)]

    def make(index: int) -> Episode:
        asked = next_questions(order, index, options.questions)
        return _episode(ids[index], split, examples, asked, options)

    return ListedEpisodes(f"{source}/{split}", ids, make, excluded)


def _divide(
    family: str,
    split: str,
    train: Iterable[LabelledRow],
    test: Iterable[LabelledRow],
    excluded: Counter[str],
) -> tuple[list[LabelledRow], list[LabelledRow]]:
    """Return the split's rows to show as examples and its rows to ask about."""
    asked = {text_key(row.text): row for row in _distinct(test, {}, excluded)}
    uses: dict[tuple[str, str], list[LabelledRow]] = {}
    for row in _distinct(train, asked, excluded):
        share = bucket(family, text_key(row.text))
        uses.setdefault(next(use for end, use in _USES if share < end), []).append(row)
    questions = list(asked.values()) if split == "test" else uses.get((split, "question"), [])
    examples = uses.get((split, "example"), [])
    taught = {row.label for row in examples}
    answerable = [row for row in questions if row.label in taught]
    if examples and len(answerable) < len(questions):
        untaught = len(questions) - len(answerable)
        excluded["question whose label has no example in the split"] = untaught
    return examples, answerable if examples else questions


def number_labels(names: Iterable[str]) -> dict[str, str]:
    """Return name -> label: its place in the list, as a number written out."""
    return {name: str(index) for index, name in enumerate(names)}


def text_key(text: str) -> str:
    """Return what two texts share that count as the same one: case and punctuation aside."""
    return " ".join(_WORD.findall(text.casefold())) or " ".join(text.split())


def _distinct(
    rows: Iterable[LabelledRow], held_out: Container[str], excluded: Counter[str]
) -> Iterator[LabelledRow]:
    """Yield the rows whose text is neither held out nor met before; count the others."""
    seen: set[str] = set()
    for row in rows:
        key = text_key(row.text)
        if key in held_out:
            excluded["train row that is a test question"] += 1
        elif key in seen:
            excluded["row met before"] += 1
        else:
            seen.add(key)
            yield row


def _check_lengths(examples: Sequence[LabelledRow], source: str, max_tokens: int) -> None:
    count = get_counter().count
    longest = max(count(format_example(row.text, row.label)) for row in examples)
    if longest > max_tokens:
        raise UsageError(
            f'source "{source}": max_tokens {max_tokens} is too small for an example of {longest} '
            "tokens"
        )


def next_questions(order: Sequence[LabelledRow], index: int, most: int) -> list[LabelledRow]:
    """Return the questions of episode ``index``: the next ``most`` ones in a fixed random order."""
    size = min(most, len(order))
    return [order[(index * size + i) % len(order)] for i in range(size)]


def label_questions(
    asked: Iterable[LabelledRow], shown: Sequence[LabelledRow], places: Mapping[str, int]
) -> tuple[Question, ...]:
    """Return the questions, each with the most similar shown examples of its label as evidence.

    Args:
        asked: The rows to ask about.
        shown: The rows shown as examples.
        places: Chunk index of every shown example, by its text as written in the chunk.
    """
    questions = []
    for row in asked:
        similar = (format_example(near.text, near.label) for near in _most_similar(row, shown))
        evidence = tuple(Evidence(places[text], text) for text in similar)
        questions.append(Question(row.text, (row.label,), kind="label", evidence=evidence))
    return tuple(questions)


def _episode(
    identifier: str,
    split: str,
    pool: Sequence[LabelledRow],
    asked: Sequence[LabelledRow],
    options: ClassificationOptions,
) -> Episode:
    rng = generator(identifier)
    shown = _draw(pool, options.shots, rng)
    texts = [format_example(row.text, row.label) for row in shown]
    places: dict[str, int] = {}
    chunks = []
    for index, chunk in enumerate(pack(texts, rng, options.min_tokens, options.max_tokens)):
        places.update({piece.text: index for piece in chunk.pieces})
        body = "\n".join(piece.text for piece in chunk.pieces)
        chunks.append(conversation(index, body, rng, examples=True))
    short = sum(n < options.shots for n in Counter(row.label for row in shown).values())
    metadata = {
        "split": split,
        "question_preface": LABEL_PREFACE,
        "shots": options.shots,
        "labels_with_fewer_shots": short,
    }
    return Episode(
        identifier,
        identifier.split("/", maxsplit=1)[0],
        "test_time_learning",
        tuple(chunks),
        label_questions(asked, shown, places),
        metadata,
    )


def _draw(pool: Sequence[LabelledRow], shots: int, rng: random.Random) -> list[LabelledRow]:
    """Return up to ``shots`` rows of every label, in random order."""
    by_label: dict[str, list[LabelledRow]] = {}
    for row in pool:
        by_label.setdefault(row.label, []).append(row)
    drawn = [
        row
        for label in sorted(by_label)
        for row in rng.sample(by_label[label], min(shots, len(by_label[label])))
    ]
    rng.shuffle(drawn)
    return drawn


def _most_similar(row: LabelledRow, shown: Sequence[LabelledRow]) -> list[LabelledRow]:
    """Return the examples of the row's label that share most words with it (Jaccard)."""
    words = set(_WORD.findall(row.text.casefold()))

    def similarity(other: LabelledRow) -> float:
        theirs = set(_WORD.findall(other.text.casefold()))
        return len(words & theirs) / max(len(words | theirs), 1)

    same = [other for other in shown if other.label == row.label]
    return sorted(same, key=similarity, reverse=True)[:_MOST_EVIDENCE]
