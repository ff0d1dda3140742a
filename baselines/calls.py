"""Short ways to write tool calls."""

from typing import Any

__all__ = ["delete", "insert", "update"]


def insert(memory_type: str, content: str) -> dict[str, Any]:
    """Return a call that adds an item."""
    return _call("new_memory_insert", memory_type=memory_type, content=content)


def update(memory_type: str, content: str, memory_id: str = "") -> dict[str, Any]:
    """Return a call that replaces an item, or the core (no id)."""
    named = {"memory_id": memory_id} if memory_id else {}
    return _call("memory_update", memory_type=memory_type, new_content=content, **named)


def delete(memory_type: str, memory_id: str) -> dict[str, Any]:
    """Return a call that removes an item."""
    return _call("memory_delete", memory_type=memory_type, memory_id=memory_id)


def _call(name: str, **arguments: str) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}
