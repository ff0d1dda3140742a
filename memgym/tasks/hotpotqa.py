"""HotpotQA: Wikipedia articles (first paragraphs) with questions that need two of them.

Dataset card
    Origin: HotpotQA, the official JSON lists (Yang et al. 2018, "HotpotQA: A Dataset for Diverse,
    Explainable Multi-hop Question Answering"). Wanted: ``hotpot_train*.json`` and
    ``hotpot_dev*.json`` in ``<data>/hotpotqa``; distractor and fullwiki files alike. Licence:
    CC BY-SA 4.0. Ability: accurate retrieval. Question kind: text.
    Kept: bridge and comparison questions whose gold stands in their supporting sentences.
    Evidence: the supporting sentences.
    Episodes: questions are grouped, those that share an article together, until their articles
    hold about ``tokens`` tokens; the articles, shuffled, each its title and its text, are packed
    into chunks of a random size. ``setting="evidence"`` shows the articles with supporting
    sentences only (the published training data), ``"distractor"`` all articles of the record.
    Left out and counted: questions answered by yes or no (text that is merely shown cannot say
    either, so containment means nothing; ``yes_no=True`` keeps them), supporting sentences that
    the record does not hold, golds outside them, and a last group of less than half the tokens
    (unless it is the only one).
    The published pipeline keeps only questions that Qwen3-32B answers wrongly without the text,
    and cuts or drops over-long articles, evidence or not. We do neither: no model is in the data
    path, and an over-long article is split between sentences.

Splits
    ``test``: the dev files. ``train``, ``validation``: the train files, by a hash of the question
    (10 % for validation). Train leaves out questions whose articles are shown in validation, both
    leave out those whose articles occur in a dev file beside them (the official files share
    articles), and distractors of that kind are not shown: no article is in two splits.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from memgym.episode import Episode, Evidence, Question
from memgym.errors import UsageError
from memgym.tasks.chunking import PackedChunk, check_sizes, conversation, pack
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
from memgym.tokens import get_counter

__all__ = ["HotpotOptions", "load"]

_ORIGIN = "hotpot_train_v1.1.json and hotpot_dev_distractor_v1.json, hub dataset hotpotqa/hotpot_qa"
_VALIDATION_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class HotpotOptions:
    """Options of the ``hotpotqa`` source.

    Attributes:
        setting: Which articles of a record are shown: those with evidence, or all.
        tokens: Length of an episode's articles, tokens, about.
        min_tokens: Smallest target size of a chunk, tokens.
        max_tokens: Largest size of a chunk, tokens.
        questions: Most questions per episode, drawn at random.
        yes_no: Whether questions answered by yes or no are kept.
        path: A HotpotQA file or a folder of them, instead of ``<data>/hotpotqa``.
    """

    setting: Literal["evidence", "distractor"] = "evidence"
    tokens: int = 10_000
    min_tokens: int = 100
    max_tokens: int = 2_048
    questions: int = 100
    yes_no: bool = False
    path: str = ""

    def __post_init__(self) -> None:
        check_sizes(self.min_tokens, self.max_tokens)
        for name in ("tokens", "questions"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class _Record:
    """One question.

    ``articles``: title -> sentences. ``facts``: (title, sentence index) of the evidence.
    """

    question: str
    answer: str
    articles: Mapping[str, tuple[str, ...]]
    facts: tuple[tuple[str, int], ...]

    @property
    def gold_titles(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(title for title, _ in self.facts))

    def shown_titles(self, setting: str) -> tuple[str, ...]:
        return self.gold_titles if setting == "evidence" else tuple(self.articles)

    def evidence(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.articles[title][i] for title, i in self.facts))

    def article(self, title: str) -> str:
        return f"{title}\n{' '.join(filter(None, self.articles[title]))}"


@dataclass(frozen=True, slots=True)
class _Group:
    """The questions of one episode and the articles (as text) it shows."""

    records: list[_Record]
    articles: list[str]


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the HotpotQA episodes of one split.

    Raises:
        UsageError: a bad option, missing files, or a file that is not HotpotQA (names the place).
    """
    chosen = parse_options(HotpotOptions, options, "hotpotqa")
    folder = data_path(data, "hotpotqa", chosen.path, "hotpotqa", _ORIGIN)
    excluded: Counter[str] = Counter()
    found, held_out = _split_records(folder, split, chosen.setting)
    records = [r for r in found if _usable(r, held_out, chosen.yes_no, excluded)]
    settings = str({**asdict(chosen), "path": ""})
    groups: dict[str, _Group] = {}
    for group, tokens in _groups(records, held_out, chosen):
        if groups and tokens * 2 < chosen.tokens:
            excluded[f"group of {len(group.records)} questions with {tokens} tokens"] += 1
            continue
        content = digest(settings, *(r.question for r in group.records), *group.articles)
        groups[f"hotpotqa/{split}/{len(groups)}-{content[:8]}"] = group
    ids = list(groups)

    def make(index: int) -> Episode:
        return _episode(ids[index], split, groups[ids[index]], chosen)

    return ListedEpisodes(f"hotpotqa/{split}", ids, make, excluded)


