"""Procedural tasks: episodes of any length with exact answers, one generator per ability.

An episode is a deterministic function of (ability, split, options, index); its text is made chunk
by chunk when it is read. Not here: loading real data.
"""

import importlib
from typing import Any

from memgym.episode import Ability, Episode
from memgym.errors import UsageError, nearest
from memgym.tasks.procedural.engine import SPLITS, ProceduralOptions

__all__ = ["GENERATORS", "SPLITS", "ProceduralOptions", "build_procedural"]

# Ability -> the module that makes its episodes; loaded when first used.
GENERATORS: dict[Ability, str] = {
    "accurate_retrieval": "memgym.tasks.procedural.accurate_retrieval",
    "test_time_learning": "memgym.tasks.procedural.test_time_learning",
    "long_range_understanding": "memgym.tasks.procedural.long_range_understanding",
    "conflict_resolution": "memgym.tasks.procedural.conflict_resolution",
}


def build_procedural(
    ability: str, split: str, index: int, options: ProceduralOptions | None = None
) -> Episode:
    """Return episode ``index`` of ``split``: the same for the same arguments, in any process.

    Args:
        ability: One of :data:`memgym.episode.ABILITIES`.
        split: ``train``, ``validation`` or ``test``; their names, values and wording differ.
        index: Any integer from 0.
        options: Length and shape; the defaults of :class:`ProceduralOptions` if not given.

    Raises:
        UsageError: no such ability or split, or ``index`` is not an integer from 0.
    """
    if ability not in GENERATORS:
        raise UsageError(f'unknown ability "{ability}": {nearest(ability, GENERATORS)}')
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise UsageError(f"procedural episode index must be an integer from 0, got {index!r}")
    module: Any = importlib.import_module(GENERATORS[ability])
    episode: Episode = module.build(split, index, options or ProceduralOptions())
    return episode
