"""Rollouts: what is sampled is what is learned from, and no rollout feels the others."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from memgym.agents.chat import ChatError, ChatReply, ChatRequest
from memgym.agents.chat.local_text import LocalText
from memgym.agents.chat.types import ContextLengthError, RefusedError, ServerError
from memgym.agents.grpo.engines import SharedEngine, open_engine
from memgym.agents.grpo.policy import Policy
from memgym.agents.grpo.rollouts import Job, Rollouts, by_group, groups, seed_of
from memgym.agents.grpo.samples import Trajectory
from memgym.agents.grpo.settings import TrainSettings
from memgym.agents.prompt_only import PromptOnly
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.evaluation import environment_for, play_episode
from memgym.tasks.registry import load_source
from memgym.text import split_sentences
from tests.grpo_small import (
    ScriptedEngine,
    block,
    chunk_of,
    insert,
    plain_logprobs,
    small_policy,
    small_settings,
)
from tests.scripted import ScriptedBackend, prompt_text, scripted_chat


@pytest.fixture(scope="module")
def policy() -> Policy:
    return small_policy()


def play(
    engine: Any, jobs: Sequence[Job], settings: TrainSettings | None = None, **given: Any
) -> list[Trajectory]:
    return by_group(list(Rollouts(settings or small_settings(), engine, **given).play(jobs)))


def first_sentences(request: ChatRequest) -> str:
    """Keep the first two sentences of a chunk, and write one call that fails."""
    kept = split_sentences(chunk_of(request))[1:3]
    return "".join(map(insert, kept)) + block("memory_delete", memory_type="core")


# ------------------------------------------------------------------ what is sampled


class Noting(SharedEngine):
    """Keeps all replies as they came out of the engine."""

    replies: list[ChatReply]

    def step(self) -> list[tuple[int, ChatReply | ChatError]]:
        found = super().step()
        self.replies += [reply for _, reply in found if isinstance(reply, ChatReply)]
        return found


def test_samples_are_what_was_generated_token_by_token(policy: Policy) -> None:
    engine = Noting(policy.model, policy.tokenizer)
    engine.replies = []
    trajectories = play(engine, groups([0, 1], 2, ("seed",)))
    samples = [sample for one in trajectories for sample in one.samples]
    kept = sorted((one.prompt_ids, one.response_ids, one.logprobs) for one in samples)
    assert kept == sorted((one.prompt_ids, one.token_ids, one.logprobs) for one in engine.replies)
    text = LocalText(policy.tokenizer, 0)
    # The model writes nonsense: most of it would be other tokens if it were read as text again.
    assert any(text.encode(text.decode(one.response_ids)) != one.response_ids for one in samples)
    for one in samples:
        plain = plain_logprobs(policy.model, one.prompt_ids, one.response_ids)
        assert one.logprobs == pytest.approx(plain.tolist(), abs=1e-4)
        assert one.truncated == (len(one.response_ids) == 12)


def test_samples_have_their_policy_version(policy: Policy) -> None:
    rollouts = Rollouts(small_settings(), open_engine(policy, small_settings()))
    (one,) = rollouts.play([Job(0, 0, 0, 1)], version=7)
    assert {sample.policy_version for sample in one.samples} == {7}
    assert [sample.chunk for sample in one.samples] == list(range(len(one.samples)))


# ------------------------------------------------------------------ beside each other


def same(ours: Sequence[Trajectory], theirs: Sequence[Trajectory]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert replace(one, samples=()) == replace(other, samples=())
        for mine, sample in zip(one.samples, other.samples, strict=True):
            assert replace(mine, logprobs=()) == replace(sample, logprobs=())
            assert mine.logprobs == pytest.approx(sample.logprobs, abs=1e-4)


def test_rollouts_do_not_depend_on_what_is_played_beside_them(policy: Policy) -> None:
    jobs = groups([0, 1], 3, ("seed", 5))
    engine = open_engine(policy, small_settings())
    together = play(engine, jobs)
    same(together, play(engine, jobs, small_settings(rollout={"concurrency": 1})))
    same(together, play(engine, jobs[::-1], small_settings(rollout={"concurrency": 4})))
    same([together[3]], play(engine, jobs[3:4]))
    responses = [[sample.response_ids for sample in one.samples] for one in together]
    assert len({str(one) for one in responses}) == len(responses)  # rollouts of a group differ


def test_seeds_depend_on_what_they_are_for() -> None:
    jobs = groups(["a", "b"], 2, (0, 1))
    assert [(job.group, job.rollout, job.episode) for job in jobs] == [
        (0, 0, "a"), (0, 1, "a"), (1, 0, "b"), (1, 1, "b"),
    ]  # fmt: skip
    others = groups(["a", "b"], 2, (0, 2))
    assert len({job.seed for job in [*jobs, *others]}) == 8
    assert seed_of("a", 1) == seed_of("a", 1) < 2**31


def test_a_rollout_that_has_ended_is_replaced_at_once() -> None:
    def steps(request: ChatRequest) -> int:
        return 1 + seed_of(request.seed or 0) % 9

    engine = ScriptedEngine(first_sentences, steps)
    found = play(engine, groups([0, 1, 2], 3, ()), small_settings(rollout={"concurrency": 4}))
    assert len(found) == 9
    # Four at a time until fewer are left: never a pause for the longest of a batch.
    assert engine.running == sorted(engine.running, reverse=True)
    assert engine.running[0] == 4
    assert engine.running.count(4) > len(engine.running) / 2
    assert not engine.dropped


# ------------------------------------------------------------------ what is paid


def terms_of(settings: TrainSettings, actions: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the environment says of actions, step by step."""
    env = MemAlphaEnv(**settings.environment, split="train")
    env.reset(seed=0, options={"episode": 0})
    return [env.step(action)[4] for action in actions]


