"""The action space: lists of tool calls that are valid against the tool table.

Gymnasium's own spaces cannot say this (they reject a list, Unicode and a plain call dictionary).
The space holds the *valid* actions; ``step`` reads much more (see :mod:`memgym.actions`). Whether
an id exists is not known here: a mask tells ``sample`` which ids may be drawn.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from gymnasium.spaces import Space
from gymnasium.spaces.utils import flatdim, flatten, flatten_space, unflatten

from memgym.errors import UsageError, nearest
from memgym.tools import (
    MAX_CHARACTERS,
    MEMORY_TYPES,
    TOOL_NAMES,
    TOOLS,
    Argument,
    Tool,
    ToolCall,
    openai_tools,
    validate,
)

__all__ = ["ToolCalls"]

# Words of sampled texts; several scripts, so that random play exercises Unicode.
_WORDS = (
    "Ada", "moved", "to", "Zürich", "in", "March", "the", "café", "opened", "日本", "keeps", "a",
    "lantern", "🙂", "Søren", "sold", "his", "boat", "Анна", "likes", "tea", "é", "red", "bridge",
)  # fmt: skip
_SAMPLED_CALLS = 4  # at most this many calls per sampled action
_DRAWS_PER_CALL = 16  # a search, the call with most choices, takes 13
_LEAST_CHARACTERS = 16  # room for any memory id
_ID_LETTERS = {"semantic": "s", "episodic": "e"}
_UNMASKED_IDS = {store: [f"{c}{n}" for n in range(1, 10)] for store, c in _ID_LETTERS.items()}


class ToolCalls(Space[tuple[dict[str, Any], ...]]):
    """Tuples or lists of at most ``max_calls`` calls ``{"name": str, "arguments": {...}}``.

    Args:
        tools: names of the tools on offer, in order.
        max_calls: most calls in one action.
        max_characters: longest string argument, in characters.
        seed: seed of ``sample``.

    Raises:
        UsageError: an unknown, repeated or missing tool name, or a bound too small.

    Example:
        >>> space = ToolCalls()
        >>> call = {"name": "memory_delete", "arguments": {"memory_type": "core"}}
        >>> [call] in space
        True
    """

    def __init__(
        self,
        tools: Sequence[str] = TOOL_NAMES,
        max_calls: int = 16,
        max_characters: int = MAX_CHARACTERS,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        for name in tools:
            if name not in TOOLS:
                raise UsageError(f'ToolCalls: unknown tool "{name}": {nearest(name, TOOL_NAMES)}')
        if not tools or isinstance(tools, str) or len(set(tools)) < len(tools):
            raise UsageError("ToolCalls: tools must be a list of different names, at least one")
        if max_calls < 1 or max_characters < _LEAST_CHARACTERS:
            raise UsageError(
                f"ToolCalls: max_calls must be at least 1 and max_characters at least "
                f"{_LEAST_CHARACTERS}, got {max_calls} and {max_characters}"
            )
        self.tools = tuple(tools)
        self.max_calls = max_calls
        self.max_characters = max_characters
        super().__init__(shape=None, dtype=None, seed=seed)

    @property
    def openai_tools(self) -> list[dict[str, Any]]:
        """The tools on offer as OpenAI function schemas (fresh objects)."""
        return openai_tools(self.tools)

    @property
    def is_np_flattenable(self) -> bool:
        """Always False: calls are structured text."""
        return False

    def contains(self, x: Any) -> bool:
        """Return whether ``x`` is a tuple or list of valid calls (no JSON text, no model text)."""
        return (
            isinstance(x, (tuple, list))
            and len(x) <= self.max_calls
            and all(
                isinstance(call, dict)
                and isinstance(validate(call, self.tools, self.max_characters), ToolCall)
                for call in x
            )
        )

    def sample(self, mask: Any = None, probability: Any = None) -> tuple[dict[str, Any], ...]:
        """Return up to four random calls (fewer when ``max_calls`` or the mask allow fewer).

        Args:
            mask: what is legal now: ``{"tools": np.int8[n_tools], "memory_ids": {"semantic": [...],
                "episodic": [...]}, "core": bool}``, every key optional; the order of ``tools`` is
                that of the space. With ``memory_ids`` every call can be applied: only the stores
                named there are used, only these ids are updated or deleted, each deleted at most
                once. The core is then updated (unless ``core`` is false: no core memory), but
                neither inserted into nor deleted, because that depends on whether it is empty.
            probability: not supported.

        Raises:
            UsageError: a mask of another shape, or a probability.
        """
        if probability is not None:
            raise UsageError("ToolCalls.sample: probability is not supported, use mask")
        legal = self._read_mask(mask)
        limit = min(self.max_calls, _SAMPLED_CALLS)
        # One request for all random numbers costs a tenth of one request for each.
        draws = iter(self.np_random.random(1 + limit * _DRAWS_PER_CALL).tolist())
        sampler = _Sampler(draws, legal, self.max_characters)
        calls = []
        for _ in range(int(next(draws) * (limit + 1))):
            usable = [tool for tool in legal.tools if sampler.targets(tool)]
            if usable:
                calls.append(sampler.draw(sampler.pick(usable)))
        return tuple(calls)

    def _read_mask(self, mask: Any) -> "_Legal":
        tools = [TOOLS[name] for name in self.tools]
        if mask is None:
            return _Legal(tools)
        if not isinstance(mask, dict) or not mask.keys() <= {"tools", "memory_ids", "core"}:
            raise UsageError(
                'ToolCalls.sample: mask must be a dict with "tools", "memory_ids" and "core"'
            )
        if mask.get("tools") is not None:
            allowed = np.asarray(mask["tools"])
            if allowed.shape != (len(tools),):
                raise UsageError(
                    f'ToolCalls.sample: mask["tools"] must have {len(tools)} entries, '
                    f"got shape {allowed.shape}"
                )
            tools = [tool for tool, bit in zip(tools, allowed.tolist(), strict=True) if bit]
        ids = mask.get("memory_ids")
        if ids is None:
            return _Legal(tools)
        if not isinstance(ids, dict) or not ids.keys() <= _ID_LETTERS.keys():
            raise UsageError(
                'ToolCalls.sample: mask["memory_ids"] must be a dict with "semantic" and "episodic"'
            )
        known = {store: list(ids[store]) for store in _ID_LETTERS if store in ids}
        return _Legal(tools, known, bool(mask.get("core", True)), exact=True)

    def to_jsonable(self, sample_n: Iterable[Any]) -> list[Any]:
        """Return a batch of actions as lists of dictionaries."""
        return [[_copy(call) for call in action] for action in sample_n]

    def from_jsonable(self, sample_n: list[Any]) -> list[tuple[dict[str, Any], ...]]:
        """Return a batch of actions in their canonical form, tuples of dictionaries."""
        return [tuple(_copy(call) for call in action) for action in sample_n]

    def __repr__(self) -> str:
        """Return the constructor call, short: tool names and limits."""
        return f"ToolCalls({', '.join(self.tools)}; max_calls={self.max_calls})"

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self)
            and isinstance(other, ToolCalls)
            and self.tools == other.tools
            and self.max_calls == other.max_calls
            and self.max_characters == other.max_characters
        )

    __hash__ = None  # type: ignore[assignment]  # seeded and mutable, like every Gymnasium space


def _copy(call: dict[str, Any]) -> dict[str, Any]:
    return {**call, "arguments": dict(call["arguments"])}


class _Legal(NamedTuple):
    """What may be drawn; ``exact`` when ``ids`` are those of a real memory."""

    tools: list[Tool]
    ids: dict[str, list[str]] = _UNMASKED_IDS
    core: bool = True
    exact: bool = False


class _Sampler:
    """Draws the calls of one action; an id that it has deleted is no longer legal."""

    def __init__(self, draws: Iterator[float], legal: _Legal, max_characters: int) -> None:
        self._draws = draws
        self._legal = legal
        self._max_characters = max_characters

    def pick(self, choices: Sequence[Any]) -> Any:
        """Return one of ``choices`` with equal chances."""
        return choices[int(next(self._draws) * len(choices))]

    def targets(self, tool: Tool) -> tuple[str, ...]:
        """Return the memory types that a call of ``tool`` may name now; empty: no legal call."""
        first = tool.arguments[0]
        if first.name != "memory_type" or not self._legal.exact:
            return first.choices or MEMORY_TYPES
        if not any(argument.item_only for argument in tool.arguments):
            return tuple(self._legal.ids)
        stores = tuple(store for store, known in self._legal.ids.items() if known)
        return ("core", *stores) if tool.name == "memory_update" and self._legal.core else stores

    def draw(self, tool: Tool) -> dict[str, Any]:
        """Return one call of ``tool``."""
        arguments: dict[str, Any] = {}
        for argument in tool.arguments:
            if argument.name == "memory_type" and argument.required:
                arguments["memory_type"] = self.pick(self.targets(tool))
            elif argument.item_only:
                if arguments["memory_type"] != "core":
                    arguments[argument.name] = self._id(arguments["memory_type"], tool)
            elif (argument.required or next(self._draws) < 0.5) and (
                self._legal.ids or not argument.choices
            ):
                arguments[argument.name] = self._value(argument)
        return {"name": tool.name, "arguments": arguments}

    def _id(self, store: str, tool: Tool) -> str:
        chosen: str = self.pick(self._legal.ids[store])
        if self._legal.exact and tool.name == "memory_delete":
            self._legal.ids[store].remove(chosen)
        return chosen

    def _value(self, argument: Argument) -> str | int:
        if argument.kind == "integer":
            number: int = self.pick(range(argument.minimum, argument.maximum + 1))
            return number
        if argument.choices:
            choice: str = self.pick(tuple(self._legal.ids))
            return choice
        words = [self.pick(_WORDS) for _ in range(2 + int(next(self._draws) * 5))]
        # The number keeps two texts of one action from being exact duplicates.
        words.append(str(int(next(self._draws) * 10_000)))
        return " ".join(words)[: self._max_characters].rstrip()


def _not_numeric(space: ToolCalls, *_: Any) -> NoReturn:
    raise NotImplementedError(
        "ToolCalls are structured text and do not flatten to numbers; learners that need a "
        "numeric action need a numeric form of the environment (a wrapper with Discrete actions)"
    )


for _function in (flatdim, flatten_space, flatten, unflatten):
    _function.register(ToolCalls, _not_numeric)
