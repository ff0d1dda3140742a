"""``mirix``: a router decides which memories a chunk concerns, and each of these has a manager.

MIRIX (arXiv 2507.07957): a meta manager picks memory types, and the managers of these types work
at the same time, each with the ten most related items of its own memory in view. The episodic
manager keeps events, the semantic one facts; the core is a text that is always in view.

Kept: routing, one manager per type, all of them asked in one batch, ten items each, an over-long
core that is refused with the advice to rewrite it to half its size. Different: the router sees the
chunk alone and answers with one of all possible choices (constrained decoding) instead of calling
``trigger_memory_update``; a manager is done when its calls have gone through instead of saying
``finish_memory_update``, and goes on only about calls that failed (``max_steps``; published: 10
chained steps); items are texts without fields, related by BM25 weights instead of embeddings, and
filled up with the newest; the core is always rewritten as a whole. Without counterpart: procedural,
resource and knowledge-vault memory (their content goes to semantic memory), screenshots, merging
duplicates afterwards. The reader answers questions, or its own model from what one search finds.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, ClassVar

from memgym.agents.chat import Chat, ChatReply, Message
from memgym.agents.draft import Draft, writing_tools
from memgym.agents.llm_agent import LLMAgent, checked_count, conversation
from memgym.agents.passages import shortened
from memgym.agents.tool_loop import ToolLoop, ask_together
from memgym.memory import MemoryType
from memgym.prompts import calling_text

__all__ = ["MIRIX"]

SYSTEM = """\
A long text is read piece by piece, and a memory is kept of it from which questions are answered
when the text is gone. Several assistants keep it together; you are one of them. The memory has
three parts. Core memory: one text of at most {tokens} tokens, always in view, on what everything is
about. Episodic memory: events, one per item, each with its time and those involved. Semantic
memory: facts about people, things, places and words, instructions, documents and numbers, one per
item, understandable on its own."""

PIECE = "This piece has arrived:\n{piece}\n\n"

ROUTING = """\
Your part is to say which memories this piece gives something to keep or to change. Reply with them,
separated by commas, or with "none". Choices: {choices}"""

MANAGERS: Mapping[MemoryType, str] = {
    "core": """\
Your part is core memory. Rewrite it if this piece adds something to it or changes it.""",
    "episodic": """\
Your part is episodic memory. Store every event of this piece that is not there yet, with its date;
correct items that it continues, and delete what has proved wrong.""",
    "semantic": """\
Your part is semantic memory. Store every fact of this piece that is not there yet; update items
that it changes instead of adding a second one, and delete what no longer holds.""",
}


class MIRIX(LLMAgent):
    """Routes each chunk to the managers of the memories that it concerns.

    Args:
        chat: The line to the model.
        max_items: Items of its own memory that a manager sees, at least 1.
        max_steps: Replies of one manager per chunk, at least 1; more than one if calls fail.

    Raises:
        UsageError: an option is out of range.
    """

    name = "mirix"
    settings: ClassVar[Mapping[str, Any]] = {
        "core_capacity": 2_500, "core_overflow": "reject", "turns_per_chunk": 1
    }  # fmt: skip
    prompts: ClassVar[Mapping[str, str]] = {
        "system": SYSTEM,
        "user, first": PIECE,
        "user, router": ROUTING,
        **{f"user, {name} manager": text for name, text in MANAGERS.items()},
    }

    def __init__(self, chat: Chat, *, max_items: int = 10, max_steps: int = 2) -> None:
        super().__init__(chat)
        self.max_items = checked_count("max_items", max_items)
        self.max_steps = checked_count("max_steps", max_steps)

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Ask the router, then its managers at the same time; return what they have written."""
        chunk, draft = observation["chunk"], Draft(self.briefing.memory)
        tool_format = self.chat.settings.tool_format
        managers = [
            ToolLoop(self._tasks(memory_type, chunk), writing_tools(memory_type), tool_format)
            for memory_type in self._route(chunk)
        ]
        for _ in range(self.max_steps):
            replies = ask_together(self.chat, managers)
            pairs = zip(managers, replies, strict=True)
            managers = [it for it, reply in pairs if reply and self._fails(it, reply, draft)]
        return draft.calls

    def _route(self, chunk: str) -> tuple[MemoryType, ...]:
        """Return the memory types that the router picks."""
        enabled = [name for name in MANAGERS if name in self.briefing.memory.memory_types]
        picks = [pick for size in range(len(enabled) + 1) for pick in combinations(enabled, size)]
        choices = {", ".join(pick) or "none": pick for pick in picks}
        task = ROUTING.format(choices="; ".join(choices))
        prompts = (self._prompt(piece, task) for piece in shortened(chunk, self.briefing.counter))
        reply = self.ask(prompts, choices=tuple(choices)) if chunk else None
        return choices.get(reply.text.strip(), ()) if reply else ()

    def _prompt(self, piece: str, task: str) -> list[Message]:
        """Return a prompt whose beginning, up to the end of the piece, all of them share."""
        system = SYSTEM.format(tokens=self.briefing.core_capacity_tokens)
        return conversation(system, PIECE.format(piece=piece) + task)

    def _tasks(self, memory_type: MemoryType, chunk: str) -> Iterator[list[Message]]:
        """Yield a manager's prompt, with ever fewer items, then with less of the chunk."""
        tools, memory = writing_tools(memory_type), self.briefing.memory
        called = calling_text(tuple(tools), self.chat.settings.tool_format, tools)
        task = f"{MANAGERS[memory_type]}\n\n{called}"
        shown = 0 if memory_type == "core" else min(self.max_items, len(memory.items(memory_type)))
        while shown:
            yield self._prompt(chunk, f"{task}\n\n{self._view(memory_type, chunk, shown)}")
            shown //= 2
        for piece in shortened(chunk, self.briefing.counter):
            yield self._prompt(piece, f"{task}\n\n{self._view(memory_type, chunk, 0)}")

    def _view(self, memory_type: MemoryType, chunk: str, shown: int) -> str:
        memory = self.briefing.memory
        if memory_type == "core":
            return f"Core memory now:\n{memory.core or '(empty)'}"
        items = memory.items(memory_type)
        related = memory.relevant(chunk, memory_type, shown)
        newest = [one for one in reversed(items) if one not in related]
        ids = sorted([*related, *newest][:shown], key=lambda one: int(one[1:]))
        lines = [f"[{one}] {items[one]}" for one in ids]
        return "\n".join([f"It has {len(items)} items. The {len(ids)} most related:", *lines])

    def _fails(self, manager: ToolLoop, reply: ChatReply, draft: Draft) -> bool:
        """Carry out a manager's calls; return whether some failed, which it is told."""
        calls = manager.read(reply)
        results = [draft.write(call) for call in calls]
        told = [f"{result.status}: {result.message}" for result in results]
        for number, result in enumerate(results):
            if result.status == "error" and result.memory_type == "core":
                half = self.briefing.core_capacity_tokens // 2
                told[number] += f"; rewrite it to about {half} tokens"
        manager.add(reply, calls, told)
        return any(result.status == "error" for result in results)
