"""``oracle``: writes exactly the evidence of the questions; an upper bound that sees the golds."""

from collections.abc import Mapping
from typing import Any

from memgym.agent import Agent, Briefing
from memgym.baselines.calls import insert, update
from memgym.episode import Evidence, Question

__all__ = ["Oracle"]

Note = tuple[str, tuple[Evidence, ...]]
"""One item to keep: how its pieces are joined, and the pieces in the order in which they read."""


class Oracle(Agent):
    """Writes each piece of evidence when it is read, the pieces of one question into one item.

    So the hops of a two-hop question are linked: the second is added to the first by an update. For
    questions about a state each piece is an item of its own, so that the latest can be told apart.
    A question without known evidence is not written for: the oracle is an upper bound only where
    the source gives evidence for every question.
    """

    name = "oracle"
    privileged = True

    def reset(self, briefing: Briefing) -> None:
        """Plan the items to keep; questions that rest on the same evidence share one."""
        super().reset(briefing)
        assert briefing.episode is not None, "a privileged agent is given the episode"
        self._notes = list(
            dict.fromkeys(note for q in briefing.episode.questions for note in _notes(q))
        )
        self._ids: dict[Note, str] = {}
        self._written: list[Note] = []  # by the previous action, in the order of its calls

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Insert or complete the items that this chunk has evidence for."""
        for note, result in zip(self._written, info["tool_results"], strict=False):
            if result["memory_id"]:
                self._ids[note] = result["memory_id"]
        self._written, calls = [], []
        chunk, held = info["chunk_index"], set(self.briefing.memory.items("semantic").values())
        for note in self._notes:
            joint, pieces = note
            if not observation["chunk"] or all(piece.chunk != chunk for piece in pieces):
                continue
            text = joint.join(piece.text for piece in pieces if piece.chunk <= chunk)
            if text in held:
                continue  # another question needs the same words so far
            held.add(text)
            known = self._ids.get(note)
            calls.append(update("semantic", text, known) if known else insert("semantic", text))
            self._written.append(note)
        return calls


def _notes(question: Question) -> list[Note]:
    if question.kind == "state":
        return [(" ", (piece,)) for piece in question.evidence]
    # Labelled examples are lines; everything else reads on as one paragraph.
    return [("\n" if question.kind == "label" else " ", question.evidence)] * bool(
        question.evidence
    )
