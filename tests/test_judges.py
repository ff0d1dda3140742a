"""Judges with a language model: what they see, one word as a verdict, what happens when none comes.

The model is scripted; that a judge can be chosen, and that without one nothing changes, is real.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.chat import (
    ChatRequest,
    ContextLengthError,
    RefusedError,
    ServerError,
    close_backends,
)
from memgym.agents.judges import CONTENT_PROMPT, LLMAnswerJudge, LLMContentJudge
from memgym.envs.grading import question_facts
from memgym.envs.mem_alpha import MemAlphaEnv
from memgym.episode import Episode, Question, QuestionKind
from memgym.errors import UsageError
from memgym.memory import Memory
from memgym.quality import RuleJudge, WrittenItem
from memgym.scoring import ExactJudge, GivenAnswer
from memgym.tasks.histories import ABSTENTION_ANSWERS
from tests.chat_server import ChatServer
from tests.episodes import CHUNKS, village
from tests.frozen import serve
from tests.scripted import Reply, prompt_text

MODEL: dict[str, Any] = {"model": "some-model"}
LUND = "On 3 May 2031 Ada Holm opened a bakery in Lund."
OVEN = "Ada Holm's bakery has an oven."


@pytest.fixture(autouse=True)
def _cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path / "cache"))


def insert(content: str, memory_type: str = "semantic") -> dict[str, Any]:
    arguments = {"memory_type": memory_type, "content": content}
    return {"name": "new_memory_insert", "arguments": arguments}


def update(memory_id: str, content: str) -> dict[str, Any]:
    arguments = {"memory_type": "semantic", "memory_id": memory_id, "new_content": content}
    return {"name": "memory_update", "arguments": arguments}


# ---------------------------------------------------------------------- written items


def village_memory() -> Memory:
    memory = Memory()
    for text in (LUND, OVEN, "Ben Holm works in Alder Hall."):
        memory.insert("semantic", text)
    memory.insert("episodic", "On 3 May 2031 the weather in Lund was fine.")
    return memory


def test_a_judge_sees_chunk_item_what_it_replaced_and_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(monkeypatch, ["valid", "invalid"])
    items = [
        WrittenItem("semantic", LUND, "s1", "Ada Holm bakes."),
        WrittenItem("episodic", "On 3 May 2031 the weather in Lund was fine.", "e1"),
    ]
    assert LLMContentJudge(**MODEL).judge(items, CHUNKS[0], village_memory()) == [True, False]
    assert server.sizes == [2]
    system, user = server.requests[0].messages
    assert system["content"] == CONTENT_PROMPT
    assert user["content"] == (
        f"Piece:\n{CHUNKS[0]}\n\n"
        f"Closest other semantic notes:\n- {OVEN}\n- Ben Holm works in Alder Hall.\n\n"
        "Replaced note:\nAda Holm bakes.\n\n"
        f"Note of the kind semantic:\n{LUND}"
    )
    other = prompt_text(server.requests[1])
    assert "Closest other episodic notes:\n(none)" in other
    assert "Replaced" not in other
    assert server.requests[0].choices == ("valid", "invalid")
    assert server.requests[0].temperature == 0.0


def test_the_core_has_no_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, ["valid"])
    item = WrittenItem("core", "Ada Holm of Lund")
    assert LLMContentJudge(**MODEL).judge([item], CHUNKS[0], village_memory()) == [True]
    assert "core notes:\n(none)" in prompt_text(server.requests[0])


def test_at_most_ten_neighbours_are_shown_and_fewer_if_they_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def narrow(request: ChatRequest) -> Reply:
        count = prompt_text(request).split("notes:\n")[1].count("\n- ") + 1
        return ContextLengthError("too long") if count > 3 else "valid"

    server = serve(monkeypatch, narrow)
    memory = Memory()
    for number in range(14):
        memory.insert("semantic", f"Ada keeps hive number {number}.")
    item = WrittenItem("semantic", "Ada keeps hive number 3.", "s4")
    judge = LLMContentJudge(**MODEL)
    assert judge.judge([item], "Ada keeps bees.", memory) == [True]
    shown = [text.split("notes:\n")[1].count("- ") for text in map(prompt_text, server.requests)]
    assert shown == [10, 5, 2]
    assert (judge.usage.calls, judge.usage.failures) == (1, 2)
    gone = WrittenItem("semantic", "Ada keeps hive number 30.", "s30")
    judge.judge([gone], "Ada keeps bees.", memory)
    assert prompt_text(server.requests[3]).split("notes:\n")[1].count("- ") == 10


@pytest.mark.parametrize(
    "reply",
    [
        "", "It is not valid.", "VALID", "<think>valid",
        ContextLengthError("too long"), RefusedError("filtered"),
    ],
)  # fmt: skip
def test_no_verdict_is_invalid_and_a_failure(monkeypatch: pytest.MonkeyPatch, reply: Reply) -> None:
    serve(monkeypatch, ["valid", reply])
    judge = LLMContentJudge(**MODEL)
    items = [WrittenItem("core", "Ada Holm of Lund"), WrittenItem("core", "Ben Holm of Lund")]
    assert judge.judge(items, CHUNKS[0], Memory()) == [True, False]
    assert judge.usage.failures == 1


def test_r4_of_an_episode_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(
        monkeypatch,
        lambda request: "invalid" if "semantic:\nIt rained" in prompt_text(request) else "valid",
    )
    env = MemAlphaEnv(content_judge="llm", content_judge_options=MODEL, answer_judge="exact")
    env.reset(seed=0, options={"episode": village()})
    *_, info = env.step([insert(LUND), insert(LUND), insert("It rained."), insert("x", "korr")])
    # valid, skipped, invalid, no such memory type: one of four
    assert info["reward_terms"]["content"] == 0.25
    assert server.sizes == [2]
    assert [prompt_text(request).count(LUND) for request in server.requests] == [2, 2]
    *_, info = env.step(())
    assert info["reward_terms"]["content"] == 1.0  # nothing to store, nobody asked
    assert server.sizes == [2]
    _, reward, _, _, info = env.step([update("s1", OVEN)])
    assert info["reward_terms"]["content"] == 1.0
    assert f"Replaced note:\n{LUND}" in prompt_text(server.requests[-1])
    terms = info["reward_terms"]
    rest = terms["correctness"] + 0.05 * terms["compression"] + terms["format"] / 3
    assert reward == pytest.approx(rest + 0.1 * 1.0 / 3)
    assert isinstance(env.content_judge, LLMContentJudge)
    assert env.content_judge.usage.calls == 3


def test_the_rules_and_the_table_judge_unless_told_otherwise() -> None:
    env = MemAlphaEnv()
    assert isinstance(env.content_judge, RuleJudge)
    assert isinstance(env.answer_judge, ExactJudge)
    env.reset(seed=0, options={"episode": village()})
    *_, info = env.step([insert(LUND), insert("Quantum chromodynamics explains hadrons.")])
    assert info["reward_terms"]["content"] == 0.5


# ---------------------------------------------------------------------- answers


def given(
    text: str, question_type: str = "", kind: QuestionKind = "text", **fields: Any
) -> GivenAnswer:
    question = Question("How long did she stay?", fields.pop("golds", ("five weeks",)), kind)
    return GivenAnswer(question, text, question_type=question_type, **fields)


def test_free_answers_go_to_the_model_in_one_batch_the_others_to_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(monkeypatch, ["correct", "incorrect"])
    judge = LLMAnswerJudge(**MODEL)
    scores = judge.score(
        [
            given("about a month and a week"),
            given(r"\boxed{7}", kind="label", golds=("7",)),
            given("five weeks, I know now"),  # holds the gold, and a "no" [M5]
            given("bees and a mill", kind="keywords", golds=("bees", "mill", "door", "oven")),
            given("Ada then Ben", kind="order", golds=("Ada", "Ben")),
            given("five weeks", kind="state"),
        ]
    )
    assert scores == [1.0, 1.0, 0.0, 0.5, 1.0, 1.0]
    assert server.sizes == [2]
    assert server.requests[0].choices == ("correct", "incorrect")


def test_a_judge_is_shown_question_golds_and_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, ["correct"])
    LLMAnswerJudge(**MODEL).score([given("a month", golds=("five weeks", "35 days"))])
    assert server.requests[0].messages[1]["content"] == (
        "Question: How long did she stay?\n\nRight: five weeks | 35 days\n\nAnswer: a month"
    )


@pytest.mark.parametrize(
    ("question_type", "telling"),
    [
        ("temporal-reasoning", "off by one"),
        ("temporal", "off by one"),
        ("knowledge-update", "changed over time"),
        ("single-session-preference", "would like an answer to take into account"),
        ("abstention", "cannot be answered"),
        ("adversarial", "cannot be answered"),
        ("single-session-user", "several\nalternatives"),
        ("multi-hop", "several\nalternatives"),
        ("", "several\nalternatives"),
    ],
)
def test_every_question_type_has_its_rubric(
    monkeypatch: pytest.MonkeyPatch, question_type: str, telling: str
) -> None:
    server = serve(monkeypatch, ["correct"])
    LLMAnswerJudge(**MODEL).score([given("a month", question_type)])
    shown = prompt_text(server.requests[0])
    tells = ["off by one", "changed over time", "take into account", "cannot be answered"]
    assert telling in shown
    assert sum(tell in shown for tell in tells) == (telling != "several\nalternatives")


def test_a_free_gold_is_judged_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, ["correct"])
    wish = "The user would prefer tips on a red kayak."
    answer = given(
        "Take the kayak.", "single-session-preference", "keywords", golds=("red kayak",),
        reference=wish,
    )  # fmt: skip
    assert LLMAnswerJudge(**MODEL).score([answer]) == [1.0]
    assert f"Right: {wish}\n" in prompt_text(server.requests[0])


def test_only_the_sources_that_are_named_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, ["correct"])
    judge = LLMAnswerJudge(["longmemeval"], **MODEL)
    answers = [given("a month", source="squad"), given("a month", source="longmemeval")]
    assert judge.score(answers) == [0.0, 1.0]
    assert server.sizes == [1]


@pytest.mark.parametrize(
    "reply", ["", "Correct!", ContextLengthError("too long"), RefusedError("filtered")]
)
def test_without_a_verdict_an_answer_scores_nothing(
    monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    serve(monkeypatch, [reply])
    judge = LLMAnswerJudge(**MODEL)
    assert judge.score([given("five weeks")]) == [0.0]
    assert judge.usage.failures == 1


def test_a_server_that_ignores_choices_gives_no_verdict_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    said = {"month": "Yes, that is correct.", "week": '{"choice": "correct"}'}
    with ChatServer(lambda body: said[body["messages"][1]["content"].split()[-1]]) as server:
        judge = LLMAnswerJudge(**MODEL, base_url=server.base_url)
        assert judge.score([given("a month"), given("a week")]) == [0.0, 1.0]
        close_backends()
    assert len(server.bodies) == 3  # what is none of the choices is asked for once more
    assert (judge.usage.calls, judge.usage.retries, judge.usage.failures) == (2, 1, 1)


def test_a_verdict_that_is_none_is_asked_for_again_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for reply, score in (("Correct!", 0.0), ("correct", 1.0), ("", 1.0)):
        serve(monkeypatch, [reply])
        assert LLMAnswerJudge(**MODEL).score([given("five weeks")]) == [score]


def test_verdicts_are_kept_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [given("a month"), given("five weeks"), given("a month", "temporal")]
    serve(monkeypatch, ["correct", "incorrect", "incorrect"])
    first = LLMAnswerJudge(**MODEL).score(answers)
    server = serve(monkeypatch, ())
    judge = LLMAnswerJudge(**MODEL)
    assert judge.score(answers) == first == [1.0, 0.0, 0.0]
    assert server.sizes == []
    assert judge.usage.from_disk == 3


def test_a_judge_that_cannot_be_reached_gives_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, [ServerError("no connection"), ServerError("no connection")])
    with pytest.raises(ServerError):
        LLMAnswerJudge(**MODEL).score([given("five weeks")])
    item = WrittenItem("core", "Ada Holm of Lund")
    with pytest.raises(ServerError):
        LLMContentJudge(**MODEL).judge([item], CHUNKS[0], Memory())


# ---------------------------------------------------------------------- answers in an episode


def history() -> Episode:
    """Return an episode whose metadata say of what type its questions are."""
    return Episode(
        id="history/0",
        source="history",
        ability="accurate_retrieval",
        chunks=("Ada moved to Lund on 3 May.", "Ada moved to Ystad on 9 June."),
        questions=(
            Question("When did she move first?", ("3 May",), asked_after=0),
            Question("Who came along?", ABSTENTION_ANSWERS),
            Question("Where does Ada live?", ("Ystad",)),
        ),
        metadata={
            "question_types": ["temporal-reasoning", "single-session-user", "knowledge-update"],
            "question_ids": ["q1", "q2_abs", "q3"],
            "reference_answers": ["3 May", "You did not say.", ""],
        },
    )


def test_an_episode_is_judged_by_its_question_types(monkeypatch: pytest.MonkeyPatch) -> None:
    def verdict(request: ChatRequest) -> Reply:
        text = prompt_text(request)
        right = {"off by one": "4 May", "cannot be answered": "nobody knows", "changed": "Ystad"}
        (gold,) = [gold for telling, gold in right.items() if telling in text]
        return "correct" if f"Answer: {gold}" in text else "incorrect"

    server = serve(monkeypatch, verdict)
    settings: dict[str, Any] = {"answer_mode": "agent", "turns_per_chunk": 1}
    env = MemAlphaEnv(answer_judge="llm", answer_judge_options=MODEL, **settings)
    env.reset(seed=0, options={"episode": history()})
    env.step(())
    env.step([{"name": "answer", "arguments": {"text": "4 May"}}])
    env.step(())
    env.step([{"name": "answer", "arguments": {"text": "nobody knows"}}])
    *_, info = env.step([{"name": "answer", "arguments": {"text": ""}}])
    assert [answer["score"] for answer in info["answers"]] == [1.0, 1.0, 0.0]
    assert server.sizes == [1, 1]  # an empty answer needs no judge
    assert "Right: You did not say.\n" in prompt_text(server.requests[1])
    assert isinstance(env.answer_judge, LLMAnswerJudge)
    assert env.answer_judge.usage.calls == 2


def test_facts_follow_their_questions_when_an_episode_is_cut() -> None:
    whole = history()
    cut = dataclasses.replace(whole, questions=whole.questions[1:])
    facts = question_facts(whole, cut.questions)
    assert [fact.question_type for fact in facts] == ["abstention", "knowledge-update"]
    assert [fact.reference for fact in facts] == ["You did not say.", ""]
    short = dataclasses.replace(whole, metadata={"question_types": ["temporal"]})
    assert [fact.question_type for fact in question_facts(short, whole.questions)] == [""] * 3


def test_a_cut_episode_is_judged_by_the_same_types(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, lambda request: "correct")
    late = dataclasses.replace(history().questions[0], asked_after=1)
    episode = dataclasses.replace(history(), questions=(late, *history().questions[1:]))
    env = MemAlphaEnv(answer_judge="llm", answer_judge_options=MODEL)
    env.reset(seed=0, options={"episode": episode, "max_chunks": 1})
    env.step([insert("Ada moved.")])
    shown = [prompt_text(request) for request in server.requests]
    assert "cannot be answered" in shown[0]
    assert "changed over time" in shown[1]


def test_answers_of_the_reader_are_judged_in_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(monkeypatch, lambda request: "correct")
    env = MemAlphaEnv(answer_judge="llm", answer_judge_options=MODEL)
    env.reset(seed=0, options={"episode": history()})
    env.step([insert("Ada moved.")])
    *_, info = env.step(())
    assert server.sizes == [1, 2]
    assert info["metrics"]["correctness"] == 1.0
    assert {answer["cause"] for answer in info["answers"]} == {""}


# ---------------------------------------------------------------------- choosing them


class HalfJudge:
    """A user's own judge of answers and of items."""

    name = "half"

    def score(self, answers: Sequence[GivenAnswer]) -> list[float]:
        return [0.5] * len(answers)

    def judge(self, items: Sequence[WrittenItem], chunk: str, memory: Memory) -> list[bool]:
        return [number % 2 == 0 for number in range(len(items))]


