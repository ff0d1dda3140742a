"""SQuAD: Wikipedia paragraphs with questions whose answers are spans of them.

Dataset card
    Origin: SQuAD v1.1 and v2.0, the official JSON files (Rajpurkar et al. 2016, "SQuAD: 100,000+
    Questions for Machine Comprehension of Text"; 2018, "Know What You Don't Know"). Wanted:
    ``train*.json`` and ``dev*.json`` in ``<data>/squad``. Licence: CC BY-SA 4.0.
    Ability: accurate retrieval. Question kind: text.
    Kept: answerable questions with a gold of at most ``max_answer_words`` words (longer golds of
    a question are dropped, all distinct shorter ones kept), at most ``questions`` per episode.
    Evidence: the sentence that holds the first kept gold's span.
    Episodes: paragraphs in file order, packed into ``chunks`` chunks of a random size from
    ``min_tokens`` to ``max_tokens``. Left out and counted: paragraphs met before, questions
    without an answer or a short gold, questions asked before in the episode, questions whose
    evidence was split between chunks (only sentences longer than a chunk), groups with fewer than
    ``min_questions`` questions, and a last group of fewer than half the chunks (unless it is the
    only one).
    The published pipeline (Mem-alpha, section 1.3 of its data preparation) does the same but keeps
    only the first gold and only questions that Qwen3-32B answers wrongly without the text. We have
    no model in the data path, so a few of our questions can be answered from general knowledge.

Splits
    ``test``: the dev files. ``train``, ``validation``: the train files, by a hash of the article
    title (10 % of the articles are for validation), so that no article is in both and adding
    articles moves none. A train paragraph that also occurs in a dev file beside it is left out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memgym.episode import Episode, Evidence, Question
from memgym.errors import UsageError
from memgym.tasks.chunking import (
    PackedChunk,
    check_sizes,
    conversation,
    pack,
    sentence_spans,
)
from memgym.tasks.files import (
    bucket,
    data_path,
    digest,
    field,
    find_files,
    matching_files,
    read_json,
)
from memgym.tasks.procedural.engine import generator
from memgym.tasks.source import EpisodeSet, ListedEpisodes, parse_options

__all__ = ["SquadOptions", "load"]

_ORIGIN = "train-v1.1.json and dev-v1.1.json (or v2.0) of SQuAD, hub dataset rajpurkar/squad"
_VALIDATION_SHARE = 0.1
_PREFIX = {"train": "train", "validation": "train", "test": "dev"}


@dataclass(frozen=True, slots=True)
class SquadOptions:
    """Options of the ``squad`` source.

    Attributes:
        chunks: Chunks per episode.
        min_tokens: Smallest target size of a chunk, tokens.
        max_tokens: Largest size of a chunk, tokens.
        questions: Most questions per episode, drawn at random.
        min_questions: An episode with fewer is left out.
        max_answer_words: Longest gold, words; the published rule is fewer than five.
        path: A SQuAD file or a folder of them, instead of ``<data>/squad``.
    """

    chunks: int = 10
    min_tokens: int = 100
    max_tokens: int = 2_048
    questions: int = 100
    min_questions: int = 30
    max_answer_words: int = 4
    path: str = ""

    def __post_init__(self) -> None:
        check_sizes(self.min_tokens, self.max_tokens)
        for name in ("chunks", "questions", "min_questions", "max_answer_words"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class _Span:
    """An answerable question: its golds and where the first stands in the paragraph."""

    question: str
    golds: tuple[str, ...]
    start: int


@dataclass(frozen=True, slots=True)
class _Paragraph:
    title: str
    text: str
    spans: tuple[_Span, ...]


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the SQuAD episodes of one split.

    Raises:
        UsageError: a bad option, missing files, or a file that is not SQuAD (names the place).
    """
    chosen = parse_options(SquadOptions, options, "squad")
    folder = data_path(data, "squad", chosen.path, "squad", _ORIGIN)
    excluded: Counter[str] = Counter()
    paragraphs = list(_paragraphs(folder, split, chosen.max_answer_words, excluded))
    settings = str({**asdict(chosen), "path": ""})
    rng = generator(digest("squad", split, settings))
    texts = [paragraph.text for paragraph in paragraphs]
    packed = list(pack(texts, rng, chosen.min_tokens, chosen.max_tokens))
    located = _locate(packed, paragraphs, excluded)
    groups: dict[str, tuple[Sequence[PackedChunk], list[Question]]] = {}
    for start in range(0, len(packed), chosen.chunks):
        group = packed[start : start + chosen.chunks]
        questions = _questions(located[start : start + chosen.chunks], excluded)
        too_short = groups and len(group) * 2 < chosen.chunks
        if too_short or len(questions) < chosen.min_questions:
            excluded[f"group of {len(group)} chunks with {len(questions)} questions"] += 1
            continue
        content = digest(settings, *(chunk.text for chunk in group))
        groups[f"squad/{split}/{len(groups)}-{content[:8]}"] = (group, questions)
    ids = list(groups)

    def make(index: int) -> Episode:
        group, questions = groups[ids[index]]
        titles = dict.fromkeys(paragraphs[p.source].title for chunk in group for p in chunk.pieces)
        metadata = {"split": split, "articles": list(titles)}
        return _episode(ids[index], group, questions, chosen.questions, metadata)

    return ListedEpisodes(f"squad/{split}", ids, make, excluded)


