"""Everything that can be chosen about the environment, and the presets.

Every setting is a keyword argument of ``gym.make("MemAlpha-v0", ...)`` and a plain JSON value, so
that the environment's spec can be written to a results file and rebuilt from it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_origin, get_type_hints

import numpy as np

from memgym.episode import Episode
from memgym.errors import UsageError, nearest
from memgym.field_types import check_field
from memgym.memory import CORE_CAPACITY_TOKENS, MEMORY_TYPES, Memory
from memgym.rewards import checked_weights

__all__ = ["PRESETS", "Settings", "checked_reset_options", "make_settings", "merged_settings"]


@dataclass(frozen=True)
class Settings:
    """The environment's settings; see each field."""

    source: str = "procedural"
    """Registry name of the data source (``memgym.tasks.registry.source_names()``)."""
    split: str = "train"
    """Split of the source."""
    source_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the source, e.g. ``{"tokens": 64000}`` for the procedural ones."""
    data: str = ""
    """Folder with the raw datasets; by default what ``MEMGYM_DATA`` names."""
    max_chunks: int = 0
    """Cut every episode after so many chunks (0: never). Gymnasium's ``max_episode_steps`` would
    cut off the questions; this shortens the text before it starts."""

    answer_mode: Literal["reader", "agent"] = "reader"
    """Who answers: the frozen ``reader``, or the ``agent`` itself, one question per step."""
    reader: str = "verbatim"
    """``verbatim`` (no model), ``llm`` (a language model, see
    :class:`memgym.agents.llm_reader.LLMReader`), or your own, ``package.module:Class``."""
    reader_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the reader: ``budget_tokens`` (1,024) and ``top_k`` per store (20); for ``llm``
    also ``model``, ``base_url`` and more. Never a key: keys come from the environment."""
    answer_judge: str = "exact"
    """Who scores answers: ``exact`` (see :mod:`memgym.scoring`), ``llm`` (a language model scores
    the free-form ones, :class:`memgym.agents.judges.LLMAnswerJudge`), or your own."""
    answer_judge_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the answer judge."""

    turns_per_chunk: int = 3
    """Steps that may be spent on one chunk or question: a step that calls ``search_memory`` keeps
    it, until the turns are used up. 1 disables the search tool."""
    max_calls: int = 256
    """Tool calls taken per step; what goes beyond is an error result."""
    repair: Literal["none", "json_repair"] = "none"
    """Whether malformed JSON in model text is repaired (needs the extra ``repair``)."""

    view_recent: int = 10
    """Most recent items of each store shown in the observation."""
    view_relevant: int = 10
    """Items of each store most relevant to the chunk shown besides."""
    view_item_characters: int = 2_000
    """Characters shown of one item."""
    max_text_characters: int = 65_536
    """Length of the observation's text spaces, characters; a longer chunk is a data error."""

    token_counter: str = "o200k_base"
    """Counts tokens of chunks, memory and reader budget (see :mod:`memgym.tokens`)."""
    tokeniser: str = "default"
    """Words of the search index: ``default`` splits Chinese, Japanese and Korean; ``paper``."""
    core_capacity: int = CORE_CAPACITY_TOKENS
    """Capacity of the core, tokens."""
    core_overflow: Literal["truncate", "reject"] = "truncate"
    """What happens to an over-long core."""
    memory_budget: float = 0
    """Limit of the whole memory: an integer counts tokens, a fraction such as 0.25 is a share of
    the episode's text, 0 means none. A write over it is an error result."""
    memory_types: tuple[str, ...] = MEMORY_TYPES
    """Enabled memory types."""

    reward_weights: Mapping[str, float] = field(default_factory=dict)
    """Weights that differ from the default of each reward term (see :mod:`memgym.rewards`)."""
    reward_rules: Literal["default", "paper"] = "default"
    """Rules of the step terms (see :mod:`memgym.rewards`)."""
    content_judge: str = "rules"
    """Who says which written items are valid: ``rules`` (see :mod:`memgym.quality`), ``llm`` (a
    language model, :class:`memgym.agents.judges.LLMContentJudge`), or your own."""
    content_judge_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the content judge."""

    def __post_init__(self) -> None:
        _check_types(self)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}")
        if isinstance(self.memory_budget, float) and not 0 <= self.memory_budget <= 100:
            raise UsageError(
                f"memory_budget {self.memory_budget} is not a share; give tokens as an integer"
            )
        checked_weights(self.reward_weights)

    def memory(self, budget_tokens: int) -> Memory:
        """Return an empty memory with these settings and an absolute budget in tokens."""
        return Memory(
            counter=self.token_counter,
            core_capacity_tokens=self.core_capacity,
            core_overflow=self.core_overflow,
            budget_tokens=budget_tokens,
            memory_types=self.memory_types,
            tokeniser=self.tokeniser,
        )


_LEAST = {
    "max_chunks": 0,
    "turns_per_chunk": 1,
    "max_calls": 1,
    "view_recent": 0,
    "view_relevant": 0,
    "view_item_characters": 20,
    "max_text_characters": 1_000,
    "core_capacity": 1,
    "memory_budget": 0,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # Mem-alpha as published: what the policy sees, what the reader sees, how steps are rewarded.
    "paper": {
        "turns_per_chunk": 1,
        "view_recent": 5,
        "view_relevant": 0,
        "view_item_characters": 65_536,
        "tokeniser": "paper",
        "reader_options": {"budget_tokens": 30_000, "top_k": 20},
        "reward_rules": "paper",
    },
}


def merged_settings(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings, later layers over earlier ones; mappings (reader options) key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            known = merged.get(name)
            if isinstance(known, Mapping) and isinstance(value, Mapping):
                merged[name] = {**known, **value}
            else:
                merged[name] = value
    return merged


def make_settings(preset: str, given: Mapping[str, Any]) -> Settings:
    """Return the settings of a preset, overridden by ``given`` (see :func:`merged_settings`).

    Raises:
        UsageError: an unknown preset or setting, or a value of the wrong type or out of range.
    """
    if preset not in PRESETS:
        raise UsageError(f'unknown preset "{preset}": {nearest(str(preset), PRESETS)}')
    names = [item.name for item in dataclasses.fields(Settings)]
    for name in given:
        if name not in names:
            raise UsageError(f'MemAlpha has no setting "{name}": {nearest(name, names)}')
    return Settings(**merged_settings(PRESETS[preset], given))


def _check_types(settings: Settings) -> None:
    """Check every field against its annotation."""
    for name, hint in get_type_hints(Settings).items():
        value = getattr(settings, name)
        if get_origin(hint) is tuple:
            _check_memory_types(settings, value)
        else:
            check_field(name, value, hint)


def _check_memory_types(settings: Settings, value: Any) -> None:
    listed = isinstance(value, (list, tuple)) and value
    if not listed or any(item not in MEMORY_TYPES for item in value):
        raise UsageError(f"memory_types must list some of {', '.join(MEMORY_TYPES)}, got {value!r}")
    # A list is what JSON gives back; the frozen dataclass keeps a tuple.
    object.__setattr__(settings, "memory_types", tuple(value))


_RESET_OPTIONS: dict[str, tuple[type, ...]] = {
    "episode": (int, str, np.integer, Episode),
    "max_chunks": (int,),
    "split": (str,),
}


def checked_reset_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options of ``reset``; raise :class:`UsageError` for unknown names and types."""
    if options is not None and not isinstance(options, Mapping):
        raise UsageError(f"reset options must be a mapping, got {type(options).__name__}")
    given = dict(options or {})
    for name, value in given.items():
        if name not in _RESET_OPTIONS:
            raise UsageError(f'reset has no option "{name}": {nearest(str(name), _RESET_OPTIONS)}')
        kinds = _RESET_OPTIONS[name]
        if isinstance(value, bool) or not isinstance(value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise UsageError(f'reset option "{name}" must be {wanted}, got {value!r}')
    return given
