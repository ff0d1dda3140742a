"""One file per submission: packed by its author, opened and replayed by whoever is to trust it."""

from memgym.submissions.isolated import Limits, verify
from memgym.submissions.packing import Author, pack_run
from memgym.submissions.refusal import RefusedError
from memgym.submissions.verified import TRACKS, EpisodeScore, Suspicion, Track, Verified

__all__ = [
    "TRACKS",
    "Author",
    "EpisodeScore",
    "Limits",
    "RefusedError",
    "Suspicion",
    "Track",
    "Verified",
    "pack_run",
    "verify",
]
