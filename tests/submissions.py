"""A small honest submission, in parts that tests can change and put together again."""

import copy
import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from memgym.agent import Agent
from memgym.baselines.sentences import Sentences
from memgym.benchmarks.suites import Entry, Suite, load_episode, resolve
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.evaluation import play_episode
from memgym.submissions.archive import CARD, MANIFEST, TRACES, packed
from memgym.submissions.packing import Author, pack
from memgym.traces.format import encoded
from memgym.traces.recorder import Recorder

__all__ = ["AUTHOR", "MINE", "SMALL", "SUITES", "TELLING", "Parts", "honest", "played", "reread"]

_OPTIONS = {"tokens": 500, "chunk_tokens": 200, "questions": 2}
SMALL = Suite(
    "small",
    "1",
    "for tests",
    (
        Entry("facts", "procedural-accurate-retrieval", "test", 2, _OPTIONS),
        Entry("labels", "procedural-test-time-learning", "test", 1, _OPTIONS),
    ),
)
_MANY = {"tokens": 2_000, "chunk_tokens": 500, "questions": 15}
TELLING = Suite(
    "telling",
    "1",
    "for tests in which it is seen what an agent chooses to keep",
    (
        Entry("facts", "procedural-accurate-retrieval", "test", 1, _MANY),
        Entry("states", "procedural-conflict-resolution", "test", 1, _MANY),
    ),
)
OTHER = Suite("other", "1", "for tests, too", SMALL.entries[:1])
SUITES: Mapping[str, Suite] = {suite.name: suite for suite in (SMALL, OTHER, TELLING)}
AUTHOR = Author("An honest run", "someone@example.org", "# Card\n\nEvery sentence.\n", 0)
MINE = {"name": "mine", "spec": "my_agents:Mine", "privileged": False, "settings": {}, "code": "0"}


def played(
    agent: Agent | None = None,
    described: Mapping[str, Any] = MINE,
    prepare: Callable[[MemAlphaEnv], None] = lambda env: None,
    played_suite: Suite = SMALL,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Return the records of an agent on a suite.

    Args:
        agent: By default ``sentences``.
        described: What the records say of it.
        prepare: Done with every environment before it is played.
        played_suite: By default the small one.
        settings: Of the environment.
    """
    suite, found = resolve(played_suite), []
    for reference in suite.episodes:
        recorder = Recorder(
            agent=described,
            suite={
                "name": played_suite.name,
                "version": played_suite.version,
                "hash": suite.content_hash,
                "entry": reference.entry,
            },
            origin={
                "source": reference.source,
                "split": reference.split,
                "source_options": json.loads(reference.source_options),
                "index": reference.index,
            },
        )
        env = MemAlphaEnv(**settings)
        prepare(env)
        play_episode(agent or Sentences(), env, load_episode(reference), observer=recorder)
        found.append(recorder.record)
    return found


@dataclass
class Parts:
    """What is in a submission.

    Attributes:
        records: The records of its traces.
        manifest: The fields of its manifest; the hashes of the members are made anew.
        card: The content of its card.
        traces: The traces' file, if it is not to be made of the records.
    """

    records: list[dict[str, Any]]
    manifest: dict[str, Any]
    card: bytes
    traces: bytes | None = None

    def members(self) -> dict[str, bytes]:
        """Return the three members; the manifest fits the others."""
        traces = self.traces
        if traces is None:
            traces = b"".join(map(encoded, self.records))
        hashes = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in ((CARD, self.card), (TRACES, traces))
        }
        manifest = json.dumps({**self.manifest, "members": hashes}).encode()
        return {MANIFEST: manifest, CARD: self.card, TRACES: traces}

    def archive(self) -> bytes:
        """Return the file, as somebody would make it who knows the format."""
        return packed(self.members())


def reread(records: list[dict[str, Any]], suite: Suite = SMALL) -> Parts:
    """Return the parts of an honest submission of records."""
    content = pack(records, AUTHOR, resolve(suite))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return Parts(records, json.loads(archive.read(MANIFEST)), archive.read(CARD))


@functools.cache
def _honest() -> Parts:
    return reread(played())


def honest() -> Parts:
    """Return a fresh copy of the parts of the honest submission of ``sentences``."""
    return copy.deepcopy(_honest())
