"""What the records of one submission must have in common, and what each must say of its episode.

Records are compared with the suite as this memgym resolves it, before any of them is replayed.
"""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memgym.agents import AGENTS
from memgym.baselines import BASELINES
from memgym.benchmarks.suites import EpisodeReference, ResolvedSuite
from memgym.envs.settings import Settings
from memgym.submissions.refusal import RefusedError, quoted
from memgym.submissions.rules import checked_settings
from memgym.submissions.words import checked_lines, checked_words
from memgym.traces.digests import canonical
from memgym.traces.public import public

__all__ = ["Player", "check_place", "check_usage", "is_own_baseline"]

_AGENT_FIELDS = ("name", "spec", "privileged", "settings", "code", "options", "model")
_SHARED = ("agent", "environment", "models", "seed")
_MOST_WORDS = 100_000  # characters of all that describes an agent
_USING = ("agent", "reader", "content_judge", "answer_judge")
_USED = ("calls", "prompt_tokens", "completion_tokens", "failures")


def check_place(
    record: Mapping[str, Any], reference: EpisodeReference, suite: ResolvedSuite
) -> None:
    """Check that a record was made for this suite and this episode of it.

    Raises:
        RefusedError: it was made for another.
    """
    where = f"episode {quoted(record['episode']['id'])}"
    wanted = {
        "name": suite.suite.name,
        "version": suite.suite.version,
        "hash": suite.content_hash,
        "entry": reference.entry,
    }
    _compare(f"{where}: suite", record["suite"] or {}, wanted)
    wanted_episode = {
        "id": reference.id,
        "source": reference.source,
        "split": reference.split,
        "source_options": public(json.loads(reference.source_options)),
        "index": reference.index,
        "ability": reference.ability,
    }
    _compare(f"{where}: episode", record["episode"], wanted_episode)


def _compare(where: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if name not in found or canonical(found[name]) != canonical(value):
            raise RefusedError(
                f"{where}.{name} is {quoted(found.get(name))}, in the suite it is {value!a}"
            )


@dataclass(frozen=True, slots=True)
class Player:
    """What all records of a submission share.

    Attributes:
        agent: What describes the agent.
        environment: The settings as recorded.
        settings: The same, checked.
        models: The language models of the environment, by part.
        seed: Of the agent's own choices.
        memgym: Version that the episodes were played with.
    """

    agent: Mapping[str, Any]
    environment: Mapping[str, Any]
    settings: Settings
    models: Mapping[str, Mapping[str, Any]]
    seed: int
    memgym: str

    @classmethod
    def of(cls, record: Mapping[str, Any], suite: ResolvedSuite) -> "Player":
        """Return the player of a record, checked.

        Raises:
            RefusedError: what is said of the agent is malformed, or the settings are not those of
                the suite.
        """
        _check_agent(record["agent"])
        _check_words("the models of the environment", record["models"])
        return cls(
            agent=record["agent"],
            environment=record["environment"],
            settings=checked_settings(record["environment"], suite.suite),
            models=record["models"],
            seed=record["seed"],
            memgym=checked_words("versions.memgym", record["versions"].get("memgym"), 40),
        )

    @property
    def privileged(self) -> bool:
        """Whether the agent was shown the golds; of memgym's own the class says so."""
        own = BASELINES.get(self.agent["spec"])
        return bool(self.agent["privileged"] or (own is not None and own.privileged))

    @property
    def reader_model(self) -> str:
        """Name of the reader's language model, ``""`` if it has none."""
        if self.settings.answer_mode == "agent" or self.settings.reader == "verbatim":
            return ""
        model = self.models.get("reader", {}).get("model")
        if not isinstance(model, str) or not model:
            raise RefusedError("the reader's language model is not stated (models.reader.model)")
        return checked_words("models.reader.model", model, 200)

    def check_same(self, record: Mapping[str, Any]) -> None:
        """Check that another record has the same player.

        Raises:
            RefusedError: it has another.
        """
        where = f"episode {quoted(record['episode']['id'])}"
        for name in _SHARED:
            if canonical(record[name]) != canonical(getattr(self, name)):
                raise RefusedError(f"{where}: {name} is not that of the other episodes")
        if record["versions"].get("memgym") != self.memgym:
            raise RefusedError(f"{where} was played with another version of memgym than others")


def is_own_baseline(agent: Mapping[str, Any]) -> bool:
    """Whether an agent, once checked, is one of memgym's own that have no language model."""
    return agent["spec"] in BASELINES and agent.get("model") is None


def check_usage(record: Mapping[str, Any]) -> None:
    """Check that what language models used is said of parts that may have one, in known counts.

    Raises:
        RefusedError: it is said of another, or of an agent without a model.
    """
    where = f"episode {quoted(record['episode']['id'])}: usage"
    for part, used in record["usage"].items():
        if part not in _USING:
            raise RefusedError(f"{where} has an unknown part {quoted(part)}")
        for name in used:
            if name not in _USED:
                raise RefusedError(f"{where}.{part} has an unknown count {quoted(name)}")
    if is_own_baseline(record["agent"]) and "agent" in record["usage"]:
        spec = record["agent"]["spec"]
        raise RefusedError(f"{where}: the agent {spec} has no language model to use")


def _check_agent(agent: Mapping[str, Any]) -> None:
    for name in ("name", "spec"):
        checked_words(f"agent.{name}", agent.get(name), 200)
    if not isinstance(agent.get("privileged"), bool):
        raise RefusedError("agent.privileged must be true or false")
    for name in agent:
        if name not in _AGENT_FIELDS:
            raise RefusedError(f"agent has an unknown field {quoted(name)}")
    if not isinstance(agent.get("options", {}), dict):
        raise RefusedError(f"agent.options must be an object, not {quoted(agent['options'])}")
    _check_words("agent", agent)
    _check_identity(agent)
    own = BASELINES.get(agent["spec"])
    if own is not None and own.privileged and not agent["privileged"]:
        raise RefusedError(
            f"agent {agent['spec']} is shown the golds, and agent.privileged denies it"
        )


def _check_identity(agent: Mapping[str, Any]) -> None:
    """Check that what goes by the name of one of memgym's own agents is played again as it.

    Whatever else an agent is called or was imported from is its author's word.
    """
    spec, model = _folded(agent["spec"]), agent.get("model")
    if spec.partition(":")[0].partition(".")[0].strip() in ("memgym", "baselines"):
        told = quoted(agent["spec"])
        raise RefusedError(f"agent.spec {told} is a class of memgym's own: use its name")
    if spec not in BASELINES and _folded(agent["name"]) not in BASELINES:
        return
    # A few names stand for two agents, one with and one without a model.
    title = model.get("model") if isinstance(model, dict) else None
    if agent["spec"] in AGENTS and isinstance(title, str) and title.strip():
        return
    if agent["spec"] != agent["name"] or model is not None:
        raise RefusedError(
            f"agent.name {quoted(agent['name'])} and agent.spec {quoted(agent['spec'])}: an agent "
            "of memgym's own without a language model goes by its name in both, and has no model; "
            "an agent of your own goes by its own name"
        )


def _folded(name: str) -> str:
    """Return a name without what eyes overlook."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _check_words(where: str, value: Any) -> None:
    """Check every text in a description, names of fields included."""
    checked_lines(where, "\n".join(_texts(value)), _MOST_WORDS)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _texts(part)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []
