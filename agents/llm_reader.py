"""The reader ``llm``: a frozen language model answers from what is retrieved from the memory.

The counterpart of the published reader (Mem-alpha, section 3.2 and appendix: BM25 with the bare
question over each store, the core beside it, one prompt per question). What differs: the retrieved
text has a budget in tokens, one prompt that is too long concerns only its own question, and a
model that cannot be reached is no answer.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from memgym.agents.chat import Message
from memgym.agents.frozen_model import FrozenModel, Prompt, Reply
from memgym.agents.llm_agent import without_thinking
from memgym.agents.reading import NoteOrder, reading_messages
from memgym.errors import UsageError
from memgym.memory import Found, Memory
from memgym.reader import ReaderAnswer, ReaderQuestion, check_limits, retrieve

__all__ = ["LLMReader"]


class LLMReader(FrozenModel):
    """Answers with a language model, all questions of a call in one batch.

    A prompt that does not fit the model is asked again with half of its items. One that does not
    fit without any, one that is refused for good, and a reply without an answer in it (empty, or
    nothing but thinking), are failures: they score 0 and are counted.

    Args:
        budget_tokens: Tokens of retrieved text, as the environment counts them; the core is shown
            beside it and not counted.
        top_k: Items retrieved per store.
        order: Items are shown by ``rank``, best first, or in the ``sequence`` in which they were
            written. Questions after an order are always asked in sequence.
        max_tokens: Longest answer, tokens of the model; published: 2,048.
        **model: The model and how it is asked: the other arguments of
            :class:`~memgym.agents.frozen_model.FrozenModel`. Published: ``temperature`` 0.7.

    Raises:
        UsageError: no model is named, or an option is invalid.
    """

    name = "llm"

    def __init__(
        self,
        budget_tokens: int = 1_024,
        top_k: int = 20,
        order: NoteOrder = "rank",
        *,
        max_tokens: int = 512,
        **model: Any,
    ) -> None:
        check_limits(budget_tokens=budget_tokens, top_k=top_k)
        if order not in ("rank", "sequence"):
            raise UsageError(f'reader order must be "rank" or "sequence", got {order!r}')
        super().__init__(max_tokens=max_tokens, **model)
        self.budget_tokens = budget_tokens
        self.top_k = top_k
        self.order: NoteOrder = order

    def answer(self, questions: Sequence[ReaderQuestion], memory: Memory) -> list[ReaderAnswer]:
        """Return one answer per question, in order.

        Raises:
            ServerError: the model cannot be reached, or gave up.
            StoppedError: the run is being stopped.
        """
        limits = {"top_k": self.top_k, "budget_tokens": self.budget_tokens}
        found = [retrieve(memory, question.question, **limits) for question in questions]
        prompts = [
            Prompt(partial(self._messages, question, memory.core, items), len(items))
            for question, items in zip(questions, found, strict=True)
        ]
        replies = self.ask_all(prompts)
        return [
            self._answer(reply, self._shown(question, items, reply.items if reply else 0), memory)
            for question, items, reply in zip(questions, found, replies, strict=True)
        ]

    def _order(self, question: ReaderQuestion) -> NoteOrder:
        return "sequence" if question.kind == "order" else self.order

    def _shown(self, question: ReaderQuestion, items: Sequence[Found], count: int) -> list[Found]:
        """Return the ``count`` best items in the order in which they are shown."""
        best = list(items[:count])
        if self._order(question) == "sequence":
            best.sort(key=lambda item: item.sequence)
        return best

    def _messages(
        self, question: ReaderQuestion, core: str, items: Sequence[Found], count: int
    ) -> list[Message]:
        return reading_messages(
            question.question,
            core=core,
            items=[item.content for item in self._shown(question, items, count)],
            preface=question.preface,
            kind=question.kind,
            order=self._order(question),
        )

    def _answer(self, reply: Reply | None, shown: Sequence[Found], memory: Memory) -> ReaderAnswer:
        if reply is None:
            return ReaderAnswer("", (), (), failed=True)
        text = without_thinking(reply.chat.text)
        core = (memory.core,) if memory.core else ()
        texts = core + tuple(item.content for item in shown)
        self._unusable += not text
        return ReaderAnswer(text, texts, tuple(item.memory_id for item in shown), failed=not text)
