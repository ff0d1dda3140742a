"""What is known of a submission once it has been replayed: the one thing a leaderboard is made of.

Every number here was computed by the verifier, never taken from the file. The words (names, the
card, what the agent says of itself) are the submitter's, bounded in length and free of control
characters, and nothing else: they may hold HTML, scripts or lies, and are to be shown as text.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from memgym.benchmarks.statistics import Estimate
from memgym.errors import UsageError

__all__ = ["TRACKS", "EpisodeScore", "Suspicion", "Track", "Verified"]

Track = Literal["verbatim", "llm-reader", "agent-answered"]
TRACKS: tuple[Track, ...] = get_args(Track)
"""``verbatim``: all of it was computed anew. ``llm-reader``: the language model's answers are the
recorded ones, scored anew. ``agent-answered``: the same of the agent's own answers."""


@dataclass(frozen=True, slots=True)
class EpisodeScore:
    """One episode as replayed; in the order of the suite.

    Attributes:
        id: Id of the episode.
        entry: Entry of the suite it belongs to.
        ability: The ability it tests.
        score: Mean answer score, 0.0 to 1.0.
        questions: Number of questions.
        memory_tokens: Tokens of the final memory.
    """

    id: str
    entry: str
    ability: str
    score: float
    questions: int
    memory_tokens: int


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A place where something is known before it can be (:mod:`memgym.submissions.leaks`).

    Attributes:
        kind: ``written``: the policy wrote it before any chunk had said it. ``answered``: it was
            answered rightly though the memory did not hold it. ``chosen``: what was kept of the
            episode is what its questions rest on, and hardly anything else.
        episode: Id of the episode.
        step: Index of the step, from 0; with ``chosen`` the last.
        question: Index of the question, 0 with ``chosen``.
        text: The answer, or the question that was known beforehand, the episode's words; with
            ``chosen`` the counts of what was kept.
    """

    kind: Literal["written", "answered", "chosen"]
    episode: str
    step: int
    question: int
    text: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A submission that holds: see the module for what is the submitter's word.

    Attributes:
        name: What the leaderboard calls it.
        contact: Whom to ask; public.
        agent: Name of the agent in its run.
        agent_details: What describes it, as in ``run.json``: spec, options, model, code; JSON.
        privileged: Whether it was shown the golds, an upper bound and no competitor.
        reproduced: Whether the agent, one of memgym's own without a model, chose the very same
            actions again; ``None`` for every other agent, whose actions are only recorded.
        track: See :data:`TRACKS`.
        reader: Name of the reader, ``agent`` where the agent answers.
        reader_model: Name of the reader's language model, ``""`` if there is none.
        suite: Name of the suite.
        suite_version: Its version.
        suite_hash: Its content hash (sha256, hex), as this memgym resolves it.
        model_size: Parameters of the agent's largest model as the submitter states them, ``None``
            if nothing is stated, 0 if there is no model.
        memory_budget: Limit of the whole memory: tokens (integer), share of the text (fraction),
            or 0 for none.
        settings: Environment settings that differ from the suite's, JSON; only such as belong to
            the method (what it sees, its budget), never those of reader and scorer.
        seed: Of the agent's own choices.
        macro: Plain mean over abilities with its 95 % interval: the score.
        abilities: The same per ability, over its entries.
        entries: The same per entry, over its episodes.
        episodes: Every episode, in the suite's order.
        questions: Number of all questions.
        memory_tokens: Mean over episodes of the final memory's tokens.
        memory_share: Mean over episodes of final memory tokens / input tokens.
        invalid_calls: Share of all tool calls that did not succeed.
        causes: Share of all questions not answered in full, by cause (:mod:`memgym.diagnosis`).
        failed: Share of all questions on which the reader broke down.
        usage: What language models used, by part, as recorded (it cannot be computed anew): the
            fields of :class:`memgym.usage.Usage`; empty if there are none.
        card: The model card, Markdown.
        sha256: Of the submitted file, hex.
        trajectory: sha256, hex, of what was kept after every step and of every answer, whoever is
            said to have played: two submissions with one trajectory are the same play.
        memgym: Version that the run was played with.
        suspicious: Places where something was known that could not have been read.
    """

    name: str
    contact: str
    agent: str
    agent_details: Mapping[str, Any]
    privileged: bool
    reproduced: bool | None
    track: Track
    reader: str
    reader_model: str
    suite: str
    suite_version: str
    suite_hash: str
    model_size: int | None
    memory_budget: int | float
    settings: Mapping[str, Any]
    seed: int
    macro: Estimate
    abilities: Mapping[str, Estimate]
    entries: Mapping[str, Estimate]
    episodes: tuple[EpisodeScore, ...]
    questions: int
    memory_tokens: float
    memory_share: float
    invalid_calls: float
    causes: Mapping[str, float]
    failed: float
    usage: Mapping[str, Mapping[str, float]]
    card: str
    sha256: str
    trajectory: str
    memgym: str
    suspicious: tuple[Suspicion, ...]

    def to_json(self) -> str:
        """Return it as one line of JSON, the same bytes for the same values."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Verified":
        """Return what :meth:`to_json` has written.

        Raises:
            UsageError: it is something else.
        """
        try:
            found = json.loads(text)
            found["macro"] = Estimate(**found["macro"])
            for name in ("abilities", "entries"):
                found[name] = {key: Estimate(**item) for key, item in found[name].items()}
            found["episodes"] = tuple(EpisodeScore(**item) for item in found["episodes"])
            found["suspicious"] = tuple(Suspicion(**item) for item in found["suspicious"])
            return cls(**found)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"no record of a verified submission: {error!r}") from error
