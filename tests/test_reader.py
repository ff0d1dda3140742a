"""Retrieval for the reader and the verbatim reader's five ways to answer."""

import pytest

from memgym.episode import QuestionKind
from memgym.errors import UsageError
from memgym.memory import Memory
from memgym.reader import (
    ReaderAnswer,
    ReaderQuestion,
    VerbatimReader,
    make_reader,
    proper_names,
    retrieve,
)
from memgym.text import format_example


def ask(memory: Memory, question: str, kind: QuestionKind = "text", **options: int) -> ReaderAnswer:
    return VerbatimReader(**options).answer([ReaderQuestion(question, kind)], memory)[0]


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.update("core", "Notes about a village.")
    memory.insert("semantic", "Ada keeps bees behind the mill.")
    memory.insert("semantic", "Ben bakes rye bread.")
    memory.insert("semantic", "Cleo paints doors.")
    memory.insert("episodic", "On 3 May 2031 Ada sold the bees.")
    memory.insert("episodic", "On 4 May 2031 it rained.")
    return memory


def test_lists_are_interleaved_by_rank(memory: Memory) -> None:
    found = retrieve(memory, "Where does Ada keep bees?", top_k=2, budget_tokens=1_000)
    assert [item.memory_id for item in found] == ["s1", "e1", "s2", "e2"]


def test_the_budget_cuts_the_last_item(memory: Memory) -> None:
    tokens = memory.item_tokens("semantic", "s1")
    found = retrieve(memory, "Where does Ada keep bees?", top_k=5, budget_tokens=tokens + 3)
    assert [item.memory_id for item in found] == ["s1", "e1"]
    assert found[1].content == "On 3"[: len(found[1].content)] or found[1].content.startswith(
        "On 3"
    )
    assert memory.counter.count(found[1].content) <= 3


def test_text_answers_show_the_core_beside_the_budget(memory: Memory) -> None:
    answer = ask(memory, "Where does Ada keep bees?", budget_tokens=7, top_k=1)
    assert answer.text.startswith("Notes about a village.\nAda keeps bees")
    assert answer.shown[0] == "Notes about a village."
    assert answer.memory_ids == ("s1",)


def test_an_empty_memory_answers_nothing() -> None:
    for kind in ("text", "label", "keywords", "order", "state"):
        answer = ask(Memory(), "Where is Ada?", kind)
        assert (answer.text, answer.shown, answer.failed) == ("", (), False)


def test_order_answers_follow_the_memory_not_the_ranking() -> None:
    memory = Memory()
    for text in ("Ada saw the mill.", "Rain fell.", "Ada saw Ada's bees, Ada did."):
        memory.insert("semantic", text)
    ranked = ask(memory, "When did Ada see Ada's bees?")
    ordered = ask(memory, "When did Ada see Ada's bees?", "order")
    assert ranked.memory_ids[0] == "s3"
    assert ordered.memory_ids == ("s1", "s2", "s3")


def test_labels_are_voted_by_the_retrieved_examples() -> None:
    memory = Memory()
    memory.insert("semantic", format_example("my card is lost", "7"))
    memory.insert("semantic", format_example("my card has vanished", "7"))
    memory.insert("semantic", format_example("the exchange rate is wrong", "9"))
    assert ask(memory, "my card vanished", "label").text == r"\boxed{7}"
    assert ask(memory, "exchange rate", "label").text == r"\boxed{9}"


def test_examples_in_the_core_vote_too() -> None:
    memory = Memory()
    memory.update("core", format_example("anything", "3"))
    assert ask(memory, "something", "label").text == r"\boxed{3}"


@pytest.fixture
def moves() -> Memory:
    memory = Memory()
    for text in (
        "From 5 March 2031 on, Mara Lindqvist works in Alder Hall.",
        "From 9 June 2031 on, Mara Lindqvist works in Birch House.",
        "Mara Lindqvist still dreams of Cedar Court.",
        "From 1 July 2031 on, Mara Holm works in Dogwood Lodge.",
    ):
        memory.insert("semantic", text)
    return memory


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("Where does Mara Lindqvist work now?", "Birch House"),
        ("Where did Mara Lindqvist work on 8 June 2031?", "Alder Hall"),
        ("Where did Mara Lindqvist work on 9 June 2031?", "Birch House"),
        ("Where does Mara Holm work?", "Dogwood Lodge"),
    ],
)
def test_states_resolve_by_subject_and_date(moves: Memory, question: str, place: str) -> None:
    assert place in ask(moves, question, "state").text


