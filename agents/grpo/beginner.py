"""``beginner``: shows how calls are written and nothing about what is worth keeping.

A model that learns from it can make calls, and makes them badly: that is where reinforcement
starts. It sees no question, no answer and no evidence.
"""

import json
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

from memgym.agent import Agent, Briefing
from memgym.memory import STORES
from memgym.text import split_sentences

__all__ = ["Beginner"]


class Beginner(Agent):
    """Keeps a third of the sentences, whichever, some of them cut short, and slips in some calls.

    Chances are per sentence. Actions are model text with ``<tool_call>`` blocks.
    """

    name: ClassVar[str] = "beginner"
    keep = 0.33  # that it is kept at all
    cut_front = 0.1  # that words are missing at its beginning
    cut_back = 0.05  # that words are missing at its end
    into_core = 0.01  # that it replaces the core instead of becoming an item
    replace = 0.02  # that it replaces a visible item instead of becoming one
    delete = 0.01  # that a visible item is deleted beside
    slip = 0.03  # that the call is malformed

    def reset(self, briefing: Briefing) -> None:
        """Seed the choices by the episode's seed."""
        super().reset(briefing)
        self._random = Random(f"beginner/{briefing.info['episode_id']}/{briefing.seed}")

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
        """Return the calls for a chunk as text."""
        draw = self._random
        shown = [
            (store, memory_id)
            for store in STORES
            for memory_id in self.briefing.memory.items(store)
            if f"[{memory_id}]" in observation["memory"]
        ]
        draw.shuffle(shown)
        blocks = []
        for sentence in split_sentences(observation["chunk"]):
            if shown and draw.random() < self.delete:
                store, memory_id = shown.pop()
                blocks.append(self._block("memory_delete", store, memory_id=memory_id))
            if draw.random() < self.keep:
                blocks.append(self._kept(self._shortened(sentence), shown))
        return "".join(blocks)

    def _kept(self, content: str, shown: list[tuple[Any, str]]) -> str:
        draw = self._random
        if draw.random() < self.into_core:
            return self._block("memory_update", "core", new_content=content)
        if shown and draw.random() < self.replace:
            store, memory_id = shown.pop()
            written = {"new_content": content, "memory_id": memory_id}
            return self._block("memory_update", store, **written)
        return self._block("new_memory_insert", draw.choice(STORES), content=content)

    def _shortened(self, sentence: str) -> str:
        draw, words = self._random, sentence.split()
        if len(words) > 4 and draw.random() < self.cut_front:
            words = words[draw.randint(1, len(words) - 3) :]
        if len(words) > 4 and draw.random() < self.cut_back:
            words = words[: -draw.randint(1, len(words) - 3)]
        return " ".join(words)

    def _block(self, name: str, memory_type: str, **arguments: str) -> str:
        call = {"name": name, "arguments": {"memory_type": memory_type, **arguments}}
        text = json.dumps(call, ensure_ascii=False)
        if self._random.random() < self.slip:
            text = text.removesuffix("}}")
        return f"<tool_call>\n{text}\n</tool_call>\n"