def test_judges_of_ones_own() -> None:
    mine = "tests.test_judges:HalfJudge"
    env = MemAlphaEnv(answer_judge=mine, content_judge=mine)
    env.reset(seed=0, options={"episode": village()})
    *_, info = env.step([insert("x y z"), insert("u v w")])
    assert info["reward_terms"]["content"] == 0.5
    env.step(())
    *_, info = env.step(())
    assert info["answers"][0]["score"] == 0.5


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"answer_judge": "exakt"}, 'unknown answer judge "exakt": did you mean "exact"'),
        ({"content_judge": "rule"}, 'unknown content judge "rule": did you mean "rules"'),
        ({"content_judge": "llm", "content_judge_options": {"sources": []}}, 'no option "sources"'),
        ({"answer_judge_options": {"model": "m"}}, '"exact" has no option "model"'),
        (
            {"answer_judge": "llm", "answer_judge_options": {**MODEL, "sources": "squad"}},
            "must be a list of names, got 'squad'",
        ),
        ({"content_judge_options": 3}, "content_judge_options must be of type mapping"),
        (
            {"content_judge": "llm", "content_judge_options": {**MODEL, "api_key": "sk"}},
            "keys are no settings",
        ),
        ({"answer_judge": "tests.test_judges:history"}, 'no class "history"'),
    ],
)
def test_bad_judges_are_explained(settings: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        MemAlphaEnv(**settings)
