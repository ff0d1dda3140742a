"""``manifest.json``: what a submission claims. Every number in it is checked against the replay."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from memgym.submissions.refusal import RefusedError, quoted
from memgym.submissions.strict_json import read_json
from memgym.submissions.verified import TRACKS, Track
from memgym.submissions.words import checked_words

__all__ = ["FORMAT", "MOST_CARD_CHARACTERS", "Manifest", "check_author", "read_manifest"]

FORMAT = "memgym-submission/1"
MOST_CARD_CHARACTERS = 32_768
_NAME_CHARACTERS, _CONTACT_CHARACTERS = 80, 200
_MOST_PARAMETERS = 10**15


@dataclass(frozen=True, slots=True)
class Manifest:
    """The claims of a submission.

    Attributes:
        format: :data:`FORMAT`.
        name: What the leaderboard is to call it.
        contact: Whom to ask.
        model_size: Parameters of the agent's largest model, ``None`` if that is not told.
        track: See :data:`memgym.submissions.verified.TRACKS`.
        suite: ``name``, ``version`` and ``hash`` of the suite.
        agent: Name of the agent.
        seed: Of its choices.
        episodes: Number of episodes.
        totals: What the run's own results come to, see :mod:`memgym.submissions.totals`.
        members: sha256 (hex) of the other members of the archive, by name.
    """

    format: str
    name: str
    contact: str
    model_size: int | None
    track: Track
    suite: Mapping[str, str]
    agent: str
    seed: int
    episodes: int
    totals: Mapping[str, Any]
    members: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """Return the member's content: the same bytes for the same claims."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True, allow_nan=False)
        return f"{text}\n".encode()


def read_manifest(content: bytes) -> Manifest:
    """Return the manifest, its form checked; whether it is true is for the replay to say.

    Raises:
        RefusedError: a field is missing, unknown or of the wrong type, or the format is another.
    """
    where = "manifest.json"
    found = read_json(content, where)
    if not isinstance(found, dict):
        raise RefusedError(f"{where} must be an object, not {quoted(found)}")
    if found.get("format") != FORMAT:
        given = quoted(found.get("format"))
        raise RefusedError(f"{where}: the format is {given}, this memgym reads {FORMAT}")
    _check_names(where, found, [item.name for item in fields(Manifest)])
    check_author(found["name"], found["contact"], found["model_size"])
    if found["track"] not in TRACKS:
        given = quoted(found["track"])
        raise RefusedError(f"{where}: no track {given}; there are {', '.join(TRACKS)}")
    checked_words(f"{where}: agent", found["agent"], 200)
    for name in ("seed", "episodes"):
        check_count(f"{where}: {name}", found[name])
    check_texts(f"{where}: suite", found["suite"], ("hash", "name", "version"))
    check_texts(f"{where}: members", found["members"], ("card.md", "traces.jsonl.gz"))
    if not isinstance(found["totals"], dict):
        raise RefusedError(f"{where}: totals must be an object, not {quoted(found['totals'])}")
    return Manifest(**found)


def check_author(name: object, contact: object, model_size: object) -> None:
    """Check what the author says of the submission.

    Raises:
        RefusedError: a text is too long or has control characters, or the size is no number.
    """
    checked_words("the name", name, _NAME_CHARACTERS)
    checked_words("the contact", contact, _CONTACT_CHARACTERS)
    if model_size is not None:
        check_count("the model size", model_size)


def check_count(where: str, value: object) -> None:
    """Check that a value is a whole number from 0 that is not absurd.

    Raises:
        RefusedError: it is none.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 0 <= value <= _MOST_PARAMETERS:  # type: ignore[operator]
        raise RefusedError(f"{where} must be a whole number from 0, not {quoted(value)}")


def check_texts(where: str, value: object, names: tuple[str, ...]) -> None:
    """Check that a value is an object of just these fields, each a short text.

    Raises:
        RefusedError: it is none.
    """
    if not isinstance(value, dict):
        raise RefusedError(f"{where} must be an object, not {quoted(value)}")
    _check_names(where, value, names)
    for name in names:
        checked_words(f"{where}.{name}", value[name], 200)


def _check_names(where: str, found: Mapping[str, Any], names: list[str] | tuple[str, ...]) -> None:
    for name in names:
        if name not in found:
            raise RefusedError(f'{where} has no field "{name}"')
    for name in found:
        if name not in names:
            raise RefusedError(f"{where} has an unknown field {quoted(name)}")
