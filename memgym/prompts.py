"""The constant instructions that go with the environment, for language-model policies."""

from collections.abc import Sequence

from memgym.memory import MEMORY_TYPES
from memgym.tools import describe_tools

__all__ = ["instructions"]

_TASK = """\
You are keeping a memory while a long text passes by in pieces. Each piece is shown once. When the
text is over, questions are answered from your memory alone, so whatever you leave out is gone.

Core memory is one short paragraph that is always in view: who or what the text is about, the rules
of a task, the running summary of a story. Semantic memory holds facts, one per item, each
understandable on its own. Episodic memory holds events, each with its date. Keep every item short
and complete: names spelled out, no "he" or "there" without its noun. Change an item that is no
longer true instead of adding a second one. A piece with nothing worth keeping needs no call."""

_QUESTIONS = """\
When a question is shown, the memory can only be searched; reply with the tool `answer`."""


def instructions(tools: Sequence[str], memory_types: Sequence[str] = MEMORY_TYPES) -> str:
    """Return the task description followed by the description of the named tools.

    Args:
        tools: Names of the tools that may be called.
        memory_types: The enabled memory types; if some are disabled, the text says so.
    """
    parts = [_TASK, _QUESTIONS] if "answer" in tools else [_TASK]
    if len(memory_types) < len(MEMORY_TYPES):
        parts.append(f"Only these memory types can be used here: {', '.join(memory_types)}.")
    return "\n\n".join([*parts, describe_tools(tools)])
