"""Applies validated tool calls to a memory and reports each one's result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from memgym.memory import STORES, Memory, MemoryResult
from memgym.tools import ToolCall, ToolFault

__all__ = ["ToolResult", "execute", "feedback_line"]

SEARCH_RESULT_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The outcome of one tool call.

    Attributes:
        call: What was asked for; a :class:`~memgym.tools.ToolFault` if it could not be understood.
        status: ``ok``, ``skipped`` or ``error``.
        message: One line for the agent; search results take one line per item.
        memory_type: The type addressed, ``""`` if none.
        memory_id: The item written or removed, ``""`` if none.
        removed: Text that left the memory by this call.
        truncated: Whether the core was cut at its capacity.
    """

    call: ToolCall | ToolFault
    status: Literal["ok", "skipped", "error"]
    message: str
    memory_type: str = ""
    memory_id: str = ""
    removed: str = ""
    truncated: bool = False

    def to_info(self) -> dict[str, Any]:
        """Return the result as it appears in ``info["tool_results"]``: JSON values, fixed keys."""
        return {
            "id": self.call.id,
            "name": self.call.name,
            "status": self.status,
            "message": self.message,
            "memory_type": self.memory_type,
            "memory_id": self.memory_id,
            "truncated": self.truncated,
        }


def execute(call: ToolCall | ToolFault, memory: Memory, allowed: Sequence[str]) -> ToolResult:
    """Apply one call to ``memory``; never raises on anything a policy can emit.

    Args:
        call: A validated call, or the fault that validation found.
        memory: Changed in place if the call is valid.
        allowed: Names of the tools that may be used now; any other is an error result.
    """
    if isinstance(call, ToolFault):
        return ToolResult(call, "error", call.message)
    if call.name not in allowed:
        return ToolResult(
            call, "error", f"{call.name} is not available now; use {', '.join(allowed)}"
        )
    arguments = call.arguments
    if call.name == "search_memory":
        return _search(call, memory)
    if call.name == "answer":
        return ToolResult(call, "ok", "answer taken")
    if call.name == "new_memory_insert":
        result = memory.insert(arguments["memory_type"], arguments["content"])
    elif call.name == "memory_update":
        result = memory.update(
            arguments["memory_type"], arguments["new_content"], arguments.get("memory_id", "")
        )
    else:
        result = memory.delete(arguments["memory_type"], arguments.get("memory_id", ""))
    return _from_memory(call, result)


def _from_memory(call: ToolCall, result: MemoryResult) -> ToolResult:
    return ToolResult(
        call,
        result.status,
        result.message,
        result.memory_type,
        result.memory_id,
        result.removed,
        result.truncated,
    )


def _search(call: ToolCall, memory: Memory) -> ToolResult:
    """Search one store, or every enabled one in turn; items come back with their ids."""
    wanted = call.arguments.get("memory_type", "")
    top_k = call.arguments["top_k"]  # the validator puts the default in
    stores = [name for name in STORES if name in memory.memory_types and wanted in ("", name)]
    if not stores:
        message = f"search_memory searches {' and '.join(STORES)}; the core is always visible"
        return ToolResult(call, "error", message, wanted)
    lines = []
    for name in stores:
        for found in memory.search(call.arguments["query"], name, top_k):
            text = " ".join(found.content.split())
            if len(text) > SEARCH_RESULT_CHARACTERS:
                text = text[:SEARCH_RESULT_CHARACTERS] + "…"
            lines.append(f"[{found.memory_id}] {text}")
    message = "\n".join([f"{len(lines)} found", *lines])
    return ToolResult(call, "ok", message, wanted)


def feedback_line(result: ToolResult) -> str:
    """Return what the next observation's ``feedback`` says about one call."""
    return f"{result.status}: {result.call.name or 'action'}: {result.message}"
