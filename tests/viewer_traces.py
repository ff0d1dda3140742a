"""Recorded episodes for the tests of the viewer: what the policy does is written down here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memgym.traces.format import write_traces
from memgym.viewer import EpisodeView, view_of
from tests.traced import Scripted, record_of

__all__ = [
    "EDITS",
    "HOSTILE",
    "core",
    "delete",
    "edited_record",
    "insert",
    "scripted_record",
    "scripted_view",
    "update",
    "write_file",
]

Actions = Sequence[Any]

SOURCE = "procedural-accurate-retrieval"
OPTIONS = {"tokens": 1_000, "chunk_tokens": 250, "questions": 3}

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script><!--<script>",
    '"><img src=x onerror="window.hacked = 3">',
    "&lt;b&gt; & &amp; \u2028 \u2029 {{data}} {{script}} $& \\u003c",
    "\u202etext that runs the other way\u202d \u2067 and \u05e9\u05dc\u05d5\u05dd",
    "Z\u0351\u036b\u0343a\u0329\u034el\u0322\u0321g\u0363\u034fo" * 5,
    "\ud83d lone, \x00\x1b[31m\x07 controls, \ufeff\uffff none",
    "unbroken" * 60,
)


def insert(text: str, kind: str = "semantic") -> dict[str, Any]:
    """Return a call that adds an item."""
    return _call("new_memory_insert", memory_type=kind, content=text)


def update(memory_id: str, text: str) -> dict[str, Any]:
    """Return a call that replaces an item."""
    kind = "semantic" if memory_id[0] == "s" else "episodic"
    return _call("memory_update", memory_type=kind, memory_id=memory_id, new_content=text)


def delete(memory_id: str) -> dict[str, Any]:
    """Return a call that removes an item."""
    kind = "semantic" if memory_id[0] == "s" else "episodic"
    return _call("memory_delete", memory_type=kind, memory_id=memory_id)


def core(text: str) -> dict[str, Any]:
    """Return a call that replaces the core."""
    return _call("memory_update", memory_type="core", new_content=text)


def _call(name: str, **arguments: str) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


EDITS: Actions = (
    [insert("Bees are blue."), insert("On Monday it rained.", "episodic"), core("About bees.")],
    [update("s1", "Bees are mostly brown."), insert("Wasps sting."), delete("s9")],
    [delete("s1"), insert("Ants march.", "episodic"), update("e1", "On Monday it snowed.")],
    [core("About bees and ants."), insert("gone at once"), delete("s3")],
)
"""One action per chunk; s3 comes and goes in the same step, s9 never was."""


def scripted_record(actions: Actions, name: str = "scripted", **settings: Any) -> dict[str, Any]:
    """Play a short episode of four chunks by given actions, one per step, and return its record."""
    given = {"source": SOURCE, "source_options": OPTIONS, **settings}
    record = record_of(Scripted(actions), **given)
    record["agent"]["name"] = name
    return record


def scripted_view(actions: Actions, name: str = "scripted", **settings: Any) -> EpisodeView:
    """Return what there is to see of :func:`scripted_record`."""
    return view_of(scripted_record(actions, name, **settings))


def edited_record() -> dict[str, Any]:
    """Return the record of :data:`EDITS`."""
    return scripted_record(EDITS)


def write_file(path: Path) -> Path:
    """Write a file of traces, two agents on two episodes each, and return its path."""
    sizes = (OPTIONS, {**OPTIONS, "tokens": 800})
    agents = ("sentences", "random")
    write_traces(
        path,
        [
            record_of(agent, source=SOURCE, source_options=size)
            for agent in agents
            for size in sizes
        ],
    )
    return path
