"""Each wrong answer gets the cause that is true."""

import pytest

from memgym.diagnosis import HeldTexts, diagnose
from memgym.episode import Evidence, Question
from memgym.text import format_example

FACT = "Ada Holm keeps her bees behind the old mill in Lund."
OTHER = "The fair in Lund was loud."
QUESTION = Question("Where are Ada's bees?", ("Lund",), evidence=(Evidence(0, FACT),))


def cause(
    question: Question, *, shown: list[str], held: list[str], removed: list[str] | None = None
) -> str:
    return diagnose(
        question,
        shown=HeldTexts(shown),
        held=HeldTexts(held),
        removed=HeldTexts(removed or []),
    )


@pytest.mark.parametrize(
    ("shown", "held", "removed", "expected"),
    [
        ([], [], [], "not_written"),
        ([OTHER], [OTHER], [], "not_written"),  # the gold in another sentence does not count
        ([], [], [FACT], "lost"),
        ([OTHER], [OTHER, FACT], [], "not_retrieved"),
        ([FACT], [FACT], [], "misread"),
        ([], [], ["Ada Holm: bees kept behind the old mill, Lund"], "lost"),  # a paraphrase
        ([], ["Ada Holm keeps her bees behind the old mill."], [], "not_written"),  # without gold
    ],
)
def test_causes(shown: list[str], held: list[str], removed: list[str], expected: str) -> None:
    assert cause(QUESTION, shown=shown, held=held, removed=removed) == expected


def test_every_hop_is_needed() -> None:
    one, two = "The lamp belongs to Ada Holm.", "Ada Holm works at the Larkfield dairy."
    question = Question(
        "Where does the lamp's owner work?",
        ("Larkfield dairy",),
        evidence=(Evidence(0, one), Evidence(3, two)),
    )
    assert cause(question, shown=[], held=[two]) == "not_written"
    assert cause(question, shown=[], held=[two], removed=[one]) == "lost"
    assert cause(question, shown=[two], held=[one, two]) == "not_retrieved"
    assert cause(question, shown=[f"{one} {two}"], held=[f"{one} {two}"]) == "misread"


def test_labels_count_only_as_labels() -> None:
    example = format_example("I lost 17 cards", "4")
    question = Question("cards lost", ("4",), "label", evidence=(Evidence(0, example),))
    assert cause(question, shown=[], held=["I lost 4 cards at 17 shops"]) == "not_written"
    assert cause(question, shown=[], held=[example]) == "not_retrieved"


def test_without_evidence_the_golds_decide() -> None:
    question = Question("Where?", ("Lund",))
    assert cause(question, shown=[], held=["nothing"]) == "not_written"
    assert cause(question, shown=["x"], held=["She is in Lund."]) == "not_retrieved"
    keywords = Question("What?", ("mill", "bees"), "keywords")
    assert cause(keywords, shown=[], held=["a mill"]) == "not_written"
    assert cause(keywords, shown=["a mill"], held=["a mill", "bees"]) == "not_retrieved"
    label = Question("x", ("4",), "label")
    assert cause(label, shown=[], held=["4 cards"]) == "not_written"
    assert cause(label, shown=[], held=[format_example("cards", "4")]) == "not_retrieved"


def test_any_alternative_gold_will_do() -> None:
    plain = Question("Where?", ("city of Lund", "Lund"))
    assert cause(plain, shown=["Lund"], held=["She is in Lund."]) == "misread"
    both = "Ada Holm keeps bees behind the old mill of Lund, the city of Lund."
    evident = Question("Where?", ("city of Lund", "Lund"), evidence=(Evidence(0, both),))
    assert cause(evident, shown=[], held=["Ada Holm's bees: mill, Lund"]) == "not_retrieved"
    keywords = Question("What?", ("Lund", "mill"), "keywords", evidence=(Evidence(0, both),))
    assert cause(keywords, shown=[], held=["Ada Holm keeps her bees in Lund"]) == "not_written"


def test_golds_are_found_by_the_scorers_rule() -> None:
    for gold, text in (("北京", "他住在北京市"), ("1990", "在1990年"), ("%", "about 5 %")):
        assert cause(Question("Which?", (gold,)), shown=[], held=[text]) == "not_retrieved"
        evident = Question("Which?", (gold,), evidence=(Evidence(0, text),))
        assert cause(evident, shown=[], held=[text]) == "not_retrieved"
        assert cause(evident, shown=[], held=["nothing of it"]) == "not_written"
    cut = Question("Which?", ("北京",), evidence=(Evidence(0, "Ada Holm 住在北京市"),))
    assert cause(cut, shown=[], held=["Ada Holm 住在上海市"]) == "not_written"


@pytest.mark.parametrize("form", ["Sentence: {}\nlabels: 4", "text: {}; Labels : 4"])
def test_labels_may_be_spelled_as_the_reader_reads_them(form: str) -> None:
    example = form.format("I lost 17 cards")
    question = Question("cards lost", ("4",), "label", evidence=(Evidence(0, example),))
    assert cause(question, shown=[], held=[format_example("I lost 17 cards", "4")]) == (
        "not_retrieved"
    )
    assert cause(question, shown=[], held=[format_example("I lost 4 cards", "17")]) == "not_written"
    bare = Question("cards lost", ("3", "4"), "label")
    assert cause(bare, shown=[], held=[example]) == "not_retrieved"
    assert cause(bare, shown=[], held=["Nobody gave the label 4 to it"]) == "not_written"
