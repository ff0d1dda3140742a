"""``long_context``, ``rag`` and ``closed_book``: no model call while reading, one per question."""

from collections.abc import Callable
from typing import Any

import pytest

from memgym.agents.chat import ChatReply, ChatRequest, ContextLengthError
from memgym.agents.closed_book import ClosedBook
from memgym.agents.llm_agent import LLMAgent
from memgym.agents.long_context import LongContext
from memgym.agents.rag import RAG
from memgym.baselines import BASELINES
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode, Question
from memgym.errors import UsageError
from memgym.evaluation import EpisodeResult, environment_for, play_episode, settings_for
from memgym.tokens import get_counter
from tests.episodes import CHUNKS, village
from tests.scripted import Reply, ScriptedBackend, prompt_text, scripted_chat

SMALL: dict[str, Any] = {
    "source_options": {"tokens": 2_000, "chunk_tokens": 500, "questions": 8},
    "split": "test",
}
count = get_counter().count


def nothing(request: ChatRequest) -> Reply:
    raise AssertionError(f"no model should be asked: {prompt_text(request)}")


def played(
    cls: type[LLMAgent],
    replies: Callable[[ChatRequest], Reply] | list[Reply] = nothing,
    *,
    episode: Episode | int | None = None,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[MemAlphaEnv, EpisodeResult, ScriptedBackend]:
    chat, backend = scripted_chat(replies)
    agent = cls(chat, **(options or {}))
    env = environment_for(agent, **{**SMALL, **settings})
    result = play_episode(agent, env, village() if episode is None else episode, seed=1)
    return env, result, backend


def stalls() -> Episode:
    """Four chunks that all match the question, the third best, then the first."""
    chunks = (
        "Ada sells honey and honey cake by the north gate.",
        "Ben sells bread. Someone bought honey from him once, he says, but that was long ago.",
        "Honey, honey, honey: Cleo sells honey.",
        "Dora sells nothing at all.",
    )
    question = Question("Who sells honey?", ("Cleo",))
    return Episode("stalls", "stalls", "accurate_retrieval", chunks, (question,))


# ------------------------------------------------------------------ long_context


def test_long_context_keeps_the_chunks_in_order_and_asks_no_model_while_reading() -> None:
    env, result, _ = played(LongContext)
    assert tuple(env.memory.items("episodic").values()) == CHUNKS
    assert result.usage["agent"].calls == 0


def test_the_window_drops_the_oldest_chunk() -> None:
    window = count(CHUNKS[1]) + count(CHUNKS[2])
    env, _, _ = played(LongContext, options={"window_tokens": window})
    assert tuple(env.memory.items("episodic").values()) == CHUNKS[1:]
    env, _, _ = played(LongContext, options={"window_tokens": window - 1})
    assert tuple(env.memory.items("episodic").values()) == CHUNKS[2:]


def test_of_a_chunk_longer_than_the_window_its_end_is_kept() -> None:
    env, _, _ = played(LongContext, options={"window_tokens": 5})
    [kept] = env.memory.items("episodic").values()
    assert CHUNKS[2].endswith(kept)
    assert 1 <= count(kept) <= 5
    env, _, _ = played(LongContext, memory_budget=5)
    assert list(env.memory.items("episodic").values()) == [kept]


def test_the_reader_is_given_the_whole_window_in_order() -> None:
    chat, _ = scripted_chat([])
    whole = {"budget_tokens": 30_000, "top_k": 100_000, "order": "sequence"}
    assert settings_for(LongContext, {"reader": "llm"})["reader_options"] == whole
    small = settings_for(LongContext(chat, window_tokens=64), {"reader": "llm"})
    assert small["reader_options"] == {**whole, "budget_tokens": 64}
    assert not settings_for(LongContext(chat), {"reader": "verbatim"}).get("reader_options")


def test_long_context_answers_from_the_whole_window_in_reading_order() -> None:
    replies: list[Reply] = ["<think>hm</think>Lund", "Alder Hall", r"\boxed{7}"]
    _, result, backend = played(LongContext, replies, answer_mode="agent")
    assert result.score == 1.0
    first, second, _ = map(prompt_text, backend.requests)
    assert CHUNKS[0] in first  # asked after the first chunk
    assert CHUNKS[1] not in first
    places = [second.index(chunk) for chunk in CHUNKS]
    assert places == sorted(places)
    assert second.endswith("Question: Answer briefly.\nWhere does Ben Holm work?")


def test_a_question_in_mid_stream_does_not_hide_a_chunk_from_the_window() -> None:
    window = count(CHUNKS[1]) + count(CHUNKS[2])
    env, _, _ = played(
        LongContext, lambda _: "x", options={"window_tokens": window}, answer_mode="agent"
    )
    assert tuple(env.memory.items("episodic").values()) == CHUNKS[1:]


def test_a_window_that_does_not_fit_the_model_loses_its_oldest_text() -> None:
    chunks = tuple(" ".join(f"{letter}{n}" for n in range(50)) for letter in "abc")
    questions = (Question("Which?", ("c49",)), Question("And which?", ("c48",)))
    episode = Episode("e", "e", "accurate_retrieval", chunks, questions)

    def window(request: ChatRequest) -> str:
        return str(request.messages[1]["content"]).split("\n\nQuestion")[0]

    def fits(request: ChatRequest) -> Reply:
        return ContextLengthError("too long") if " a45" in window(request) else "c49"

    _, result, backend = played(LongContext, fits, episode=episode, answer_mode="agent")
    shown = [window(request) for request in backend.requests]
    assert result.score == 0.5
    assert all(text.endswith("c49") for text in shown)
    sizes = list(map(len, shown))
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    # What fitted the first question is what the second begins with.
    assert [" a45" in text for text in shown] == [True] * (len(shown) - 2) + [False, False]
    assert shown[-1] == shown[-2]
    total = sum(map(count, chunks))
    for text, tokens in zip(shown, (total, total * 7 // 8, total * 7 // 8 * 7 // 8), strict=False):
        items = [line.partition(". ")[2] for line in text.splitlines()[1:]]
        assert tokens - 2 <= sum(map(count, items)) <= tokens  # a word may not be cut in two
        assert "".join(chunks).endswith("".join(items))
    assert result.metrics["memory_tokens"] == total  # the memory itself is as it was


def test_an_answer_that_never_fits_is_a_failure_not_a_text() -> None:
    _, result, backend = played(
        LongContext, lambda _: ContextLengthError("no"), answer_mode="agent", turns_per_chunk=1
    )
    assert result.score == 0.0
    assert [answer["prediction"] for answer in result.answers] == ["", "", ""]
    assert result.usage["agent"].failures == len(backend.requests)
    assert "(no notes)" in prompt_text(backend.requests[-1])


# ------------------------------------------------------------------ rag


def test_rag_reads_exactly_the_two_best_chunks() -> None:
    env, result, _ = played(RAG, episode=stalls())
    assert tuple(env.memory.items("semantic").values()) == stalls().chunks
    [answer] = result.answers
    assert list(answer["memory_ids"]) == ["s3", "s1"]
    assert answer["prediction"] == f"{stalls().chunks[2]}\n{stalls().chunks[0]}"


def test_rag_is_the_chunks_baseline_with_the_same_reader() -> None:
    for number in range(2):
        _, result, _ = played(RAG, episode=number)
        baseline = BASELINES["chunks"]()
        other = play_episode(baseline, environment_for(baseline, **SMALL), number, seed=1)
        assert {**result.record(), "agent": "chunks"} == other.record()


@pytest.mark.parametrize(("top_k", "ids"), [(1, ["s3"]), (3, ["s3", "s1", "s2"])])
def test_top_k_reaches_the_reader_and_the_own_model(top_k: int, ids: list[str]) -> None:
    _, result, _ = played(RAG, episode=stalls(), options={"top_k": top_k})
    assert list(result.answers[0]["memory_ids"]) == ids
    _, result, backend = played(
        RAG, ["Cleo"], episode=stalls(), options={"top_k": top_k}, answer_mode="agent"
    )
    assert result.score == 1.0
    expected = "\n".join(
        f"{place}. {stalls().chunks[int(item[1]) - 1]}" for place, item in enumerate(ids, 1)
    )
    notes = backend.requests[0].messages[1]["content"].split("\n\nQuestion")[0]
    assert notes == f"Notes:\n{expected}"


def test_rag_under_the_language_model_reader() -> None:
    chat, _ = scripted_chat([])
    settings = settings_for(RAG(chat, top_k=5), {"reader": "llm", "reader_options": {"x": 1}})
    assert settings["reader_options"] == {"x": 1, "top_k": 5, "budget_tokens": 30_000}
    assert not settings_for(RAG(chat, top_k=5), {"reader": "another"}).get("reader_options")


def test_rag_retrieves_with_the_bare_question() -> None:
    episode = Episode(
        "e", "e", "accurate_retrieval",
        ("Answer me briefly. Be brief.", "The mill stands in Lund.", "It rained.", "It snowed."),
        (Question("Where is the mill?", ("Lund",)),),
        {"question_preface": "Answer briefly."},
    )  # fmt: skip
    _, _, backend = played(
        RAG, ["Lund"], episode=episode, options={"top_k": 1}, answer_mode="agent"
    )
    assert "The mill stands in Lund." in prompt_text(backend.requests[0])
    assert "brief." not in prompt_text(backend.requests[0])


def test_rag_leaves_out_the_worse_chunks_then_the_end_of_the_best() -> None:
    best = stalls().chunks[2]

    def fits(request: ChatRequest) -> Reply:
        return ContextLengthError("no") if best in prompt_text(request) else "Cleo"

    _, _, backend = played(RAG, fits, episode=stalls(), answer_mode="agent")
    notes = [request.messages[1]["content"].split("\n\nQ")[0] for request in backend.requests]
    half = get_counter().head(best, count(best) // 2)
    assert notes == [
        f"Notes:\n1. {best}\n2. {stalls().chunks[0]}",
        f"Notes:\n1. {best}",
        f"Notes:\n1. {half}",
    ]


# ------------------------------------------------------------------ closed_book


def test_closed_book_writes_and_reads_nothing() -> None:
    env, result, _ = played(ClosedBook)
    assert len(env.memory) == 0
    assert (result.score, result.calls) == (0.0, 0)


def test_closed_book_asks_its_model_the_question_and_shows_nothing_else() -> None:
    _, result, backend = played(ClosedBook, ["Lund", "Oslo", r"\boxed{7}"], answer_mode="agent")
    assert result.score == pytest.approx(2 / 3)
    assert [request.messages[1]["content"] for request in backend.requests] == [
        f"Answer briefly.\n\n{question.question}" for question in village().questions
    ]
    assert all(
        request.messages[0]["content"] in ClosedBook.answer_prompts.values()
        for request in backend.requests
    )


# ------------------------------------------------------------------ options


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "2", None])
def test_options_are_checked(value: object) -> None:
    chat, _ = scripted_chat([])
    with pytest.raises(UsageError, match="rag: top_k must be an integer of at least 1"):
        RAG(chat, top_k=value)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="long_context: window_tokens must be an integer"):
        LongContext(chat, window_tokens=value)  # type: ignore[arg-type]


def test_replies_are_never_taken_over_from_a_failed_call() -> None:
    _, result, _ = played(ClosedBook, [ChatReply("<think>endless")] * 3, answer_mode="agent",
                          turns_per_chunk=1)  # fmt: skip
    assert [answer["prediction"] for answer in result.answers] == ["", "", ""]
