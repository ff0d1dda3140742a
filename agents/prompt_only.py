"""``prompt_only``: Mem-alpha's policy as a model plays it, trained or not, told by a prompt alone.

The published checkpoint runs through it by name (``--model memalpha-4b``). The learner is
elsewhere; this asks a model and changes nothing about it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from memgym.agent import Briefing
from memgym.agents.chat import Chat, Message
from memgym.agents.llm_agent import LLMAgent
from memgym.envs.view import render_memory
from memgym.prompts import CALL_FORMATS, TASK_TEXT, calling_text, task_text
from memgym.tools import openai_tools

__all__ = ["PromptOnly"]

_FEWER_ITEMS = (5, 2, 1, 0)  # most recent items of each store, when the whole view does not fit
_LEAST_CHUNK_TOKENS = 32  # a shorter beginning of a chunk is not worth a call


class PromptOnly(LLMAgent):
    """Reads a chunk beside the visible memory and makes all its calls in one reply.

    Each chunk is a conversation of its own: no earlier chunk, reply or result is in it. Only where
    the environment grants further turns on a chunk (after a search; none in the ``paper`` preset)
    are the results of the earlier turns on that same chunk shown. What became of the calls on the
    chunk *before* is not: it is about another text, and the memory shows what was stored.

    What does not fit the model is left out in this order: items but the 5, 2, 1 and 0 most recent
    of each store (the published rule; the core stays), results of earlier turns, then the end of
    the chunk by halves. A chunk of which not even its beginning fits is passed over without a call.

    Mem-alpha, section 3 and appendix C; the published code puts the memory before the chunk. Here
    the chunk comes first, so that all rollouts of a group share the prompt up to its end.
    """

    name = "prompt_only"
    prompts: ClassVar[Mapping[str, str]] = {
        "system, task": TASK_TEXT,
        **{f"system, calls ({form})": text for form, text in CALL_FORMATS.items()},
        "system, room": "Keep your whole reply under {tokens} tokens: what is cut off is lost.",
        "user": "The piece to read now:\n{chunk}\n\nYour memory so far:\n{memory}{results}",
        "user, results": "\n\nWhat your calls on this piece have given so far:\n{results}\n\nMake "
        "the calls that are still missing.",
    }

    def __init__(self, chat: Chat) -> None:
        super().__init__(chat)
        self._native = chat.settings.tool_format == "native"

    def reset(self, briefing: Briefing) -> None:
        """Begin an episode: write the system message that all of its prompts share."""
        super().reset(briefing)
        tools = [name for name in briefing.tools if name != "answer"]  # questions: see `answer`
        model = self.chat.settings
        self._schemas = tuple(openai_tools(tools)) if self._native else ()
        self._system = "\n\n".join(
            [
                task_text(tools, briefing.memory.memory_types),
                calling_text(tools, model.tool_format),
                self.prompts["system, room"].format(tokens=model.max_tokens * 4 // 5),
            ]
        )
        self._chunk_index = -1
        self._results: list[str] = []

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Return the model's reply to the chunk; the environment finds the calls in it."""
        if not observation["chunk"]:
            return ()
        if info["chunk_index"] == self._chunk_index:
            self._results.append(observation["feedback"])
        else:
            self._chunk_index, self._results = info["chunk_index"], []
        reply = self.ask(self._prompts(observation), tools=self._schemas)
        if reply is None:
            return ()
        return {
            "role": "assistant",
            "content": reply.text,  # thinking, too: no call is read out of it
            "tool_calls": [dict(call) for call in reply.tool_calls],
        }

    def _prompts(self, observation: Mapping[str, Any]) -> Iterator[list[Message]]:
        """Yield the prompt, then shorter ones (see the class)."""
        chunk, view = observation["chunk"], observation["memory"]
        results = "\n".join(self._results)
        yield self._messages(chunk, view, results)
        for recent in _FEWER_ITEMS:
            fewer = self._view(chunk, recent, len(view))
            if len(fewer) < len(view):
                view = fewer
                yield self._messages(chunk, view, results)
        if results:
            yield self._messages(chunk, view, "")
        counter = self.briefing.counter
        tokens = counter.count(chunk) // 2
        while tokens >= _LEAST_CHUNK_TOKENS:
            yield self._messages(counter.head(chunk, tokens), view, "")
            tokens //= 2

    def _view(self, chunk: str, recent: int, characters: int) -> str:
        return render_memory(
            self.briefing.memory,
            chunk,
            recent=recent,
            relevant=0,
            item_characters=characters,
            max_characters=characters,
        )

    def _messages(self, chunk: str, view: str, results: str) -> list[Message]:
        told = self.prompts["user, results"].format(results=results) if results else ""
        shown = self.prompts["user"].format(chunk=chunk, memory=view, results=told)
        return [
            {"role": "system", "content": self._system},
            {"role": "user", "content": shown},
        ]
