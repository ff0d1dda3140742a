"""TREC question classification: questions by the kind of answer they want, taught by number.

Dataset card
    Origin: the question classification set of Li and Roth 2002, "Learning Question Classifiers",
    its test questions from TREC-10. Wanted: ``train_5500.label`` and ``TREC_10.label`` in
    ``<data>/trec``. Licence: none stated by its authors. Ability: test-time learning.
    Question kind: label. Two sources: ``trec-coarse`` with 6 labels (the part of the tag before
    its colon) and ``trec-fine`` with 50 (the whole tag), numbered as in the hub dataset
    ``CogComp/trec``.
    Episodes: ``shots`` examples of every label, in random order, packed into chunks, then
    ``questions`` unseen questions. Every episode draws other examples. Evidence: up to five shown
    examples of the right label, those that share most words with the question.
    Left out and counted: rows whose text (case and punctuation aside) occurred before, train rows
    that occur in the test file, and questions whose label has no example in their split. Labels
    with fewer rows than ``shots`` show all they have (``ENTY:lang`` and others are rare); the
    episode's metadata count them.
    The published pipelines: MemoryAgentBench has one instance of each with 6,600 and 6,400
    examples; Mem-alpha's ``ttl_train`` cuts 200 training instances out of that very instance and
    asks its 100 test questions in all of them. Here no test question is asked or shown in train.

Splits
    Questions: ``test`` from TREC_10.label, the others from train_5500.label. Examples: always from
    train_5500.label, other rows for each split (see :mod:`memgym.tasks.classification`). Both
    sources give a row the same split.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.errors import UsageError, nearest
from memgym.tasks.classification import (
    ClassificationOptions,
    LabelledRow,
    classification_episodes,
    number_labels,
)
from memgym.tasks.files import data_path, read_lines
from memgym.tasks.source import EpisodeSet, parse_options

__all__ = ["TrecCoarseOptions", "TrecFineOptions", "load_coarse", "load_fine"]

_ORIGIN = "train_5500.label and TREC_10.label of TREC question classification (Li and Roth)"

_TAGS = {
    "ABBR": "abb exp",
    "ENTY": "animal body color cremat currency dismed event food instru lang letter other plant "
    "product religion sport substance symbol techmeth termeq veh word",
    "DESC": "def desc manner reason",
    "HUM": "gr ind title desc",
    "LOC": "city country mount other state",
    "NUM": "code count date dist money ord other period perc speed temp volsize weight",
}
_COARSE = number_labels(_TAGS)
_FINE = number_labels(f"{coarse}:{fine}" for coarse, tags in _TAGS.items() for fine in tags.split())


@dataclass(frozen=True, slots=True)
class TrecCoarseOptions(ClassificationOptions):
    """Options of ``trec-coarse``: about ten chunks of the size of Mem-alpha's (390 tokens)."""

    shots: int = 40
    min_tokens: int = 300
    max_tokens: int = 500


@dataclass(frozen=True, slots=True)
class TrecFineOptions(ClassificationOptions):
    """Options of ``trec-fine``: chunks as in ``trec-coarse``, about ten of them."""

    min_tokens: int = 300
    max_tokens: int = 500


def load_coarse(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the episodes of one split of ``trec-coarse``.

    Raises:
        UsageError: a bad option, or a missing or malformed file (names the line).
    """
    labels = {tag: _COARSE[tag.partition(":")[0]] for tag in _FINE}
    chosen = parse_options(TrecCoarseOptions, options, "trec-coarse")
    return _load("trec-coarse", labels, split, chosen, data)


def load_fine(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the episodes of one split of ``trec-fine``.

    Raises:
        UsageError: a bad option, or a missing or malformed file (names the line).
    """
    chosen = parse_options(TrecFineOptions, options, "trec-fine")
    return _load("trec-fine", _FINE, split, chosen, data)


def _load(
    source: str,
    labels: Mapping[str, str],
    split: str,
    options: ClassificationOptions,
    data: Path | None,
) -> EpisodeSet:
    folder = data_path(data, "trec", options.path, source, _ORIGIN)
    train = _rows(folder / "train_5500.label", labels)
    test = _rows(folder / "TREC_10.label", labels)
    return classification_episodes(source, split, train, test, options, family="trec")


def _rows(path: Path, labels: Mapping[str, str]) -> Iterator[LabelledRow]:
    """Yield the rows; ``labels`` maps each tag to its label."""
    # The official train file is not UTF-8: one stray byte stands for a space in it.
    for where, line in read_lines(path, encoding="latin-1"):
        tag, _, text = line.replace("\xf0", " ").partition(" ")
        if not line:
            continue
        if tag not in labels:
            raise UsageError(f'{where}: unknown tag "{tag[:60]}": {nearest(tag, labels)}')
        if not text.strip():
            raise UsageError(f"{where}: no question after the tag {tag}")
        yield LabelledRow(text.strip(), labels[tag])
