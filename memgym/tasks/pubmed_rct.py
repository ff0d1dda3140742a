"""PubMed RCT: sentences of medical abstracts by their role, taught by number.

Dataset card
    Origin: PubMed 20k RCT (Dernoncourt and Lee 2017, "PubMed 200k RCT: a Dataset for Sequential
    Sentence Classification in Medical Abstracts"). Wanted: ``train*.txt``, ``dev*.txt`` and
    ``test*.txt`` in ``<data>/pubmed_rct``, in the original text format: ``###`` and a number opens
    an abstract, then ``LABEL<tab>sentence`` lines; train or dev file may be missing. The 200k
    version has the same format, is read whole and so needs some gigabytes of memory.
    Licence: none stated; PubMed abstracts may be under copyright. Ability: test-time learning.
    Question kind: label; BACKGROUND 0, CONCLUSIONS 1, METHODS 2, OBJECTIVE 3, RESULTS 4.
    Episodes: whole abstracts, drawn at random, every sentence with its label below it, packed into
    ``chunks`` chunks; then ``questions`` sentences of other abstracts. Evidence: up to five shown
    sentences of the right label, those that share most words with the question.
    Left out and counted: sentences that occur more than once (see
    :mod:`memgym.tasks.abstracts`), abstracts longer than a chunk.
    The published pipeline (Mem-alpha) makes 100 instances of ten chunks from the 200k train file
    and divides them, so that its validation instances come from that file too. Here the lines of an
    abstract stay together, so that a sentence's place in it can be learned from, and no abstract
    is both shown and asked about.

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
from memgym.tasks.files import read_lines
from memgym.tasks.source import EpisodeSet

__all__ = ["load"]

_LABELS = number_labels(("BACKGROUND", "CONCLUSIONS", "METHODS", "OBJECTIVE", "RESULTS"))


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the PubMed RCT episodes of one split.

    Raises:
        UsageError: a bad option, or a missing or malformed file (names the line).
    """
    return abstract_episodes(_FORMAT, split, options, data)


def _read(path: Path) -> Iterator[Abstract]:
    """Yield the abstracts of a file in the original text format."""
    rows: list[LabelledRow] | None = None
    for where, line in read_lines(path):
        if line.startswith("###"):
            if rows:
                yield tuple(rows)
            rows = []
        elif line:
            if rows is None:
                raise UsageError(f"{where}: a sentence before the first ### line")
            rows.append(_row(line, where))
    if rows:
        yield tuple(rows)


def _row(line: str, where: str) -> LabelledRow:
    label, _, sentence = line.partition("\t")
    if not sentence.strip():
        raise UsageError(f'{where}: wanted LABEL<tab>sentence, got "{line[:60]}"')
    if label not in _LABELS:
        raise UsageError(f'{where}: unknown label "{label[:60]}": {nearest(label, _LABELS)}')
    return LabelledRow(sentence.strip(), _LABELS[label])


_FORMAT = AbstractFormat(
    "pubmed-rct",
    ".txt",
    "train.txt, dev.txt and test.txt of PubMed 20k RCT, repository Franck-Dernoncourt/pubmed-rct",
    _read,
)
