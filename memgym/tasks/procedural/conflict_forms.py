"""The wording of conflict resolution: states of one attribute, how they change, and noise.

A statement is a clause (``Attribute.train`` or ``Attribute.test``) inside a dated frame, so that
each attribute has well over forty surface forms in training and over twenty others that only test
episodes use. Slots: ``{s}`` the subject in full, ``{v}`` value, ``{av}`` value with its article,
``{d}`` calendar date, ``{f}`` the subject by first name or kind only, ``{c}`` the clause.
Not here: the clauses (``attribute_forms``), which states are stated and asked.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["DATED_FRAMES", "MEMORY_FRAMES", "PLAN_FRAMES", "RUMOUR_FRAMES", "Attribute", "Change"]

# news: a first or a new state. correction: the last news was a mistake, and this is the state.
# retraction: the last news never came true, and the state before it stands.
Change = Literal["news", "correction", "retraction"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute whose state changes, and its wording.

    Attributes:
        name: Stable key.
        subject: Pool of its subjects: ``person``, ``landmark`` or ``project``.
        value: Pool of its values, or ``person``.
        train: Clauses of train and validation episodes, present tense.
        test: Clauses of test episodes only.
        now: Questions for the present state.
        past: Questions for the state on a date.
        memories: Undated clauses about a former state.
        rumours: Clauses about a future state, confirmed or not; the subject is ``{f}``.
        remarks: Sentences that touch on the attribute and state nothing.
    """

    name: str
    subject: str
    value: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    now: tuple[str, ...]
    past: tuple[str, ...]
    memories: tuple[str, ...]
    rumours: tuple[str, ...]
    remarks: tuple[str, ...]


# (split group, kind of change) -> frames. "held_out" belongs to test episodes.
DATED_FRAMES: dict[tuple[str, Change], tuple[str, ...]] = {
    ("train", "news"): (
        "As of {d}, {c}.",
        "From {d} on, {c}.",
        "Effective {d}, {c}.",
        "Starting on {d}, {c}.",
        "According to the notice of {d}, {c}.",
        "It was announced on {d} that {c}.",
        "The register was updated on {d}: {c}.",
        "{c}, as of {d}.",
        "{c}, and this has been official since {d}.",
        "A message of {d} confirms that {c}.",
    ),
    ("held_out", "news"): (
        "With effect from {d}, {c}.",
        "The entry of {d} states that {c}.",
        "{c}, according to the circular of {d}.",
        "On {d} it became official that {c}.",
        "A memo dated {d} says that {c}.",
        "The decision of {d} is clear: {c}.",
    ),
    ("train", "correction"): (
        "Correction of {d}: the last notice about it was mistaken, and {c}.",
        "Contrary to an earlier entry, which was wrong, the one of {d} says that {c}.",
        "On {d} the office corrected itself: {c}.",
        "A mistake in the last notice was put right on {d}: {c}.",
        "Erratum of {d}: {c}, and the notice before this one is void.",
    ),
    ("held_out", "correction"): (
        "The previous message contained an error, and since {d} it reads that {c}.",
        "The corrected version of {d} replaces the one before and says that {c}.",
        "Unlike what was printed before, {c}, as the amendment of {d} makes clear.",
    ),
    ("train", "retraction"): (
        "Retraction of {d}: the reported change never took place, and {c}, as before.",
        "On {d} the latest report was withdrawn, so {c}, just as it was before.",
        "Nothing had changed after all, as the office admitted on {d}: {c}.",
        "The announced change was cancelled on {d}, which means that {c}, as it used to be.",
        "Withdrawn on {d}: there was no change, and {c} as ever.",
    ),
    ("held_out", "retraction"): (
        "The change was called off on {d}, and {c}, exactly as before.",
        "Denial of {d}: nothing of the kind happened, and {c}, as it always was.",
        "The last report was declared void on {d}, so that {c}, as in the past.",
    ),
}

MEMORY_FRAMES = (
    "I still remember the time when {m}.",
    "Back in the day, {m}.",
    "Some people have not noticed that anything changed since {m}.",
    "An old photograph goes back to the time when {m}.",
    "In former times, {m}.",
    "Long ago, {m}.",
)

# Settled, but not yet in force when the text ends.
PLAN_FRAMES: dict[str, tuple[str, ...]] = {
    "train": (
        "It has been decided that {r} from {d} on.",
        "The plan for the future is settled: {r} from {d} on.",
        "Preparations have begun, because {r} as of {d}.",
        "Everybody agreed that {r} from {d} on, and not a day earlier.",
    ),
    "held_out": (
        "The vote was clear: {r} from {d} on.",
        "Looking far ahead, the board resolved that {r} as of {d}.",
    ),
}

RUMOUR_FRAMES = (
    "Rumour has it that {r} from {d} on, but nobody has confirmed it.",
    "Some say that {r} after {d}, which is only gossip.",
    "There is an unconfirmed story that {r} as of {d}.",
    "At the coffee machine they whisper that {r} from {d} on.",
    "It is pure speculation that {r} from {d} on.",
)
