"""MemoryAgentBench as Mem-alpha prepared it for its test table.

Dataset card
    Origin: hub dataset ``YuWangX/Memalpha-Memoryagentbench`` (Wang et al. 2025, arXiv 2509.25911),
    made from MemoryAgentBench (Hu et al. 2025, arXiv 2507.05257). Wanted: ``test.parquet`` in
    ``<data>/memalpha-memoryagentbench``; without that folder it is downloaded. Licence: MIT for
    MemoryAgentBench; its texts keep the licences of their origins.
    Ability and question kind: of each row, by its ``data_source``. Evidence: none published.
    Nine test sets (option ``name``): ``ruler_qa1_197K``, ``ruler_qa2_421K``, ``longmemeval_s*``
    (the asterisk is part of the name), ``infbench_sum_eng_shots2`` and five ``icl_*``. The golds of
    InfBench-Sum are keyword lists, so its score is a keyword hit rate and no summary measure.
    Seven of the nine hold a single row: what is measured there is the spread over questions, not
    over memories. The sources built from raw data (``squad``, ``hotpotqa``, ``banking77``, ...)
    give several rows for the same skills.

Splits
    ``test`` only: nothing of it may be trained on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memgym.tasks.memalpha import published_episodes
from memgym.tasks.source import EpisodeSet

__all__ = ["load"]


def load(split: str, options: Mapping[str, Any], data: Path | None) -> EpisodeSet:
    """Return the published test rows.

    Raises:
        UsageError: a bad option, missing or malformed files, no row of the wanted ``name``.
    """
    source, repository = "memalpha-memoryagentbench", "YuWangX/Memalpha-Memoryagentbench"
    return published_episodes(source, repository, split, options, data)
