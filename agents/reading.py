r"""The prompt with which a model answers a question from retrieved memory, shared by all."""

from collections.abc import Sequence
from typing import Literal

from memgym.agents.chat import Message
from memgym.episode import QuestionKind

__all__ = ["READING_PROMPT", "NoteOrder", "reading_messages"]

NoteOrder = Literal["rank", "sequence"]
"""How notes are shown: best match first, or in the order in which they were written."""

READING_PROMPT = """\
Someone read a long text and kept the notes below; the text itself is gone. Answer the question
from the notes. Notes that carry dates may contradict each other: what holds is the latest one up
to the time that the question is about. Reply with the answer only, in the words of the notes, as
short as the question allows. If the notes do not tell, reply: not mentioned."""

_ORDERS: dict[NoteOrder, str] = {
    "rank": "Notes:",
    "sequence": "Notes, in the order in which they were written:",
}
_KINDS: dict[QuestionKind, str] = {
    "text": "",
    "label": r"Reply with the label of the most similar examples, in the form \boxed{label}.",
    "keywords": "Reply with all names, things and short phrases that belong in the answer.",
    "order": "Reply with the names or things asked for, in order, separated by commas.",
    "state": "Reply with the one value that held at the time in question.",
}


def reading_messages(
    question: str,
    *,
    core: str,
    items: Sequence[str],
    preface: str = "",
    kind: QuestionKind | None = None,
    order: NoteOrder = "rank",
) -> list[Message]:
    """Return the conversation for one question.

    Args:
        question: The bare question.
        core: The core memory, may be empty.
        items: Retrieved items in the order in which they are shown.
        preface: What the episode says about its questions.
        kind: Adds how to phrase the answer; an agent that is not told the kind leaves it out.
        order: What the order of the items means.
    """
    notes = [f"Summary: {core}"] if core else []
    notes += [f"{number}. {item}" for number, item in enumerate(items, 1)]
    how = _KINDS[kind] if kind else ""
    asked = "\n".join(part for part in (preface, question, how) if part)
    text = "\n".join(notes) or "(no notes)"
    return [
        {"role": "system", "content": READING_PROMPT},
        {"role": "user", "content": f"{_ORDERS[order]}\n{text}\n\nQuestion: {asked}"},
    ]
