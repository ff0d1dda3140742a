"""Changes to a memory, tried out on a copy before the environment makes them."""

import copy
from dataclasses import replace
from typing import Any

from memgym.execute import ToolResult, execute
from memgym.memory import Memory, MemoryType
from memgym.tools import TOOLS, Argument, Tool, ToolCall, ToolFault

__all__ = ["Draft", "writing_tools"]

_WRITING = ("new_memory_insert", "memory_update", "memory_delete")


class Draft:
    """A copy of the environment's memory, for agents that work on a chunk in several replies.

    Their reads see what they have just written, and they are told at once what went wrong. The
    environment then makes the same calls in the same order, with the same results. A core that is
    over its capacity is an error here, never cut.

    Attributes:
        memory: The copy, to read from.
        calls: The calls that succeeded, for the environment to make.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = copy.deepcopy(memory)
        self.memory.core_overflow = "reject"
        self.calls: list[dict[str, Any]] = []

    def write(self, call: ToolCall | ToolFault) -> ToolResult:
        """Carry out one call on the copy and keep it if it succeeds."""
        result = execute(call, self.memory, _WRITING)
        if isinstance(call, ToolCall) and result.status == "ok":
            self.calls.append(call.as_dict())
        return result


def writing_tools(memory_type: MemoryType) -> dict[str, Tool]:
    """Return the environment's writing tools, confined to one memory type; a core is rewritten."""
    names = ("memory_update",) if memory_type == "core" else _WRITING
    return {name: replace(TOOLS[name], arguments=_own(TOOLS[name], memory_type)) for name in names}


def _own(tool: Tool, memory_type: MemoryType) -> tuple[Argument, ...]:
    return tuple(
        replace(argument, choices=(memory_type,), description="Your own.")
        if argument.name == "memory_type"
        else argument
        for argument in tool.arguments
        if not (argument.item_only and memory_type == "core")
    )
