"""From a run folder to the one file of a submission. Whether that holds is for :mod:`.checking`."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memgym.benchmarks.suites import SUITES, ResolvedSuite, Suite, resolve
from memgym.errors import UsageError, nearest
from memgym.submissions.archive import CARD, TRACES, packed
from memgym.submissions.manifest import FORMAT, MOST_CARD_CHARACTERS, Manifest, check_author
from memgym.submissions.records import Player, check_place
from memgym.submissions.refusal import RefusedError
from memgym.submissions.rules import track_of
from memgym.submissions.totals import Played, add_up, check_model_size
from memgym.submissions.words import checked_lines
from memgym.traces.format import FILE_NAME, encoded, read_traces

__all__ = ["Author", "pack", "pack_run"]


@dataclass(frozen=True, slots=True)
class Author:
    """What the author of a submission says of it.

    Attributes:
        name: What the leaderboard is to call it.
        contact: Whom to ask; public.
        card: The model card, Markdown.
        model_size: Parameters of the agent's largest model, 0 without one, ``None`` if not told.
    """

    name: str
    contact: str
    card: str = ""
    model_size: int | None = None

    def check(self) -> None:
        """Check every word.

        Raises:
            UsageError: a text is empty or too long, or has control characters.
        """
        try:
            check_author(self.name, self.contact, self.model_size)
            checked_lines("the model card", self.card, MOST_CARD_CHARACTERS)
        except RefusedError as error:
            raise UsageError(f"{error}; give another") from error


def pack_run(
    run: Path,
    author: Author,
    *,
    agent: str = "",
    suite: str = "",
    data: Path | str | None = None,
    suites: Mapping[str, Suite] = SUITES,
) -> bytes:
    """Return a submission of one agent's episodes of one suite out of a run folder.

    Args:
        run: The folder.
        author: Who submits what.
        agent: Its name in the tables; may be left out if the run has one.
        suite: Name of the suite; may be left out if the run has one.
        data: Folder with the data of real sources.
        suites: Every suite by name.

    Raises:
        UsageError: there is no such run, agent or suite, or the run is not the whole suite as this
            memgym has it.
    """
    author.check()
    plan = _description(run)
    chosen = _chosen("suite", suite, [item["name"] for item in plan["suites"]], run)
    player = _chosen("agent", agent, [item["name"] for item in plan["agents"]], run)
    if chosen not in suites:
        raise UsageError(f'this memgym has no suite "{chosen}": {nearest(chosen, suites)}')
    resolved = resolve(suites[chosen], data)
    if resolved.skipped:
        raise UsageError(f"a submission has the whole suite: {'; '.join(resolved.skipped)}")
    claimed = next(item for item in plan["suites"] if item["name"] == chosen)
    here = {"version": resolved.suite.version, "hash": resolved.content_hash}
    for name, value in here.items():
        if claimed[name] != value:
            raise UsageError(
                f'{run}: its suite "{chosen}" has the {name} {claimed[name]}, here it is {value}: '
                "other episodes, or data of another version; run it again"
            )
    records = (
        record
        for record in read_traces(run / FILE_NAME)
        if record["agent"]["name"] == player
        and record["suite"] is not None
        and record["suite"]["name"] == chosen
    )
    try:
        return pack(records, author, resolved)
    except RefusedError as error:
        raise UsageError(f"{run} cannot be submitted: {error}") from error


def pack(records: Iterable[Mapping[str, Any]], author: Author, suite: ResolvedSuite) -> bytes:
    """Return a submission of the records of every episode of a suite, in any order.

    Raises:
        RefusedError: an episode is missing or occurs twice, or was played otherwise than the rest.
    """
    references = {reference.id: reference for reference in suite.episodes}
    members: dict[str, bytes] = {}
    played: dict[str, Played] = {}
    player: Player | None = None
    for record in records:
        key = record["episode"]["id"]
        if key in played:
            raise RefusedError(f'the episode "{key}" was recorded twice')
        if key not in references:
            raise RefusedError(f'the episode "{key}" is not in the suite {suite.suite.name}')
        check_place(record, references[key], suite)
        player = player or Player.of(record, suite)
        player.check_same(record)
        members[key] = encoded(record)
        played[key] = Played.of(references[key], record)
    missing = [key for key in references if key not in played]
    if missing or player is None:
        raise RefusedError(
            f'{len(missing)} of {len(references)} episodes were not played ("{missing[0]}", …); '
            "give the command of the run again, it goes on where it was stopped"
        )
    traces = b"".join(members[key] for key in references)
    totals, _ = add_up(suite, [played[key] for key in references])
    check_model_size(author.model_size, totals)
    return _archive(player, author, suite, traces, totals.to_json())


def _archive(
    player: Player,
    author: Author,
    suite: ResolvedSuite,
    traces: bytes,
    totals: Mapping[str, Any],
) -> bytes:
    members = {TRACES: traces, CARD: author.card.encode("utf-8")}
    manifest = Manifest(
        format=FORMAT,
        name=author.name,
        contact=author.contact,
        model_size=author.model_size,
        track=track_of(player.settings),
        suite={
            "name": suite.suite.name,
            "version": suite.suite.version,
            "hash": suite.content_hash,
        },
        agent=player.agent["name"],
        seed=player.seed,
        episodes=len(suite.episodes),
        totals=totals,
        members={name: hashlib.sha256(content).hexdigest() for name, content in members.items()},
    )
    return packed({**members, "manifest.json": manifest.to_bytes()})


def _description(run: Path) -> Any:
    file = run / "run.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"no run in {run} ({file.name}: {error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"{file} is not JSON ({error})") from error


def _chosen(what: str, asked: str, there: Sequence[str], run: Path) -> str:
    if asked and asked not in there:
        raise UsageError(f'{run} has no {what} "{asked}": {nearest(asked, there)}')
    if not asked and len(there) != 1:
        raise UsageError(f"{run} has several: choose one with --{what}: {', '.join(there)}")
    return asked or there[0]
