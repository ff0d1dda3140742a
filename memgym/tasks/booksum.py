"""BookSum: chapters of public-domain books, and what a summary of each chapter mentions.

Dataset card
    Origin: BookSum (Kryściński et al. 2021, "BookSum: A Collection of Datasets for Long-form
    Narrative Summarization", arXiv 2105.08209). Wanted in ``<data>/booksum`` (or in its subfolder
    ``all_chapterized_books``): a folder ``<number>-chapters`` per Project Gutenberg book, with one
    text file per chapter and, if there is one, ``toc.txt``. Licence: the books are in the public
    domain in the USA, alignment rows are BSD-3-Clause; the reference summaries are study-guide
    texts under their publishers' copyright, which we neither ship nor need.
    Ability: long-range understanding. Question kind: keywords, those that the summary shares with
    the chapter (see :mod:`memgym.tasks.keywords`); words of the question do not count.
    Summaries, the first found: the keyword file (option ``keywords``), which replaces summary and
    rule; the file named by ``summary_path`` of the chapter's first row in
    ``chapter_alignments.jsonl`` (or BookSum's ``chapter_summary_aligned_*.jsonl``) whose file is
    there; the summary that stands in the book: a paragraph in capitals at the chapter's start (then
    cut from the text) or a long heading in ``toc.txt``.
    Episodes: ``chapters`` successive chapters of a book, each packed into chunks of its own below a
    line with the day of reading, book and chapter, and one question per chapter that names chapter
    and days. Lines are rejoined to paragraphs; marks of footnotes and pictures are taken out.
    Evidence: the line that names the chapter, and a few sentences that hold the keywords.
    Left out and counted: chapters met before; questions on chapters without a summary or with
    fewer than ``min_keywords`` keywords (the chapters are read all the same); episodes without a
    question left.
    The published pipeline (Mem-alpha) has one chapter per episode, asks for a summary of what was
    read between two days, and takes as gold the keywords that GPT-4.1 finds in the summary.

Splits
    Blocks of four successive chapters go to a split by a hash of their text: 50 % train, 20 %
    validation, 30 % test. No chapter is in two splits whatever the options are, and added books
    move none. Books of which BookSum itself keeps some for testing may be trained on here: to
    compare with results on its test split, train on other books.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from memgym.episode import Episode, Evidence, Question
from memgym.errors import UsageError
from memgym.tasks.chunking import check_sizes, pack, sentence_spans
from memgym.tasks.files import (
    bucket,
    data_path,
    digest,
    field,
    read_json,
    read_json_lines,
    read_text,
)
from memgym.tasks.keywords import covering, extract_keywords
from memgym.tasks.procedural.dialogue import document_header
from memgym.tasks.procedural.engine import generator
from memgym.tasks.source import SUMMARY_PREFACE, EpisodeSet, ListedEpisodes, parse_options

__all__ = ["BooksumOptions", "load"]

_ORIGIN = "<number>-chapters/ folders of BookSum, repository salesforce/booksum"
_FIRST_DAY = datetime(2024, 1, 1, 20, 0)
_BLOCK = 4  # chapters that are given to a split together
_SPLITS = ((0.5, "train"), (0.7, "validation"), (1.0, "test"))
_HEADING = re.compile(r"\s*(?:part|book|volume|chapter|letter|scene|act)\b[^a-z]*", re.IGNORECASE)
_MARKS = re.compile(r"\[\d+\]|\[Illustration[^\]]*\]|_")
_LONG_HEADING = 4  # words from which a heading is a summary


@dataclass(frozen=True, slots=True)
class BooksumOptions:
    """Options of the ``booksum`` source.

    Attributes:
        chapters: Successive chapters in an episode, 1 to 4.
        min_tokens: Smallest target size of a chunk, tokens.
        max_tokens: Largest size of a chunk, tokens.
        min_keywords: A chapter with fewer keywords is not asked about.
        max_keywords: Most keywords of one chapter; the rarest are kept.
        keywords: A JSON file of ``{"<number>-chapters/<file>": [keyword, ...]}``.
        path: A folder with chapter folders, instead of ``<data>/booksum``.
    """

    chapters: int = 4
    min_tokens: int = 1_000
    max_tokens: int = 2_048
    min_keywords: int = 2
    max_keywords: int = 20
    keywords: str = ""
    path: str = ""

    def __post_init__(self) -> None:
        check_sizes(self.min_tokens, self.max_tokens)
        if not 1 <= self.chapters <= _BLOCK:
            raise UsageError(f"chapters must be from 1 to {_BLOCK}, got {self.chapters}")
        if not 1 <= self.min_keywords <= self.max_keywords:
            raise UsageError(
                "keywords need 1 <= min_keywords <= max_keywords, got "
                f"{self.min_keywords} and {self.max_keywords}"
            )


@dataclass(frozen=True, slots=True)
class _Chapter:
    """A chapter without its heading; ``summary`` is ``""`` if there is none."""

    key: str
    book: str
    name: str
    paragraphs: tuple[str, ...]
    summary: str

    @property
    def question(self) -> str:
        return f'What happens in {self.name} of "{self.book}"'


@dataclass(frozen=True, slots=True)
class _Planned:
    """The chapters of an episode and the keywords of each, none if it is not asked about."""

    chapters: tuple[_Chapter, ...]
    keywords: tuple[tuple[str, ...], ...]


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the BookSum episodes of one split.

    Raises:
        UsageError: a bad option, missing folders, or an unreadable or malformed file.
    """
    chosen = parse_options(BooksumOptions, options, "booksum")
    folder = data_path(data, "booksum", chosen.path, "booksum", _ORIGIN)
    given = _keyword_file(chosen.keywords)
    excluded: Counter[str] = Counter()
    settings = str({**asdict(chosen), "path": "", "keywords": ""})
    planned: dict[str, _Planned] = {}
    for block in _blocks(folder, excluded):
        share = bucket("booksum", *("\n".join(chapter.paragraphs) for chapter in block))
        if next(name for end, name in _SPLITS if share < end) != split:
            continue
        for start in range(0, len(block), chosen.chapters):
            plan = _plan(block[start : start + chosen.chapters], given, chosen, excluded)
            if not any(plan.keywords):
                excluded["episode without a question left"] += 1
                continue
            content = digest(settings, repr(plan))
            planned[f"booksum/{split}/{len(planned)}-{content[:8]}"] = plan
    ids = list(planned)

    def make(index: int) -> Episode:
        return _episode(ids[index], split, planned[ids[index]], chosen)

    return ListedEpisodes(f"booksum/{split}", ids, make, excluded)


