"""``random``: valid calls drawn at random, with sentences of the chunk as content."""

from collections.abc import Mapping
from random import Random
from typing import Any

from memgym.agent import Agent, Briefing
from memgym.baselines.calls import delete, insert, update
from memgym.memory import STORES
from memgym.text import split_sentences

__all__ = ["RandomWriter"]


class RandomWriter(Agent):
    """Makes up to sixteen calls a chunk: mostly inserts, now and then an update or a delete."""

    name = "random"
    max_calls = 16
    insert_share = 0.7

    def reset(self, briefing: Briefing) -> None:
        """Seed the choices by the episode's seed."""
        super().reset(briefing)
        self._random = Random(f"random/{briefing.info['episode_id']}/{briefing.seed}")

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> Any:
        """Draw the calls; ids are drawn without repetition, so each stays valid."""
        sentences = split_sentences(observation["chunk"])
        if not sentences:
            return ()
        draw = self._random
        ids = [(store, key) for store in STORES for key in self.briefing.memory.items(store)]
        draw.shuffle(ids)
        calls = []
        for _ in range(draw.randint(0, self.max_calls)):
            sentence = draw.choice(sentences)
            if not ids or draw.random() < self.insert_share:
                calls.append(insert(draw.choice(STORES), sentence))
            elif draw.random() < 0.5:
                store, memory_id = ids.pop()
                calls.append(update(store, sentence, memory_id))
            else:
                calls.append(delete(*ids.pop()))
        return calls
