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
    "default": "b26a2283f46d73f790714a9e46572d424aa20e715187ef511b74698ecbfa0f9b",
    "paper": "116a4a6a848a8f9179013fa8be5111028b05165f85145bcf082ab3def0c06e9d",
    "budget": "6f095e5b54c55b7d4351c52f3126b1738215c89596cf1fd068ec3a7e42bd60e9",
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
