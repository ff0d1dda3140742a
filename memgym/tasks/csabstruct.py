"""CSAbstruct: sentences of computer science abstracts by their role, taught by number.

Dataset card
    Origin: CSAbstruct (Cohan et al. 2019, "Pretrained Language Models for Sequential Sentence
    Classification"), repository ``allenai/sequential_sentence_classification``. Wanted:
    ``train*.jsonl``, ``dev*.jsonl`` and ``test*.jsonl`` in ``<data>/csabstruct``; train or dev
    file may be missing. Licence: Apache-2.0. Ability: test-time learning.
    Question kind: label; background 0, method 1, objective 2, other 3, result 4.
    Episodes, evidence, what is left out and counted: as in :mod:`memgym.tasks.pubmed_rct`, for
    which this is the permissively licensed stand-in. The annotators' agreement (``confs``) is not
    used. No published memory benchmark uses this set.

Splits
    ``test``: the test file. ``train``, ``validation``: the train and the dev file together, by a
    hash of the abstract (see :mod:`memgym.tasks.abstracts`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memgym.errors import UsageError, nearest
from memgym.tasks.abstracts import Abstract, AbstractFormat, abstract_episodes
from memgym.tasks.classification import LabelledRow, number_labels
from memgym.tasks.files import field, read_json_lines
from memgym.tasks.source import EpisodeSet

__all__ = ["load"]

_LABELS = number_labels(("background", "method", "objective", "other", "result"))


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the CSAbstruct episodes of one split.

    Raises:
        UsageError: a bad option, or a missing or malformed file (names the line).
    """
    return abstract_episodes(_FORMAT, split, options, data)


def _read(path: Path) -> Iterator[Abstract]:
    """Yield the abstracts of a JSON Lines file."""
    for where, record in read_json_lines(path):
        sentences = field(record, "sentences", list, where)
        labels = field(record, "labels", list, where)
        if len(sentences) != len(labels):
            raise UsageError(f"{where}: {len(sentences)} sentences but {len(labels)} labels")
        rows = zip(sentences, labels, strict=True)
        yield tuple(_row(sentence, label, where) for sentence, label in rows)


def _row(sentence: Any, label: Any, where: str) -> LabelledRow:
    if not isinstance(sentence, str) or not sentence.strip():
        raise UsageError(f"{where}: sentences must be non-empty strings, got {sentence!r}")
    if not isinstance(label, str) or label not in _LABELS:
        raise UsageError(f'{where}: unknown label "{label}": {nearest(str(label), _LABELS)}')
    return LabelledRow(" ".join(sentence.split()), _LABELS[label])


_FORMAT = AbstractFormat(
    "csabstruct",
    ".jsonl",
    "train.jsonl, dev.jsonl and test.jsonl of CSAbstruct, repository "
    "allenai/sequential_sentence_classification",
    _read,
)
