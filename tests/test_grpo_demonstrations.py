"""What supervised learning sees: the policy's own prompts, and what an agent did, as tokens."""

import re
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Any, ClassVar

import pytest

from memgym.agent import Agent
from memgym.agents.chat.local_text import LocalText
from memgym.agents.grpo.beginner import Beginner
from memgym.agents.grpo.demonstrations import Demonstration, action_text, demonstrations
from memgym.agents.grpo.rollouts import Job, Rollouts
from memgym.agents.grpo.samples import Sample
from memgym.agents.grpo.settings import SupervisedSettings
from memgym.agents.grpo.supervised import SupervisedLearner, copying, in_passes
from memgym.agents.grpo.updates import Updates
from memgym.baselines import BASELINES
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from memgym.tasks import registry
from memgym.text import split_sentences
from tests.grpo_small import (
    ENVIRONMENT,
    Parrot,
    ScriptedEngine,
    insert,
    plain_logprobs,
    small_policy,
    small_settings,
    tokenizer,
)
from tests.scripted import prompt_text

END = 2


def shown_by(*agents: str, limit: int = 0, **supervised: Any) -> list[Demonstration]:
    given = {"agents": list(agents), "episodes": 2, **supervised}
    return demonstrations(
        small_settings(supervised=given), LocalText(tokenizer(), limit), END, count(5)
    )


# ------------------------------------------------------------------ prompts and responses


def test_responses_are_what_the_agent_did_and_how_a_response_ends() -> None:
    found = shown_by("tests.grpo_small:Parrot")
    text = LocalText(tokenizer(), 0)
    assert len(found) == 4
    assert {one.response_ids for one in found} == {(*text.encode(Parrot.text), END)}


def test_prompts_are_those_of_the_rollouts() -> None:
    """The policy must find in play what it learned from, down to the token."""
    found = shown_by("tests.grpo_small:Parrot", episodes=1)
    engine = ScriptedEngine(lambda request: Parrot.text)
    list(Rollouts(small_settings(), engine).play([Job(0, 0, 5, 0)]))
    text = LocalText(tokenizer(), 0)
    assert [one.prompt_ids for one in found] == [text.prompt(one).ids for one in engine.asked]
    assert "[s1] the same" in prompt_text(engine.asked[1])


def test_an_agents_own_view_of_the_memory_does_not_change_the_prompts() -> None:
    class Wide(Parrot):
        settings: ClassVar[Mapping[str, Any]] = {"view_recent": 50, "view_relevant": 50}
        text = "".join(insert(f"Item {number}.") for number in range(9))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.grpo_small.Wide", Wide, raising=False)
        second = shown_by("tests.grpo_small:Wide", episodes=1)[1]
    text = LocalText(tokenizer(), 0).decode(second.prompt_ids)
    assert re.findall(r"Item \d", text) == ["Item 8"]  # as the policy will see it


def test_agents_take_turns_and_play_the_train_split(monkeypatch: pytest.MonkeyPatch) -> None:
    splits: list[str] = []
    load = registry._load

    def noted(name: str, split: str, *given: Any) -> Any:
        splits.append(split)
        return load(name, split, *given)

    monkeypatch.setattr(registry, "_load", noted)
    found = shown_by("tests.grpo_small:Parrot", "beginner", episodes=3)
    parrot = (*LocalText(tokenizer(), 0).encode(Parrot.text), END)
    assert [one.response_ids == parrot for one in found] == [True, True, False, False, True, True]
    assert set(splits) == {"train"}


def test_trajectories_below_the_least_score_are_left_out() -> None:
    every, good = (
        shown_by("sentences", "closed_book"),
        shown_by("sentences", "closed_book", least_score=0.5),
    )
    assert len(good) == 2
    assert good == every[:2]
    with pytest.raises(UsageError, match=r"least_score = 0.9; the best has 0\.000"):
        shown_by("closed_book", least_score=0.9)


