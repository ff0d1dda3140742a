"""Whole runs against a server behind a proxy that spoils a fifth of all requests."""

from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import ModelSettings, close_backends
from memgym.benchmarks.entries import AgentEntry
from memgym.benchmarks.run_folder import RunFolder
from memgym.benchmarks.runner import run_plan
from memgym.traces.format import read_traces
from memgym.traces.replay import replay
from memgym.usage import Usage
from tests.chat_server import ChatServer
from tests.fault_proxy import FaultProxy
from tests.openai_calls import quick_and_without_key
from tests.runs import small_plan

__all__ = ["quick_and_without_key"]

AGENTS = ("prompt_only", "memagent", "mem1", "rag", "tests.keeper:Keeper")


@pytest.fixture(autouse=True)
def cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))


def play(base_url: str, folder: Path) -> RunFolder:
    """Play five agents and a reader whose models are all at one server; nothing is cached."""
    model = ModelSettings("tiny", base_url=base_url, max_retries=30, timeout_seconds=2.0)
    reader: dict[str, Any] = {
        "model": "tiny", "base_url": base_url, "cache": False,
        "model_options": {"max_retries": 30, "timeout_seconds": 2.0},
    }  # fmt: skip
    plan = small_plan(
        [AgentEntry(spec, model=model) for spec in AGENTS],
        settings={"reader": "llm", "reader_options": reader},
    )
    try:
        return run_plan(plan, folder, concurrency=8)
    finally:
        close_backends()


def used(store: RunFolder) -> Usage:
    return sum((part for parts in store.usage.values() for part in parts.values()), Usage())


def test_a_run_through_faults_ends_as_one_without(tmp_path: Path) -> None:
    with ChatServer() as server, FaultProxy(server.url, rate=0.2, slow_seconds=2.5) as proxy:
        clean = play(f"{server.url}/v1", tmp_path / "clean")
        faulty = play(f"{proxy.url}/v1", tmp_path / "faulty")
    spoilt = sum(proxy.done.values())
    assert spoilt > 20, proxy.done
    assert used(faulty).retries > 0
    assert used(clean).failures == used(faulty).failures == 0
    assert used(faulty).calls == used(clean).calls
    for name in ("results.jsonl", "traces.jsonl.gz", "run.json"):
        ours, theirs = ((tmp_path / run / name).read_bytes() for run in ("clean", "faulty"))
        assert ours == theirs
    for trace in read_traces(tmp_path / "faulty"):
        assert trace["recorded"] == ["reader"]
        assert replay(trace).differences == ()
    assert any(record["score"] > 0 for record in clean.records.values())
