"""MEM1: the state that it continues, the block that takes its place, the block that does not."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from memgym.agents.chat import ChatReply, ChatRequest, ContextLengthError
from memgym.agents.mem1 import ANSWERING, READING, Mem1
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode
from memgym.evaluation import EpisodeResult, environment_for, play_episode
from memgym.tokens import get_counter
from memgym.usage import Usage
from tests.episodes import CHUNKS, village
from tests.scripted import Reply, ScriptedBackend, prompt_text, scripted_chat

COUNTER = get_counter()
QUESTIONS = [question.question for question in village().questions]
Replies = Callable[[ChatRequest], Reply] | Iterable[Reply]


class Played:
    """One episode played by a scripted model."""

    def __init__(self, replies: Replies, episode: Episode | None = None, **settings: Any) -> None:
        self.model: ScriptedBackend
        chat, self.model = scripted_chat(replies)
        self.agent = Mem1(chat)
        self.env: MemAlphaEnv = environment_for(self.agent, **settings)
        self.result: EpisodeResult = play_episode(
            self.agent, self.env, episode or village(), seed=1
        )

    @property
    def prefills(self) -> list[str]:
        return [request.prefill for request in self.model.requests]

    @property
    def scores(self) -> list[float]:
        return [answer["score"] for answer in self.result.answers]


def state(text: str) -> str:
    return f"<think>\n{text}\n</think>\n\n"


def test_the_block_that_is_written_takes_the_place_of_the_state() -> None:
    played = Played(
        [
            "<think>A bakery in Lund.</think><search>more",
            "Well. <think>\nNothing new.\n</think> <think>A second block.</think>",
            "<think>Ben works in Alder Hall.</think>",
        ]
    )
    assert played.prefills == ["", state("A bakery in Lund."), state("Nothing new.")]
    assert played.env.memory.core == "Ben works in Alder Hall."
    for chunk, request in zip(CHUNKS, played.model.requests, strict=True):
        assert [message["role"] for message in request.messages] == ["system", "user"]
        assert request.messages[0]["content"] == READING
        assert request.messages[1]["content"].endswith(f"New chunk:\n{chunk}")
        assert request.max_tokens == 1_024
        assert request.stop == ("</search>", "</answer>")
        assert not any(question in prompt_text(request) for question in QUESTIONS)
        assert "Answer briefly." in prompt_text(request)
    # The reader answers from the block: while it held Lund, from Alder Hall, and without examples.
    assert played.scores == [1.0, 1.0, 0.0]
    assert played.result.score == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "malformed",
    ["", "A bakery in Oslo.", "<think>A bakery in Oslo.", "A bakery in Oslo.</think>",
     "</think>A bakery in Oslo.<think>", "<Think>A bakery in Oslo.</Think>"],
)  # fmt: skip
def test_a_malformed_block_leaves_the_state_unchanged(malformed: str) -> None:
    played = Played(["<think>A bakery in Lund.</think>", malformed, malformed])
    assert played.prefills[1:] == [state("A bakery in Lund.")] * 2
    assert played.env.memory.core == "A bakery in Lund."
    assert played.result.calls == 1


def test_a_state_that_stays_the_same_is_not_written_again() -> None:
    played = Played(["<think>same</think>", "<think> same\n</think>", "<think>same</think>"])
    assert (played.env.memory.core, played.result.calls) == ("same", 1)


def test_an_empty_block_is_a_state_too() -> None:
    played = Played(["<think>a</think>", "<think>\n</think>", "none"])
    assert played.prefills == ["", state("a"), ""]
    assert (played.env.memory.core, played.result.valid_calls) == ("", 2)


def test_of_tags_in_tags_the_inner_block_counts() -> None:
    played = Played(["<think>let me <think>Lund.</think>", "x", "x"])
    assert played.env.memory.core == "Lund."


def test_a_block_that_the_server_has_taken_out_of_the_text_counts() -> None:
    usage = Usage(calls=1)
    played = Played(
        [
            ChatReply("\n", reasoning="A bakery in Lund.", usage=usage),
            ChatReply("", reasoning="cut off", finish_reason="length", usage=usage),
            ChatReply("<answer>", reasoning="Alder", finish_reason="length", usage=usage),
        ]
    )
    assert played.prefills == ["", state("A bakery in Lund."), state("A bakery in Lund.")]
    assert played.env.memory.core == "Alder"


def test_the_next_turn_continues_the_state_as_it_was_cut() -> None:
    words = " ".join(f"word{number}" for number in range(2_000))
    played = Played([f"<think>{words}</think>", "x", "x"])
    kept = COUNTER.head(words, 1_024)
    assert played.prefills == ["", state(kept), state(kept)]
    assert 1_000 < COUNTER.count(played.env.memory.core) <= 1_024


def test_a_memory_budget_is_kept_and_nothing_is_refused() -> None:
    played = Played(
        ["<think>one two three four</think>", "<think>five six seven eight</think>", "x"],
        memory_budget=3,
    )
    assert played.prefills == ["", state("one two three"), state("five six seven")]
    assert played.result.calls == played.result.valid_calls == 2


def test_line_breaks_at_the_cut_are_not_shown() -> None:
    played = Played(["<think>one\n\ntwo three</think>", "x", "x"], memory_budget=2)
    assert played.env.memory.core == "one\n\n"
    assert played.prefills[1] == state("one")  # a template would trim it and refuse to continue


def test_a_chunk_that_does_not_fit_loses_its_centre_and_the_state_nothing() -> None:
    words = " ".join(f"w{number}" for number in range(1_000))
    question = replace(village().questions[0], asked_after=None, evidence=())
    episode = replace(village(), chunks=(CHUNKS[0], words), questions=(question,))

    def model(request: ChatRequest) -> Reply:
        if len(prompt_text(request)) > 2_500:
            return ContextLengthError("too long")
        return "<think>Lund.</think>" if not request.prefill else "<think>Lund, w.</think>"

    played = Played(model, episode)
    assert len(played.model.requests) > 3
    assert set(played.prefills[1:]) == {state("Lund.")}
    last = played.model.requests[-1].messages[1]["content"]
    assert "New chunk:\nw0 w1 w2 " in last
    assert last.endswith(" w998 w999")
    assert "w500" not in last
    assert played.env.memory.core == "Lund, w."


def test_a_chunk_that_fits_no_prompt_leaves_the_state_unchanged() -> None:
    def model(request: ChatRequest) -> Reply:
        if "Nobody" in prompt_text(request):
            return ContextLengthError("too long")
        return "<think>Lund.</think>"

    played = Played(model)
    assert (played.env.memory.core, played.result.calls) == ("Lund.", 1)


def test_its_own_model_continues_the_state_with_an_answer() -> None:
    played = Played(
        [
            "<think>Lund.</think>", "It was Lund.", "<think>Alder Hall; 7.</think>", "x",
            "Alder Hall", r"\boxed{7}",
        ],
        answer_mode="agent",
    )  # fmt: skip
    asked = [r for r in played.model.requests if r.messages[0]["content"] == ANSWERING]
    assert [request.prefill for request in asked] == [
        state("Lund.") + "<answer>", *[state("Alder Hall; 7.") + "<answer>"] * 2,
    ]  # fmt: skip
    for number, request in enumerate(asked):
        assert request.stop == ("</search>", "</answer>")
        held = [question in prompt_text(request) for question in QUESTIONS]
        assert held == [other == number for other in range(3)]
        assert not any(chunk in prompt_text(request) for chunk in CHUNKS)
    assert played.scores == [1.0, 1.0, 1.0]


def test_an_answer_that_cannot_be_had_is_empty() -> None:
    played = Played(
        lambda request: ContextLengthError("too long") if "<answer>" in request.prefill else "x",
        answer_mode="agent",
    )
    assert [answer["prediction"] for answer in played.result.answers] == ["", "", ""]


FRAGMENTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["<think>", "<think>", "</think>", "<answer>", "\ud83d", "\ude00", "\0", "\n", "tick " * 30]
    ),
)


@given(
    texts=st.lists(st.lists(FRAGMENTS, max_size=6).map("".join), min_size=1, max_size=4),
    budget=st.sampled_from([0, 1, 20]),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_whatever_the_model_writes_the_episode_ends(texts: list[str], budget: int) -> None:
    turn = iter(range(10**6))
    played = Played(
        lambda _: texts[next(turn) % len(texts)], memory_budget=budget, answer_mode="agent"
    )
    memory = played.env.memory
    assert COUNTER.count(memory.core) <= (budget or 1_024)
    assert "<think>" not in memory.core
    assert "</think>" not in memory.core
    assert played.result.calls == played.result.valid_calls, "nothing is refused"