def _plan(
    chapters: Sequence[_Chapter],
    given: Mapping[str, Sequence[str]] | None,
    options: BooksumOptions,
    excluded: Counter[str],
) -> _Planned:
    keywords = []
    for chapter in chapters:
        found: tuple[str, ...] = ()
        if given is not None:
            found = tuple(given.get(chapter.key, ()))
            reason = "chapter that is not in the keyword file"
        elif chapter.summary:
            text = [p[a:b] for p in chapter.paragraphs for a, b in sentence_spans(p)]
            found = extract_keywords(
                chapter.summary, text, without=chapter.question, most=options.max_keywords
            )
            found = found if len(found) >= options.min_keywords else ()
            reason = f"chapter with fewer than {options.min_keywords} keywords"
        else:
            reason = "chapter without a summary"
        if not found:
            excluded[reason] += 1
        keywords.append(found)
    return _Planned(tuple(chapters), tuple(keywords))


def _episode(identifier: str, split: str, plan: _Planned, options: BooksumOptions) -> Episode:
    rng = generator(identifier)
    chunks: list[str] = []
    questions: list[Question] = []
    for chapter, keywords in zip(plan.chapters, plan.keywords, strict=True):
        packed = list(pack(chapter.paragraphs, rng, options.min_tokens, options.max_tokens))
        days = [_FIRST_DAY + timedelta(days=len(chunks) + number) for number in range(len(packed))]
        headers = [
            document_header(day, f'"{chapter.book}", {chapter.name}, {number} of {len(packed)}')
            for number, day in enumerate(days, 1)
        ]
        sentences = [
            Evidence(len(chunks) + number, piece.text[start:end])
            for number, chunk in enumerate(packed)
            for piece in chunk.pieces
            for start, end in sentence_spans(piece.text)
        ]
        if keywords:
            places = covering(keywords, [sentence.text for sentence in sentences])
            evidence = (Evidence(len(chunks), headers[0]), *(sentences[i] for i in places))
            span = f"read from {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}"
            asked = f"{chapter.question}, {span}?"
            questions.append(Question(asked, keywords, "keywords", evidence=evidence))
        chunks += [f"{head}\n{chunk.text}" for head, chunk in zip(headers, packed, strict=True)]
    metadata = {
        "split": split,
        "question_preface": SUMMARY_PREFACE,
        "chapters": [chapter.key for chapter in plan.chapters],
    }
    return Episode(
        identifier, "booksum", "long_range_understanding", tuple(chunks), tuple(questions), metadata
    )


# --- the files


