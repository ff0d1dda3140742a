"""Abstracts whose sentences have labels: the part that such sources share.

A source reads its own files into abstracts and describes itself; here they are given to splits and
drawn into episodes. A hash of its text gives each abstract to one use in one split:

===========  ==================  ===================  ===================
split        files               examples             questions
===========  ==================  ===================  ===================
train        train and dev file  60 % of abstracts    12 % of abstracts
validation   train and dev file  20 % of abstracts    8 % of abstracts
test         test file           80 % of abstracts    20 % of abstracts
===========  ==================  ===================  ===================

So adding abstracts moves none. Stock sentences occur in many abstracts: one that has a use with
precedence (test before validation before train, questions before examples) is left out of the
others, which keeps every sentence in one split and no question among the examples.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.tasks.chunking import check_sizes, conversation, pack
from memgym.tasks.classification import (
    LabelledRow,
    label_questions,
    next_questions,
    text_key,
)
from memgym.tasks.files import bucket, data_path, digest, find_files, matching_files
from memgym.tasks.procedural.engine import generator
from memgym.tasks.source import LABEL_PREFACE, EpisodeSet, ListedEpisodes, parse_options
from memgym.text import format_example
from memgym.tokens import get_counter

__all__ = ["Abstract", "AbstractFormat", "AbstractOptions", "abstract_episodes"]

Abstract = tuple[LabelledRow, ...]
"""The labelled sentences of one abstract, in order."""

_Use = tuple[str, str]
_ORDER: tuple[_Use, ...] = tuple(
    (split, use) for split in ("test", "validation", "train") for use in ("question", "example")
)
_TEST_USES = ((0.20, ("test", "question")), (1.00, ("test", "example")))
_OTHER_USES = (
    (0.08, ("validation", "question")),
    (0.28, ("validation", "example")),
    (0.40, ("train", "question")),
    (1.00, ("train", "example")),
)


@dataclass(frozen=True, slots=True)
class AbstractOptions:
    """Options of a source of labelled abstracts.

    Attributes:
        chunks: Most chunks per episode; fewer if the split has too few abstracts.
        questions: Most questions per episode.
        instances: Number of episodes, each with example abstracts of its own, drawn from those of
            the split. Questions are dealt out in turn, so that they repeat between episodes only
            once all have been asked.
        min_tokens: Smallest target size of a chunk, tokens.
        max_tokens: Largest size of a chunk, tokens; a longer abstract is left out.
        path: A folder with the source's files, instead of its folder in the data folder.
    """

    chunks: int = 10
    questions: int = 100
    instances: int = 10
    min_tokens: int = 1_024
    max_tokens: int = 2_048
    path: str = ""

    def __post_init__(self) -> None:
        check_sizes(self.min_tokens, self.max_tokens)
        for name in ("chunks", "questions", "instances"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class AbstractFormat:
    """How a source's files are found and read.

    Attributes:
        source: Registry name, hash family and, with ``_`` for ``-``, folder in the data folder.
        suffix: End of the names of its files, which begin with ``train``, ``dev`` and ``test``.
        origin: How to get the data, for messages.
        read: Yields the abstracts of a file; raises UsageError naming the line.
    """

    source: str
    suffix: str
    origin: str
    read: Callable[[Path], Iterator[Abstract]]


def abstract_episodes(
    form: AbstractFormat, split: str, options: Mapping[str, Any], data: Path | None
) -> EpisodeSet:
    """Return the episodes of one split of a source of labelled abstracts.

    Raises:
        UsageError: a bad option, a missing or malformed file, or a split without examples or
            questions.
    """
    chosen = parse_options(AbstractOptions, options, form.source)
    folder = data_path(data, form.source.replace("-", "_"), chosen.path, form.source, form.origin)
    name = f"{form.source}/{split}"
    excluded: Counter[str] = Counter()
    found = _divide(form, folder, split, excluded)
    examples = _short_enough(found["example"], chosen.max_tokens, excluded)
    rows = [row for abstract in found["question"] for row in abstract]
    if not examples or not rows:
        raise UsageError(
            f"{name}: {len(examples)} example abstracts and {len(rows)} questions fall into this "
            "split; it needs some of both"
        )
    settings = str({**asdict(chosen), "path": ""})
    order = generator(digest(name, "questions")).sample(rows, len(rows))
    content = digest(settings, split, *(str(item) for item in (*examples, *order)))
    ids = [f"{name}/{index}-{content[:8]}" for index in range(chosen.instances)]

    def make(index: int) -> Episode:
        asked = next_questions(order, index, chosen.questions)
        return _episode(ids[index], split, examples, asked, chosen)

    return ListedEpisodes(name, ids, make, excluded)


def _divide(
    form: AbstractFormat, folder: Path, split: str, excluded: Counter[str]
) -> dict[str, list[Abstract]]:
    """Return the split's abstracts by use, without the sentences that belong elsewhere."""
    uses: dict[_Use, list[Abstract]] = {use: [] for use in _ORDER}
    for held_out, path in _files(form, folder, split):
        for abstract in form.read(path):
            text = "\n".join(text_key(row.text) for row in abstract)
            share = bucket(form.source, text)
            table = _TEST_USES if held_out else _OTHER_USES
            uses[next(use for end, use in table if share < end)].append(abstract)
    seen: set[str] = set()
    found: dict[str, list[Abstract]] = {}
    for use in _ORDER:
        kept = [_unseen(abstract, seen) for abstract in uses[use]]
        if use[0] == split:
            sentences = sum(map(len, uses[use])) - sum(map(len, kept))
            if sentences:
                excluded[f"sentence for {use[1]}s that occurs before or with precedence"] = (
                    sentences
                )
            found[use[1]] = [abstract for abstract in kept if abstract]
            if len(found) == 2:
                break
    return found


