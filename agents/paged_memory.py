"""MemGPT's memory and its tools, over the environment's memory: core blocks, archive, log.

The persona and human blocks are written into the core under a heading each, archival passages are
semantic items, and every message of the log is an episodic item. Which tool does what follows
Letta's ``functions/function_sets/base.py``; the method that uses them is :mod:`.memgpt`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memgym.agents.draft import Draft
from memgym.baselines.calls import delete, insert, update
from memgym.tools import Argument, Tool, ToolCall, ToolFault

__all__ = ["ALL_TOOLS", "READ_TOOLS", "PagedMemory"]

PAGE_SIZE = 10
PASSAGE_CHARACTERS = 600  # of a logged message around a match: a page stays within 6,000

_PERSONA, _HUMAN = "[persona]\n", "\n[human]\n"

_LABEL = Argument("label", "choice", "The block.", choices=("persona", "human"))
_CONTENT = Argument("content", "text", "The text to store.")
_OLD = Argument("old_content", "text", "A text in the block, exactly as it stands there.")
_NEW = Argument("new_content", "text", "Takes its place; empty to remove it.", may_be_blank=True)
_QUERY = Argument("query", "text", "What to look for.")
_PAGE = Argument(
    "page", "integer", "Ten results a page, from page 0.", required=False, maximum=9_999, default=0
)
_MESSAGE = Argument("message", "text", "What to say.")

_WRITING = (
    Tool("core_memory_append", "Add a line to a core block.", (_LABEL, _CONTENT)),
    Tool("core_memory_replace", "Replace a text in a core block.", (_LABEL, _OLD, _NEW)),
    Tool("archival_memory_insert", "Store a passage in archival memory.", (_CONTENT,)),
)
_READING = (
    Tool("archival_memory_search", "Find archival passages by their words.", (_QUERY, _PAGE)),
    Tool("conversation_search", "Find a string in the logged messages.", (_QUERY, _PAGE)),
    Tool("send_message", "Speak to the user, which ends your turn.", (_MESSAGE,)),
)
READ_TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _READING}
ALL_TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in (*_WRITING, *_READING)}


class PagedMemory(Draft):
    """A draft of the environment's memory that is read and written by MemGPT's tools."""

    def log(self, message: str) -> None:
        """Append a message to the log; left out only if a memory budget has no room for it."""
        self._store(insert("episodic", message), self.memory.counter.count(message))

    def view(self) -> str:
        """Return what is always in the prompt: the blocks, and how much is out of view."""
        counts = [len(self.memory.items(store)) for store in ("semantic", "episodic")]
        return (
            f"Core memory:\n{self.memory.core or '(both blocks are empty)'}\n\nOut of view: "
            f"{counts[0]} archival passages, {counts[1]} logged messages."
        )

    def carry_out(self, call: ToolCall | ToolFault) -> str:
        """Carry out one call of :data:`ALL_TOOLS` and return its result for the model."""
        if isinstance(call, ToolFault):
            return f"error: {call.message}"
        use: dict[str, Callable[..., str]] = {
            "core_memory_append": self._core_append,
            "core_memory_replace": self._core_replace,
            "archival_memory_insert": self._archival_insert,
            "archival_memory_search": self._archival_search,
            "conversation_search": self._conversation_search,
            "send_message": lambda message: "sent",
        }
        return use[call.name](**call.arguments)

    def _core_append(self, label: str, content: str) -> str:
        return self._set_block(label, f"{self._blocks()[label]}\n{content}".strip("\n"))

    def _core_replace(self, label: str, old_content: str, new_content: str) -> str:
        block = self._blocks()[label]
        if old_content not in block:
            return f"error: the block {label} does not contain this old_content"
        return self._set_block(label, block.replace(old_content, new_content))

    def _archival_insert(self, content: str) -> str:
        return self._store(insert("semantic", content), self.memory.counter.count(content))

    def _archival_search(self, query: str, page: int) -> str:
        size = len(self.memory.items("semantic"))
        found = self.memory.search(query, "semantic", size)
        return _page([passage.content for passage in found], page)

    def _conversation_search(self, query: str, page: int) -> str:
        """Show a passage around the first match of each message, oldest first."""
        found, before = [], max(0, PASSAGE_CHARACTERS - len(query)) // 2
        for message in self.memory.items("episodic").values():
            place = message.lower().find(query.lower())
            if place >= 0:
                start = max(0, place - before)
                found.append(message[start : start + PASSAGE_CHARACTERS])
        return _page(found, page)

    def _blocks(self) -> dict[str, str]:
        persona, _, human = self.memory.core.partition(_HUMAN)
        return {"persona": persona.removeprefix(_PERSONA), "human": human}

    def _set_block(self, label: str, text: str) -> str:
        blocks = {**self._blocks(), label: text}
        if not any(blocks.values()):
            return self._store(delete("core", ""), 0)
        core = f"{_PERSONA}{blocks['persona']}{_HUMAN}{blocks['human']}"
        count, limit = self.memory.counter.count, self.memory.core_capacity_tokens
        if count(core) > limit:
            return f"error: the blocks would have {count(core)} tokens, at most {limit} fit"
        return self._store(update("core", core), count(core) - count(self.memory.core))

    def _store(self, call: dict[str, Any], tokens: int) -> str:
        """Write; if that fails for want of room, again when the oldest messages have made some."""
        checked = ToolCall(**call)
        result = self.write(checked)
        if result.status == "error" and self._make_room(tokens):
            result = self.write(checked)
        return f"{result.status}: {result.message}"

    def _make_room(self, tokens: int) -> bool:
        """Drop the oldest messages until ``tokens`` fit the memory budget, if they ever can."""
        memory, log = self.memory, self.memory.items("episodic")
        over = memory.total_tokens + tokens - memory.budget_tokens
        sizes = {message: memory.item_tokens("episodic", message) for message in log}
        if not memory.budget_tokens or not 0 < over <= sum(sizes.values()):
            return False
        for message, size in sizes.items():
            if over > 0:
                self.write(ToolCall(**delete("episodic", message)))
                over -= size
        return True


def _page(found: Sequence[str], page: int) -> str:
    first = page * PAGE_SIZE
    shown = found[first : first + PAGE_SIZE]
    if not shown:
        return f"no results on page {page}; there are {len(found)} in all"
    title = f"results {first + 1} to {first + len(shown)} of {len(found)}"
    return "\n".join([title, *(f"- {' '.join(text.split())}" for text in shown)])
