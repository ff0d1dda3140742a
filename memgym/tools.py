"""The tool table: what a policy may call, with which arguments, and how a call is checked.

One table gives the OpenAI function schemas, the text for prompts and the validator, so the three
cannot drift apart. An agent whose method has tools of its own brings a table of its own. The tool
names are those of Mem-alpha (arXiv 2509.25911, appendix C) and the memory types may carry its
``_memory`` suffix, so that a published checkpoint runs unchanged.

This module knows nothing of a memory's content: whether an id exists or a text fits is decided
where the call is applied. Turning model text into calls is :mod:`memgym.actions`.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from memgym.errors import UsageError, nearest
from memgym.memory import MAX_CONTENT_CHARACTERS, MEMORY_TYPES, STORES
from memgym.tokens import clean_text

__all__ = [
    "MAX_CHARACTERS",
    "MEMORY_TYPES",
    "TOOLS",
    "TOOL_NAMES",
    "Argument",
    "Tool",
    "ToolCall",
    "ToolFault",
    "clip",
    "describe_tools",
    "openai_tools",
    "show",
    "validate",
]

MAX_CHARACTERS = MAX_CONTENT_CHARACTERS
"""Longest accepted string argument, in characters."""

_SHOWN_CHARACTERS = 60
_SHOWN_EXTRAS = 5


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool.

    Attributes:
        name: the key in the call's ``arguments``.
        kind: ``text`` (a string that is not blank), ``choice`` (one of ``choices``, which may carry
            the suffix ``_memory`` and be written in any case) or ``integer`` (from ``minimum`` to
            ``maximum``; a whole float or a string of digits is accepted and converted).
        description: one sentence for the policy.
        required: whether a call without it is a fault.
        item_only: needed when ``memory_type`` is semantic or episodic; for the core, which is one
            paragraph without an id, it is ignored and dropped.
        default: put in when an optional argument is left out (``None``: nothing is put in).
        may_be_blank: whether a ``text`` may be empty.
    """

    name: str
    kind: Literal["text", "choice", "integer"]
    description: str
    required: bool = True
    item_only: bool = False
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 0
    default: int | None = None
    may_be_blank: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: its name, one sentence for the policy, and its arguments in order."""

    name: str
    description: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that passed the validator: names known, arguments complete and normalised.

    Attributes:
        name: the tool.
        arguments: a fresh dictionary of strings and integers, safe to keep.
        id: the caller's own id of this call (OpenAI's ``tool_call_id``), or ``""``.
        repaired: whether its JSON was malformed and had to be repaired.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    repaired: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the plain form ``{"name", "arguments"}``, with copied arguments."""
        return {"name": self.name, "arguments": dict(self.arguments)}


@dataclass(frozen=True, slots=True)
class ToolFault:
    """A call that cannot be applied.

    Attributes:
        name: the tool that was meant, or ``""`` when unknown.
        message: one line: what was wrong and what would be right.
        id: the caller's own id of this call, or ``""``.
    """

    name: str
    message: str
    id: str = ""


_MEMORY_TYPE = Argument(
    "memory_type",
    "choice",
    "Which memory: core (one short paragraph, always shown), semantic (facts that stay true) or "
    "episodic (events with their time).",
    choices=MEMORY_TYPES,
)
_MEMORY_ID = Argument(
    "memory_id",
    "text",
    "Id of the item, as shown in the memory (for example s3 or e12). Required for semantic and "
    "episodic memory; the core has no id.",
    required=False,
    item_only=True,
)

_TABLE = (
    Tool(
        "new_memory_insert",
        "Store a new item in a memory. The core takes an insert only while it is empty.",
        (
            _MEMORY_TYPE,
            Argument("content", "text", "The text to store, understandable on its own."),
        ),
    ),
    Tool(
        "memory_update",
        "Replace the text of an item, or the whole core paragraph.",
        (
            _MEMORY_TYPE,
            Argument("new_content", "text", "The text that takes the place of the old one."),
            _MEMORY_ID,
        ),
    ),
    Tool(
        "memory_delete",
        "Remove an item from a memory, or clear the core paragraph.",
        (_MEMORY_TYPE, _MEMORY_ID),
    ),
    Tool(
        "search_memory",
        "Find stored items by their words (BM25).",
        (
            Argument("query", "text", "The words to look for."),
            Argument(
                "memory_type",
                "choice",
                "Which memory to search; both when left out. The core is always shown.",
                required=False,
                choices=STORES,
            ),
            Argument(
                "top_k",
                "integer",
                "How many items to return.",
                required=False,
                minimum=1,
                maximum=20,
                default=5,
            ),
        ),
    ),
    Tool(
        "answer",
        "Answer the question that is shown.",
        (Argument("text", "text", "The answer."),),
    ),
)

TOOLS: dict[str, Tool] = {tool.name: tool for tool in _TABLE}
"""Every tool by its name, in the table's order."""

