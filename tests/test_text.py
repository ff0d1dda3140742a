"""Sentences, labelled examples and dates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.text import (
    find_dates,
    format_example,
    labelled_examples,
    split_sentences,
    strip_dates,
)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith met Mr. Poe. They left.", ["Dr. Smith met Mr. Poe.", "They left."]),
        ("J. R. R. Tolkien wrote it. Yes.", ["J. R. R. Tolkien wrote it.", "Yes."]),
        ("It cost 3.5 million. 2 were left.", ["It cost 3.5 million.", "2 were left."]),
        ('"Stop." She ran. (He too.) End', ['"Stop."', "She ran.", "(He too.)", "End"]),
        ("e.g. this one. fine", ["e.g. this one. fine"]),
        ("line one\nline two. And three.", ["line one", "line two.", "And three."]),
        ("你好。世界！再见", ["你好。", "世界！", "再见"]),
        ("", []),
        (" \n \t", []),
    ],
)
def test_split_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_a_labelled_example_stays_one_sentence() -> None:
    example = format_example("Where is it? I lost\nit.", "17")
    assert example == "Sentence: Where is it? I lost it.\nLabel: 17"
    text = f"User: here are some. Two.\n{example}\n{example}\nThanks."
    assert split_sentences(text) == ["User: here are some.", "Two.", example, example, "Thanks."]


def test_a_label_line_joins_the_sentence_before_it() -> None:
    assert split_sentences("One. Two.\nLabel: 3\nLabel: 4") == ["One.", "Two.\nLabel: 3\nLabel: 4"]
    assert split_sentences("Label: 3\nOne.") == ["Label: 3", "One."]
    twice = "Sentence: It is lost. What now?\nLabel: 3\nLabel: 4"
    assert split_sentences(twice) == [twice]


def test_an_example_on_one_line_stays_one_sentence() -> None:
    example = "Sample: It helped. The dose was low .; Labels: 3"
    assert split_sentences(f"{example}\n{example}\nBye.") == [example, example, "Bye."]


@given(st.text(alphabet=st.sampled_from("abc .!?\n。\"'(A1:"), max_size=120))
def test_splitting_loses_nothing_but_white_space(text: str) -> None:
    joined = "".join(split_sentences(text))
    assert "".join(joined.split()) == "".join(text.split())


@given(
    st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40),
    st.integers(0, 999),
)
def test_examples_survive_writing_and_reading(text: str, label: int) -> None:
    written = f"[Conversation]\nUser: note\n{format_example(text, str(label))}\nAssistant: ok"
    assert labelled_examples(written) == [(text, str(label))]


def test_published_example_shapes_are_read() -> None:
    published = "Sample: aspirin helped; Labels: 3\nSentence: what is it\nLabel: 12\n"
    assert labelled_examples(published) == [("aspirin helped", "3"), ("what is it", "12")]


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("on 5 March 2031", ["2031-03-05"]),
        ("on March 5, 2031 and March 6th 2031", ["2031-03-05", "2031-03-06"]),
        ("[Conversation of 2031-03-05 09:30]", ["2031-03-05"]),
        ("the 1st january 1999", ["1999-01-01"]),
        ("2031-13-05 and 40 March 2031", []),
        ("may 5 or 12345-01-02", []),
    ],
)
def test_find_dates(text: str, dates: list[str]) -> None:
    assert find_dates(text) == dates


def test_strip_dates() -> None:
    assert strip_dates("Where on 3 May 2031 was it?").split() == ["Where", "on", "was", "it?"]
