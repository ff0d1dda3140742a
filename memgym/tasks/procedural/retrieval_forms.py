"""How accurate retrieval words its facts: the frames around clauses, and the chains of two hops.

A statement is a clause of a family inside a frame, so that each family has well over forty surface
forms in training and over twenty others that only test episodes use. Frames hold the clause in
``{c}`` and may hold filler slots. Not here: the clauses (``person_forms``, ``thing_forms``).
"""

from memgym.tasks.procedural.person_forms import PERSON_FORMS
from memgym.tasks.procedural.relations import Chain, Family
from memgym.tasks.procedural.thing_forms import THING_FORMS

__all__ = ["ANIMALS", "CHAINS", "FAMILIES", "FRAMES"]

ANIMALS = ("dog", "cat", "rabbit", "pony", "goat", "terrier", "spaniel", "kitten", "hamster")

FAMILIES: dict[str, Family] = {family.name: family for family in (*PERSON_FORMS, *THING_FORMS)}

# (split group, style) -> frames. "held_out" belongs to test episodes.
FRAMES: dict[tuple[str, str], tuple[str, ...]] = {
    ("train", "talk"): (
        "I heard {time} that {c}.",
        "Did I tell you that {c}?",
        "By the way, {c}.",
        "It turns out that {c}.",
        "{first} swears that {c}.",
        "My aunt reminded me that {c}.",
        "Please remember that {c}.",
        "I only learned {time} that {c}.",
        "Just so you know, {c}.",
    ),
    ("held_out", "talk"): (
        "You may want to write down that {c}.",
        "Somebody at the table said that {c}.",
        "One more thing: {c}.",
        "I had no idea that {c}.",
        "As {first} told me {time}, {c}.",
        "For the record, {c}.",
    ),
    ("train", "document"): (
        "According to the latest issue, {c}.",
        "Our correspondent writes that {c}.",
        "It is worth recording that {c}.",
        "As the register shows, {c}.",
        "Readers will be aware that {c}.",
        "The file notes that {c}.",
        "A footnote adds that {c}.",
        "The office confirmed on inquiry that {c}.",
    ),
    ("held_out", "document"): (
        "As several members can confirm, {c}.",
        "The compiler of this list found that {c}.",
        "From the papers it emerges that {c}.",
        "A marginal note says that {c}.",
        "As was announced {moment}, {c}.",
        "It has been established that {c}.",
    ),
}


_PERSONAL = ("home_town", "occupation", "employer", "dish", "birthday", "locker")

CHAINS = (
    Chain(
        "owner",
        False,
        ("the owner of {x}", "the person who owns {x}", "the person to whom {x} belongs"),
        (*_PERSONAL, "pet"),
    ),
    Chain(
        "architect",
        False,
        ("the architect of {x}", "the person who designed {x}", "the designer of {x}"),
        (*_PERSONAL, "pet"),
    ),
    Chain(
        "pet",
        True,
        ("the person whose pet is called {x}", "the owner of the pet named {x}"),
        _PERSONAL,
    ),
    Chain(
        "owner",
        True,
        ("the object that belongs to {x}", "the object that {x} owns"),
        ("location",),
    ),
    Chain(
        "architect",
        True,
        ("the landmark that {x} designed", "the landmark designed by {x}"),
        ("landmark_town",),
    ),
)
