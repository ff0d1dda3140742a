"""``flat``: one paragraph that holds the last tokens of the text, whatever they say."""

from collections.abc import Mapping
from typing import Any

from memgym.agent import Agent, Briefing
from memgym.baselines.calls import update

__all__ = ["Flat"]


class Flat(Agent):
    """Rewrites the core with the end of the text, as much of it as the core's capacity holds."""

    name = "flat"

    def reset(self, briefing: Briefing) -> None:
        """Start with an empty paragraph."""
        super().reset(briefing)
        self._text = ""

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Append the chunk and keep the tail."""
        capacity = self.briefing.core_capacity_tokens
        if self.briefing.budget_tokens:
            capacity = min(capacity, self.briefing.budget_tokens)
        joined = f"{self._text}\n{observation['chunk']}".strip()
        self._text = self.briefing.counter.tail(joined, capacity)
        return [update("core", self._text)] if self._text.strip() else ()