def test_a_search_keeps_the_chunk_and_all_its_samples_get_its_terms() -> None:
    search = block("search_memory", query="bakery")
    bad = insert("Ada keeps bees.") + block("memory_delete", memory_type="semantic")
    settings = small_settings(environment={"turns_per_chunk": 2})
    replies = iter([search, bad, insert("Ben bakes."), *[""] * 9])
    engine = ScriptedEngine(lambda request: next(replies))
    (one,) = play(engine, [Job(0, 0, 0, 0)], settings)
    assert [sample.chunk for sample in one.samples][:3] == [0, 0, 1]
    infos = terms_of(settings, [search, bad, insert("Ben bakes.")])
    assert [info["chunk_index"] for info in infos[:2]] == [0, 1]
    paid = infos[1]["reward_terms"]
    assert 0 < paid["format"] < 1
    for sample in one.samples[:2]:
        assert (sample.format, sample.content) == (paid["format"], paid["content"])
    assert one.samples[2].format == infos[2]["reward_terms"]["format"] == 1.0
    assert chunk_of(engine.asked[0]) == chunk_of(engine.asked[1])
    assert "search_memory" in prompt_text(engine.asked[1])
    assert one.calls["search_memory"] == 1
    assert one.failed_calls == 1


def test_the_terms_are_those_that_prompt_only_gets_for_the_same_replies() -> None:
    settings = small_settings(rollout={"concurrency": 3})
    found = play(ScriptedEngine(first_sentences), [Job(n, 0, n, 0) for n in range(4)], settings)
    agent = PromptOnly(scripted_chat(first_sentences)[0], "none")
    env = environment_for(agent, split="train", **settings.environment)
    for number, one in enumerate(found):
        result = play_episode(agent, env, number)
        assert one.episode_id == result.episode_id
        assert one.ability == result.ability
        assert one.correctness == result.score
        assert one.compression == result.metrics["compression"]
        assert one.memory_share == result.metrics["memory_share"] > 0
        assert one.answers == result.answers
        assert sum(one.calls.values()) == result.calls
        assert one.failed_calls == result.calls - result.valid_calls
        steps = [sample.format + 0.1 * sample.content for sample in one.samples]
        paid = one.correctness + 0.05 * one.compression + sum(steps) / len(steps)
        assert paid == pytest.approx(result.reward, abs=1e-9)
        assert sum(one.causes.values()) == len(one.answers)
        assert one.memory.count("\n") + 1 == len(env.memory)
    assert len({one.correctness for one in found}) > 1


