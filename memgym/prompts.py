"""The constant texts that go with the environment, for language-model policies.

What the task is (:func:`task_text`) and how calls are made (:func:`calling_text`) can be had apart;
:func:`instructions` is what every policy is given, whatever it calls tools with.
"""

from collections.abc import Mapping, Sequence

from memgym.errors import UsageError, nearest
from memgym.memory import MEMORY_TYPES
from memgym.tools import TOOLS, Tool, describe_tools

__all__ = ["CALL_FORMATS", "TASK_TEXT", "calling_text", "instructions", "task_text"]

TASK_TEXT = """\
You are keeping a memory while a long text passes by in pieces. Each piece is shown once. When the
text is over, questions are answered from your memory alone, so whatever you leave out is gone.

Core memory is one short paragraph that is always in view: who or what the text is about, the rules
of a task, the running summary of a story. Semantic memory holds facts, one per item, each
understandable on its own. Episodic memory holds events, each with its date. Keep every item short
and complete: names spelled out, no "he" or "there" without its noun. Change an item that is no
longer true instead of adding a second one. A piece with nothing worth keeping needs no call."""

_QUESTIONS = """\
When a question is shown, the memory can only be searched; reply with the tool `answer`."""

CALL_FORMATS: Mapping[str, str] = {
    "hermes": """\
Write each call as a block of its own, one block after the other, all in one reply:
<tool_call>
{"name": "tool name", "arguments": {"argument name": "value"}}
</tool_call>
What stands between the tags is one JSON object. If no call is needed, reply: Done.""",
    "markers": """\
Write each call as two lines, one call after the other, all in one reply:
✿FUNCTION✿: tool name
✿ARGS✿: {"argument name": "value"}
What follows the second mark is one JSON object. If no call is needed, reply: Done.""",
    "native": """\
Make all your calls in one reply. If no call is needed, reply: Done.""",
}
"""How calls are to be written, by the tool format of the model: ``hermes`` (``<tool_call>`` blocks,
Hermes and Qwen), ``markers`` (Qwen-Agent, the format of the published Mem-alpha checkpoint), or
``native`` (the server is given the schemas of :func:`memgym.tools.openai_tools` and parses)."""


def task_text(tools: Sequence[str], memory_types: Sequence[str] = MEMORY_TYPES) -> str:
    """Return what the task is, without the tools.

    Args:
        tools: Names of the tools that may be called; with ``answer``, questions are explained.
        memory_types: The enabled memory types; if some are disabled, the text says so.
    """
    parts = [TASK_TEXT, _QUESTIONS] if "answer" in tools else [TASK_TEXT]
    if len(memory_types) < len(MEMORY_TYPES):
        parts.append(f"Only these memory types can be used here: {', '.join(memory_types)}.")
    return "\n\n".join(parts)


def calling_text(tools: Sequence[str], tool_format: str, table: Mapping[str, Tool] = TOOLS) -> str:
    """Return the description of the named tools and how a call to one is written.

    With ``native`` the tools themselves are left to the schemas. ``table`` holds the tools that
    there are, for an agent that has its own.

    Raises:
        UsageError: an unknown tool or format.
    """
    if tool_format not in CALL_FORMATS:
        raise UsageError(
            f'unknown tool format "{tool_format}": {nearest(tool_format, CALL_FORMATS)}'
        )
    described = [] if tool_format == "native" else [f"Tools:\n{describe_tools(tools, table)}"]
    return "\n\n".join([*described, CALL_FORMATS[tool_format]])


def instructions(tools: Sequence[str], memory_types: Sequence[str] = MEMORY_TYPES) -> str:
    """Return the task description followed by the description of the named tools.

    Args:
        tools: Names of the tools that may be called.
        memory_types: The enabled memory types; if some are disabled, the text says so.
    """
    return f"{task_text(tools, memory_types)}\n\n{describe_tools(tools)}"
