"""``sentences`` and ``dated``: one item per sentence, the simplest structured memories."""

from collections.abc import Mapping
from typing import Any

from memgym.agent import Agent
from memgym.baselines.calls import insert
from memgym.text import find_dates, split_sentences

__all__ = ["Dated", "Sentences"]


class Sentences(Agent):
    """Stores every sentence as a semantic item of its own, in reading order."""

    name = "sentences"

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Insert the chunk's sentences."""
        return [insert("semantic", sentence) for sentence in split_sentences(observation["chunk"])]


class Dated(Agent):
    """Stores sentences that carry a calendar date as episodic items, all others as semantic."""

    name = "dated"

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Insert the chunk's sentences, each into its store."""
        return [
            insert("episodic" if find_dates(sentence) else "semantic", sentence)
            for sentence in split_sentences(observation["chunk"])
        ]
