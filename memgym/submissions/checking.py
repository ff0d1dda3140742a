"""Verifying a submission: everything in it is computed anew and compared.

This is the work itself, in this process and without limits; :mod:`.isolated` does it in a process
of its own with limits of memory and time, and is what to use on files of strangers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from memgym.benchmarks.suites import SUITES, ResolvedSuite, Suite, resolve
from memgym.errors import UsageError, nearest
from memgym.submissions.archive import CARD, MANIFEST, TRACES, Archive
from memgym.submissions.manifest import MOST_CARD_CHARACTERS, Manifest, read_manifest
from memgym.submissions.refusal import RefusedError, quoted
from memgym.submissions.replaying import EpisodeChecker
from memgym.submissions.rules import changed_settings
from memgym.submissions.totals import Totals, add_up, check_model_size, differing
from memgym.submissions.verified import Verified
from memgym.submissions.words import checked_lines
from memgym.traces.format import read_traces

__all__ = ["check_submission"]

_RECORD_BYTES, _TOTAL_BYTES = 2**26, 2**33
_MOST_SUSPICIONS = 1_000


def check_submission(
    path: Path,
    work: Path,
    *,
    data: Path | str | None = None,
    suites: Mapping[str, Suite] = SUITES,
) -> Verified:
    """Replay a submission and return what it is.

    Args:
        path: The file.
        work: An empty folder for what has to lie on the disk meanwhile.
        data: Folder with the data of real sources, which must be those of the suite.
        suites: Every suite by name.

    Raises:
        RefusedError: the submission does not hold; with the reason.
        UsageError: there is no such file, or the data of its suite are not here.
    """
    with Archive(path) as archive:
        manifest = read_manifest(archive.read(MANIFEST))
        for name in (CARD, TRACES):
            if archive.digest(name) != manifest.members[name]:
                raise RefusedError(f"{name} is not the file that the manifest was made for")
        card = _card(archive.read(CARD))
        suite = _suite(manifest, data, suites)
        traces = archive.extract(TRACES, work)
        sha256 = archive.sha256
    checker = EpisodeChecker(manifest, suite)
    for record in _records(traces):
        checker.check(record)
    return _verified(manifest, suite, checker, card=card, sha256=sha256)


def _card(content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{CARD}: not UTF-8 (byte {error.start})") from error
    return checked_lines("the model card", text, MOST_CARD_CHARACTERS)


def _suite(
    manifest: Manifest, data: Path | str | None, suites: Mapping[str, Suite]
) -> ResolvedSuite:
    """Return the suite that a submission claims to be of, as it is here."""
    name = manifest.suite["name"]
    if name not in suites:
        raise RefusedError(f"this memgym has no suite {quoted(name)}: {nearest(name, suites)}")
    suite = suites[name]
    if manifest.suite["version"] != suite.version:
        given = quoted(manifest.suite["version"])
        raise RefusedError(f"version {given} of the suite {name}; this memgym has {suite.version}")
    resolved = resolve(suite, data)
    if resolved.skipped:
        raise UsageError(f"the data of the whole suite are needed: {'; '.join(resolved.skipped)}")
    if manifest.suite["hash"] != resolved.content_hash:
        raise RefusedError(
            f"the hash of the suite {name} is {quoted(manifest.suite['hash'])}, here it is "
            f"{resolved.content_hash}: other episodes, or data of another version"
        )
    if manifest.episodes != len(resolved.episodes):
        count = len(resolved.episodes)
        raise RefusedError(f"{manifest.episodes} episodes, the suite {name} has {count}")
    return resolved


def _records(traces: Path) -> Iterator[Mapping[str, Any]]:
    try:
        yield from read_traces(traces, max_record_bytes=_RECORD_BYTES, max_total_bytes=_TOTAL_BYTES)
    except UsageError as error:
        raise RefusedError(str(error)) from error


def _verified(
    manifest: Manifest, suite: ResolvedSuite, checker: EpisodeChecker, *, card: str, sha256: str
) -> Verified:
    """Add up what was replayed, and compare it with what was claimed."""
    player = checker.player
    totals, episodes = add_up(suite, checker.played)
    told = differing(manifest.totals, totals.to_json(), "manifest.json: totals")
    if told:
        raise RefusedError(told)
    check_model_size(manifest.model_size, totals)
    settings = player.settings
    return Verified(
        name=manifest.name,
        contact=manifest.contact,
        agent=manifest.agent,
        agent_details=player.agent,
        privileged=player.privileged,
        reproduced=checker.reproduced,
        track=manifest.track,
        reader="agent" if settings.answer_mode == "agent" else settings.reader,
        reader_model=player.reader_model,
        suite=suite.suite.name,
        suite_version=suite.suite.version,
        suite_hash=suite.content_hash,
        model_size=manifest.model_size,
        memory_budget=settings.memory_budget,
        settings=changed_settings(settings, suite.suite),
        seed=manifest.seed,
        episodes=tuple(episodes),
        card=card,
        sha256=sha256,
        trajectory=checker.trajectory.hexdigest(),
        memgym=player.memgym,
        suspicious=tuple(checker.suspicious[:_MOST_SUSPICIONS]),
        **{item.name: getattr(totals, item.name) for item in fields(Totals)},
    )
