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
    "default": "55bfedbe9c9728d0834ca4289e50e54d25d1c88a419bb2c551db1667646a8103",
    "paper": "6a2bc28492ab0cc6ce1b558cc6d171b0f06f246b6573db00773cd8de98223868",
    "budget": "52be7d401ce2fbf3391adf1c75c5b29a9baad292d04b815789f0fc1d4c185f3c",
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
