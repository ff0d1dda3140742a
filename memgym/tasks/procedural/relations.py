"""What the wording of a relation consists of: clauses, questions, remarks, and chains of two hops.

Not here: the wording itself (``person_forms``, ``thing_forms``, ``retrieval_forms``).
"""

from dataclasses import dataclass

__all__ = ["Chain", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """One relation and its wording.

    Attributes:
        name: Stable key.
        subject: Pool of its subjects: ``person``, ``object`` or ``landmark``.
        value: Pool of its values, or ``person``.
        train: Clauses of train and validation episodes.
        test: Clauses of test episodes only.
        questions: Questions; those with ``{s}'s`` fit names but not descriptions.
        remarks: Sentences that touch on the relation and state nothing.
    """

    name: str
    subject: str
    value: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    questions: tuple[str, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A first hop that leads to the subject of a second one.

    Attributes:
        first: Family of the first hop.
        inverse: Whether the second hop is about the first one's subject instead of its value.
        descriptions: Noun phrases for the subject of the second hop; ``{x}`` is what is known.
        second: Families of the second hop.
    """

    first: str
    inverse: bool
    descriptions: tuple[str, ...]
    second: tuple[str, ...]
