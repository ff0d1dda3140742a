"""What a trained model needs to be told to play as it was trained: a file beside its weights."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memgym.agents.grpo.settings import PromptSettings, TrainSettings
from memgym.errors import UsageError

__all__ = ["FILE", "Manifest", "read_manifest", "write_manifest"]

FILE = "memgym.json"
_FORMAT = "memgym policy 1"
# Settings of the environment that shape what the policy is shown or may do.
_SEEN = (
    "view_recent",
    "view_relevant",
    "view_item_characters",
    "turns_per_chunk",
    "core_capacity",
    "core_overflow",
    "memory_types",
)


@dataclass(frozen=True)
class Manifest:
    """See the module.

    Attributes:
        prompt: What the policy is shown with each chunk.
        environment: Settings of the environment that belong to the policy.
        chunk_tokens: Size of the chunks that it was trained on, o200k tokens; 0: not known.
    """

    prompt: PromptSettings = field(default_factory=PromptSettings)
    environment: dict[str, Any] = field(default_factory=dict)
    chunk_tokens: int = 0


def write_manifest(folder: Path, settings: TrainSettings) -> None:
    """Write the manifest of a run's policy into its folder."""
    from dataclasses import asdict

    environment = settings.environment
    options = environment.get("source_options", {})
    value = {
        "format": _FORMAT,
        "prompt": asdict(settings.prompt),
        "environment": {name: environment[name] for name in _SEEN if name in environment},
        "chunk_tokens": options.get("chunk_tokens", 0),
    }
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a trained model.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        raise UsageError(f"{folder} holds no model of memgym train (no {FILE})")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        if value["format"] != _FORMAT:
            raise UsageError(f'{file}: format "{value["format"]}" is unknown, not {_FORMAT}')
        environment = {name: value["environment"][name] for name in value["environment"]}
        unknown = sorted(set(environment) - set(_SEEN))
        if unknown:
            raise UsageError(f"{file}: environment setting {unknown[0]} is none of a policy's")
        return Manifest(PromptSettings(**value["prompt"]), environment, int(value["chunk_tokens"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file} is damaged: {type(error).__name__}: {error}") from error
