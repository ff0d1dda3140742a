"""``memgpt``: a model that manages a small memory in view and searches a large one out of view.

MemGPT (arXiv 2310.08560; numbers and tool names of its successor Letta): two core blocks always in
the prompt, an archive of passages that the model writes and searches, and a log of every message
("recall"). The model works on each event by tool calls until it sends a message.

What stands for what here: the blocks are the environment's core memory, limited together (2 x 5,000
characters are about 2,500 tokens); archival passages are semantic items; the log is one episodic
item per chunk, so that its size counts. Kept: the tools and their meaning, pages of ten, results
cut at 6,000 characters, an error when a replaced text is absent or a block would be too long.

Different: each event begins a fresh context with the blocks in view, where the published queue of
messages goes on and is summarised when it is nearly full; within one event, the oldest calls leave
a prompt that has become too long. The archive is ranked by BM25 in place of embeddings. A message
of the log is a whole chunk, so a hit shows the passage around the match. Under a memory budget, the
oldest messages make room for what is written. Without counterpart: heartbeats, files, and the later
editing tools (``memory_insert``, ``memory_rethink`` and the like).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from memgym.actions import plain_text
from memgym.agents.chat import Chat, Message
from memgym.agents.llm_agent import LLMAgent, checked_count, conversation
from memgym.agents.paged_memory import ALL_TOOLS, READ_TOOLS, PagedMemory
from memgym.agents.passages import shortened
from memgym.agents.tool_loop import ToolLoop
from memgym.prompts import calling_text
from memgym.tools import Tool, ToolCall, describe_tools

__all__ = ["MemGPT"]

READING = """\
A long text reaches you piece by piece. Each piece is in view once; later you are asked about the
text and have only your memory, which has three parts.
Core memory is always in view. Its block "persona" says how you go about your task, its block
"human" who or what the text is about. Together they hold {tokens} tokens, so they are for what you
need at all times. Archival memory is out of view and has no limit: store one fact per passage,
understandable on its own, with its names and dates. The log holds every piece word for word; it is
kept for you and can only be searched.
Decide what the piece adds to your memory or changes in it, and call tools. You see their results
and may go on, with at most {steps} replies per piece. Finish with send_message."""

ANSWERING = """\
You have read a long text and are asked about it. What you know stands in your core memory, which is
in view, and in the archive and the log of the text, which you search. You have at most {steps}
replies. One of them has to call send_message with the answer and nothing else, as short as it can
be, in the words of the text; if your memory does not tell, with: not mentioned."""

PIECE = "A piece of the text has arrived:\n{piece}\n\n{memory}"
QUESTION = """\
{memory}

The user asks:
{question}

Search as long as you need to, then send the answer. A reply without a call is taken for it."""


class MemGPT(LLMAgent):
    """Pages between a small core memory in view and an archive and a log out of view.

    Args:
        chat: The line to the model.
        max_steps: Replies of the model per chunk and per question, at least 1.

    Raises:
        UsageError: ``max_steps`` is out of range.
    """

    name = "memgpt"
    settings: ClassVar[Mapping[str, Any]] = {
        "core_capacity": 2_500, "core_overflow": "reject", "turns_per_chunk": 1
    }  # fmt: skip
    prompts: ClassVar[Mapping[str, str]] = {
        "reading, system": READING,
        "reading, user": PIECE,
        "tools": describe_tools(ALL_TOOLS, ALL_TOOLS),
    }
    answer_prompts: ClassVar[Mapping[str, str]] = {
        "answering, system (answer_mode=agent)": ANSWERING,
        "answering, user (answer_mode=agent)": QUESTION,
    }

    def __init__(self, chat: Chat, *, max_steps: int = 5) -> None:
        super().__init__(chat)
        self.max_steps = checked_count("max_steps", max_steps)

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Log the chunk, let the model work on it, and return what was written, in order."""
        memory = PagedMemory(self.briefing.memory)
        if observation["chunk"]:
            memory.log(observation["chunk"])
            self._converse(self._events(observation["chunk"], memory), ALL_TOOLS, memory)
        return memory.calls

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        """Let the model search its memory until it sends the answer."""
        memory = PagedMemory(self.briefing.memory)
        asked = QUESTION.format(memory=memory.view(), question=observation["question"])
        return self._converse(
            [conversation(self._system(ANSWERING, READ_TOOLS), asked)], READ_TOOLS, memory
        )

    def _system(self, text: str, tools: Mapping[str, Tool]) -> str:
        text = text.format(tokens=self.briefing.core_capacity_tokens, steps=self.max_steps)
        return f"{text}\n\n{calling_text(tuple(tools), self.chat.settings.tool_format, tools)}"

    def _events(self, chunk: str, memory: PagedMemory) -> Iterator[list[Message]]:
        """Yield the event, with less of the chunk each time: the log holds all of it."""
        system, view = self._system(READING, ALL_TOOLS), memory.view()
        for piece in shortened(chunk, self.briefing.counter):
            yield conversation(system, PIECE.format(piece=piece, memory=view))

    def _converse(
        self,
        openings: Iterable[Sequence[Message]],
        tools: Mapping[str, Tool],
        memory: PagedMemory,
    ) -> str:
        """Return the message that the model sends, or what it says without calling a tool."""
        loop = ToolLoop(openings, tools, self.chat.settings.tool_format)
        for _ in range(self.max_steps):
            reply = self.ask(loop.prompts(), **loop.options)
            if reply is None:
                break
            calls = loop.read(reply)
            if not calls:
                return plain_text(reply.text)
            results = [memory.carry_out(call) for call in calls]
            for call in reversed(calls):
                if isinstance(call, ToolCall) and call.name == "send_message":
                    return str(call.arguments["message"])
            loop.add(reply, calls, results)
        return ""
