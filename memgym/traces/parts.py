"""What stands in for readers and judges when a trace is replayed, and how a judge is listened to.

A language model would not say the same again, and a trace must not choose what code is run. So
every part but the built-in ones without a model is replaced by one that says what it said then.
What follows from it (scores, causes, retrieval) is computed anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from memgym.memory import STORES, Found, Memory
from memgym.quality import ContentJudge, WrittenItem
from memgym.reader import ReaderAnswer, ReaderQuestion, retrieve
from memgym.scoring import GivenAnswer, score_answer

__all__ = ["ListenedJudge", "RecordedAnswerJudge", "RecordedContentJudge", "RecordedReader"]


class ListenedJudge:
    """Asks a content judge and notes its verdicts.

    Attributes:
        asked: The judge.
        heard: The verdicts since they were last taken, ``None`` if it was not asked.
    """

    def __init__(self, asked: ContentJudge) -> None:
        self.asked = asked
        self.heard: list[bool] | None = None

    def __getattr__(self, name: str) -> Any:
        """Return the judge's own: its name, settings, usage."""
        if name.startswith("_") or name == "asked":  # copying asks before there is any
            raise AttributeError(name)
        return getattr(self.asked, name)

    def judge(self, items: Sequence[WrittenItem], chunk: str, memory: Memory) -> list[bool]:
        """Return what the judge says."""
        verdicts = [bool(verdict) for verdict in self.asked.judge(items, chunk, memory)]
        self.heard = [*(self.heard or []), *verdicts]
        return verdicts

    def take(self) -> list[bool] | None:
        """Return what was heard and forget it."""
        heard, self.heard = self.heard, None
        return heard


class RecordedContentJudge:
    """Gives the verdicts that a trace has of a step.

    Attributes:
        verdicts: Those of the step that is being replayed.
        complaints: Where it was asked for other verdicts than the trace has.
    """

    name = "recorded"

    def __init__(self) -> None:
        self.verdicts: Sequence[bool] = ()
        self.complaints: list[str] = []

    def judge(self, items: Sequence[WrittenItem], chunk: str, memory: Memory) -> list[bool]:
        """Return the recorded verdicts; those that are missing count against the item."""
        if len(self.verdicts) != len(items):
            self.complaints.append(
                f"verdicts: recorded {len(self.verdicts)}, {len(items)} items were written"
            )
        given = list(self.verdicts[: len(items)])
        return given + [False] * (len(items) - len(given))


class _Cursor:
    """The recorded answers in the order in which they were given."""

    def __init__(self, answers: Sequence[Mapping[str, Any]]) -> None:
        self._answers = answers
        self._next = 0

    def next(self) -> Mapping[str, Any] | None:
        """Return the next one, ``None`` after the last."""
        place, self._next = self._next, self._next + 1
        return self._answers[place] if place < len(self._answers) else None


class RecordedReader:
    """Gives the recorded answers, and retrieves anew what the reader had before it.

    The built-in reader ``llm`` retrieves as every reader of memgym does, so what it was shown is
    found again, and what the trace says of it must agree. Of a user's own reader only the items
    that it names are known.

    Args:
        answers: Of the trace.
        retrieval: ``top_k`` and ``budget_tokens`` of the reader ``llm``, ``None`` for another.

    Attributes:
        complaints: Where the trace names items that cannot have been retrieved.
    """

    name = "recorded"

    def __init__(
        self, answers: Sequence[Mapping[str, Any]], retrieval: Mapping[str, int] | None
    ) -> None:
        self._cursor = _Cursor(answers)
        self._retrieval = retrieval
        self.complaints: list[str] = []

    def answer(self, questions: Sequence[ReaderQuestion], memory: Memory) -> list[ReaderAnswer]:
        """Return the recorded answers to so many questions."""
        return [self._answer(question, self._cursor.next(), memory) for question in questions]

    def _answer(
        self, question: ReaderQuestion, recorded: Mapping[str, Any] | None, memory: Memory
    ) -> ReaderAnswer:
        if recorded is None:
            return ReaderAnswer("", (), (), failed=True)
        ids = tuple(recorded["memory_ids"])
        shown = self._shown(question, ids, memory, where=f"answers[{recorded['index']}].memory_ids")
        # Which texts another reader showed, or one that failed, is not recorded: that it showed
        # none is as good a guess as any where the trace says that they did not hold the answer.
        unknown = self._retrieval is None or (recorded["failed"] and not ids)
        if unknown and recorded["cause"] == "not_retrieved":
            shown = ()
        return ReaderAnswer(recorded["prediction"], shown, ids, recorded["failed"])

    def _shown(
        self, question: ReaderQuestion, ids: Sequence[str], memory: Memory, where: str
    ) -> tuple[str, ...]:
        """Return the texts that the reader had before it; complain if it cannot have had them."""
        if self._retrieval is None:
            texts = {key: text for store in STORES for key, text in memory.items(store).items()}
        else:
            found: list[Found] = retrieve(memory, question.question, **self._retrieval)
            # Where a prompt was too long for the model, it was shown fewer of the best.
            texts = {item.memory_id: item.content for item in found[: len(ids)]}
        unknown = [memory_id for memory_id in ids if memory_id not in texts]
        if unknown or len(set(ids)) < len(ids):
            self.complaints.append(
                f"{where}: recorded {_some(ids)}, retrieved {_some(list(texts))}"
            )
        core = (memory.core,) if memory.core else ()
        return core + tuple(texts[memory_id] for memory_id in ids if memory_id in texts)


class RecordedAnswerJudge:
    """Gives the recorded scores, for free-form answers.

    Args:
        answers: Of the trace.
        sources: Those that the built-in judge ``llm`` is asked about, empty for all; it leaves
            labels, orders and the like to the table of :mod:`memgym.scoring`. ``None`` for another
            judge, all of whose scores are its own.
    """

    name = "recorded"

    def __init__(self, answers: Sequence[Mapping[str, Any]], sources: Sequence[str] | None) -> None:
        # The judge is not asked about answers that are none.
        asked = [item for item in answers if item["prediction"].strip() and not item["failed"]]
        self._cursor = _Cursor(asked)
        self._sources = sources

    def score(self, answers: Sequence[GivenAnswer]) -> list[float]:
        """Return one score per answer."""
        return [self._score(answer, self._cursor.next()) for answer in answers]

    def _score(self, answer: GivenAnswer, recorded: Mapping[str, Any] | None) -> float:
        if recorded is None or not self._is_judged(answer):
            return score_answer(answer.question, answer.text)
        return float(recorded["score"])

    def _is_judged(self, answer: GivenAnswer) -> bool:
        if self._sources is None:
            return True
        kind = answer.question.kind
        free = kind == "text" or (kind == "keywords" and bool(answer.reference))
        return free and (not self._sources or answer.source in self._sources)


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ascii(memory_id)[1:31] for memory_id in ids[:6])
    return f"{shown or 'none'}{', …' if len(ids) > 6 else ''}"
