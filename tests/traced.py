"""Recorded episodes for the tests of traces."""

import gzip
from collections.abc import Mapping, Sequence
from typing import Any

from memgym.agent import Agent
from memgym.baselines import BASELINES
from memgym.evaluation import EpisodeResult, environment_for, play_episode
from memgym.traces.format import decoded, encoded
from memgym.traces.recorder import Recorder

OPTIONS = {"tokens": 400, "chunk_tokens": 100, "questions": 3}
SOURCE = "procedural-conflict-resolution"


class Scripted(Agent):
    """Does what it is told, then nothing; answers every question with the chunk it saw last."""

    name = "scripted"

    def __init__(self, actions: Sequence[Any] = ()) -> None:
        self.actions = actions

    def reset(self, briefing: Any) -> None:
        super().reset(briefing)
        self._left = list(self.actions)
        self._seen = ""

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        self._seen = observation["chunk"] or self._seen
        return self._left.pop(0) if self._left else ()

    def answer(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        return self._seen


def record_of(
    agent: Agent | str = "sentences", *, source: str = SOURCE, **settings: Any
) -> dict[str, Any]:
    """Return the record of a short episode, as it is read from a file."""
    return recorded(agent, source=source, **settings)[0]


def recorded(
    agent: Agent | str = "sentences", *, source: str = SOURCE, **settings: Any
) -> tuple[dict[str, Any], EpisodeResult]:
    """Return the record of a short episode, as it is read from a file, and the result."""
    player = BASELINES[agent]() if isinstance(agent, str) else agent
    given = {"source": source, "split": "test", "source_options": OPTIONS, **settings}
    env = environment_for(player, **given)
    recorder = Recorder()
    result = play_episode(player, env, 0, seed=3, observer=recorder)
    return reread(recorder.record), result


def reread(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record after a way through a file."""
    return decoded(gzip.decompress(encoded(record)), "test")
