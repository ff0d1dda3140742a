"""``oracle``: writes exactly the evidence of the questions; an upper bound that sees the golds."""

from collections.abc import Mapping
from typing import Any

from memgym.agent import Agent, Briefing
from memgym.baselines.calls import insert
from memgym.episode import Question

__all__ = ["Oracle"]


class Oracle(Agent):
    """Writes a question's evidence when its last piece has been read.

    The pieces of one question become one item, which links the hops of a two-hop question; for
    questions about a state each piece is an item of its own, so that the latest can be told apart.
    A question without known evidence is not written for: the oracle is an upper bound only where
    the source gives evidence for every question.
    """

    name = "oracle"
    privileged = True

    def reset(self, briefing: Briefing) -> None:
        """Sort the questions by the chunk that completes their evidence."""
        super().reset(briefing)
        assert briefing.episode is not None, "a privileged agent is given the episode"
        self._due: dict[int, list[Question]] = {}
        for question in briefing.episode.questions:
            if question.evidence:
                last = max(item.chunk for item in question.evidence)
                self._due.setdefault(last, []).append(question)

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Insert what is complete after this chunk."""
        calls = []
        for question in self._due.pop(info["chunk_index"], []):
            texts = [item.text for item in question.evidence]
            if question.kind != "state":
                # Labelled examples are lines; everything else reads on as one paragraph.
                texts = [("\n" if question.kind == "label" else " ").join(texts)]
            calls += [insert("semantic", text) for text in texts]
        return calls
