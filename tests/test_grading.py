"""The answer sheet: broken readers, causes, and what it keeps from one failure to the next."""

from collections.abc import Sequence

import pytest

from memgym import scoring
from memgym.envs.grading import AnswerSheet
from memgym.episode import Evidence, Question
from memgym.memory import Memory
from memgym.reader import ReaderAnswer, ReaderQuestion

FACT = "Ada Holm keeps her bees behind the old mill in Lund."
QUESTIONS = tuple(
    Question(f"Where are Ada's bees ({n})?", ("Lund",), evidence=(Evidence(0, FACT),))
    for n in range(4)
)


class Scripted:
    """A reader with prepared answers."""

    name = "scripted"

    def __init__(self, *answers: ReaderAnswer) -> None:
        self._answers = answers

    def answer(self, questions: Sequence[ReaderQuestion], memory: Memory) -> list[ReaderAnswer]:
        return list(self._answers)


def memory_of(*texts: str) -> Memory:
    memory = Memory()
    for text in texts:
        memory.insert("semantic", text)
    return memory


def test_a_failed_reader_scores_nothing_whatever_it_says() -> None:  # M17
    sheet = AnswerSheet(QUESTIONS, "")
    broken = ReaderAnswer("error 500: Lund", (FACT,), (), failed=True)
    sound = ReaderAnswer("Lund", (FACT,), ())
    sheet.ask_reader(Scripted(broken, sound), [0, 1], memory_of(FACT), [])
    assert [answer.score for answer in sheet.answers] == [0.0, 1.0]
    assert [answer.failed for answer in sheet.answers] == [True, False]
    assert sheet.score() == 0.5
    metrics = sheet.metrics()
    assert (metrics["questions"], metrics["failed"]) == (2.0, 1.0)
    assert sheet.to_info()[0]["failed"] is True


def test_causes_follow_the_memory_from_answer_to_answer() -> None:
    sheet, memory = AnswerSheet(QUESTIONS, ""), memory_of("The fair was loud.")
    sheet.take(0, "no idea", memory, [], [])
    memory.insert("semantic", FACT)
    sheet.take(1, "no idea", memory, [], [])
    sheet.take(2, "no idea", memory, [FACT], [])
    memory.delete("semantic", "s2")
    sheet.take(3, "no idea", memory, [], [FACT])
    causes = [answer.cause for answer in sheet.answers]
    assert causes == ["not_written", "not_retrieved", "misread", "lost"]
    assert all(sheet.metrics()[cause] == 1.0 for cause in causes)


def test_a_text_is_normalised_once_and_forgotten_with_its_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    plain = scoring.normalise

    def counted(text: str) -> str:
        seen.append(text)
        return plain(text)

    monkeypatch.setattr(scoring, "normalise", counted)
    sheet, memory = AnswerSheet(QUESTIONS, ""), memory_of("The fair was loud.", "Ben paints.")
    for index in range(2):
        sheet.take(index, "no idea", memory, [], [])
    assert seen.count("The fair was loud.") == seen.count("Ben paints.") == 1
    memory.delete("semantic", "s1")
    sheet.take(2, "no idea", memory, [], [])  # in neither memory nor removed: dropped
    memory.insert("semantic", "The fair was loud.")
    sheet.take(3, "no idea", memory, [], [])
    assert seen.count("The fair was loud.") == 2
    assert seen.count("Ben paints.") == 1
