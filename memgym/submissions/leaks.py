"""Answers that are known before they can be: in a memory before the text, or without a memory.

A policy sees chunks one by one and its own memory, so what it writes comes from there or from what
it knew before. If it writes an answer that the text gives only later, or nowhere, or a question
that nobody has asked, it may have been told. If a question is answered rightly though the memory
does not hold the answer, whoever answered may have been told. That is no proof: a model may know
that Paris is the capital of France, and may infer. So places are counted and reported, and people
judge. What is *not* found is a policy that was told which of the things it reads will be asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from memgym.episode import Episode
from memgym.memory import STORES, Memory
from memgym.scoring import NormalisedText
from memgym.submissions.verified import Suspicion
from memgym.traces.replay import ReplayedStep

__all__ = ["LeakSearch"]

_LEAST_CHARACTERS = 6  # of a normalised answer; "7", "yes" and "blue" are written by chance
_LEAST_QUESTION_CHARACTERS = 20


@dataclass(slots=True)
class _Secret:
    """Something that is not known from the start.

    Attributes:
        question: Index of its question.
        text: An answer or a question.
        known_after: Index of the first chunk with which it is known, the number of chunks if none.
    """

    question: int
    text: str
    known_after: int


class LeakSearch:
    """Follows an episode step by step.

    Args:
        episode: The episode with its golds.
        agent_answers: Whether questions are asked to the policy.

    Attributes:
        found: Every place so far.
    """

    def __init__(self, episode: Episode, *, agent_answers: bool) -> None:
        self.found: list[Suspicion] = []
        self._episode = episode
        self._secrets = [item for item in _secrets(episode, agent_answers) if item.known_after]
        self._texts: dict[str, str] = {}
        self._held: dict[int, tuple[int, bool]] = {}

    def stepped(self, step: ReplayedStep) -> None:
        """Look at the memory after a step."""
        texts = _texts(step.memory)
        changed = texts != self._texts
        fresh = [text for key, text in texts.items() if self._texts.get(key) != text]
        self._texts = texts
        if fresh:
            self._written(step.index, step.chunk, NormalisedText("\n".join(fresh)))
        due = self._episode.questions_after(step.chunk)
        if due and (changed or due[0] not in self._held):
            self._hold(step.index, due, NormalisedText("\n".join(texts.values())))

    def ended(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Look at the answers: those that are right need something they were made from."""
        for answer in answers:
            step, held = self._held.get(answer["index"], (0, True))
            if answer["score"] >= 1.0 and not held:
                gold = self._episode.questions[answer["index"]].answers[0]
                self._note("answered", step, answer["index"], gold)

    def _written(self, step: int, chunk: int, fresh: NormalisedText) -> None:
        for secret in [item for item in self._secrets if item.known_after > chunk]:
            if fresh.holds(secret.text):
                self._secrets.remove(secret)  # told once
                self._note("written", step, secret.question, secret.text)

    def _hold(self, step: int, due: Sequence[int], held: NormalisedText) -> None:
        """Note which answers the memory holds; those that are written by chance count as held."""
        for index in due:
            question = self._episode.questions[index]
            telling = [gold for gold in question.answers if _is_telling(gold)]
            known = len(telling) < len(question.answers) or any(map(held.holds, telling))
            self._held[index] = (step, known or any(_in(gold, question) for gold in telling))

    def _note(
        self, kind: Literal["written", "answered"], step: int, question: int, text: str
    ) -> None:
        self.found.append(Suspicion(kind, self._episode.id, step, question, text))


def _in(gold: str, question: Any) -> bool:
    return NormalisedText(question.question).holds(gold)


def _is_telling(gold: str) -> bool:
    form = NormalisedText(gold).normalised
    return len(form) >= _LEAST_CHARACTERS and any(map(str.isalpha, form))


def _texts(memory: Memory) -> dict[str, str]:
    items = {key: text for store in STORES for key, text in memory.items(store).items()}
    return {**items, "core": memory.core}


def _secrets(episode: Episode, agent_answers: bool) -> Iterator[_Secret]:
    """Yield telling answers and long questions, each text once, with when it becomes known."""
    chunks = [NormalisedText(chunk) for chunk in episode.chunks]
    asked = [NormalisedText(item.question) for item in episode.questions] if agent_answers else []

    def known_after(text: str) -> int:
        read = (number for number, chunk in enumerate(chunks) if chunk.holds(text))
        told = (
            episode.questions[number].asked_after
            for number, question in enumerate(asked)
            if question.holds(text)
        )
        first = [next(read, len(chunks)), *(len(chunks) - 1 if n is None else n for n in told)]
        return min(first)

    seen: set[str] = set()
    for index, question in enumerate(episode.questions):
        long = len(question.question) >= _LEAST_QUESTION_CHARACTERS
        texts = [*filter(_is_telling, question.answers), *([question.question] * long)]
        for text in texts:
            if text not in seen:
                seen.add(text)
                yield _Secret(index, text, known_after(text))
