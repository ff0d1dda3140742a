"""Small plans and agents for the tests of the runner, the reports and the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memgym.benchmarks.entries import AgentEntry
from memgym.benchmarks.plan import RunPlan, make_plan
from memgym.benchmarks.report import write_reports
from memgym.benchmarks.runner import run_plan
from memgym.benchmarks.suites import Entry, Suite, resolve
from memgym.benchmarks.summary import summarise

OPTIONS = {"tokens": 1_000, "chunk_tokens": 250, "questions": 3}
FACTS = Entry("facts", "procedural-accurate-retrieval", "test", 3, OPTIONS)
LONG_FACTS = Entry(
    "long facts", "procedural-accurate-retrieval", "test", 2, {**OPTIONS, "tokens": 2_000}
)
LABELS = Entry("labels", "procedural-test-time-learning", "test", 2, OPTIONS)
SUITE = Suite("tiny", "1", "for tests", (FACTS, LONG_FACTS, LABELS))

AGENTS = ("flat", "sentences", "oracle")

SLOW_AGENT = """\
import os, pathlib, time
from memgym.agent import Agent

class Slow(Agent):
    name = "slow"

    def act(self, observation, info):
        pathlib.Path(os.environ["PID_FOLDER"], str(os.getpid())).touch()
        time.sleep(0.05)
        return [{"name": "new_memory_insert",
                 "arguments": {"memory_type": "semantic", "content": observation["chunk"]}}]
"""

CRASHING_AGENT = """\
from memgym.agent import Agent

class Crashing(Agent):
    name = "crashing"

    def act(self, observation, info):
        raise KeyError("chunk number")
"""


def small_plan(
    agents: Sequence[str | AgentEntry] = AGENTS, suite: Suite = SUITE, **options: Any
) -> RunPlan:
    """Return a plan of seven short episodes."""
    return make_plan([resolve(suite)], agents, **options)


def finished_run(folder: Path, agents: Sequence[str | AgentEntry] = AGENTS, **options: Any) -> Path:
    """Play a small plan into a folder with all the files of ``memgym bench``, and return it."""
    plan = small_plan(agents, **options)
    store = run_plan(plan, folder)
    write_reports(folder, summarise(plan, store.records, store.seconds), store.records, [])
    return folder
