"""What rollouts hand to the learner: samples, and the trajectories that they belong to.

A trajectory is one episode played once. Each of its chunks is a conversation of its own, so each
gives a sample of its own: a prompt and the response to it, as token ids exactly as they were
generated. Nothing here knows of models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Sample", "Trajectory"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One response of the policy.

    Attributes:
        chunk: Index of the chunk that it is about, from 0.
        prompt_ids: Token ids of the prompt.
        response_ids: Token ids of the response, its end-of-turn token included if it got there.
        logprobs: Natural log-probability of each response token under the policy that wrote it, at
            temperature 1.
        truncated: Whether the response was cut off at its token limit.
        format: Reward term r2 of its chunk, 0.0 to 1.0.
        content: Reward term r4 of its chunk, 0.0 to 1.0.
        policy_version: Updates that the policy which wrote it had seen.
        correctness: What the questions whose evidence lies in its chunk add to reward term r1, each
            of them in full, even if it needs other chunks, too.
        compression: What it adds to reward term r3: minus the tokens by which it made the memory
            larger, as a share of the text's.
    """

    chunk: int
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    truncated: bool
    format: float
    content: float
    policy_version: int = 0
    correctness: float = 0.0
    compression: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens of prompt and response."""
        return len(self.prompt_ids) + len(self.response_ids)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode as one rollout of its group played it.

    Attributes:
        group: Number of its group in the step; its rollouts played the same episode.
        rollout: Its number in the group, from 0.
        episode_id: Id of the episode.
        ability: The ability that the episode tests.
        samples: In reading order, usually one per chunk; more where a search kept a chunk, none
            where the prompt did not fit the model.
        correctness: Reward term r1, mean score of the questions, 0.0 to 1.0.
        compression: Reward term r3, 1 - memory tokens / text tokens.
        memory_share: Tokens of the final memory as a share of the text's.
        calls: Tool calls by ``tool`` or ``tool memory_type``, and ``unreadable``; all that were
            made, in the order of their names.
        failed_calls: How many of them failed.
        causes: Questions by why they were answered wrongly (see :mod:`memgym.diagnosis`) and
            ``right``.
        memory: The final memory as text, one item per line.
        answers: One record per question (see :class:`memgym.envs.grading.GradedAnswer`).
        unplaced_correctness: What the questions whose evidence is not known add to r1.
    """

    group: int
    rollout: int
    episode_id: str
    ability: str
    samples: tuple[Sample, ...]
    correctness: float
    compression: float
    memory_share: float
    calls: Mapping[str, int] = field(default_factory=dict)
    failed_calls: int = 0
    causes: Mapping[str, int] = field(default_factory=dict)
    memory: str = ""
    answers: tuple[Mapping[str, Any], ...] = ()
    unplaced_correctness: float = 0.0