def test_each_chunk_is_credited_with_the_questions_whose_evidence_it_holds() -> None:
    settings = small_settings(environment={"source": "procedural"})
    found = play(ScriptedEngine(first_sentences), [Job(n, 0, n, 0) for n in range(8)], settings)
    episodes = load_source("procedural", "train", settings.environment["source_options"])
    for number, one in enumerate(found):
        questions = episodes.episode(number).questions
        for sample in one.samples:
            mine = [
                answer["score"]
                for answer in one.answers
                if any(e.chunk == sample.chunk for e in questions[answer["index"]].evidence)
            ]
            assert sample.correctness == pytest.approx(sum(mine) / len(questions))
        assert one.unplaced_correctness == 0.0
        assert 1 + sum(sample.compression for sample in one.samples) == pytest.approx(
            one.compression
        )
    assert any(sample.compression for one in found for sample in one.samples)
    assert any(sample.correctness for one in found for sample in one.samples)
    assert len({len(one.samples) for one in found} | {1}) > 1


# ------------------------------------------------------------------ what does not fit


def test_the_first_prompt_that_fits_is_learned_from() -> None:
    def fits(request: ChatRequest) -> ChatError | None:
        return ContextLengthError("too long") if len(prompt_text(request)) > 900 else None

    engine = ScriptedEngine(lambda request: insert("kept"), fits=fits)
    (one,) = play(engine, [Job(0, 0, 0, 0)])
    assert len(one.samples) == len(engine.asked)
    assert all(len(prompt_text(request)) <= 900 for request in engine.asked)
    chunk = MemAlphaEnv(**small_settings().environment, split="train").reset(
        options={"episode": 0}
    )[0]["chunk"]
    assert len(chunk) > 900
    assert chunk.startswith(chunk_of(engine.asked[0]))


@pytest.mark.parametrize("when", ["start", "reply"])
@pytest.mark.parametrize("fault", [ContextLengthError("too long"), RefusedError("no")])
def test_a_chunk_without_a_response_is_passed_over_without_a_sample(
    when: str, fault: ChatError
) -> None:
    engine = ScriptedEngine(
        lambda request: fault, fits=lambda request: fault if when == "start" else None
    )
    found = play(engine, groups([0, 1], 2, ()))
    assert len(found) == 4
    for one in found:
        assert one.samples == ()
        assert (one.correctness, one.memory_share, one.compression) == (0.0, 0.0, 1.0)


# ------------------------------------------------------------------ models beside the policy


class Together(ScriptedBackend):
    """Replies once three are asking at a time."""

    def __init__(self) -> None:
        super().__init__(lambda request: "Lund")
        self._meeting = threading.Barrier(3, timeout=60)

    def generate(self, requests: Sequence[ChatRequest]) -> list[ChatReply | ChatError]:
        self._meeting.wait()
        return super().generate(requests)


def test_several_rollouts_ask_the_reader_at_a_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path))
    backend = Together()
    monkeypatch.setattr("memgym.agents.chat.chat.open_backend", lambda settings: backend)
    reader = {"reader": "llm", "reader_options": {"model": "some-model"}}
    contents = iter(range(100))
    engine = ScriptedEngine(lambda request: insert(f"Fact {next(contents)}."))
    found = play(engine, groups([0], 3, ()), small_settings(environment=reader))
    assert len(found) == 3
    assert all(answer["prediction"] == "Lund" for one in found for answer in one.answers)


# ------------------------------------------------------------------ faults


def test_a_fault_of_the_engine_ends_all_and_what_runs_is_dropped() -> None:
    replies: Iterator[str | ChatError] = iter(["", ServerError("gone")])
    engine = ScriptedEngine(
        lambda request: next(replies), lambda request: 1 + (request.seed or 0) % 5
    )
    with pytest.raises(ServerError, match="gone"):
        play(engine, groups([0, 1], 2, ()))
    assert engine.dropped


def test_what_runs_is_dropped_when_nobody_waits_for_it() -> None:
    engine = ScriptedEngine(lambda request: "", lambda request: 1 + (request.seed or 0) % 7)
    playing = Rollouts(small_settings(), engine).play(groups([0, 1, 2], 2, ()))
    next(playing)
    playing.close()  # type: ignore[attr-defined]
    assert engine.dropped
