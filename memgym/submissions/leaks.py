"""What is known before it can be: answers before the text, or what will be asked about.

A policy sees chunks one by one and its own memory, so what it writes comes from there or from what
it knew before. If it writes an answer that the text gives only later, or nowhere, or a question
that nobody has asked, it may have been told. If a question is answered rightly though the memory
does not hold the answer, whoever answered may have been told. That is no proof: a model may know
that Paris is the capital of France, and may infer. So places are counted and reported, and people
judge.

A policy that was told which of the things it reads will be asked for writes nothing too early. It
is seen by its choice: of many sentences it keeps hardly any but those that questions rest on. Even
who keeps only what could be asked about keeps much that is not. One who adds enough to hide it, or
keeps it in other words, is *not* found.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from memgym.episode import Episode
from memgym.memory import STORES, Memory
from memgym.scoring import NormalisedText
from memgym.submissions.verified import Suspicion
from memgym.text import split_sentences
from memgym.tokens import clean_text
from memgym.traces.replay import ReplayedStep

__all__ = ["LeakSearch"]

_LEAST_CHARACTERS = 6  # of a normalised answer; "7", "yes" and "blue" are written by chance
_LEAST_QUESTION_CHARACTERS = 20
# A choice that nobody makes without the questions. In the built-in suites who keeps every labelled
# example and nothing else comes to 0.13 to 0.77, any other honest choice to far less.
_LEAST_KEPT = 10  # sentences
_LEAST_PRECISION = 0.95  # share of them that are evidence
_MOST_ASKED = 0.5  # share of the text's sentences that are evidence: with more, it is no choice


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
        self._last = 0

    def stepped(self, step: ReplayedStep) -> None:
        """Look at the memory after a step."""
        self._last = step.index
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

    def chosen(self) -> None:
        """Look at what was kept: whether it is what questions rest on, and nothing else."""
        asked, others = _sentences(self._episode)
        kept = "\n".join(self._texts.values())
        right, wrong = (sum(text in kept for text in texts) for texts in (asked, others))
        kept_number, number = right + wrong, len(asked) + len(others)
        if len(asked) > _MOST_ASKED * number or kept_number < _LEAST_KEPT:
            return
        if right >= _LEAST_PRECISION * kept_number:
            told = f"{right} of {len(asked)} sentences with evidence"
            self._note("chosen", self._last, 0, f"{told}, {wrong} of {len(others)} others")

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
        self, kind: Literal["written", "answered", "chosen"], step: int, question: int, text: str
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


def _sentences(episode: Episode) -> tuple[set[str], set[str]]:
    """Return the sentences of the text that are evidence of a question, and the others."""
    evidence = "\n".join({item.text for one in episode.questions for item in one.evidence})
    texts = {clean_text(text) for chunk in episode.chunks for text in split_sentences(chunk)}
    asked = {text for text in texts if text in evidence}
    return asked, texts - asked


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
