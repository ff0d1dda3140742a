"""The base of every agent with a language model: its line to the model, and answering with it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from memgym.agent import Agent, Briefing
from memgym.agents.chat import Chat, ChatReply, ContextLengthError, Message, RefusedError
from memgym.agents.reading import READING_PROMPT, NoteOrder, reading_messages
from memgym.errors import UsageError
from memgym.reader import retrieve
from memgym.usage import Usage

__all__ = ["LLMAgent", "checked_count", "conversation", "without_thinking"]

_THINKING = re.compile(r"^.*?</think>", re.DOTALL)


def without_thinking(text: str) -> str:
    """Return a reply without its thinking; ``""`` if the thinking never ended."""
    if "</think>" in text:
        return _THINKING.sub("", text, count=1).strip()
    return "" if text.lstrip().startswith("<think>") else text.strip()


def conversation(instructions: str, shown: str) -> list[Message]:
    """Return the messages of one turn: what is the same every time, then what is not."""
    return [{"role": "system", "content": instructions}, {"role": "user", "content": shown}]


def checked_count(option: str, value: object) -> int:
    """Return an agent's option that must be an integer of at least 1.

    Raises:
        UsageError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{option} must be an integer of at least 1, got {value!r}")
    return value


class LLMAgent(Agent):
    """An agent that asks a language model.

    A subclass writes :meth:`act`, and :meth:`answer` if it answers questions in a way of its own.
    It asks with :meth:`ask`; what it asks is counted, and a run that was stopped is resumed at the
    call it was at, if the agent asks the same again: it must not depend on clocks or global random
    numbers.

    Args:
        chat: The line to the model.

    Attributes:
        prompts: Every prompt text of the method by its role, for ``memgym agents show``.
        answer_tokens: Tokens of memory text that it answers from (``answer_mode="agent"``).
        note_order: The order of its :meth:`notes`, which its model is told.
    """

    prompts: ClassVar[Mapping[str, str]] = {}
    answer_prompts: ClassVar[Mapping[str, str]] = {"answering (answer_mode=agent)": READING_PROMPT}
    answer_tokens: ClassVar[int] = 1_024
    note_order: ClassVar[NoteOrder] = "rank"

    def __init__(self, chat: Chat) -> None:
        self.chat = chat

    @property
    def usage(self) -> Usage:
        """What all of its calls have used so far."""
        return self.chat.usage

    def reset(self, briefing: Briefing) -> None:
        """Begin an episode; a subclass calls this first."""
        super().reset(briefing)
        self.chat.begin(str(briefing.info["episode_id"]), briefing.seed)

    def ask(self, prompts: Iterable[Sequence[Message]], **given: Any) -> ChatReply | None:
        """Return the reply to the first prompt that fits the model.

        ``None`` if none fits, or if that one is refused for good; both are counted failures.

        Args:
            prompts: The same request, shorter each time: the agent's own truncation rule.
            **given: See :meth:`memgym.agents.chat.Chat.request`.
        """
        for messages in prompts:
            try:
                return self.chat.ask(messages, **given)
            except ContextLengthError:
                continue
            except RefusedError:
                break
        return None

    def bare_question(self, observation: Mapping[str, Any]) -> str:
        """Return the question that is asked without its preface, as a retrieval query."""
        preface = str(self.briefing.info["question_preface"])
        return str(observation["question"]).removeprefix(preface).strip()

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str | None:
        """Answer with the agent's own model from its :meth:`notes`; fewer if they do not fit."""
        question = self.bare_question(observation)
        reply = self.ask(self._readings(question), max_tokens=512)
        return without_thinking(reply.text) if reply else ""

    def notes(self, question: str) -> Iterable[Sequence[str]]:
        """Yield the items that the agent answers from, then fewer each time, down to none."""
        found = retrieve(self.briefing.memory, question, top_k=20, budget_tokens=self.answer_tokens)
        items = [item.content for item in found]
        while items:
            yield items
            items = items[: len(items) // 2]
        yield items

    def _readings(self, question: str) -> Iterable[Sequence[Message]]:
        core, preface = self.briefing.memory.core, str(self.briefing.info["question_preface"])
        for items in self.notes(question):
            yield reading_messages(
                question, core=core, items=items, preface=preface, order=self.note_order
            )
