"""NLU evaluation data: requests to a home assistant, each with one of 68 intents, by number.

Dataset card
    Origin: NLU-Evaluation-Data (Liu et al. 2019, "Benchmarking Natural Language Understanding
    Services for building Conversational Agents", IWSDS). Wanted in ``<data>/nlu``, either one
    official cross-validation fold (a folder ``KFold_<n>`` with ``trainset/<intent>.csv`` and
    ``testset/csv/<intent>.csv``, as it is) or ``nlu_train.csv`` and ``nlu_test.csv`` with columns
    ``text`` and ``intent``. Licence: CC BY 4.0. Ability: test-time learning.
    Question kind: label; the label of an intent (``scenario_intent``) is its place in the
    alphabetical list of the 68 intents of the whole data, of which a fold holds 64.
    Episodes: ``shots`` examples of every intent, in random order, packed into chunks, then
    ``questions`` unseen requests. Every episode draws other examples. Evidence: up to five shown
    examples of the right intent, those that share most words with the request.
    Left out and counted: rows whose text (case and punctuation aside) occurred before, train rows
    that occur in the test file, and questions whose label has no example in their split. The text
    is the annotators' normalised one (lower case).
    The published pipelines: MemoryAgentBench has one instance with 8,296 examples; Mem-alpha's
    ``ttl_train`` cuts its training instances out of that very instance and asks its 100 test
    questions in all of them. Here no test question is asked or shown in train. The data have no
    official division, so MemoryAgentBench may test on rows of another fold's train file: before a
    comparison on its NLU column, run ``memgym data check`` on the two.

Splits
    Questions: ``test`` from the test file, the others from the train file. Examples: always from
    the train file, other rows for each split (see :mod:`memgym.tasks.classification`).
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
from memgym.tasks.files import data_path, matching_files, read_csv_rows
from memgym.tasks.source import EpisodeSet, parse_options

__all__ = ["NluOptions", "load"]

_ORIGIN = (
    "nlu_train.csv and nlu_test.csv (columns text, intent), or the trainset and testset folders of "
    "one KFold of xliuhw/NLU-Evaluation-Data"
)

_INTENTS = {
    "alarm": "query remove set",
    "audio": "volume_down volume_mute volume_other volume_up",
    "calendar": "query remove set",
    "cooking": "query recipe",
    "datetime": "convert query",
    "email": "addcontact query querycontact sendemail",
    "general": "affirm commandstop confirm dontcare explain greet joke negate praise quirky repeat",
    "iot": "cleaning coffee hue_lightchange hue_lightdim hue_lightoff hue_lighton hue_lightup "
    "wemo_off wemo_on",
    "lists": "createoradd query remove",
    "music": "dislikeness likeness query settings",
    "news": "query",
    "play": "audiobook game music podcasts radio",
    "qa": "currency definition factoid maths stock",
    "recommendation": "events locations movies",
    "social": "post query",
    "takeaway": "order query",
    "transport": "query taxi ticket traffic",
    "weather": "query",
}
_LABELS = number_labels(
    f"{area}_{name}" for area, names in _INTENTS.items() for name in names.split()
)


@dataclass(frozen=True, slots=True)
class NluOptions(ClassificationOptions):
    """Options of ``nlu``: about ten chunks of the size of Mem-alpha's (610 tokens)."""

    shots: int = 6
    min_tokens: int = 400
    max_tokens: int = 800


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the NLU episodes of one split.

    Raises:
        UsageError: a bad option, or a missing or malformed file (names the line).
    """
    chosen = parse_options(NluOptions, options, "nlu")
    folder = data_path(data, "nlu", chosen.path, "nlu", _ORIGIN)
    if (folder / "trainset").is_dir():
        train = _fold_rows(folder / "trainset")
        test = _fold_rows(folder / "testset" / "csv")
    else:
        train = _rows(folder / "nlu_train.csv")
        test = _rows(folder / "nlu_test.csv")
    return classification_episodes("nlu", split, train, test, chosen)


def _rows(path: Path) -> Iterator[LabelledRow]:
    for where, (text, intent) in read_csv_rows(path, ("text", "intent")):
        yield LabelledRow(text, _label(intent, where))


def _fold_rows(folder: Path) -> Iterator[LabelledRow]:
    """Yield the rows of an official folder with one file per intent."""
    columns = ("answer_from_anno", "scenario", "intent")
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; put there the one beside trainset in the same fold")
    for path in matching_files(folder, "", ".csv", _ORIGIN):
        for where, (text, scenario, intent) in read_csv_rows(path, columns, delimiter=";"):
            yield LabelledRow(text, _label(f"{scenario}_{intent}", where))


def _label(intent: str, where: str) -> str:
    if intent not in _LABELS:
        raise UsageError(f'{where}: unknown intent "{intent[:60]}": {nearest(intent, _LABELS)}')
    return _LABELS[intent]
