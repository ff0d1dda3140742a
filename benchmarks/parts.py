"""Who else takes part in an episode besides the agent: the reader and the judges of its settings.

They are made here to be checked, described and opened before anything is played; the environment
makes its own.
"""

from typing import Any

from memgym.agents.chat import ModelSettings
from memgym.envs.settings import Settings
from memgym.quality import make_content_judge
from memgym.reader import make_reader
from memgym.scoring import make_answer_judge

__all__ = ["WITHOUT_MODEL", "make_parts", "model_of"]

WITHOUT_MODEL = {"reader": "verbatim", "content_judge": "rules", "answer_judge": "exact"}
"""Every part by its role, with the built-in one that has no language model."""


def make_parts(settings: Settings) -> dict[str, Any]:
    """Return the parts that the settings name, by role.

    Raises:
        UsageError: there is no such reader or judge, or it does not take its options.
    """
    return {
        "reader": make_reader(settings.reader, **settings.reader_options),
        "content_judge": make_content_judge(
            settings.content_judge, **settings.content_judge_options
        ),
        "answer_judge": make_answer_judge(settings.answer_judge, **settings.answer_judge_options),
    }


def model_of(part: object) -> ModelSettings | None:
    """Return the language model of a part, ``None`` if it has none."""
    settings = getattr(part, "settings", None)
    return settings if isinstance(settings, ModelSettings) else None