def test_a_state_before_the_first_record_is_unknown(moves: Memory) -> None:
    assert ask(moves, "Where did Mara Lindqvist work on 1 March 2031?", "state").text == ""


def test_undated_states_go_by_order_of_writing() -> None:
    memory = Memory()
    memory.insert("semantic", "Mara works in Alder Hall.")
    memory.insert("semantic", "Mara works in Birch House.")
    memory.insert("semantic", "Otto works in Cedar Court.")
    assert "Birch" in ask(memory, "Where does Mara work now?", "state").text


def test_names_are_whole_words_with_their_numbers() -> None:
    memory = Memory()
    memory.insert("semantic", "Garden 8 belongs to Ann.")
    memory.insert("semantic", "Garden 48 belongs to Annabel.")
    memory.insert("semantic", "Garden 80 belongs to Bea.")
    assert "Annabel" not in ask(memory, "Who owns Garden 8?", "state").text
    assert ask(memory, "What does Ann own?", "state").text == "Garden 8 belongs to Ann."


def test_proper_names() -> None:
    question = "Where was Mara Lindqvist's office on 3 April 2031, and In which City?"
    assert proper_names(question) == ["Mara", "Lindqvist", "City"]


@pytest.mark.parametrize(
    "question",
    [
        "Before 5 May 2031, where did Ann Berg live?",
        "After Monday, where did Ann Berg live?",
        "Until when did Ann Berg live there?",
        "Since 5 May 2031, where does Ann Berg live?",
        "During June, where did Ann Berg live?",
        "Currently, where does Ann Berg live?",
        "Today, where does Ann Berg live?",
        "Now where does Ann Berg live?",
        "At present, where does Ann Berg live?",
        "The town of Ann Berg on Wednesday: Which is It?",
    ],
)
def test_the_words_a_sentence_begins_with_name_nobody(question: str) -> None:
    assert proper_names(question) == ["Ann", "Berg"]


def test_a_question_that_begins_with_a_preposition_finds_its_subject() -> None:
    memory = Memory()
    memory.insert("semantic", "From 1 April 2031 on, Ann Berg lives in Lund.")
    memory.insert("semantic", "From 9 June 2031 on, Ann Berg lives in Ystad.")
    memory.insert("semantic", "From 2 April 2031 on, Bo Berg lives in Malmo.")
    assert "Lund" in ask(memory, "Before 5 May 2031, where did Ann Berg live?", "state").text


def test_order_answers_follow_the_insertions_across_stores() -> None:
    memory = Memory()
    for store, text in (
        ("episodic", "Ada saw the mill."),
        ("semantic", "Ada saw the bees."),
        ("episodic", "Ada saw the lake."),
    ):
        memory.insert(store, text)
    assert ask(memory, "What did Ada see?", "order").memory_ids == ("e1", "s1", "e2")


def test_the_later_inserted_wins_across_stores() -> None:
    memory = Memory()
    memory.insert("semantic", "Rain fell.")
    memory.insert("semantic", "Mara works in Alder Hall.")
    memory.insert("episodic", "Mara works in Birch House.")
    assert "Birch" in ask(memory, "Where does Mara work now?", "state").text


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("verbatim", {"budget_token": 3}, '"budget_token": did you mean "budget_tokens"'),
        ("verbatim", {"x": 3}, 'has no option "x": Valid: budget_tokens, top_k'),
        ("verbatm", {}, 'did you mean "verbatim"'),
        ("verbatim", {"budget": 3}, "budget"),
        ("verbatim", {"budget_tokens": 0}, "at least 1, got 0"),
        ("verbatim", {"top_k": 2.5}, "integer"),
    ],
)
def test_bad_readers_are_explained(name: str, options: dict[str, int], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        make_reader(name, **options)
