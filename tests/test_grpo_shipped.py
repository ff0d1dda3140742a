"""The trained policies that come with memgym: what lies in the box, and that it plays."""

import json
import re
from pathlib import Path
from statistics import fmean

import pytest

from memgym.agents.grpo.agent import SHIPPED, TrainedWriter
from memgym.agents.grpo.manifest import read_manifest
from memgym.baselines import BASELINES
from memgym.benchmarks.suites import SUITES, Entry, Suite
from memgym.cli.main import main
from memgym.evaluation import environment_for, play_episode

NAME = "memalpha-tiny"
TRAINED_ON = {
    "source": "procedural",
    "source_options": {"tokens": 600, "chunk_tokens": 40, "questions": 10, "filler": 0.6},
    "reader_options": {"budget_tokens": 256},
}


def test_the_tiny_one_is_in_the_box() -> None:
    assert NAME in SHIPPED


@pytest.mark.parametrize("folder", SHIPPED.values(), ids=str)
def test_what_is_shipped_is_small_safe_and_described(folder: Path) -> None:
    files = {file.name: file for file in folder.iterdir()}
    assert sum(file.stat().st_size for file in files.values()) <= 5_000_000
    # Nothing that runs when it is loaded: weights as safetensors, the rest as text.
    assert {file.suffix for file in files.values()} <= {".safetensors", ".json", ".jinja", ".md"}
    assert read_manifest(folder).chunk_tokens > 0
    card = files["README.md"].read_text(encoding="utf-8")
    for heading in ("Data", "Command", "Measured", "Limits"):
        assert re.search(rf"^## {heading}$", card, re.MULTILINE), heading
    config = json.loads(files["config.json"].read_text(encoding="utf-8"))
    assert "_name_or_path" not in config


def test_it_scores_what_no_baseline_does_in_half_the_memory() -> None:
    writer = TrainedWriter.load(NAME)
    means = {}
    for agent in (writer, BASELINES["sentences"](), BASELINES["random"]()):
        env = environment_for(agent, split="test", memory_budget=0.5, **TRAINED_ON)
        scores = [play_episode(agent, env, episode=number).score for number in range(12)]
        means[agent.name] = fmean(scores)
    assert means["grpo"] > means["sentences"] + 0.05
    assert means["grpo"] > means["random"] + 0.05


def test_the_benchmark_knows_it_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"tokens": 600, "chunk_tokens": 200, "questions": 4}
    entry = Entry("one", "procedural-accurate-retrieval", "test", 2, options)
    monkeypatch.setitem(SUITES, "one", Suite("one", "1", "for tests", (entry,)))
    out = tmp_path / "run"
    given = ["--suite", "one", "--agents", NAME, "--jobs", "1", "--out", str(out)]
    assert main(["bench", *given]) == 0
    lines = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["agent"] for record in records] == [NAME, NAME]
    assert all(record["valid_calls"] > 0 for record in records)
    assert str(SHIPPED[NAME].parent) not in (out / "run.json").read_text(encoding="utf-8")