def _episode(
    identifier: str,
    group: Sequence[PackedChunk],
    questions: Sequence[Question],
    most: int,
    metadata: Mapping[str, Any],
) -> Episode:
    """Put the chunks into conversations and draw at most ``most`` questions, order kept."""
    rng = generator(identifier)
    chunks = tuple(conversation(i, chunk.text, rng) for i, chunk in enumerate(group))
    kept = sorted(rng.sample(range(len(questions)), min(most, len(questions))))
    asked = tuple(questions[i] for i in kept)
    return Episode(identifier, "squad", "accurate_retrieval", chunks, asked, metadata)


def _locate(
    packed: Sequence[PackedChunk], paragraphs: Sequence[_Paragraph], excluded: Counter[str]
) -> list[list[tuple[_Span, str]]]:
    """Return, for every chunk, the questions it answers, each with its evidence."""
    located: list[list[tuple[_Span, str]]] = [[] for _ in packed]
    pieces: dict[int, list[tuple[str, int]]] = {}
    for index, chunk in enumerate(packed):
        for piece in chunk.pieces:
            pieces.setdefault(piece.source, []).append((piece.text, index))
    for source, paragraph in enumerate(paragraphs):
        sentences = sentence_spans(paragraph.text) if paragraph.spans else []
        for span in paragraph.spans:
            evidence = _evidence(span, paragraph.text, sentences)
            place = next((index for text, index in pieces[source] if evidence in text), None)
            if place is None:
                excluded["question whose evidence is split between chunks"] += 1
            else:
                located[place].append((span, evidence))
    return located


def _questions(
    located: Sequence[Sequence[tuple[_Span, str]]], excluded: Counter[str]
) -> list[Question]:
    """Return the distinct questions of an episode, given those of its chunks."""
    questions: dict[str, Question] = {}
    for index, found in enumerate(located):
        for span, text in found:
            if span.question in questions:
                excluded["question asked before in the episode"] += 1
                continue
            evidence = (Evidence(index, text),)
            questions[span.question] = Question(span.question, span.golds, evidence=evidence)
    return list(questions.values())


def _evidence(span: _Span, text: str, sentences: Sequence[tuple[int, int]]) -> str:
    """Return the sentence that holds the gold, or the run of sentences if it crosses an end."""
    end = span.start + len(span.golds[0])
    start = max((first for first, _ in sentences if first <= span.start), default=0)
    stop = min((last for _, last in sentences if last >= end), default=len(text))
    return text[start:stop]


def _paragraphs(
    folder: Path, split: str, max_words: int, excluded: Counter[str]
) -> Iterator[_Paragraph]:
    """Yield the split's distinct paragraphs in file order, counting what is left out."""
    seen = set() if split == "test" else _test_texts(folder)
    for file in matching_files(folder, _PREFIX[split], ".json", _ORIGIN):
        for title, text, items, where in _read(file):
            if split != "test" and _split_of(title) != split:
                continue
            if text in seen:
                excluded["paragraph met before"] += 1
                continue
            seen.add(text)
            spans = (
                _span(item, text, max_words, f"{where}, question {number}", excluded)
                for number, item in enumerate(items)
            )
            yield _Paragraph(title, text, tuple(span for span in spans if span))


def _test_texts(folder: Path) -> set[str]:
    """Return the paragraphs of the dev files beside the train files, if there are any."""
    files = find_files(folder, _PREFIX["test"], ".json")
    return {text for file in files for _, text, _, _ in _read(file)}


def _split_of(title: str) -> str:
    return "validation" if bucket("squad", title) < _VALIDATION_SHARE else "train"


def _read(path: Path) -> Iterator[tuple[str, str, list[Any], str]]:
    """Yield title, text, raw questions and place of each paragraph of one official file."""
    top = read_json(path)
    if not isinstance(top, dict) or not isinstance(top.get("data"), list):
        raise UsageError(f'{path}: not SQuAD: the top level must be an object with a list "data"')
    for number, article in enumerate(top["data"]):
        where = f"{path}, article {number}"
        title = field(article, "title", str, where)
        for place, paragraph in enumerate(field(article, "paragraphs", list, where)):
            spot = f"{where}, paragraph {place}"
            text = field(paragraph, "context", str, spot)
            if not text.strip():
                raise UsageError(f"{spot}: its context is empty")
            yield title, text, field(paragraph, "qas", list, spot), spot


def _span(item: Any, text: str, max_words: int, where: str, excluded: Counter[str]) -> _Span | None:
    """Return the question with its short golds, or None (counted) if it has none."""
    question = field(item, "question", str, where).strip()
    if not question:
        raise UsageError(f"{where}: its question is empty")
    if item.get("is_impossible"):
        excluded["question without an answer"] += 1
        return None
    golds: dict[str, int] = {}
    for answer in field(item, "answers", list, where):
        gold = field(answer, "text", str, where)
        start = field(answer, "answer_start", int, where)
        if text[start : start + len(gold)] != gold:
            raise UsageError(f'{where}: "{gold[:60]}" does not stand at answer_start {start}')
        if gold.strip() and len(gold.split()) <= max_words:
            golds.setdefault(gold, start)
    if not golds:
        excluded[f"question without a gold of at most {max_words} words"] += 1
        return None
    return _Span(question, tuple(golds), next(iter(golds.values())))
