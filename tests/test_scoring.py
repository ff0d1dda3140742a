"""The one scorer: each rule, and the published scorers' defects that it must not repeat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.episode import Question, QuestionKind
from memgym.scoring import (
    NormalisedText,
    boxed,
    contains,
    mean_score,
    normalise,
    score_answer,
    stating,
)


def question(kind: QuestionKind, *answers: str, distractors: tuple[str, ...] = ()) -> Question:
    return Question("Which one?", answers, kind, distractors=distractors)


@pytest.mark.parametrize(
    ("gold", "answer", "hit"),
    [
        ("Oslo", "She lives in OSLO.", True),
        ("3", "It was 13 or 33.", False),  # M7: no word boundaries
        ("no", "I know nothing now", False),
        ("US", "the bus used us", True),
        ("US", "the bus used", False),
        ("U.S.", "in the US", True),
        ("the Eiffel Tower", "Eiffel Tower!", True),
        ("1990", "from 1990-1995", True),
        ("1,000", "about 1000 people", True),
        ("3.5", "35", False),
        ("3.5", "It is 3.5.", True),
        ("don't", "dont", True),
        ("naïve", "NAÏVE", True),
        ("ﬁne", "fine", True),
        ("%", "about 5 %", True),
        ("The", "The", True),
        ("A", "the grade was A.", True),
        ("A", "the grade was B.", False),
        ("北京", "他住在北京市", True),
        ("1990", "在1990年", True),  # a boundary if either neighbour is of an unspaced script
        ("1990", "1990年", True),
        ("199", "在1990年", False),
        ("北京", "住在Peking北京", True),
        ("Peking", "住在Peking北京", True),
        ("Pek", "住在Peking北京", False),
        ("Ada Holm", "It was Ada Holm's bakery", True),  # a possessive s is no part of the name
        ("Ada Holm", "It was Ada Holm’s bakery", True),
        ("Ada Holm's", "It was Ada Holm´s bakery", True),
        ("Ada Holm's bakery", "ADA HOLM'S bakery", True),
        ("U.S.", "the U.S.'s laws", True),
        ("1971", "from 1971's summer on", True),
        ("1990s", "in the 1990's", True),
        ("Ada", "Adas bakery", False),
        ("don’t", "I don't", True),
        ("", "anything", True),
        ("New York", "new\nyork", True),
        ("rock-n-roll", "rock n roll", True),
    ],
)
def test_containment(gold: str, answer: str, hit: bool) -> None:
    assert contains(gold, answer) is hit


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("The U.S. paid $1,000.50 (3.5 %) to A. B. Holm_Berg, re-elected.",
         "us paid 1000.50 3.5 to b holm berg re elected"),
        ("1,00 and x.5, don't; 3.5.", "1 00 and x5 dont 3.5"),
        ("a\x00b", "b"),
        ("Straße, ÉTÉ – ½ ﬁne", "strasse été 1⁄2 fine"),
        ("the", "the"),
    ],
)  # fmt: skip
def test_normal_form(text: str, form: str) -> None:
    assert normalise(text) == form.replace("⁄", " ")


@given(st.lists(st.text()), st.sampled_from(["%", "a", "Ada", "1990", "北", "", "s"]))
def test_many_texts_are_judged_as_one_by_one(texts: list[str], gold: str) -> None:
    asked = [NormalisedText(f"{text}{gold}{text}") for text in texts]
    assert stating(gold, asked) == [text for text in asked if contains(gold, text.raw)]


def test_every_gold_counts_not_only_the_first() -> None:  # M4
    assert score_answer(question("text", "Paris", "Lutetia"), "It was Lutetia.") == 1.0


def test_an_empty_answer_scores_nothing() -> None:  # M15
    for kind in ("text", "label", "keywords", "order", "state"):
        assert score_answer(question(kind, "a b"), "") == 0.0
        assert score_answer(question(kind, "a b"), " \n") == 0.0


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (r"\boxed{43}", 1.0),
        (r"The label is \boxed{ 43 } I think", 1.0),
        (r'\boxed{"43"}', 1.0),
        ("43", 0.0),  # M3: strict for everybody
        ("label: 43", 0.0),
        (r"\boxed{4} or \boxed{43}", 0.0),  # the first box is the answer
        (r"\boxed{433}", 0.0),
    ],
)
def test_labels_are_strict(answer: str, score: float) -> None:
    assert score_answer(question("label", "43"), answer) == score


def test_boxed() -> None:
    assert boxed("none") is None
    assert boxed(r"\boxed {x}") == "x"


def test_keywords_are_a_hit_rate_in_any_case() -> None:  # M1, M2
    gold = question("keywords", "Anna", "the North Gate", "silver key", "Tuesday")
    assert score_answer(gold, "anna found the Silver Key at the north gate") == 0.75


@pytest.mark.parametrize(
    ("answer", "score"),
    [("a b c", 1.0), ("c b a", 0.0), ("a c b", 2 / 3), ("a b", 1 / 3), ("b", 0.0)],
)
def test_order_is_the_share_of_ordered_pairs(answer: str, score: float) -> None:
    names = {"a": "Ash", "b": "Birch", "c": "Cedar"}
    text = ", then ".join(names[letter] for letter in answer.split())
    assert score_answer(question("order", "Ash", "Birch", "Cedar"), text) == pytest.approx(score)
    assert score_answer(question("order", "Ash"), "an ash tree") == 1.0


def test_a_state_must_be_the_right_one_alone() -> None:
    gold = question("state", "Lund", distractors=("Oslo", "Bergen"))
    assert score_answer(gold, "She lives in Lund.") == 1.0
    assert score_answer(gold, "She moved from Oslo to Lund.") == 0.0
    assert score_answer(gold, "She lives in Oslo.") == 0.0


@given(st.sampled_from(["text", "label", "keywords", "order", "state"]), st.text(), st.text())
def test_scores_stay_in_range_and_never_raise(kind: QuestionKind, gold: str, answer: str) -> None:
    if gold.strip():
        score = score_answer(question(kind, gold, "other"), answer)
        assert 0.0 <= score <= 1.0


@given(st.text())
def test_normalising_twice_changes_nothing_for_containment(text: str) -> None:
    if normalise(text):
        assert contains(text, f"before {text} after")


def test_mean_score() -> None:
    assert mean_score([]) == 0.0
    assert mean_score([1.0, 0.0]) == 0.5
