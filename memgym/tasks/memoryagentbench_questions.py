"""Questions and golds of a MemoryAgentBench row, by the family that its source belongs to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memgym.episode import Ability, Evidence, Question, QuestionKind
from memgym.errors import UsageError
from memgym.tasks.classification import LabelledRow, label_questions
from memgym.tasks.gold_finder import GoldFinder
from memgym.tasks.keywords import covering, extract_keywords
from memgym.text import format_example, labelled_examples

__all__ = ["Family", "RowText", "entity_names", "family_of", "make_questions"]


@dataclass(frozen=True, slots=True)
class Family:
    """What the sources whose name starts with ``prefix`` have in common."""

    prefix: str
    ability: Ability
    kind: QuestionKind


@dataclass(frozen=True, slots=True)
class RowText:
    """What the questions of a row are about.

    Attributes:
        source: Name of the test set.
        chunks: The context, in which evidence is looked for.
        entities: Names by entity id; needed for recommendations only.
        where: Names the row in messages.
    """

    source: str
    chunks: Sequence[str]
    entities: Mapping[str, str]
    where: str


# The first match counts; what matches nothing is asked as the published harness does by default.
# FactConsolidation is not here: its rows are made by memgym.tasks.factconsolidation.
_FAMILIES = (
    Family("icl_", "test_time_learning", "label"),
    Family("recsys", "test_time_learning", "keywords"),
    Family("infbench_sum", "long_range_understanding", "keywords"),
    Family("infbench", "long_range_understanding", "text"),
    Family("detective", "long_range_understanding", "text"),
    Family("", "accurate_retrieval", "text"),
)
_OPTION = re.compile(r"^\(?[A-Z][.):]\s*(?P<rest>\S.*)$", re.DOTALL)  # "B. The butler"
_ENTITY = re.compile(r"/(?P<name>[^/<>]+)>?$")
_BRACKETS = re.compile(r"\s*\([^()]*\)")


def family_of(source: str) -> Family:
    """Return the family of a source."""
    return next(family for family in _FAMILIES if source.startswith(family.prefix))


def make_questions(
    row: RowText, questions: Sequence[Any], answers: Sequence[Any], kept: Sequence[int]
) -> tuple[Question, ...]:
    """Return the questions of a row.

    Args:
        row: Everything but questions and answers.
        questions: Column ``questions``.
        answers: Column ``answers``: a list of golds per question.
        kept: Indices of the questions that are asked.

    Raises:
        UsageError: a question without golds, golds that are no strings, or an unknown entity id.
    """
    if len(questions) == 1 and len(answers) > 1:  # the golds of one question, not wrapped in a list
        answers = [answers]
    if len(answers) != len(questions):
        raise UsageError(f"{row.where}: {len(questions)} questions, but {len(answers)} answers")
    kind = family_of(row.source).kind
    shown = _Examples(row.chunks) if kind == "label" else None
    finder = GoldFinder(() if shown else row.chunks)
    made = []
    for index in kept:
        where = f"{row.where}, question {index}"
        text = questions[index]
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f'{where}: column "questions" must hold non-empty strings')
        golds = _golds(answers[index], where)
        if row.source.startswith("recsys"):
            golds = tuple(dict.fromkeys(_named(gold, row.entities, where) for gold in golds))
        if shown:
            made.append(shown.question(text.strip(), golds))
        else:
            made.append(_question(family_of(row.source), text.strip(), golds, finder))
    return tuple(made)


class _Examples:
    """The labelled examples of a row: evidence of a label question are the most similar ones."""

    def __init__(self, chunks: Sequence[str]) -> None:
        self._rows: list[LabelledRow] = []
        self._places: dict[str, int] = {}
        for index, chunk in enumerate(chunks):
            for example in labelled_examples(chunk):
                self._rows.append(LabelledRow(example.text, example.label))
                self._places[format_example(example.text, example.label)] = index

    def question(self, text: str, golds: tuple[str, ...]) -> Question:
        (made,) = label_questions([LabelledRow(text, golds[0])], self._rows, self._places)
        return replace(made, answers=golds)


def _golds(value: Any, where: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) and item.strip() for item in values):
        raise UsageError(f'{where}: column "answers" must hold lists of non-empty strings')
    return tuple(dict.fromkeys(item.strip() for item in values))


def _question(family: Family, text: str, golds: tuple[str, ...], finder: GoldFinder) -> Question:
    if family.prefix == "recsys":
        return Question(text, golds, "keywords")
    if family.prefix == "infbench_sum":
        return _summary(text, golds, finder)
    if family.prefix == "detective":
        options = (found["rest"] for gold in golds if (found := _OPTION.match(gold)))
        golds = tuple(dict.fromkeys((*golds, *options)))
    return Question(text, golds, family.kind, evidence=finder.find(text, golds))


def _summary(text: str, golds: tuple[str, ...], finder: GoldFinder) -> Question:
    """Ask for the keywords that the reference summary shares with the text.

    A summary that shares none (a text cut short, say) is asked for as it is.
    """
    sentences = [item.text for item in finder.sentences]
    keywords = extract_keywords(golds[0], sentences, without=text)
    if not keywords:
        return Question(text, golds, "text")
    evidence: tuple[Evidence, ...] = tuple(
        finder.sentences[place] for place in covering(keywords, sentences)
    )
    return Question(text, keywords, "keywords", evidence=evidence)


def _named(gold: str, entities: Mapping[str, str], where: str) -> str:
    if gold not in entities:
        raise UsageError(f'{where}: entity "{gold}" is not in the entity map')
    return entities[gold]


def entity_names(value: Any, where: str) -> dict[str, str]:
    """Return entity id -> readable name from the published map of entities to ids.

    ``<http://dbpedia.org/resource/Heat_(1995_film)>`` is read as "Heat".

    Raises:
        UsageError: the map is no JSON object of names and ids.
    """
    if not isinstance(value, dict) or not all(
        isinstance(number, (int, str)) and not isinstance(number, bool) for number in value.values()
    ):
        raise UsageError(f"{where}: must be a JSON object that gives every entity its id")
    names = {}
    for entity, number in value.items():
        found = _ENTITY.search(entity)
        plain = (found["name"] if found else entity).replace("_", " ").strip()
        names[str(number)] = _BRACKETS.sub("", plain).strip() or plain
    return names