def _blocks(folder: Path, excluded: Counter[str]) -> Iterator[list[_Chapter]]:
    """Yield the runs of four successive chapters of every book, the last of a book shorter."""
    inner = folder / "all_chapterized_books"
    places = inner if inner.is_dir() else folder
    if not places.is_dir():
        raise UsageError(f"{places}: must be a folder with {_ORIGIN}")
    books = sorted(place for place in places.iterdir() if place.name.endswith("-chapters"))
    if not books:
        raise UsageError(f"no folder *-chapters in {places}; put there {_ORIGIN}")
    aligned = _alignments(folder)
    seen: set[str] = set()
    for book in books:
        chapters = []
        for chapter in _chapters(book, folder, aligned):
            text = "\n".join(chapter.paragraphs)
            if text in seen:
                excluded["chapter met before"] += 1
            else:
                seen.add(text)
                chapters.append(chapter)
        for start in range(0, len(chapters), _BLOCK):
            yield chapters[start : start + _BLOCK]


def _chapters(
    book: Path, folder: Path, aligned: Mapping[str, Sequence[tuple[str, str]]]
) -> Iterator[_Chapter]:
    """Yield the chapters of a book in the order of ``toc.txt`` or of their numbers."""
    number = book.name.removesuffix("-chapters")
    for name, heading, path in _contents(book):
        key = f"{book.name}/{path.name}"
        rows = aligned.get(key, ())
        title = next((title for title, _ in rows), f"Book {number}")
        paragraphs, inside = _paragraphs(path)
        files = [folder / summary for _, summary in rows if (folder / summary).is_file()]
        written = _summary_text(files[0]) if files else ""
        above = heading if len(heading.split()) >= _LONG_HEADING else ""
        yield _Chapter(key, title, name, paragraphs, written or inside or above)


def _contents(book: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield name, heading and file of each chapter."""
    toc = book / "toc.txt"
    if not toc.is_file():
        files = [path for path in book.glob("*.txt") if path.stem.isdigit()]
        for path in sorted(files, key=lambda path: int(path.stem)):
            yield f"Chapter {int(path.stem)}", "", path
        return
    for number, line in enumerate(read_text(toc).splitlines(), 1):
        if not line.strip():
            continue
        match line.split("|"):
            case [part, chapter, heading, file] if chapter.strip() and file.strip():
                name = ", ".join(filter(None, (part.strip(), chapter.strip())))
                yield name, heading.strip(), book / file.strip()
            case _:
                raise UsageError(f"{toc}, line {number}: must be part|chapter|heading|file")


def _paragraphs(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the paragraphs of a chapter, and the summary in capitals that opens it, if any."""
    blocks = re.split(r"\n\s*\n", _MARKS.sub("", read_text(path)))
    paragraphs = [" ".join(block.split()) for block in blocks if block.strip()]
    summary = ""
    if paragraphs and len(paragraphs[0].split()) <= 12 and _HEADING.match(paragraphs[0]):
        paragraphs = paragraphs[1:]
    if paragraphs and paragraphs[0].isupper() and len(paragraphs[0].split()) > _LONG_HEADING:
        summary, paragraphs = paragraphs[0], paragraphs[1:]
    if not paragraphs:
        raise UsageError(f"{path}: the chapter is empty")
    return tuple(paragraphs), summary


def _alignments(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Return book title and summary file of every alignment row, by chapter key."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(folder.glob("chapter_*align*.jsonl")):
        for where, row in read_json_lines(path):
            chapter = field(row, "chapter_path", str, where)
            title = field(row, "book_id", str, where).split(".")[0].strip()
            key = "/".join(Path(chapter).parts[-2:])
            rows.setdefault(key, []).append((title, field(row, "summary_path", str, where)))
    return rows


def _summary_text(path: Path) -> str:
    """Return a summary; BookSum writes JSON objects whose ``summary`` is a list of paragraphs."""
    text = read_text(path)
    if not text.lstrip().startswith("{"):
        return text.strip()
    try:
        value = json.loads(text)["summary"]
    except (ValueError, KeyError) as error:
        raise UsageError(f'{path}: must be text, or a JSON object with "summary"') from error
    parts = value if isinstance(value, list) else [value]
    return "\n".join(str(part).strip() for part in parts).strip()


def _keyword_file(path: str) -> dict[str, list[str]] | None:
    if not path:
        return None
    found = Path(path).expanduser()
    value = read_json(found)
    if not isinstance(value, dict):
        raise UsageError(f'{found}: must be a JSON object of "<number>-chapters/<file>": [keyword]')
    for key, words in value.items():
        if not isinstance(words, list) or not all(isinstance(w, str) and w.strip() for w in words):
            raise UsageError(f'{found}: "{key}" must be a list of keywords, none empty')
    return value
