"""vLLM in this process with changing weights: ``python -m tests.grpo_vllm FIRST SECOND REPLIES``.

Run by :mod:`tests.check_vllm_grpo` with the Python that has vLLM. It asks the same with the weights
of the first model, of the second and of the first again; replies go to a JSON file.
"""

import json
import sys
from pathlib import Path
from typing import Any

from memgym.agents.chat import ChatReply, ChatRequest
from memgym.agents.grpo.engines import RolloutEngine, open_engine
from memgym.agents.grpo.policy import load_policy
from memgym.agents.grpo.settings import PolicySettings, RolloutSettings, TrainSettings
from tests.vllm_server import ENGINE_OPTIONS

__all__ = ["ask", "requests", "settings"]


def settings(model: str, engine: Any, options: dict[str, Any]) -> TrainSettings:
    """Return settings with an engine."""
    return TrainSettings(
        policy=PolicySettings(model=model, device="cpu"),
        rollout=RolloutSettings(engine=engine, engine_options=options, concurrency=8),
    )


def requests() -> list[ChatRequest]:
    """Return what is asked: the same beginning, so that the prefix cache is used."""
    story = "Ada Holm lives in Lund. " * 20
    return [
        ChatRequest(
            ({"role": "user", "content": f"{story}Question {number}?"},),
            max_tokens=12,
            temperature=float(number % 2),
            seed=number,
            logprobs=True,
        )
        for number in range(4)
    ]


def ask(engine: RolloutEngine) -> list[ChatReply]:
    """Return the replies to :func:`requests`."""
    asked = requests()
    for number, request in enumerate(asked):
        engine.start(number, request)
    found: dict[int, Any] = {}
    while len(found) < len(asked):
        found.update(engine.step())
    for reply in found.values():
        if not isinstance(reply, ChatReply):
            raise reply
    return [found[number] for number in range(len(asked))]


def main(first: str, second: str, replies: Path) -> None:
    """Ask with each model's weights in turn."""
    options = {name: ENGINE_OPTIONS[name] for name in ("dtype", "enforce_eager", "block_size")}
    chosen = settings(first, "vllm", {**options, "enable_sleep_mode": False})
    policies = [load_policy(PolicySettings(model=name, device="cpu")) for name in (first, second)]
    engine = open_engine(policies[0], chosen)
    records = []
    for version, policy in enumerate((policies[0], policies[1], policies[0])):
        if version:
            engine.rest()
            engine.load_weights(policy.model, version)
        records.append(
            [
                {
                    "prompt_ids": reply.prompt_ids,
                    "token_ids": reply.token_ids,
                    "logprobs": reply.logprobs,
                    "cached_tokens": reply.usage.cached_tokens,
                }
                for reply in [*ask(engine), *ask(engine)]
            ]
        )
    engine.close()
    replies.write_text(json.dumps(records))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
