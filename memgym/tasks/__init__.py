"""Data sources: the registry, builders from raw public formats, procedural tasks."""

from memgym.tasks.registry import (
    DATA_VARIABLE,
    EpisodeSet,
    Source,
    get_source,
    load_source,
    register_source,
    source_names,
)

__all__ = [
    "DATA_VARIABLE",
    "EpisodeSet",
    "Source",
    "get_source",
    "load_source",
    "register_source",
    "source_names",
]
