"""Size figures of a data source, beside those that the Mem-alpha paper gives for its own version.

Published figures: arXiv 2509.25911, Table 6 (training and validation data) and Table 8 (test data).
Its tokens are those of the Qwen3 tokenizer, ours are ``o200k_base``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from memgym.episode import Episode
from memgym.tokens import get_counter

__all__ = ["PUBLISHED", "Published", "Statistics", "measure"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Size figures of a dataset.

    Attributes:
        instances: Number of episodes.
        chunks: Chunks per episode, mean.
        chunk_tokens: Tokens per chunk, mean over all chunks.
        questions: Questions per episode, mean.
        with_evidence: Share of the questions whose evidence is known.
    """

    instances: int
    chunks: float
    chunk_tokens: float
    questions: float
    with_evidence: float


@dataclass(frozen=True, slots=True)
class Published:
    """The paper's figures of a data set; the fields are those of :class:`Statistics`."""

    name: str
    instances: int
    chunks: float
    chunk_tokens: float
    questions: float


def measure(episodes: Iterable[Episode]) -> Statistics:
    """Return the figures of some episodes, made and read one at a time."""
    count = get_counter().count
    instances = chunks = tokens = questions = known = 0
    for episode in episodes:
        instances += 1
        chunks += len(episode.chunks)
        tokens += episode.count_tokens(count)
        questions += len(episode.questions)
        known += sum(bool(question.evidence) for question in episode.questions)
    return Statistics(
        instances,
        chunks / max(instances, 1),
        tokens / max(chunks, 1),
        questions / max(instances, 1),
        known / max(questions, 1),
    )


# Source and split -> the data set of the paper that stands for the same skill.
PUBLISHED: Mapping[tuple[str, str], Published] = {
    ("squad", "train"): Published("SQuAD", 264, 10.0, 1078, 95.5),
    ("squad", "validation"): Published("SQuAD", 30, 10.0, 1057, 96.8),
    ("squad", "test"): Published("RULER-QA1", 1, 103, 2104, 100),
    ("hotpotqa", "train"): Published("HotpotQA", 1966, 9.3, 1051, 17.0),
    ("hotpotqa", "validation"): Published("HotpotQA", 219, 9.2, 1052, 17.0),
    ("hotpotqa", "test"): Published("RULER-QA2", 1, 219, 2164, 100),
    ("perltqa", "train"): Published("PerLTQA", 27, 23.3, 517, 100),
    ("perltqa", "validation"): Published("PerLTQA", 4, 23.0, 568, 100),
    ("nlu", "train"): Published("NLU", 180, 10.0, 610, 100),
    ("nlu", "validation"): Published("NLU", 20, 10.0, 606, 100),
    ("nlu", "test"): Published("NLU", 1, 115, 1167, 100),
    ("trec-coarse", "train"): Published("TREC-C", 180, 10.0, 390, 100),
    ("trec-coarse", "validation"): Published("TREC-C", 20, 10.0, 390, 100),
    ("trec-coarse", "test"): Published("TREC-C", 1, 111, 1115, 100),
    ("trec-fine", "test"): Published("TREC-F", 1, 108, 1163, 100),
    ("banking77", "test"): Published("Banking77", 1, 111, 1150, 100),
    ("clinic150", "test"): Published("Clinic150", 1, 38, 3441, 100),
    ("pubmed-rct", "train"): Published("PubMed-RCT", 90, 10.0, 1676, 100),
    ("pubmed-rct", "validation"): Published("PubMed-RCT", 10, 10.0, 1673, 100),
    ("booksum", "train"): Published("BookSum", 1387, 8.0, 1916, 1),
    ("booksum", "validation"): Published("BookSum", 155, 8.1, 1914, 1),
    ("booksum", "test"): Published("InfBench-Sum", 100, 88.9, 2034, 1),
    ("longmemeval", "test"): Published("LongMemEval", 5, 218.6, 1591, 60),
}
"""What the paper reports, by our source and split."""
