"""From whatever a policy emits to checked tool calls. Nothing a policy emits raises here.

Understood forms, alone or mixed:

* a tuple or list of calls ``{"name", "arguments"}``, or one such dictionary;
* OpenAI's wire form ``{"id", "type", "function": {"name", "arguments"}}``, with the arguments as
  JSON text or as an object, and a whole assistant message with ``tool_calls``;
* a JSON string of any of these;
* model text: ``<tool_call>`` blocks (Hermes, Qwen), the marker format of Qwen-Agent, and bare JSON
  calls inside prose or code fences (see :mod:`memgym.model_text`).

``None``, ``()``, ``[]``, ``""`` and prose without a call mean "no calls". What looks like a call
but cannot be read becomes a :class:`~memgym.tools.ToolFault` that says why. Whether a call can be
*applied* (does the id exist, is there room) is the memory's business, not this module's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from memgym.errors import UsageError
from memgym.model_text import UnreadableError, load_json, mend_json, plain_text, scan
from memgym.tools import (
    MAX_CHARACTERS,
    TOOL_NAMES,
    TOOLS,
    Tool,
    ToolCall,
    ToolFault,
    clip,
    show,
    validate,
)

__all__ = ["ParsedAction", "Repair", "parse_action", "plain_text"]

Repair = Literal["none", "json_repair"]


@dataclass(frozen=True, slots=True)
class ParsedAction:
    """The calls of one action, in order: checked calls and faults side by side."""

    calls: tuple[ToolCall | ToolFault, ...]


class _Raw(NamedTuple):
    """Something that stands for one call, not yet checked."""

    call: Any
    repaired: bool = False


def parse_action(
    action: Any,
    *,
    max_calls: int,
    max_characters: int = 4 * MAX_CHARACTERS,
    repair: Repair = "none",
    tools: Sequence[str] = TOOL_NAMES,
    table: Mapping[str, Tool] = TOOLS,
) -> ParsedAction:
    """Read the calls out of an action.

    Args:
        action: any of the forms in the module's docstring; neither changed nor kept.
        max_calls: calls accepted; each further one is a fault (at most ``max_calls`` such faults,
            each of which tells the total).
        max_characters: longest accepted text; a longer one is a single fault.
        repair: ``"json_repair"`` mends the usual slips of malformed JSON with the library of that
            name and marks such calls ``repaired``. Text that breaks off inside a string is never
            mended.
        tools: the tools that are offered now.
        table: the tools that there are, of an agent that has its own.

    Raises:
        TypeError: the action as a whole has a type that no policy emits (a number, bytes, …).
        UsageError: a bad ``max_calls`` or ``repair``, or the repair library is missing.
    """
    if max_calls < 1:
        raise UsageError(f"max_calls must be at least 1, got {max_calls}")
    if not (action is None or isinstance(action, (str, dict, list, tuple, ToolCall))):
        raise TypeError(
            "an action must be a list of tool calls, one tool call (a dict), model text (a str) "
            f"or None; got {type(action).__name__}"
        )
    reader = _Reader(max_characters, _get_repairer(repair), tools, table)
    calls: list[ToolCall | ToolFault] = []
    total = 0
    for raw in reader.read(action):
        total += 1
        if total <= max_calls:
            calls.append(reader.check(raw))
    for number in range(max_calls + 1, min(total, 2 * max_calls) + 1):
        message = f"call {number} of {total} was not applied: an action has at most {max_calls}"
        calls.append(ToolFault("", message))
    return ParsedAction(tuple(calls))


def _get_repairer(repair: str) -> Callable[[str], Any] | None:
    if repair == "none":
        return None
    if repair != "json_repair":
        raise UsageError(f'unknown repair "{repair}". Valid: none, json_repair')
    try:
        import json_repair
    except ImportError as error:
        raise UsageError(
            'repair="json_repair" needs the json-repair library: pip install "memgym[repair]"'
        ) from error
    # It would try plain JSON first, which has already failed where it is called.
    return lambda text: json_repair.loads(text, skip_json_loads=True)


class _Reader(NamedTuple):
    """Unfolds an action into single calls (``read``) and checks each (``check``)."""

    max_characters: int
    repairer: Callable[[str], Any] | None
    tools: Sequence[str]
    table: Mapping[str, Tool]

    def read(self, action: Any) -> Iterator[_Raw]:
        """Yield everything in ``action`` that stands for a call, faults included."""
        if isinstance(action, str):
            yield from self._read_text(str.__str__(action))
        elif isinstance(action, (list, tuple)):
            for item in action:
                yield from self._read_item(item)
        elif action is not None:
            yield from self._read_item(action)

    def _read_item(self, item: Any) -> Iterator[_Raw]:
        """Yield the calls of a chat message, or the item itself, which should be a call."""
        if not isinstance(item, dict) or not ("role" in item or "tool_calls" in item):
            yield _Raw(item)
            return
        listed, content = item.get("tool_calls"), item.get("content")
        if isinstance(listed, (list, tuple)):
            yield from map(_Raw, listed)
        elif listed is not None:
            yield _Raw(ToolFault("", f'"tool_calls" must be a list, got {show(listed)}'))
        if item.get("function_call") is not None:
            yield _Raw(item["function_call"])
        elif not listed and isinstance(content, str):
            yield from self._read_text(str.__str__(content))
        elif not listed and content is not None:
            message = f'the "content" of a message must be a string, got {show(content)}'
            yield _Raw(ToolFault("", message))

    def _read_text(self, text: str) -> Iterator[_Raw]:
        if len(text) > self.max_characters:
            message = f"the action has {len(text)} characters; at most {self.max_characters}"
            yield _Raw(ToolFault("", message))
            return
        text = text.strip()
        if text[:1] in ("{", "[", '"'):
            try:
                value = load_json(text)
            except UnreadableError:
                pass  # several objects in a row, prose around a call, or a slip: the scan will tell
            else:
                yield from self.read(value)
                return
        for found in scan(text)[0]:
            value, repaired = found.value, False
            if found.error:
                value, repaired = mend_json(found.broken, self.repairer), True
                if value is None:
                    yield _Raw(ToolFault(found.name, found.error))
                    continue
            if found.name:
                yield _Raw({"name": found.name, "arguments": value}, repaired)
            elif isinstance(value, (dict, list)):
                yield from (_Raw(raw.call, repaired or raw.repaired) for raw in self.read(value))
            else:
                yield _Raw(value, repaired)

    def check(self, raw: _Raw) -> ToolCall | ToolFault:
        """Check one call against the tool table; arguments given as JSON text are read here."""
        call, repaired = raw
        if isinstance(call, ToolFault):
            return call
        if isinstance(call, ToolCall):
            repaired = repaired or call.repaired
            call = {"name": call.name, "arguments": call.arguments, "id": call.id}
        name = call_id = None
        if isinstance(call, dict):
            function = call.get("function")
            inner = function if isinstance(function, dict) else call
            name, call_id = inner.get("name"), call.get("id")
            arguments = inner.get("arguments", inner.get("parameters"))
            if isinstance(arguments, str):
                try:
                    arguments, mended = self._read_arguments(str.__str__(arguments))
                except UnreadableError as error:
                    return _fault(name, [f'"arguments": {error}'], call_id)
                repaired = repaired or mended
            call = {"name": name, "arguments": arguments, "id": call_id}
        checked = validate(call, self.tools, table=self.table)
        if isinstance(checked, list):
            return _fault(name, checked, call_id)
        return replace(checked, repaired=True) if repaired else checked

    def _read_arguments(self, text: str) -> tuple[Any, bool]:
        """Return the value of arguments given as JSON text, and whether they were mended."""
        try:
            return (load_json(text) if text.strip() else {}), False
        except UnreadableError as error:
            mended = mend_json(text, self.repairer) if error.mendable else None
            if mended is None:
                raise
            return mended, True


def _fault(name: Any, messages: list[str], call_id: Any) -> ToolFault:
    return ToolFault(
        clip(name) if isinstance(name, str) else "",
        "; ".join(messages),
        clip(call_id) if isinstance(call_id, str) else "",
    )
