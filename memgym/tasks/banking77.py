"""BANKING77: bank customers' requests, each with one of 77 intents, taught by number.

Dataset card
    Origin: PolyAI task-specific datasets, ``banking_data`` (Casanueva et al. 2020, "Efficient
    Intent Detection with Dual Sentence Encoders"). Wanted: ``train.csv``, ``test.csv`` and
    ``categories.json`` in ``<data>/banking77``. Licence: CC BY 4.0. Ability: test-time learning.
    Question kind: label; the label of a category is its index in ``categories.json``, as a number.
    Episodes: ``shots`` examples of every label, in random order, packed into chunks, then
    ``questions`` unseen sentences. Every episode draws other examples. Evidence: up to five shown
    examples of the right label, those that share most words with the question.
    Left out and counted: rows whose text (case and punctuation aside) occurred before, and train
    rows that occur in the test file.
    The published pipeline (MemoryAgentBench, then Mem-alpha) has one instance with 5,900 examples,
    and its training sets of this kind ask the benchmark's own test questions. We draw several
    smaller instances, and nothing of a test episode is ever trained on.

Splits
    Questions: ``test`` from test.csv, the others from train.csv. Examples: always from train.csv,
    other rows for each split (see :mod:`memgym.tasks.classification`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memgym.errors import UsageError, nearest
from memgym.tasks.classification import (
    ClassificationOptions,
    LabelledRow,
    classification_episodes,
    number_labels,
)
from memgym.tasks.files import data_path, read_csv_rows, read_json
from memgym.tasks.source import EpisodeSet, parse_options

__all__ = ["load"]

_ORIGIN = "train.csv, test.csv and categories.json of BANKING77, hub dataset PolyAI/banking77"


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the BANKING77 episodes of one split.

    Raises:
        UsageError: a bad option, or a missing or malformed file (names the line).
    """
    chosen = parse_options(ClassificationOptions, options, "banking77")
    folder = data_path(data, "banking77", chosen.path, "banking77", _ORIGIN)
    labels = _labels(folder / "categories.json")
    train = _rows(folder / "train.csv", labels)
    test = _rows(folder / "test.csv", labels)
    return classification_episodes("banking77", split, train, test, chosen)


def _labels(path: Path) -> dict[str, str]:
    """Return category name -> label."""
    names = read_json(path)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path}: must be a list of category names")
    return number_labels(names)


def _rows(path: Path, labels: Mapping[str, str]) -> Iterator[LabelledRow]:
    for where, (text, category) in read_csv_rows(path, ("text", "category")):
        if category not in labels:
            raise UsageError(f'{where}: unknown category "{category}": {nearest(category, labels)}')
        yield LabelledRow(text, labels[category])
