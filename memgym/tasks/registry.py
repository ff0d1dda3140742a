"""Every data source by name. Adding one is a builder file and one line in this table.

A builder file has one function ``load(split, options, data) -> EpisodeSet``; it is imported when
the source is first loaded, never by ``import memgym``.
"""

import functools
import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from memgym.episode import ABILITIES, Ability
from memgym.errors import UsageError, nearest
from memgym.tasks.source import (
    CONFLICT_PREFACE,
    LABEL_PREFACE,
    SUMMARY_PREFACE,
    EpisodeSet,
    Loader,
    Source,
)

__all__ = [
    "DATA_VARIABLE",
    "EpisodeSet",
    "Source",
    "get_source",
    "load_source",
    "register_source",
    "source_names",
]

DATA_VARIABLE = "MEMGYM_DATA"
"""Environment variable that names the data folder when no ``data`` argument is given."""

_SPLITS = ("train", "validation", "test")


def _builder(module: str, function: str = "load") -> Loader:
    """Return a loader that imports ``memgym.tasks.<module>`` when it is first called."""

    def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
        found = importlib.import_module(f"memgym.tasks.{module}")
        return cast(EpisodeSet, getattr(found, function)(split, options, data))

    return load


def _procedural(ability: Ability | None) -> Source:
    name = "procedural" if ability is None else f"procedural-{ability.replace('_', '-')}"
    what = "the four abilities in turn" if ability is None else ability.replace("_", " ")

    def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
        from memgym.tasks.procedural_set import load_procedural

        return load_procedural(name, ability, split, options)

    preface = LABEL_PREFACE if ability == "test_time_learning" else ""
    summary = f"made-up text of any length with exact answers: {what}"
    return Source(name, ability, "Apache-2.0", summary, _SPLITS, preface, "", load)


# name, ability, licence, summary, splits, question preface, folder under the data folder, builder
_SOURCES: tuple[Source, ...] = (
    _procedural(None),
    *(_procedural(ability) for ability in ABILITIES),
    Source(
        "squad", "accurate_retrieval", "CC BY-SA 4.0",
        "Wikipedia paragraphs with short-answer questions", _SPLITS, "", "squad",
        _builder("squad"),
    ),
    Source(
        "hotpotqa", "accurate_retrieval", "CC BY-SA 4.0",
        "Wikipedia articles with two-hop questions", _SPLITS, "", "hotpotqa",
        _builder("hotpotqa"),
    ),
    Source(
        "banking77", "test_time_learning", "CC BY 4.0",
        "bank customers' requests with 77 numbered intents", _SPLITS, LABEL_PREFACE, "banking77",
        _builder("banking77"),
    ),
    Source(
        "clinic150", "test_time_learning", "CC BY 3.0",
        "requests to an assistant with 150 numbered intents", _SPLITS, LABEL_PREFACE, "clinic150",
        _builder("clinic150"),
    ),
    Source(
        "nlu", "test_time_learning", "CC BY 4.0",
        "requests to a home assistant with 68 numbered intents", _SPLITS, LABEL_PREFACE, "nlu",
        _builder("nlu"),
    ),
    Source(
        "trec-coarse", "test_time_learning", "unstated",
        "questions with 6 numbered kinds of answer", _SPLITS, LABEL_PREFACE, "trec",
        _builder("trec", "load_coarse"),
    ),
    Source(
        "trec-fine", "test_time_learning", "unstated",
        "questions with 50 numbered kinds of answer", _SPLITS, LABEL_PREFACE, "trec",
        _builder("trec", "load_fine"),
    ),
    Source(
        "pubmed-rct", "test_time_learning", "unstated",
        "sentences of medical abstracts with 5 numbered roles", _SPLITS, LABEL_PREFACE,
        "pubmed_rct", _builder("pubmed_rct"),
    ),
    Source(
        "csabstruct", "test_time_learning", "Apache-2.0",
        "sentences of computer science abstracts with 5 numbered roles", _SPLITS, LABEL_PREFACE,
        "csabstruct", _builder("csabstruct"),
    ),
    Source(
        "perltqa", "accurate_retrieval", "CC BY-NC 4.0 (non-commercial)",
        "a person's dated events and dialogues with keyword questions", _SPLITS, "", "perltqa",
        _builder("perltqa"),
    ),
    Source(
        "booksum", "long_range_understanding", "books public domain (USA); rows BSD-3-Clause",
        "chapters of books with the keywords of their summaries", _SPLITS, SUMMARY_PREFACE,
        "booksum", _builder("booksum"),
    ),
    Source(
        "qmsum", "long_range_understanding", "MIT",
        "meetings with the keywords of summaries of their topics", _SPLITS, SUMMARY_PREFACE,
        "qmsum", _builder("qmsum"),
    ),
    Source(
        "longmemeval", "accurate_retrieval", "MIT",
        "a user's dated conversations over months", ("test",), "", "longmemeval",
        _builder("longmemeval"),
    ),
    Source(
        "locomo", "accurate_retrieval", "CC BY-NC 4.0 (non-commercial)",
        "two friends' dated conversations over months", ("test",), "", "locomo",
        _builder("locomo"),
    ),
    Source(
        "factconsolidation", "conflict_resolution", "MIT",
        "numbered facts that later ones contradict", ("test",), CONFLICT_PREFACE,
        "factconsolidation", _builder("factconsolidation"),
    ),
    Source(
        "memalpha", None, "of its eight origins; PerLTQA non-commercial",
        "the published data of Mem-alpha; downloaded if not there", _SPLITS, "",
        "memalpha", _builder("memalpha"),
    ),
    Source(
        "memalpha-memoryagentbench", None, "MIT; texts: of their origins",
        "MemoryAgentBench as Mem-alpha prepared it; downloaded if not there", ("test",), "",
        "memalpha-memoryagentbench", _builder("memalpha_memoryagentbench"),
    ),
    Source(
        "memoryagentbench", None, "MIT; texts: of their origins",
        "MemoryAgentBench as published, all four splits; downloaded if not there", ("test",), "",
        "memoryagentbench", _builder("memoryagentbench"),
    ),
    Source(
        "jsonl", None, "the file's own", "your own episodes, JSON Lines (option path)", _SPLITS,
        "", "", _builder("jsonl"),
    ),
    Source(
        "parquet", None, "the file's own", "Memalpha parquet files (option path)", _SPLITS,
        "", "", _builder("parquet"),
    ),
)  # fmt: skip

