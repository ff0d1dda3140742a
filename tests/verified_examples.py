"""Made-up verified submissions, for what is built from them."""

import random
from typing import Any

from memgym.benchmarks.statistics import Stratum, estimate_mean
from memgym.diagnosis import CAUSES
from memgym.episode import ABILITIES
from memgym.submissions.verified import EpisodeScore, Verified

__all__ = ["USED", "example"]

USED = {"agent": {"prompt_tokens": 900_000, "completion_tokens": 60_000}}
"""What a language model used in all episodes."""

_EPISODES = 6


def example(name: str, skill: float | dict[str, float], **changes: Any) -> Verified:
    """Return a submission whose scores lie around a mean, overall or by ability.

    Args:
        name: Of submission and agent; its scores depend on it.
        skill: Mean score, 0.0 to 1.0.
        changes: Fields that are to be otherwise.
    """
    rng = random.Random(name)
    episodes = []
    for ability in ABILITIES:
        mean = skill if isinstance(skill, float) else skill[ability]
        for number in range(_EPISODES):
            score = min(1.0, max(0.0, mean + rng.uniform(-0.05, 0.05)))
            entry = f"{ability.replace('_', ' ')} 4k"
            episodes.append(EpisodeScore(f"{ability}-{number}", entry, ability, score, 10, 500))
    strata = {
        ability: Stratum(
            f"{ability.replace('_', ' ')} 4k",
            [[[item.score] for item in episodes if item.ability == ability]],
        )
        for ability in ABILITIES
    }
    given = {
        "name": name,
        "contact": "someone@example.org",
        "agent": name,
        "agent_details": {"name": name, "spec": name},
        "privileged": False,
        "reproduced": None,
        "track": "verbatim",
        "reader": "verbatim",
        "reader_model": "",
        "suite": "short",
        "suite_version": "1",
        "suite_hash": "ab" * 32,
        "model_size": 0,
        "memory_budget": 0,
        "settings": {},
        "seed": 0,
        "macro": estimate_mean([[stratum] for stratum in strata.values()])[0],
        "abilities": {ability: estimate_mean([[item]])[0] for ability, item in strata.items()},
        "entries": {item.name: estimate_mean([[item]])[0] for item in strata.values()},
        "episodes": tuple(episodes),
        "questions": 10 * len(episodes),
        "memory_tokens": 500.0,
        "memory_share": 0.125,
        "invalid_calls": 0.01,
        "causes": dict.fromkeys(CAUSES, (1 - 0.5) / 4),
        "failed": 0.0,
        "usage": {},
        "card": f"# {name}\n\nKeeps *everything*.\n",
        "sha256": format(rng.getrandbits(256), "064x"),
        "trajectory": format(rng.getrandbits(256), "064x"),
        "memgym": "0.1.0",
        "suspicious": (),
    }
    return Verified(**{**given, **changes})
