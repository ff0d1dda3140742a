"""The answer sheet of one episode: answers as they come, their scores, causes and totals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from memgym.diagnosis import CAUSES, HeldText, HeldTexts, diagnose
from memgym.episode import Question
from memgym.memory import STORES, Memory
from memgym.reader import Reader, ReaderAnswer, ReaderQuestion
from memgym.scoring import mean_score, score_answer

__all__ = ["AnswerSheet", "GradedAnswer"]


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


class AnswerSheet:
    """Collects and grades the answers of one episode.

    Args:
        questions: The episode's questions.
        preface: What an answering model is told before each of them.
    """

    def __init__(self, questions: Sequence[Question], preface: str) -> None:
        self._questions = questions
        self._preface = preface
        self._forms: dict[str, HeldText] = {}
        self.answers: list[GradedAnswer] = []

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
        asked = [self._questions[index] for index in indices]
        given = reader.answer(
            [ReaderQuestion(item.question, item.kind, self._preface) for item in asked], memory
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
        for index, answer in zip(indices, given, strict=True):
            question = self._questions[index]
            score = 0.0 if answer.failed else score_answer(question, answer.text)
            cause = ""
            if score < 1.0:
                held, gone = texts = texts or self._held_and_gone(memory, removed)
                shown = HeldTexts(self._forms.get(text, text) for text in answer.shown)
                cause = diagnose(question, shown=shown, held=held, removed=gone)
            self.answers.append(
                GradedAnswer(
                    index, question.question, question.answers, answer.text, score, cause,
                    answer.memory_ids, answer.failed,
                )
            )  # fmt: skip

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
        return tuple(asdict(answer) for answer in self.answers)


def _texts(memory: Memory) -> list[str]:
    texts = [text for store in STORES for text in memory.items(store).values()]
    return [*texts, memory.core] if memory.core else texts