def _files(form: AbstractFormat, folder: Path, split: str) -> Iterator[tuple[bool, Path]]:
    """Yield the files that matter for a split, and whether each is the test file."""
    if split == "test":
        tests = matching_files(folder, "test", form.suffix, form.origin)
    else:
        tests = find_files(folder, "test", form.suffix)
        others = [
            *find_files(folder, "train", form.suffix),
            *find_files(folder, "dev", form.suffix),
        ]
        if not others:
            others = matching_files(folder, "train", form.suffix, form.origin)
        yield from ((False, path) for path in others)
    yield from ((True, path) for path in tests)


def _unseen(abstract: Abstract, seen: set[str]) -> Abstract:
    """Return the abstract without sentences met before; remembers the others."""
    kept = []
    for row in abstract:
        key = text_key(row.text)
        if key not in seen:
            seen.add(key)
            kept.append(row)
    return tuple(kept)


def _written(abstract: Abstract) -> str:
    return "\n".join(format_example(row.text, row.label) for row in abstract)


def _short_enough(
    abstracts: Sequence[Abstract], max_tokens: int, excluded: Counter[str]
) -> list[Abstract]:
    count = get_counter().count
    kept = [abstract for abstract in abstracts if count(_written(abstract)) <= max_tokens]
    if len(kept) < len(abstracts):
        excluded[f"abstract of more than {max_tokens} tokens"] = len(abstracts) - len(kept)
    return kept


def _episode(
    identifier: str,
    split: str,
    pool: Sequence[Abstract],
    asked: Sequence[LabelledRow],
    options: AbstractOptions,
) -> Episode:
    rng = generator(identifier)
    drawn = rng.sample(pool, len(pool))
    texts = [_written(abstract) for abstract in drawn]
    packed = pack(texts, rng, options.min_tokens, options.max_tokens)
    shown: list[LabelledRow] = []
    places: dict[str, int] = {}
    chunks = []
    for index, chunk in enumerate(itertools.islice(packed, options.chunks)):
        for piece in chunk.pieces:
            shown.extend(drawn[piece.source])
            for row in drawn[piece.source]:
                places[format_example(row.text, row.label)] = index
        chunks.append(conversation(index, chunk.text, rng, examples=True))
    return Episode(
        identifier,
        identifier.split("/", maxsplit=1)[0],
        "test_time_learning",
        tuple(chunks),
        label_questions(asked, shown, places),
        {"split": split, "question_preface": LABEL_PREFACE},
    )
