"""A MemoryAgentBench row of 474,000 tokens from parquet: time and memory to play it.

Memory is the peak of a process of its own that does nothing else.
"""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pyarrow
import pytest
from pyarrow import parquet
from pytest_benchmark.fixture import BenchmarkFixture

from memgym.benchmarks.speed.measure import zipf_texts
from memgym.tokens import get_counter

TOKENS = 474_000
SECONDS, MEGABYTES = 5.0, 500.0

_PLAY = """
import json, resource, sys, time
begin = time.process_time()
from memgym.baselines import BASELINES
from memgym.evaluation import environment_for, play_episode
from memgym.tasks import load_source
agent = BASELINES["sentences"]()
env = environment_for(agent)
imported = time.process_time()
options = {"name": "ruler_qa2_421K"}
episode = load_source("memoryagentbench", "test", options, sys.argv[1]).episode(0)
loaded = time.process_time()
result = play_episode(agent, env, episode)
print(json.dumps({
    "load": loaded - imported,
    "play": time.process_time() - loaded,
    "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "tokens": result.metrics["input_tokens"],
    "items": result.calls,
    "score": result.score,
}))
"""


def documents(tokens: int) -> list[str]:
    """Return numbered documents of about so many tokens, in sentences of 16 words."""
    count = get_counter().count
    made: list[str] = []
    while tokens > 0:
        for text in zipf_texts(100, (100, 140), seed=len(made)):
            words = text.split()
            sentences = (" ".join(words[n : n + 16]).capitalize() for n in range(0, len(words), 16))
            made.append(f"Document {len(made) + 1}:\n" + ". ".join(sentences) + ".")
            tokens -= count(made[-1])
            if tokens <= 0:
                break
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write a published split: the row to play, between others as long."""
    random = Random("questions")
    texts = documents(TOKENS)
    asked = [random.choice(texts).split() for _ in range(100)]
    row = {
        "context": "\n\n".join(texts),
        "questions": [f"What about {' '.join(words[4:12])}?" for words in asked],
        "answers": [[" ".join(words[8:10])] for words in asked],
    }
    names = ("ruler_qa1_197K", "ruler_qa2_421K", "eventqa_full", "eventqa_131072")
    rows = [{**row, "metadata": {"source": name}} for name in names]
    folder = tmp_path / "memoryagentbench"
    folder.mkdir()
    path = folder / "Accurate_Retrieval-00000-of-00001.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return tmp_path


def test_a_long_row_plays_fast_and_in_little_memory(
    benchmark: BenchmarkFixture, data: Path
) -> None:
    def play() -> dict[str, float]:
        command = [sys.executable, "-c", _PLAY, str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        measured: dict[str, float] = json.loads(done.stdout)
        return measured

    measured = benchmark.pedantic(play, rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info.update(measured)
    print(f"\n{measured}")  # noqa: T201
    assert measured["tokens"] > TOKENS
    assert measured["items"] > 10_000
    assert measured["load"] + measured["play"] < SECONDS
    assert measured["megabytes"] < MEGABYTES