_BY_NAME = {source.name: source for source in _SOURCES}


def source_names() -> tuple[str, ...]:
    """Return the names of all sources, in table order."""
    return tuple(_BY_NAME)


def register_source(source: Source) -> None:
    """Add a source of your own, so that environments and commands know it by name.

    It is known in this process; call it in a module that your worker processes import too (the
    module of your agent, for one). A source that shall come with memgym needs no call but a line in
    this file's table.

    Raises:
        UsageError: the name is taken, or the entry is not complete.
    """
    if source.name in _BY_NAME:
        raise UsageError(f'there is a source "{source.name}" already; choose another name')
    if not source.name or not source.splits:
        raise UsageError("a source needs a name and at least one split")
    _BY_NAME[source.name] = source


def get_source(name: str) -> Source:
    """Return the registry entry called ``name``.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    if name not in _BY_NAME:
        raise UsageError(f'unknown source "{name}": {nearest(str(name), _BY_NAME)}')
    return _BY_NAME[name]


def load_source(
    name: str,
    split: str,
    options: Mapping[str, Any] | None = None,
    data: str | Path | None = None,
) -> EpisodeSet:
    """Return the episodes of one source and split.

    The result is kept: the same arguments in the same working directory give the same object, as
    long as a file named by the option ``path`` does not change.

    Args:
        name: One of :func:`source_names`.
        split: One of the source's splits, usually ``train``, ``validation`` or ``test``.
        options: The builder's options by name, see the options class in its module.
        data: Folder with one subfolder per source; by default what ``MEMGYM_DATA`` names.

    Raises:
        UsageError: unknown name, split or option, or missing or unreadable data.
    """
    source = get_source(name)
    if split not in source.splits:
        raise UsageError(
            f'source "{name}" has no split "{split}": {nearest(str(split), source.splits)}'
        )
    folder = data if data is not None else os.environ.get(DATA_VARIABLE) or None
    absolute = None if folder is None else os.path.abspath(os.path.expanduser(folder))
    plain = _plain(name, options or {})
    state = (os.getcwd(), _stamp(plain.get("path")))
    return _load(name, split, json.dumps(plain, sort_keys=True), absolute, state)


def _plain(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as JSON values."""
    plain = {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value
        for key, value in options.items()
    }
    try:
        json.dumps(plain)
    except TypeError as error:
        raise UsageError(
            f'options of source "{name}" must be plain values (numbers, strings, true or false): '
            f"{error}"
        ) from error
    return plain


def _stamp(path: Any) -> tuple[int, int] | None:
    """Return time and size of a file, which tell whether it was written anew."""
    if not isinstance(path, str) or not os.path.isfile(os.path.expanduser(path)):
        return None
    status = os.stat(os.path.expanduser(path))
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=32)
def _load(name: str, split: str, options: str, data: str | None, state: object) -> EpisodeSet:
    """Load and keep; ``state`` only tells apart what equal arguments may mean at other times."""
    return get_source(name).load(split, json.loads(options), None if data is None else Path(data))