TOOL_NAMES = tuple(TOOLS)

_SPELLINGS: dict[str, str] = {
    spelling: name for name in MEMORY_TYPES for spelling in (name, f"{name}_memory")
}


def clip(text: str) -> str:
    """Return ``text`` on one line, cut to 60 characters, lone surrogates replaced."""
    shown = clean_text(" ".join(text[: 4 * _SHOWN_CHARACTERS].split()))
    if len(shown) <= _SHOWN_CHARACTERS and len(text) <= 4 * _SHOWN_CHARACTERS:
        return shown
    return shown[: _SHOWN_CHARACTERS - 1] + "…"


def show(value: Any) -> str:
    """Describe any object in a few words for a message; never calls the object's own ``repr``."""
    kind = type(value)
    if issubclass(kind, str):
        shown = f'"{clip(str.__str__(value))}"'
    elif value is None or kind is bool:
        shown = {None: "null", True: "true", False: "false"}[value]
    elif kind is int:
        # Past 4,300 digits Python refuses to write an integer out.
        shown = f"the number {value}" if value.bit_length() < 200 else "a very large number"
    elif kind is float:
        shown = f"the number {value}"
    elif issubclass(kind, dict):
        shown = f"an object with {dict.__len__(value)} keys"
    elif issubclass(kind, list):
        shown = f"a list of {list.__len__(value)}"
    else:
        shown = f"a value of type {clip(kind.__name__)}"
    return shown


def validate(
    call: Any,
    names: Collection[str] = TOOL_NAMES,
    max_characters: int = MAX_CHARACTERS,
    table: Mapping[str, Tool] = TOOLS,
) -> ToolCall | list[str]:
    """Check one call against the table.

    Args:
        call: ``{"name": str, "arguments": {...}, "id": str (optional)}`` or a :class:`ToolCall`;
            any other object is a fault, never an exception. Other keys beside these are ignored,
            and an optional argument that is ``None`` counts as left out.
        names: the tools that are offered now.
        max_characters: longest accepted string argument.
        table: the tools that there are.

    Returns:
        The normalised call (nothing of ``call`` is kept or changed), or every fault found, each
        one line that says what was wrong and what would be right.
    """
    if isinstance(call, dict):
        name, given, call_id = call.get("name"), call.get("arguments"), call.get("id")
    elif isinstance(call, ToolCall):
        name, given, call_id = call.name, call.arguments, call.id
    else:
        return [f'a call must be an object with "name" and "arguments", got {show(call)}']
    tool = table.get(name) if isinstance(name, str) else None
    if tool is None or tool.name not in names:
        return [_name_fault(name, names, table)]
    if not isinstance(given, dict):
        wanted = ", ".join(argument.name for argument in tool.arguments)
        if given is None:
            return [f'missing "arguments", an object with {wanted}']
        return [f'"arguments" must be an object with {wanted}; got {show(given)}']
    faults: list[str] = []
    arguments = _check_arguments(tool, given, faults, max_characters)
    if faults:
        return faults
    repaired = isinstance(call, ToolCall) and call.repaired
    return ToolCall(tool.name, arguments, _call_id(call_id) if call_id else "", repaired)


def _call_id(value: Any) -> str:
    return clean_text(str.__str__(value[:256])) if isinstance(value, str) else ""


def _name_fault(name: Any, names: Collection[str], table: Mapping[str, Tool]) -> str:
    offered = [known for known in table if known in names]
    if name is None:
        return f'a call without "name"; it must be one of {", ".join(offered)}'
    if not isinstance(name, str):
        return f'"name" must be one of {", ".join(offered)}; got {show(name)}'
    if name in table:
        return f'the tool "{name}" is not offered here. Valid: {", ".join(offered)}'
    return f'unknown tool "{clip(name)}": {nearest(clip(name), offered)}'


def _check_arguments(
    tool: Tool, given: dict[Any, Any], faults: list[str], max_characters: int
) -> dict[str, Any]:
    """Return the normalised arguments; append what is wrong to ``faults``."""
    clean: dict[str, Any] = {}
    known = 0
    for argument in tool.arguments:
        name = argument.name
        if name in given:
            known += 1
        if argument.item_only and clean.get("memory_type") == "core":
            continue
        value = given.get(name)
        if value is not None:
            clean[name] = _CHECKS[argument.kind](argument, value, faults, max_characters)
        elif argument.required:
            faults.append(f'missing argument "{name}" ({_expected(argument)})')
        elif argument.item_only:
            faults.append(f'missing argument "{name}" (the item\'s id, as shown in the memory)')
        elif argument.default is not None:
            clean[name] = argument.default
    if len(given) > known:
        faults.extend(_unexpected(tool, given))
    return clean


def _expected(argument: Argument) -> str:
    if argument.kind == "choice":
        return f"one of {', '.join(argument.choices)}"
    if argument.kind == "integer":
        return f"a whole number from {argument.minimum} to {argument.maximum}"
    return "a text that is not empty"