def _split_records(folder: Path, split: str, setting: str) -> tuple[list[_Record], set[str]]:
    """Return the records of a split and the titles that no episode of it may show."""
    if split == "test":
        return _read_all(matching_files(folder, "hotpot_dev", ".json", _ORIGIN)), set()
    train = _read_all(matching_files(folder, "hotpot_train", ".json", _ORIGIN))
    beside = _read_all(find_files(folder, "hotpot_dev", ".json"))
    held_out = {title for record in beside for title in record.articles}
    validation = [r for r in train if bucket("hotpotqa", r.question) < _VALIDATION_SHARE]
    if split == "validation":
        return validation, held_out
    chosen = {record.question for record in validation}
    held_out.update(title for r in validation for title in r.shown_titles(setting))
    return [record for record in train if record.question not in chosen], held_out


def _usable(record: _Record, held_out: set[str], yes_no: bool, excluded: Counter[str]) -> bool:
    """Whether the question can be asked; counts why not."""
    if not record.facts or any(
        index >= len(record.articles.get(title, ())) for title, index in record.facts
    ):
        excluded["supporting sentence not in the record"] += 1
    elif record.answer.lower() in ("yes", "no"):
        if yes_no:
            return True
        excluded["question answered by yes or no"] += 1
    elif not any(record.answer.casefold() in text.casefold() for text in record.evidence()):
        excluded["gold not in the supporting sentences"] += 1
    elif held_out.intersection(record.gold_titles):
        excluded["question on an article of a held-out split"] += 1
    else:
        return True
    return False


def _groups(
    records: Sequence[_Record], held_out: set[str], options: HotpotOptions
) -> Iterator[tuple[_Group, int]]:
    """Yield groups of questions that share articles where they can, and their tokens."""
    count = get_counter().count
    by_title: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        for title in record.gold_titles:
            by_title.setdefault(title, []).append(index)
    used: set[int] = set()
    group, tokens = _Group([], []), 0
    related: deque[int] = deque()
    upcoming = iter(range(len(records)))
    while (index := related.popleft() if related else next(upcoming, -1)) >= 0:
        if index in used:
            continue
        used.add(index)
        record = records[index]
        group.records.append(record)
        for title in record.shown_titles(options.setting):
            related.extend(by_title.get(title, ()))
            article = record.article(title)
            if title not in held_out and article not in group.articles:
                group.articles.append(article)
                tokens += count(article)
        if tokens >= options.tokens:
            yield group, tokens
            group, tokens = _Group([], []), 0
            related.clear()
    if group.records:
        yield group, tokens


def _episode(identifier: str, split: str, group: _Group, options: HotpotOptions) -> Episode:
    rng = generator(identifier)
    articles = rng.sample(group.articles, len(group.articles))
    packed = list(pack(articles, rng, options.min_tokens, options.max_tokens))
    chunks = tuple(conversation(i, chunk.text, rng) for i, chunk in enumerate(packed))
    questions = [question for record in group.records if (question := _question(record, packed))]
    kept = sorted(rng.sample(range(len(questions)), min(options.questions, len(questions))))
    lost = len(group.records) - len(questions)
    metadata: dict[str, Any] = {"split": split, "setting": options.setting}
    if lost:
        metadata["excluded"] = {"question whose evidence is split between chunks": lost}
    asked = tuple(questions[i] for i in kept)
    return Episode(identifier, "hotpotqa", "accurate_retrieval", chunks, asked, metadata)


def _question(record: _Record, packed: Sequence[PackedChunk]) -> Question | None:
    """Return the question with its evidence located, or None if a sentence was split."""
    evidence = []
    for text in record.evidence():
        chunk = next((i for i, chunk in enumerate(packed) if text in chunk.text), None)
        if chunk is None:
            return None
        evidence.append(Evidence(chunk, text))
    return Question(record.question, (record.answer,), evidence=tuple(evidence))


def _read_all(files: Iterable[Path]) -> list[_Record]:
    """Return the records of all files; a question met again is the same question."""
    records: dict[str, _Record] = {}
    for path in files:
        top = read_json(path)
        if not isinstance(top, list):
            raise UsageError(f"{path}: not HotpotQA: the top level must be a list of records")
        for number, item in enumerate(top):
            record = _record(item, f"{path}, record {number}")
            records.setdefault(record.question, record)
    return list(records.values())


def _record(item: Any, where: str) -> _Record:
    question = field(item, "question", str, where).strip()
    answer = field(item, "answer", str, where).strip()
    if not question or not answer:
        raise UsageError(f"{where}: its question or answer is empty")
    articles: dict[str, tuple[str, ...]] = {}
    for entry in field(item, "context", list, where):
        match entry:
            case [str(title), [*sentences]] if all(isinstance(s, str) for s in sentences):
                articles[title] = tuple(sentence.strip() for sentence in sentences)
            case _:
                raise UsageError(f'{where}: "context" must hold pairs [title, [sentence, ...]]')
    facts: list[tuple[str, int]] = []
    for fact in field(item, "supporting_facts", list, where):
        match fact:
            case [str(title), int(index)] if index >= 0:
                facts.append((title, index))
            case _:
                raise UsageError(f'{where}: "supporting_facts" must hold pairs [title, index]')
    return _Record(question, answer, articles, tuple(facts))
