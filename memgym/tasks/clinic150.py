"""CLINC150: requests to an assistant in ten domains, each with one of 150 intents, by number.

Dataset card
    Origin: clinc/oos-eval (Larson et al. 2019, "An Evaluation Dataset for Intent Classification
    and Out-of-Scope Prediction"). Wanted: ``data_full.json`` in ``<data>/clinic150``; the option
    ``path`` may name another file of the same layout. Licence: CC BY 3.0. Ability: test-time
    learning. The source is called ``clinic150`` because MemoryAgentBench spells it so.
    Question kind: label; the label of an intent is its place in the sorted list of the intents of
    the file's ``train`` list.
    Episodes: ``shots`` examples of every intent, in random order, packed into chunks, then
    ``questions`` unseen requests. Every episode draws other examples. Evidence: up to five shown
    examples of the right intent, those that share most words with the request.
    Left out and counted: the out-of-scope lists (``oos_train``, ``oos_val``, ``oos_test``: no
    intent to learn), rows whose text (case and punctuation aside) occurred before, train rows that
    occur in the test list, and questions whose label has no example in their split.
    The published pipeline (MemoryAgentBench) has one instance with 7,050 examples. We draw several
    smaller instances, and nothing of a test episode is ever trained on.

Splits
    Questions: ``test`` from the list ``test``, the others from ``train`` and ``val`` together.
    Examples: always from those two, other rows for each split (see
    :mod:`memgym.tasks.classification`).
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
from memgym.tasks.files import data_path, field, read_json
from memgym.tasks.source import EpisodeSet, parse_options

__all__ = ["load"]

_ORIGIN = "data_full.json of CLINC150, repository clinc/oos-eval"
_OUT_OF_SCOPE = ("oos_train", "oos_val", "oos_test")


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the CLINC150 episodes of one split.

    Raises:
        UsageError: a bad option, or a missing or malformed file (names list and row).
    """
    chosen = parse_options(ClassificationOptions, options, "clinic150")
    found = data_path(data, "clinic150", chosen.path, "clinic150", _ORIGIN)
    path = found / "data_full.json" if found.is_dir() else found
    top = read_json(path)
    pairs = {name: list(_pairs(top, name, path)) for name in ("train", "val", "test")}
    labels = number_labels(sorted({intent for _, _, intent in pairs["train"]}))
    train = _rows([*pairs["train"], *pairs["val"]], labels)
    episodes = classification_episodes(
        "clinic150", split, train, _rows(pairs["test"], labels), chosen
    )
    beside = sum(len(field(top, name, list, str(path))) for name in _OUT_OF_SCOPE if name in top)
    if beside:
        episodes.excluded["out-of-scope sentence"] = beside
    return episodes


def _pairs(top: Any, name: str, path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield place, text and intent of the rows of one list."""
    for number, row in enumerate(field(top, name, list, str(path))):
        where = f'{path}, list "{name}", row {number}'
        match row:
            case [str(text), str(intent)] if text.strip() and intent.strip():
                yield where, text.strip(), intent.strip()
            case _:
                raise UsageError(f"{where}: must be a pair [text, intent] of non-empty strings")


def _rows(pairs: list[tuple[str, str, str]], labels: Mapping[str, str]) -> Iterator[LabelledRow]:
    for where, text, intent in pairs:
        if intent not in labels:
            raise UsageError(f'{where}: unknown intent "{intent}": {nearest(intent, labels)}')
        yield LabelledRow(text, labels[intent])