def _check_text(argument: Argument, value: Any, faults: list[str], max_characters: int) -> str:
    if not isinstance(value, str):
        faults.append(f'"{argument.name}" must be a string, got {show(value)}')
        return ""
    # A subclass of str could change under our hands; its plain copy cannot.
    text = value if type(value) is str else str.__str__(value)
    if len(text) > max_characters:
        faults.append(
            f'"{argument.name}" has {len(text)} characters; at most {max_characters} are accepted'
        )
    elif not argument.may_be_blank and (not text or text.isspace()):
        faults.append(f'"{argument.name}" is empty; it must be a text that is not blank')
    return text if text.isascii() else clean_text(text)


def _check_choice(argument: Argument, value: Any, faults: list[str], _: int) -> str:
    if not isinstance(value, str):
        faults.append(f'"{argument.name}" must be {_expected(argument)}; got {show(value)}')
        return ""
    plain = value[:40].strip().lower()
    choice = _SPELLINGS.get(value) or _SPELLINGS.get(plain, plain)
    if choice in argument.choices:
        return choice
    close = difflib.get_close_matches(clip(value).lower(), argument.choices, n=1)
    hint = f' (did you mean "{close[0]}"?)' if close and choice not in MEMORY_TYPES else ""
    faults.append(f'"{argument.name}" must be {_expected(argument)}; got {show(value)}{hint}')
    return ""


def _check_integer(argument: Argument, value: Any, faults: list[str], _: int) -> int:
    if isinstance(value, str):
        whole = len(value) < 10 and value.isascii() and value.isdigit()
    else:
        whole = isinstance(value, (int, float)) and type(value) is not bool and value % 1 == 0
    number = int(value) if whole else argument.minimum - 1
    if not argument.minimum <= number <= argument.maximum:
        faults.append(f'"{argument.name}" must be {_expected(argument)}; got {show(value)}')
    return number


_CHECKS: dict[str, Callable[[Argument, Any, list[str], int], Any]] = {
    "text": _check_text,
    "choice": _check_choice,
    "integer": _check_integer,
}


def _unexpected(tool: Tool, given: dict[Any, Any]) -> list[str]:
    accepted = [argument.name for argument in tool.arguments]
    extras = [key for key in given if key not in accepted]
    faults = []
    for key in extras[:_SHOWN_EXTRAS]:
        close = difflib.get_close_matches(clip(key), accepted, n=1) if isinstance(key, str) else []
        hint = f'did you mean "{close[0]}"? ' if close else ""
        faults.append(f"unexpected argument {show(key)}: {hint}Accepted: {', '.join(accepted)}")
    if len(extras) > _SHOWN_EXTRAS:
        faults.append(f"and {len(extras) - _SHOWN_EXTRAS} more unexpected arguments")
    return faults


def _select(names: Iterable[str], table: Mapping[str, Tool]) -> list[Tool]:
    selected = []
    for name in names:
        if name not in table:
            raise UsageError(f'unknown tool "{name}": {nearest(name, table)}')
        selected.append(table[name])
    return selected


def openai_tools(
    names: Iterable[str] = TOOL_NAMES, table: Mapping[str, Tool] = TOOLS
) -> list[dict[str, Any]]:
    """Return the tools as OpenAI function schemas (fresh objects, JSON-able), in the given order.

    ``memory_id`` is not in a schema's ``required``, because the core has no ids.

    Raises:
        UsageError: an unknown tool name.
    """
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": {
                    "type": "object",
                    "properties": {a.name: _property(a) for a in tool.arguments},
                    "required": [a.name for a in tool.arguments if a.required],
                    "additionalProperties": False,
                },
            },
        }
        for tool in _select(names, table)
    ]


def _property(argument: Argument) -> dict[str, Any]:
    if argument.kind == "integer":
        return {
            "type": "integer",
            "description": argument.description,
            "minimum": argument.minimum,
            "maximum": argument.maximum,
            "default": argument.default,
        }
    schema: dict[str, Any] = {"type": "string", "description": argument.description}
    if argument.choices:
        schema["enum"] = list(argument.choices)
    return schema


def describe_tools(names: Iterable[str] = TOOL_NAMES, table: Mapping[str, Tool] = TOOLS) -> str:
    """Return the tools as prompt text: a signature, a sentence, and one line per argument.

    Raises:
        UsageError: an unknown tool name.
    """
    lines = []
    for tool in _select(names, table):
        signature = ", ".join(a.name if a.required else f"{a.name}?" for a in tool.arguments)
        lines.append(f"{tool.name}({signature}): {tool.description}")
        for argument in tool.arguments:
            limits = "" if argument.kind == "text" else f" ({_expected(argument)})"
            lines.append(f"  {argument.name}{limits}: {argument.description}")
    return "\n".join(lines)
