"""MemAgent, with and without the question: what it is shown, what it keeps, what it answers."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from memgym.agents.chat import ChatRequest, ContextLengthError
from memgym.agents.memagent import ANSWERING, READING, MemAgent, MemAgentPerQuestion
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode
from memgym.errors import UsageError
from memgym.evaluation import EpisodeResult, environment_for, play_episode
from memgym.tokens import get_counter
from tests.episodes import CHUNKS, village
from tests.scripted import Reply, ScriptedBackend, prompt_text, scripted_chat

COUNTER = get_counter()
QUESTIONS = [question.question for question in village().questions]
AGENT: dict[str, Any] = {"answer_mode": "agent"}
Replies = Callable[[ChatRequest], Reply] | Iterable[Reply]


class Played:
    """One episode played by a scripted model."""

    def __init__(
        self,
        replies: Replies,
        made: type[MemAgent] = MemAgent,
        episode: Episode | None = None,
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.model: ScriptedBackend
        chat, self.model = scripted_chat(replies)
        self.agent = made(chat, **(options or {}))
        self.env: MemAlphaEnv = environment_for(self.agent, **settings)
        self.result: EpisodeResult = play_episode(
            self.agent, self.env, episode or village(), seed=1
        )

    @property
    def scores(self) -> list[float]:
        return [answer["score"] for answer in self.result.answers]

    @property
    def passages(self) -> list[str]:
        return [passage(request) for request in self.model.requests if is_reading(request)]


def is_reading(request: ChatRequest) -> bool:
    system, _ = request.messages
    assert system["content"] in (READING, ANSWERING)
    return bool(system["content"] == READING)


def passage(request: ChatRequest) -> str:
    text: str = request.messages[1]["content"]
    return text.partition("Passage:\n")[2].rpartition("\n\nTask: ")[0]


def notes(request: ChatRequest) -> str:
    text: str = request.messages[1]["content"]
    if is_reading(request):
        return text.rpartition("\n\nNotes so far:\n")[2]
    return text.partition("Notes:\n")[2].rpartition("\n\nQuestion: ")[0]


def asked_at_the_end() -> Episode:
    episode = village()
    questions = (replace(question, asked_after=None) for question in episode.questions)
    return replace(episode, questions=tuple(questions))


def long_chunk() -> Episode:
    """Return an episode whose only chunk is a thousand words."""
    words = " ".join(f"w{number}" for number in range(1_000))
    question = replace(village().questions[0], asked_after=None, evidence=())
    return replace(village(), chunks=(words,), questions=(question,))


# ---------------------------------------------------------------- reading without the question


def test_each_completion_takes_the_place_of_the_notes() -> None:
    played = Played(["Ada Holm: bakery in Lund.", "Rain.", "Ben Holm works in Alder Hall."])
    assert played.passages == list(CHUNKS)
    assert [notes(request) for request in played.model.requests] == [
        "(none)", "Ada Holm: bakery in Lund.", "Rain.",
    ]  # fmt: skip
    assert played.env.memory.core == "Ben Holm works in Alder Hall."
    assert played.env.memory.total_tokens == COUNTER.count("Ben Holm works in Alder Hall.")
    # Asked after the first chunk, while the notes still knew; no example for the label is kept.
    assert played.scores == [1.0, 1.0, 0.0]
    assert played.result.score == pytest.approx(2 / 3)
    assert (played.result.calls, played.result.valid_calls) == (3, 3)


def test_no_question_is_in_any_prompt_but_their_introduction_is() -> None:
    played = Played(["a", "b", "c"])
    for request in played.model.requests:
        assert not any(question in prompt_text(request) for question in QUESTIONS)
        assert "Answer briefly." in prompt_text(request)
    bare = replace(village(), metadata={"question_preface": ""})
    played = Played(["a", "b", "c"], episode=bare)
    assert "introduction" not in prompt_text(played.model.requests[0])


def test_the_passage_stands_before_what_differs() -> None:
    one, other = Played(["one", "", "c"]), Played(["other", "", "c"])
    first, second = (
        prompt_text(played.model.requests[1]).rpartition("Notes so far:\n")
        for played in (one, other)
    )
    assert (first[0], first[2], second[2]) == (second[0], "one", "other")
    assert READING in first[0]
    assert CHUNKS[1] in first[0]


def test_thinking_is_no_part_of_the_notes() -> None:
    played = Played(["<think>Hm.</think>Lund.", "<think>Let me see", "Alder Hall."])
    assert notes(played.model.requests[1]) == "Lund."
    assert notes(played.model.requests[2]) == "(none)"  # nothing but a thought was written


def test_an_empty_completion_empties_the_notes() -> None:
    played = Played(["Lund.", "  \n", ""])
    assert played.env.memory.core == ""
    assert (played.result.calls, played.result.valid_calls) == (2, 2)  # the last one has no effect


def test_notes_that_stay_the_same_are_not_written_again() -> None:
    played = Played(["Lund.", "Lund.", "Lund.\n"])
    assert played.result.calls == 1


def test_the_next_prompt_shows_the_notes_as_they_were_cut() -> None:
    words = " ".join(f"word{number}" for number in range(2_000))
    played = Played([words, "b", "c"])
    assert played.model.requests[0].max_tokens == 1_024
    shown = notes(played.model.requests[1])
    assert shown == COUNTER.head(words, 1_024)
    assert 1_000 < COUNTER.count(shown) <= 1_024
    played = Played([words, "b", "c"], options={"memory_tokens": 7})
    assert played.model.requests[0].max_tokens == 7
    assert notes(played.model.requests[1]) == COUNTER.head(words, 7)


def test_a_memory_budget_is_kept_and_nothing_is_refused() -> None:
    played = Played(["one two three four five six", "seven eight nine ten", "x"], memory_budget=3)
    assert [notes(request) for request in played.model.requests] == [
        "(none)", "one two three", "seven eight nine",
    ]  # fmt: skip
    assert played.result.calls == played.result.valid_calls == 3


def test_what_does_not_fit_the_model_loses_its_centre() -> None:
    def model(request: ChatRequest) -> Reply:
        if len(prompt_text(request)) > 2_500:
            return ContextLengthError("too long")
        return "kept"

    played = Played(model, episode=long_chunk())
    *failed, fitting = played.model.requests
    sizes = [len(passage(request)) for request in played.model.requests]
    assert len(failed) >= 2
    assert all(after < 0.6 * before for before, after in itertools.pairwise(sizes))
    assert passage(fitting).startswith("w0 w1 w2 ")
    assert passage(fitting).endswith(" w998 w999")
    assert "w500" not in passage(fitting)
    assert played.env.memory.core == "kept"
    assert played.agent.usage.failures == len(failed)


def test_a_passage_that_fits_no_prompt_leaves_the_notes_as_they_are() -> None:
    def model(request: ChatRequest) -> Reply:
        return ContextLengthError("too long") if "Nobody" in prompt_text(request) else "Lund."

    played = Played(model)
    assert played.env.memory.core == "Lund."
    assert notes(played.model.requests[-1]) == "Lund."


# ---------------------------------------------------------------- answering with its own model


def test_the_last_box_is_the_answer_for_texts_and_labels_alike() -> None:
    played = Played(
        [
            "Lund.", r"\boxed{Oslo}? No: \boxed{Lund}", "rain", "Alder Hall and 7.",
            "<think>Birch House?</think>So it is Alder Hall.", r"First \boxed{3}, then \boxed{7}.",
        ],
        **AGENT,
    )  # fmt: skip
    assert [answer["prediction"] for answer in played.result.answers] == [
        r"\boxed{Lund}", "So it is Alder Hall.", r"\boxed{7}",
    ]  # fmt: skip
    assert played.scores == [1.0, 1.0, 1.0]
    asked = [request for request in played.model.requests if not is_reading(request)]
    assert [notes(request) for request in asked] == [
        "Lund.", "Alder Hall and 7.", "Alder Hall and 7.",
    ]  # fmt: skip
    assert all(request.max_tokens == 1_024 for request in asked)
    assert not any(chunk in prompt_text(request) for request in asked for chunk in CHUNKS)
    for number, request in enumerate(asked):
        assert [text in prompt_text(request) for text in QUESTIONS] == [
            n == number for n in range(3)
        ]
        assert "Answer briefly." in prompt_text(request)


def test_an_answer_that_cannot_be_had_is_empty() -> None:
    def model(request: ChatRequest) -> Reply:
        return "a" if is_reading(request) else ContextLengthError("too long")

    played = Played(model, **AGENT)
    assert [answer["prediction"] for answer in played.result.answers] == ["", "", ""]


# ---------------------------------------------------------------- reading for each question


def collector(request: ChatRequest) -> Reply:
    """Note a gold when it is read; answer with all notes."""
    if not is_reading(request):
        return rf"\boxed{{{notes(request)}}}"
    seen = [word for word in ("Lund", "Alder Hall", "Label: 7") if word in passage(request)]
    return ", ".join([*notes(request).removeprefix("(none)").split(", "), *seen]).strip(", ")


def test_the_text_is_read_again_for_every_question() -> None:
    played = Played(collector, MemAgentPerQuestion, asked_at_the_end(), {"piece_tokens": 20})
    text = "\n\n".join(CHUNKS)
    requests = played.model.requests
    per_question = len(requests) // 3
    assert per_question > 3
    for number in range(3):
        mine = requests[number * per_question :][:per_question]
        assert [is_reading(request) for request in mine] == [True] * (per_question - 1) + [False]
        assert "".join(passage(request) for request in mine[:-1]) == text
        assert all(COUNTER.count(passage(request)) <= 20 for request in mine[:-1])
        assert notes(mine[0]) == "(none)"  # nothing is left of the question before
        for request in mine:
            held = [question in prompt_text(request) for question in QUESTIONS]
            assert held == [n == number for n in range(3)]
    assert len(requests) == 3 * (per_question - 1) + 3
    # All three golds are in every answer: right as texts, and no label.
    assert played.scores == [1.0, 1.0, 0.0]
    assert tuple(played.env.memory.items("episodic").values()) == CHUNKS
    assert played.env.memory.total_tokens == sum(COUNTER.count(chunk) for chunk in CHUNKS)


def test_a_question_in_mid_stream_sees_what_has_been_read_by_then() -> None:
    played = Played(collector, MemAgentPerQuestion)
    assert played.passages == [CHUNKS[0], "\n\n".join(CHUNKS), "\n\n".join(CHUNKS)]
    assert played.result.answers[0]["prediction"] == r"\boxed{Lund}"
    assert played.agent.usage.calls == 6


def test_pieces_overwrite_the_notes_one_after_another() -> None:
    replies = ["first", "second", "third", r"\boxed{Lund}"]
    episode = replace(asked_at_the_end(), questions=asked_at_the_end().questions[:1])
    played = Played(replies, MemAgentPerQuestion, episode, {"piece_tokens": 24})
    shown = [notes(request) for request in played.model.requests]
    assert shown == ["(none)", "first", "second", "third"]
    assert played.result.score == 1.0


def test_of_a_text_that_is_too_long_the_two_ends_are_read() -> None:
    options = {"piece_tokens": 40, "context_tokens": 100}
    played = Played(["", "", "", "x"], MemAgentPerQuestion, long_chunk(), options)
    text = "".join(played.passages)
    assert text.startswith("w0 w1 ")
    assert text.endswith(" w999")
    assert "w500" not in text
    assert COUNTER.count(text) <= 100
    assert COUNTER.count(played.env.memory.items("episodic")["e1"]) > 1_000


def test_a_budget_keeps_the_two_ends_of_the_text() -> None:
    chunks = tuple(f"chunk {number}" for number in range(10))  # three tokens each
    assert {COUNTER.count(chunk) for chunk in chunks} == {3}
    question = replace(village().questions[0], asked_after=None, evidence=())
    episode = replace(village(), chunks=chunks, questions=(question,))
    played = Played(["", "x"], MemAgentPerQuestion, episode, memory_budget=12)
    kept = list(played.env.memory.items("episodic").values())
    assert kept == ["chunk 0", "chunk 1", "chunk 8", "chunk 9"]
    assert played.result.calls == played.result.valid_calls
    played = Played(["", "x"], MemAgentPerQuestion, long_chunk(), memory_budget=12)
    assert played.env.memory.total_tokens <= 12
    assert played.env.memory.items("episodic")["e1"].startswith("w0 w1 w2")


# ---------------------------------------------------------------- options and hostile models


@pytest.mark.parametrize(
    ("made", "option", "value", "wanted"),
    [
        (MemAgent, "memory_tokens", 0, "an integer of at least 1"),
        (MemAgent, "memory_tokens", 1_025, "at most 1,024"),
        (MemAgentPerQuestion, "memory_tokens", "1024", "an integer of at least 1"),
        (MemAgentPerQuestion, "piece_tokens", 0, "an integer of at least 1"),
        (MemAgentPerQuestion, "context_tokens", True, "an integer of at least 1"),
    ],
)
def test_an_option_out_of_range_is_named(
    made: type[MemAgent], option: str, value: object, wanted: str
) -> None:
    chat, _ = scripted_chat([])
    options: dict[str, Any] = {option: value}
    told = rf"^{made.name}: {option} (must be|is) {wanted}, got {value!r}$"
    with pytest.raises(UsageError, match=told):
        made(chat, **options)


FRAGMENTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["<think>", "</think>", r"\boxed{", "}", "\ud83d", "\ude00", "\0", " " * 50, "tick " * 30]
    ),
)


@given(
    texts=st.lists(st.lists(FRAGMENTS, max_size=5).map("".join), min_size=1, max_size=4),
    made=st.sampled_from([MemAgent, MemAgentPerQuestion]),
    budget=st.sampled_from([0, 1, 20]),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_whatever_the_model_writes_the_episode_ends(
    texts: list[str], made: type[MemAgent], budget: int
) -> None:
    turn = iter(range(10**6))
    played = Played(
        lambda _: texts[next(turn) % len(texts)], made, memory_budget=budget, answer_mode="agent"
    )
    memory = played.env.memory
    assert COUNTER.count(memory.core) <= 1_024
    assert not budget or memory.total_tokens <= budget
    assert len(played.result.answers) == 3
    assert played.result.calls == played.result.valid_calls, "nothing is refused"
