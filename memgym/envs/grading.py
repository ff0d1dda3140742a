"""The answer sheet of one episode: answers as they come, their scores, causes and totals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from memgym.diagnosis import CAUSES, HeldText, HeldTexts, diagnose
from memgym.episode import Episode, Question
from memgym.errors import UsageError
from memgym.memory import STORES, Memory
from memgym.reader import Reader, ReaderAnswer, ReaderQuestion
from memgym.scoring import AnswerJudge, ExactJudge, GivenAnswer, mean_score
from memgym.tasks.registry import get_source

__all__ = ["AnswerSheet", "GradedAnswer", "QuestionFacts", "question_facts", "question_preface"]

_ABSTENTION = "_abs"  # ends the ids of LongMemEval's questions that the history does not answer


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """One answered question.

    Attributes:
        index: Index of the question in the episode.
        question: The bare question.
        gold: Gold strings.
        prediction: The answer given, ``""`` if none.
        score: 0.0 to 1.0.
        cause: Why the score is below 1 (see :mod:`memgym.diagnosis`), ``""`` if it is not.
        memory_ids: Items the answer was made from.
        failed: Whether the reader broke down.
    """

    index: int
    question: str
    gold: tuple[str, ...]
    prediction: str
    score: float
    cause: str
    memory_ids: tuple[str, ...]
    failed: bool


_GRADED_FIELDS = tuple(field.name for field in fields(GradedAnswer))


@dataclass(frozen=True, slots=True)
class QuestionFacts:
    """What an episode's metadata say about one question (see :class:`GivenAnswer`)."""

    question_type: str = ""
    reference: str = ""


def question_preface(episode: Episode) -> str:
    """Return what an answering model is told before each question of an episode.

    The episode's own preface, or that of its source; an episode from elsewhere has none.
    """
    preface = episode.metadata.get("question_preface")
    if preface is not None:
        return str(preface)
    try:
        return get_source(episode.source).question_preface
    except UsageError:
        return ""


def question_facts(whole: Episode, asked: Sequence[Question]) -> list[QuestionFacts]:
    """Return what the metadata of an episode say about some of its questions.

    Read are the lists ``question_types``, ``question_ids`` and ``reference_answers``, which run
    parallel to the questions of the whole episode; one that does not is ignored.

    Args:
        whole: The episode before it was cut.
        asked: Questions of it, the same objects.
    """
    count = len(whole.questions)
    types = _parallel(whole.metadata, "question_types", count)
    names = _parallel(whole.metadata, "question_ids", count)
    references = _parallel(whole.metadata, "reference_answers", count)
    facts = {
        id(question): QuestionFacts("abstention" if name.endswith(_ABSTENTION) else kind, reference)
        for question, kind, name, reference in zip(
            whole.questions, types, names, references, strict=True
        )
    }
    return [facts[id(question)] for question in asked]


def _parallel(metadata: Mapping[str, Any], name: str, count: int) -> list[str]:
    values = metadata.get(name)
    if not isinstance(values, (list, tuple)) or len(values) != count:
        return [""] * count
    return ["" if value is None else str(value) for value in values]