def test_prompts_that_do_not_fit_are_shortened_as_in_play() -> None:
    found, whole = (
        shown_by("tests.grpo_small:Parrot", limit=400),
        shown_by("tests.grpo_small:Parrot"),
    )
    assert len(found) == len(whole)
    assert all(len(one.prompt_ids) <= 388 for one in found)  # and 12 tokens of response
    assert any(len(one.prompt_ids) > 388 for one in whole)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sentence", 'unknown agent "sentence": did you mean "sentences"'),
        ("prompt_only", '"prompt_only" needs supervised.model'),
        ("nowhere:Agent", 'cannot import "nowhere"'),
    ],
)
def test_an_agent_that_cannot_be_had_is_told(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        shown_by(name)


# ------------------------------------------------------------------ actions as text


@pytest.mark.parametrize("agent", ["sentences", "flat", "closed_book"])
@pytest.mark.parametrize("tool_format", ["hermes", "markers"])
def test_text_of_an_action_does_what_the_action_did(agent: str, tool_format: str) -> None:
    class Spoken(Agent):
        name = "spoken"
        settings = BASELINES[agent].settings

        def reset(self, briefing: Any) -> None:
            super().reset(briefing)
            self._one = BASELINES[agent]()
            self._one.reset(briefing)

        def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
            return action_text(self._one.act(observation, info), tool_format)

    results = [
        play_episode(one, environment_for(one, **ENVIRONMENT, split="train"), 3)
        for one in (BASELINES[agent](), Spoken())
    ]
    assert results[0].memory_digest == results[1].memory_digest
    assert results[0].calls == results[1].calls


def test_a_message_with_native_calls_is_written_out() -> None:
    function = {"name": "f", "arguments": '{"text": "Ä"}'}
    message = {"content": "So: ", "tool_calls": [{"function": function}]}
    assert action_text(message, "hermes") == (
        'So: <tool_call>\n{"name": "f", "arguments": {"text": "Ä"}}\n</tool_call>\n'
    )
    assert action_text("as it is", "markers") == "as it is"


# ------------------------------------------------------------------ the beginner


def test_the_beginner_keeps_words_of_the_chunk_and_makes_slips() -> None:
    agent = Beginner()
    env = MemAlphaEnv(**{**ENVIRONMENT, "view_recent": 5}, split="train")
    counted: Counter[str] = Counter()
    for episode in range(12):
        result = play_episode(agent, env, episode)
        counted["calls"] += result.calls
        counted["failed"] += result.calls - result.valid_calls
        counted["sentences"] += sum(len(split_sentences(text)) for text in env.episode.chunks)
        words = set(" ".join(env.episode.chunks).split())
        for store in ("semantic", "episodic"):
            for content in env.memory.items(store).values():
                assert set(content.split()) <= words
        assert 0 < result.metrics["memory_share"] < 0.9
    assert 0.3 < counted["calls"] / counted["sentences"] < 0.6
    assert 0.02 < counted["failed"] / counted["calls"] < 0.2


def test_the_beginner_does_the_same_for_the_same_seed() -> None:
    env = MemAlphaEnv(**ENVIRONMENT, split="train")
    first, again, other = (play_episode(Beginner(), env, 1, seed=seed) for seed in (0, 0, 1))
    assert first.memory_digest == again.memory_digest != other.memory_digest


# ------------------------------------------------------------------ passes and updates


def test_passes_go_through_all_demonstrations_in_another_order_each_time() -> None:
    shown = [Demonstration((number,), (number,)) for number in range(10)]
    draw = in_passes(shown, SupervisedSettings(batch_size=5), seed=0)
    passes = [[draw(step)[place].prompt_ids[0] for step in (first, first + 1) for place in range(5)]
              for first in (0, 2)]  # fmt: skip
    assert [sorted(numbers) for numbers in passes] == [list(range(10))] * 2
    assert passes[0] != passes[1] != list(range(10))
    assert draw(1) == draw(1)
    assert len(in_passes(shown[:3], SupervisedSettings(batch_size=5), seed=0)(7)) == 3


def test_copying_says_the_same_pieces_again_at_first_of_random_tokens_and_then_of_text() -> None:
    sentences = [tuple(range(500 + 10 * number, 510 + 10 * number)) for number in range(20)]
    draw = copying(
        range(7, 400), [sentences], SupervisedSettings(copying_steps=100, batch_size=40), seed=0
    )
    found = {step: draw(step) for step in (0, 1, 35, 99)}
    for step, samples in found.items():
        assert samples == draw(step)
        for sample in samples:
            if sample.prompt_ids[0] < 500:
                assert Counter(sample.response_ids) == Counter(sample.prompt_ids)
    texts = {step: [one for one in found[step] if one.prompt_ids[0] >= 500] for step in found}
    assert [len(texts[step]) for step in found] == [0, 0, 0, 17]
    assert [len(found[step]) for step in found] == [40, 40, 40, 20]
    orders = []
    for one in texts[99]:
        assert one.prompt_ids == tuple(range(500, 700))
        again = [one.response_ids[at : at + 10] for at in range(0, len(one.response_ids), 10)]
        assert set(again) <= set(sentences)
        assert len(set(again)) == len(again)
        orders.append((again == sorted(again), len(again)))
    assert {ordered for ordered, _ in orders} == {True, False}
    assert all(count == 20 for ordered, count in orders if not ordered)
    assert any(count < 20 for ordered, count in orders if ordered)
    lengths = [len(one.prompt_ids) for step in (0, 35) for one in found[step]]
    assert 24 <= min(lengths) < max(lengths) == 48
    assert found[0] != found[1]


def test_the_loss_is_on_responses_alone_and_falls() -> None:
    policy = small_policy(vocab_size=50)
    samples = [
        Sample(0, (1, 2, 3), (4, 5), (0.0,) * 2, False, 0.0, 0.0),
        Sample(0, (7,), (8, 9, 4), (0.0,) * 3, False, 0.0, 0.0),
    ]
    expected = -sum(
        plain_logprobs(policy.model, one.prompt_ids, one.response_ids).sum().item()
        for one in samples
    )
    learner = SupervisedLearner(
        Updates(policy), lambda step: samples, steps=12, learning_rate=1e-2,
        warmup_share=0.2, micro_batch_tokens=16,
    )  # fmt: skip
    learner.begin()
    losses = [learner.update() for _ in range(12)]
    assert losses[0] == pytest.approx(expected / 5, rel=1e-5)
    assert losses[-1] < losses[0] / 2
    assert learner.done == 12
    assert not policy.model.training


def test_storing_nothing_is_a_response() -> None:
    found = shown_by("closed_book", episodes=1)
    assert {one.response_ids for one in found} == {(END,)}
