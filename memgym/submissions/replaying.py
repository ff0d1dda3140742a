"""The episodes of a submission, one by one: each is compared with the suite and computed anew."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from memgym.baselines import BASELINES
from memgym.benchmarks.entries import AgentEntry, checked_entries
from memgym.benchmarks.suites import EpisodeReference, ResolvedSuite, load_episode
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.evaluation import play_episode
from memgym.submissions.leaks import LeakSearch
from memgym.submissions.manifest import Manifest
from memgym.submissions.records import Player, check_place, check_usage, is_own_baseline
from memgym.submissions.refusal import RefusedError, quoted
from memgym.submissions.rules import track_of
from memgym.submissions.totals import Played
from memgym.submissions.verified import Suspicion
from memgym.traces.compare import differences
from memgym.traces.digests import episode_hash
from memgym.traces.parts import RecordedReader
from memgym.traces.recorder import Recorder
from memgym.traces.replay import ReplayReport, replay_on

__all__ = ["EpisodeChecker"]

_REPEATED = ("steps", "answers", "metrics", "score", "reward", "memory_digest")
"""What an agent that plays an episode again must bring about again, to the last bit."""


class EpisodeChecker:
    """Takes the records of a submission in the suite's order.

    Args:
        manifest: What it claims.
        suite: The suite as it is here.

    Attributes:
        played: What came of the episodes so far.
        suspicious: Where something was known too early.
        reproduced: Whether the agent chose the same again; ``None`` where that cannot be tried.
        trajectory: Hash of what was kept and answered so far.
    """

    def __init__(self, manifest: Manifest, suite: ResolvedSuite) -> None:
        self.played: list[Played] = []
        self.suspicious: list[Suspicion] = []
        self.reproduced: bool | None = None
        self.trajectory = hashlib.sha256()
        self._manifest = manifest
        self._suite = suite
        self._player: Player | None = None

    @property
    def player(self) -> Player:
        """Who played, once every episode has been checked.

        Raises:
            RefusedError: episodes are missing.
        """
        episodes = self._suite.episodes
        missing = episodes[len(self.played) :]
        if missing or self._player is None:
            raise RefusedError(
                f"{len(missing)} of {len(episodes)} episodes are missing, the first is "
                f'"{missing[0].id}"'
            )
        return self._player

    def check(self, record: Mapping[str, Any]) -> None:
        """Check and replay the next record.

        Raises:
            RefusedError: it is another episode's, was played otherwise than the rest, or does not
                come out as it says.
        """
        reference = _next_of(self._suite, len(self.played), record["episode"]["id"])
        check_place(record, reference, self._suite)
        if self._player is None:
            self._player = Player.of(record, self._suite)
            _check_claims(self._manifest, self._player)
        self._player.check_same(record)
        check_usage(record)
        episode = load_episode(reference)
        answers_itself = self._player.settings.answer_mode == "agent"
        search = LeakSearch(episode, agent_answers=answers_itself)
        report = _replayed(record, episode, search)
        search.ended(report.answers)
        if not self._player.privileged:
            search.chosen()
        computed = {"answers": report.answers, "metrics": report.metrics}
        self.played.append(Played.of(reference, {**record, **computed}))
        self.suspicious += search.found
        self.trajectory.update(_trajectory(record))
        if is_own_baseline(self._player.agent):
            _check_baseline(record, episode, self._player)
            self.reproduced = True


def _trajectory(record: Mapping[str, Any]) -> bytes:
    """Return what was kept and answered, of a record that has been replayed."""
    kept = [[step["chunk"], step["memory"]] for step in record["steps"]]
    answered = [answer["prediction"] for answer in record["answers"]]
    return json.dumps([record["episode"]["id"], kept, answered]).encode()


def _next_of(suite: ResolvedSuite, number: int, found: str) -> EpisodeReference:
    """Return the suite's next episode, which must be the one that was found."""
    known = [reference.id for reference in suite.episodes]
    if found not in known:
        raise RefusedError(f"the episode {quoted(found)} is not in {suite.suite.name}")
    if known.index(found) < number:
        raise RefusedError(f"the episode {quoted(found)} occurs twice")
    if known.index(found) > number:
        raise RefusedError(f"the episode {quoted(known[number])} is missing or out of order")
    return suite.episodes[number]


def _check_claims(manifest: Manifest, player: Player) -> None:
    claims = {
        "track": (manifest.track, track_of(player.settings)),
        "agent": (manifest.agent, player.agent["name"]),
        "seed": (manifest.seed, player.seed),
    }
    for name, (claimed, found) in claims.items():
        if claimed != found:
            raise RefusedError(f"manifest.json: {name} is {claimed!a}, the traces say {found!a}")


def _replayed(record: Mapping[str, Any], episode: Episode, search: LeakSearch) -> ReplayReport:
    where = f'episode "{episode.id}"'
    if record["episode"]["hash"] != episode_hash(episode):
        raise RefusedError(f"{where}: its hash is that of another content")
    try:
        report = replay_on(record, episode, watch=search.stepped)
    except (UsageError, RecursionError) as error:
        raise RefusedError(f"{where} cannot be replayed: {quoted(str(error))}") from error
    if report.differences:
        first = report.differences[0]
        raise RefusedError(f"{where} differs when replayed: {first}", *report.differences[1:])
    return report


def _check_baseline(record: Mapping[str, Any], episode: Episode, player: Player) -> None:
    """Check that one of memgym's own agents does everything as recorded."""
    spec = player.agent["spec"]
    try:
        entries = checked_entries([AgentEntry(spec, options=player.agent.get("options", {}))])
        env = _environment(record)
    except UsageError as error:
        raise RefusedError(f"the agent {spec} cannot be made: {quoted(str(error))}") from error
    if player.agent["privileged"] != BASELINES[spec].privileged:
        raise RefusedError(f"agent.privileged is not what it is of the agent {spec}")
    recorder = Recorder()
    play_episode(entries[0].make(), env, episode, seed=player.seed, observer=recorder)
    # Not the memory alone: an agent that answers by itself chooses its answers, too.
    for name in _REPEATED:
        told = next(differences(record[name], recorder.record[name], name), "")
        if told:
            raise RefusedError(
                f'episode "{episode.id}": the agent {spec} of this memgym chooses other actions '
                f"({quoted(told)}); an agent of your own goes by its own name"
            )


def _environment(record: Mapping[str, Any]) -> MemAlphaEnv:
    """Return an environment with a record's settings, whose reader says what it said then."""
    settings = dict(record["environment"])
    if settings["answer_mode"] != "agent" and "reader" not in record["recorded"]:
        return MemAlphaEnv(**settings)
    # No model is opened; where the agent answers by itself, no reader is asked.
    options = settings["reader_options"]
    env = MemAlphaEnv(**{**settings, "reader": "verbatim", "reader_options": {}})
    if "reader" in record["recorded"]:
        retrieval = {name: options[name] for name in ("top_k", "budget_tokens")}
        env.reader = RecordedReader(record["answers"], retrieval)
    return env
