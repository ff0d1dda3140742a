"""One rollout in the making: an environment, the prompts it leads to, and the samples so far.

It waits for responses and knows nothing of how they are generated, or of other rollouts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from memgym.agents.chat import ChatReply, Message
from memgym.agents.grpo.samples import Sample, Trajectory
from memgym.agents.grpo.settings import PromptSettings
from memgym.agents.writing import WritingPrompts, reply_action
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode
from memgym.evaluation import briefing_for
from memgym.memory import STORES, Memory

__all__ = ["Play"]


class Play:
    """See the module. In turn: :meth:`prompts`, :meth:`hear`, :meth:`step`, until it returns.

    Args:
        env: Reset here; nobody else uses it until the rollout has ended.
        group: Number of the rollout's group.
        rollout: Its number in the group.
        episode: Index or id in the source.
        seed: Of all that is random in it.
        version: Noted in the samples.
        prompt: What the policy is shown.

    Attributes:
        env: As given.
        seed: As given.
        asked: Responses that were asked for.
        heard: Whether a response has come that the environment has not been given yet.
        tools: OpenAI schemas to send along with the prompts.
        slow: Whether a step may wait for a language model.
    """

    def __init__(
        self,
        env: MemAlphaEnv,
        *,
        group: int,
        rollout: int,
        episode: int | str,
        seed: int,
        version: int,
        prompt: PromptSettings,
    ) -> None:
        self.env, self.seed = env, seed
        self._group, self._rollout, self._version = group, rollout, version
        self._observation, self._info = env.reset(seed=seed, options={"episode": episode})
        self._reset_info = self._info
        self._writing = WritingPrompts(
            briefing_for(env, self._info, seed),
            tool_format=prompt.tool_format,
            instructions=prompt.instructions,
            max_tokens=prompt.max_tokens,
        )
        self.tools = self._writing.tools
        parts = (env.reader, env.content_judge, env.answer_judge)
        self.slow = any(hasattr(part, "usage") for part in parts)
        self.asked, self.heard = 0, False
        self._reply: ChatReply | None = None
        self._samples: list[Sample] = []
        self._grown: list[int] = []  # tokens that each of them added to the memory
        self._open = 0  # samples from here on belong to a chunk whose terms are not paid yet
        self._calls: Counter[str] = Counter()
        self._failed = 0

    def prompts(self) -> Iterator[list[Message]]:
        """Return the prompt for what is to be read now, then shorter ones."""
        self.asked += 1
        return self._writing.prompts(self._observation, self._info)

    def hear(self, reply: ChatReply | None) -> None:
        """Take the response to a prompt; ``None``: there was none to be had."""
        self._reply, self.heard = reply, True

    def step(self) -> Trajectory | None:
        """Give the response to the environment; return the trajectory if that was the end."""
        reply, self.heard = self._reply, False
        chunk = self._info["chunk_index"]
        if reply is not None:
            self._samples.append(self._sample(chunk, reply))
        action = () if reply is None else reply_action(reply)
        held = self.env.memory.total_tokens
        self._observation, _, terminated, _, self._info = self.env.step(action)
        if reply is not None:
            self._grown.append(self.env.memory.total_tokens - held)
        self._count(self._info["tool_results"])
        if terminated or self._info["chunk_index"] != chunk:
            self._pay(self._info["reward_terms"])
        return self._ended() if terminated else None

    def _sample(self, chunk: int, reply: ChatReply) -> Sample:
        return Sample(
            chunk=chunk,
            prompt_ids=reply.prompt_ids,
            response_ids=reply.token_ids,
            logprobs=reply.logprobs,
            truncated=reply.finish_reason == "length",
            format=0.0,
            content=0.0,
            policy_version=self._version,
        )

    def _pay(self, terms: Mapping[str, float]) -> None:
        """Give all samples of the chunk that was left its terms."""
        self._samples[self._open :] = [
            replace(sample, format=terms["format"], content=terms["content"])
            for sample in self._samples[self._open :]
        ]
        self._open = len(self._samples)

    def _count(self, results: tuple[Mapping[str, Any], ...]) -> None:
        for result in results:
            self._calls[f"{result['name']} {result['memory_type']}".strip() or "unreadable"] += 1
            self._failed += result["status"] != "ok"

    def _ended(self) -> Trajectory:
        info, metrics = self._info, self._info["metrics"]
        causes = Counter(answer["cause"] or "right" for answer in info["answers"])
        placed, unplaced = _by_evidence(self.env.episode, info["answers"])
        read = max(1.0, metrics["input_tokens"])
        return Trajectory(
            group=self._group,
            rollout=self._rollout,
            episode_id=self._reset_info["episode_id"],
            ability=self._reset_info["ability"],
            samples=tuple(
                replace(
                    sample,
                    correctness=placed.get(sample.chunk, 0.0),
                    compression=-grown / read,
                )
                for sample, grown in zip(self._samples, self._grown, strict=True)
            ),
            correctness=metrics["correctness"],
            compression=metrics["compression"],
            memory_share=metrics["memory_share"],
            calls=dict(sorted(self._calls.items())),
            failed_calls=self._failed,
            causes=dict(sorted(causes.items())),
            memory=_text(self.env.memory),
            answers=info["answers"],
            unplaced_correctness=unplaced,
        )


def _by_evidence(
    episode: Episode, answers: Sequence[Mapping[str, Any]]
) -> tuple[dict[int, float], float]:
    """Return what questions add to the mean score, by chunk of their evidence, and the rest."""
    placed: dict[int, float] = {}
    unplaced = 0.0
    for answer in answers:
        score = answer["score"] / len(episode.questions)
        chunks = {item.chunk for item in episode.questions[answer["index"]].evidence}
        for chunk in chunks:
            placed[chunk] = placed.get(chunk, 0.0) + score
        if not chunks:
            unplaced += score
    return placed, unplaced


def _text(memory: Memory) -> str:
    lines = [f"core: {memory.core}"] if memory.core else []
    for store in STORES:
        lines += [f"{memory_id}: {content}" for memory_id, content in memory.items(store).items()]
    return "\n".join(lines)
