"""What a trace costs: recording beside playing, replaying beside playing.

The claim is a ratio of two things timed in turn in this process; seconds are printed for
orientation. The episode is that of the issue: 100 chunks of 10 calls, and 200 questions.
"""

import gzip
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from memgym.agent import Agent
from memgym.benchmarks.speed.measure import alternate, seconds, zipf_texts
from memgym.benchmarks.speed.test_environment_speed import QUESTIONS, measure, recorded_calls
from memgym.benchmarks.speed.test_environment_speed import report as tell
from memgym.episode import Episode, Question
from memgym.evaluation import environment_for, play_episode
from memgym.traces.format import decoded, encoded
from memgym.traces.recorder import Recorder
from memgym.traces.replay import replay_on


class Reciting(Agent):
    """Gives the actions it was given."""

    name = "reciting"

    def __init__(self, actions: list[Any]) -> None:
        self._actions = actions

    def reset(self, briefing: Any) -> None:
        """Begin anew."""
        super().reset(briefing)
        self._left = iter(self._actions)

    def act(self, observation: Any, info: Any) -> Any:
        """Return the next action."""
        return next(self._left)


def asked_episode(chunks: int) -> Episode:
    """Return an episode whose questions ask for words of its text."""
    texts = zipf_texts(QUESTIONS, (12, 12), seed=5)
    questions = tuple(Question(text, (" ".join(text.split()[3:5]),)) for text in texts)
    chunk_texts = tuple(zipf_texts(chunks, (350, 350), seed=1))
    return Episode("speed", "speed", "accurate_retrieval", chunk_texts, questions)


def test_replaying_costs_what_playing_costs(benchmark: BenchmarkFixture) -> None:
    """Reading, checking and replaying a record against the environment's own work alone."""
    actions = recorded_calls()
    episode = asked_episode(len(actions))
    agent = Reciting(actions)
    env = environment_for(agent, source_options={"tokens": 1_000})
    recorder = Recorder(hash="0" * 64)

    def play(recorded: bool) -> float:
        observer = recorder if recorded else None
        return seconds(lambda: play_episode(agent, env, episode, observer=observer))

    play(True)
    member = encoded(recorder.record)

    def replay() -> None:
        report = replay_on(decoded(gzip.decompress(member), "speed"), episode)
        assert not report.differences
        assert len(report.answers) == QUESTIONS

    recording = alternate(lambda _: play(True), lambda _: play(False))
    print(f"\nplaying recorded / playing: {recording}; {len(member):,} bytes")  # noqa: T201
    ratio = alternate(lambda _: seconds(replay), lambda _: play(False))
    tell(benchmark, "reading and replaying / playing", ratio)
    measure(benchmark, replay, rounds=5)
    assert ratio.median <= 1.5
    assert recording.median <= 1.3
