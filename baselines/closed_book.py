"""``closed_book``: writes nothing, so its score is what can be had without any memory."""

from collections.abc import Mapping
from typing import Any

from memgym.agent import Agent

__all__ = ["ClosedBook"]


class ClosedBook(Agent):
    """Keeps nothing; a benchmark on which it scores well can be answered without reading."""

    name = "closed_book"

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Make no call."""
        return ()