@dataclass
class AnswerSheet:
    """Collects and grades the answers of one episode.

    Attributes:
        questions: The episode's questions.
        preface: What an answering model is told before each of them.
        judge: Scores the answers.
        source: Name of the episode's data source, for the judge.
        facts: What else is known of each question, for the judge; empty if nothing is.
        answers: What has been graded so far.
    """

    questions: Sequence[Question]
    preface: str
    judge: AnswerJudge = field(default_factory=ExactJudge)
    source: str = ""
    facts: Sequence[QuestionFacts] = ()
    answers: list[GradedAnswer] = field(default_factory=list)
    _forms: dict[str, HeldText] = field(default_factory=dict, init=False)

    def ask_reader(
        self, reader: Reader, indices: Sequence[int], memory: Memory, removed: Sequence[str]
    ) -> None:
        """Let the reader answer questions from the memory as it is now, in one batch.

        Args:
            reader: The frozen reader.
            indices: Which questions.
            memory: Read only.
            removed: Every text that has left the memory so far (for the diagnosis).
        """
        asked = [self.questions[index] for index in indices]
        given = reader.answer(
            [ReaderQuestion(item.question, item.kind, self.preface) for item in asked], memory
        )
        self._grade(indices, given, memory, removed)

    def take(
        self, index: int, answer: str, memory: Memory, shown: Sequence[str], removed: Sequence[str]
    ) -> None:
        """Grade an answer that the agent gave itself; ``shown`` is what it had before it."""
        self._grade([index], [ReaderAnswer(answer, tuple(shown), ())], memory, removed)

    def _grade(
        self,
        indices: Sequence[int],
        given: Sequence[ReaderAnswer],
        memory: Memory,
        removed: Sequence[str],
    ) -> None:
        texts: tuple[HeldTexts, HeldTexts] | None = None  # only worth it on a failure
        scores = self._scores(indices, given)
        for index, answer, score in zip(indices, given, scores, strict=True):
            question, cause = self.questions[index], ""
            if score < 1.0:
                held, gone = texts = texts or self._held_and_gone(memory, removed)
                shown = HeldTexts(self._forms.get(text, text) for text in answer.shown)
                cause = diagnose(question, shown=shown, held=held, removed=gone)
            self.answers.append(
                GradedAnswer(
                    index, question.question, tuple(question.answers), answer.text, score, cause,
                    tuple(answer.memory_ids), answer.failed,
                )
            )  # fmt: skip

    def _scores(self, indices: Sequence[int], given: Sequence[ReaderAnswer]) -> list[float]:
        """Return the score of every answer; the judge sees those that are one, in one batch."""
        scores = [0.0] * len(given)
        real = [n for n, answer in enumerate(given) if answer.text.strip() and not answer.failed]
        if not real:
            return scores
        asked = [self._to_judge(indices[place], given[place].text) for place in real]
        for place, score in zip(real, self.judge.score(asked), strict=True):
            scores[place] = score
        return scores

    def _to_judge(self, index: int, text: str) -> GivenAnswer:
        facts = self.facts[index] if self.facts else QuestionFacts()
        return GivenAnswer(
            self.questions[index], text, self.source, facts.question_type, facts.reference
        )

    def _held_and_gone(self, memory: Memory, removed: Sequence[str]) -> tuple[HeldTexts, HeldTexts]:
        """Return what the memory holds and what left it, in forms kept between failures.

        A form whose text is in neither any more is dropped.
        """
        kept, texts = self._forms, _texts(memory)
        self._forms = {text: kept.get(text) or HeldText(text) for text in (*texts, *removed)}
        held = HeldTexts(self._forms[text] for text in texts)
        return held, HeldTexts(self._forms[text] for text in removed)

    def score(self) -> float:
        """Return r1: the mean score of the answers so far."""
        return mean_score([answer.score for answer in self.answers])

    def metrics(self) -> dict[str, float]:
        """Return counts of questions, reader failures and causes, all as floats."""
        counts = {"questions": len(self.answers), "failed": sum(a.failed for a in self.answers)}
        for cause in CAUSES:
            counts[cause] = sum(answer.cause == cause for answer in self.answers)
        return {name: float(count) for name, count in counts.items()}

    def to_info(self) -> tuple[dict[str, Any], ...]:
        """Return the answers as fresh JSON-able dicts."""
        # Not asdict, which copies every value: these are immutable.
        return tuple(
            {name: getattr(answer, name) for name in _GRADED_FIELDS} for answer in self.answers
        )


def _texts(memory: Memory) -> list[str]:
    texts = [text for store in STORES for text in memory.items(store).values()]
    return [*texts, memory.core] if memory.core else texts
