"""An episode before and after training, side by side, for the page of a run."""

import json
from typing import Any

from memgym.agents.grpo.folder import RunFolder
from memgym.agents.grpo.policy import Policy
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import TrainSettings
from memgym.atomic import write_whole
from memgym.tasks.registry import load_source

__all__ = ["write_example"]

FILE = "examples.json"


def write_example(
    folder: RunFolder,
    side: str,
    played: Trajectory,
    *,
    policy: Policy,
    settings: TrainSettings,
    data: str,
) -> None:
    """Add one side of the example to the folder's ``examples.json``.

    Args:
        folder: Of the run.
        side: ``before`` or ``after``.
        played: Of the validation split.
        policy: Whose tokenizer reads the responses.
        settings: Of the run.
        data: Folder with the raw datasets.
    """
    file = folder.path / FILE
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    known[side] = _shown(played, policy, settings, data)
    write_whole(file, json.dumps(known, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def _shown(
    played: Trajectory, policy: Policy, settings: TrainSettings, data: str
) -> dict[str, Any]:
    environment = settings.environment
    source = environment.get("source", "procedural")
    options = environment.get("source_options", {})
    episodes = load_source(source, "validation", options, data or None)
    chunks = episodes.episode(played.episode_id).chunks
    responses: dict[int, str] = {}
    for sample in played.samples:
        text = policy.tokenizer.decode(sample.response_ids, skip_special_tokens=True)
        responses[sample.chunk] = responses.get(sample.chunk, "") + text
    return {
        "episode_id": played.episode_id,
        "score": played.correctness,
        "memory": played.memory,
        "chunks": [
            {"text": text, "response": responses.get(number, "")}
            for number, text in enumerate(chunks)
        ],
        "questions": [
            {
                "question": answer["question"],
                "answers": list(answer["gold"]),
                "answer": answer["prediction"],
                "score": answer["score"],
                "cause": answer["cause"],
            }
            for answer in played.answers
        ],
    }
