r"""``memagent`` and ``memagent_per_question``: notes that each passage has rewritten as a whole.

MemAgent reads a text in pieces. After each piece the model's whole completion, at most 1,024
tokens, becomes the new notes; at the end it answers in ``\boxed{}`` from question and notes alone.
:class:`MemAgent` is what Mem-alpha evaluates: the pieces are the dataset's chunks, and no question
is known while reading, only what introduces them all. :class:`MemAgentPerQuestion` is MemAgent's
own evaluation: the question is known, so the text is read again for each one.

Kept: the constants, overwriting (by an empty completion, too), cutting over-long text in its
centre. Different: the prompts are our own and show the passage before what differs between
rollouts, for prefix caching; thinking is taken out of the notes, also when it never ended; a
passage no part of which fits the model leaves the notes as they are (the published script then
answers every question with nothing).
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from memgym.agents.chat import Chat
from memgym.agents.flat_memory import (
    FLAT_MEMORY_TOKENS,
    FLAT_SETTINGS,
    append_text,
    reading_task,
    rewrite_core,
)
from memgym.agents.llm_agent import LLMAgent, checked_count, conversation, without_thinking
from memgym.agents.passages import centre_cut, pieces, shortened
from memgym.errors import UsageError

__all__ = ["MemAgent", "MemAgentPerQuestion"]

READING = """\
You read a long text passage by passage and keep notes for a task. Of what you have read before,
only the notes are left. Write them anew: what the old notes say that still matters for the task,
and what this passage adds. Your whole reply becomes the notes, so write nothing else."""

ANSWERING = r"""You have read a long text; the notes below are all that is left of it. Answer the
question from them and put the answer, as short as it can be, into \boxed{}."""

_ANSWER_TOKENS = 1_024
_BOXED = re.compile(r"\\boxed\s*\{[^{}]*\}")


class MemAgent(LLMAgent):
    """Overwrites its notes after every chunk without knowing the questions.

    Args:
        chat: The line to the model.
        memory_tokens: Longest completion that becomes the notes, 1 to 1,024.

    Raises:
        UsageError: ``memory_tokens`` is out of range.
    """

    name = "memagent"
    settings: ClassVar[Mapping[str, Any]] = FLAT_SETTINGS
    prompts: ClassVar[Mapping[str, str]] = {"reading a passage": READING}
    answer_prompts: ClassVar[Mapping[str, str]] = {"answering (answer_mode=agent)": ANSWERING}

    def __init__(self, chat: Chat, *, memory_tokens: int = FLAT_MEMORY_TOKENS) -> None:
        super().__init__(chat)
        self.memory_tokens = checked_count(f"{self.name}: memory_tokens", memory_tokens)
        if memory_tokens > FLAT_MEMORY_TOKENS:
            raise UsageError(f"{self.name}: memory_tokens is at most 1,024, got {memory_tokens}")

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Make the completion for this chunk the core memory."""
        task, notes = reading_task(self.briefing), self.briefing.memory.core
        return rewrite_core(self.briefing, self._read(observation["chunk"], task, notes))

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        """Answer from the question and the core memory alone."""
        return self._conclude(observation["question"], self.briefing.memory.core)

    def _read(self, passage: str, task: str, notes: str) -> str:
        """Return the notes after a passage."""
        counter = self.briefing.counter
        shown = f"\n\nTask: {task}\n\nNotes so far:\n{notes or '(none)'}"
        parts = (f"Passage:\n{part}{shown}" for part in shortened(passage, counter))
        prompts = (conversation(READING, part) for part in parts)
        reply = self.ask(prompts, max_tokens=self.memory_tokens)
        return counter.head(without_thinking(reply.text), self.memory_tokens) if reply else notes

    def _conclude(self, question: str, notes: str) -> str:
        """Return the last box of the reply, which scores as text and as label, or all of it."""
        asked = f"Notes:\n{notes or '(none)'}\n\nQuestion: {question}"
        reply = self.ask([conversation(ANSWERING, asked)], max_tokens=_ANSWER_TOKENS)
        text = without_thinking(reply.text) if reply else ""
        return str([text, *_BOXED.findall(text)][-1])


class MemAgentPerQuestion(MemAgent):
    """Reads the whole text again for every question, with the question in sight.

    No question is known before it is asked, so the text is kept until then as episodic items, and
    its size is honestly that of the text. A memory budget keeps its two ends.

    Args:
        chat: The line to the model.
        memory_tokens: Longest completion that becomes the notes, 1 to 1,024.
        piece_tokens: Size of the pieces into which the joined text is cut anew, in tokens of the
            environment's counter (the original's are the model's).
        context_tokens: Of a longer text only the two ends are read; counted likewise.

    Raises:
        UsageError: an option is out of range.
    """

    name = "memagent_per_question"
    settings: ClassVar[Mapping[str, Any]] = {
        "answer_mode": "agent", "memory_types": ("episodic",), "turns_per_chunk": 1,
    }  # fmt: skip
    prompts: ClassVar[Mapping[str, str]] = {"reading a piece": READING, "answering": ANSWERING}
    answer_prompts: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        chat: Chat,
        *,
        memory_tokens: int = FLAT_MEMORY_TOKENS,
        piece_tokens: int = 5_000,
        context_tokens: int = 120_000,
    ) -> None:
        super().__init__(chat, memory_tokens=memory_tokens)
        self.piece_tokens = checked_count(f"{self.name}: piece_tokens", piece_tokens)
        self.context_tokens = checked_count(f"{self.name}: context_tokens", context_tokens)

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Keep the chunk as it is."""
        return append_text(self.briefing, observation["chunk"])

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        """Read every piece of the text for this question, then answer it from the notes."""
        question, counter, notes = observation["question"], self.briefing.counter, ""
        text = "\n\n".join(self.briefing.memory.items("episodic").values())
        text = centre_cut(text, self.context_tokens, counter)
        for piece in pieces(text, self.piece_tokens, counter):
            notes = self._read(piece, question, notes)
        return self._conclude(question, notes)
