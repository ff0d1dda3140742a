"""Small hand-made episodes that several tests play."""

from memgym.episode import Episode, Evidence, Question
from memgym.text import format_example

__all__ = ["village"]

CHUNKS = (
    "On 3 May 2031 Ada Holm opened a bakery in Lund. The weather was fine.",
    "Nobody had much to say that week. It rained on the fields and on the road.",
    "Ben Holm works in Alder Hall. " + format_example("the oven is cold", "7"),
)


def village() -> Episode:
    """Return an episode of three chunks; the second holds nothing to store."""
    return Episode(
        id="village/0",
        source="village",
        ability="accurate_retrieval",
        chunks=CHUNKS,
        questions=(
            Question(
                "Where did Ada Holm open a bakery?",
                ("Lund",),
                asked_after=0,
                evidence=(Evidence(0, "On 3 May 2031 Ada Holm opened a bakery in Lund."),),
            ),
            Question(
                "Where does Ben Holm work?",
                ("Alder Hall",),
                "state",
                evidence=(Evidence(2, "Ben Holm works in Alder Hall."),),
                distractors=("Birch House",),
            ),
            Question(
                "the oven is broken",
                ("7",),
                "label",
                evidence=(Evidence(2, format_example("the oven is cold", "7")),),
            ),
        ),
        metadata={"split": "test", "question_preface": "Answer briefly."},
    )
