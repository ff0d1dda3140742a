"""Golden hashes: what a fixed seed and a fixed policy see, earn and leave in memory.

A change here changes learning results. Then bump the environment's version (Gymnasium's rule: the
observation text, tool table, default data, reward or scorer changed) or, before the first release,
say so in the commit message and print the new hashes with ``python -m tests.test_golden``.
"""

import hashlib
import json
from typing import Any

import pytest

from memgym.baselines import BASELINES
from memgym.evaluation import environment_for, play_episode
from tests.test_gymnasium import plain

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {"preset": "paper"},
    "budget": {"memory_budget": 0.25},
}
GOLDEN = {
    "default": "5416ed7cb1e33e2067b988283999014ed20ad41685163ed43e1a3fdc548839d9",
    "paper": "54038a11e40a9b778d204747eccd82a89413a51c497a32765cfbe00d68734e20",
    "budget": "ac0cd69614d512983f0ac1c22a41084c3f91a17d02d7d8ede858a39c9ecd8fc5",
}


def digest(name: str) -> str:
    """Play the four abilities with a busy policy and hash everything that was recorded."""
    sha = hashlib.sha256()
    options = {"tokens": 2_000, "chunk_tokens": 500, "questions": 5}
    for policy in ("random", "dated"):
        agent = BASELINES[policy]()
        env = environment_for(agent, split="test", source_options=options, **SETTINGS[name])
        for index in range(4):
            observation, _ = env.reset(seed=index, options={"episode": index})
            sha.update(json.dumps(plain(observation), sort_keys=True).encode())
            record = play_episode(agent, env, index, seed=1).record()
            sha.update(json.dumps(plain(record), sort_keys=True).encode())
    return sha.hexdigest()


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_recorded_episodes_have_not_changed(name: str) -> None:
    assert digest(name) == GOLDEN[name]


if __name__ == "__main__":
    for setting in SETTINGS:
        print(f'    "{setting}": "{digest(setting)}",')  # noqa: T201
