"""Packing texts into chunks and the conversation around them."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.errors import UsageError
from memgym.tasks.chunking import check_sizes, conversation, pack, sentence_spans
from memgym.text import find_dates, format_example, split_sentences
from memgym.tokens import get_counter

_count = get_counter().count
_TEXTS = [
    f"Paragraph {i} begins here. " + f"It goes on about item {i}. " * (i % 7) for i in range(60)
]
_TEXTS = [text.strip() for text in _TEXTS]


def test_short_texts_stay_whole_and_in_order() -> None:
    chunks = list(pack(_TEXTS, random.Random(1), 50, 200))
    pieces = [piece for chunk in chunks for piece in chunk.pieces]
    assert [piece.text for piece in pieces] == _TEXTS
    assert [piece.source for piece in pieces] == list(range(len(_TEXTS)))


def test_chunk_sizes_vary_within_their_range() -> None:
    sizes = [_count(chunk.text) for chunk in pack(_TEXTS * 5, random.Random(1), 50, 200)]
    assert max(sizes) <= 200
    assert max(sizes) > 150
    assert min(sizes) < 90
    assert len(set(sizes)) > len(sizes) // 3


def test_the_same_seed_packs_the_same_chunks() -> None:
    first, again, other = (list(pack(_TEXTS, random.Random(s), 50, 200)) for s in (1, 1, 2))
    assert first == again != other


def test_a_long_text_is_split_between_sentences() -> None:
    text = " ".join(f"Sentence number {i} is about thing {i}." for i in range(100))
    pieces = [p.text for chunk in pack([text], random.Random(1), 50, 60) for p in chunk.pieces]
    assert len(pieces) > 10
    assert [s for piece in pieces for s in split_sentences(piece)] == split_sentences(text)
    assert all(_count(piece) <= 60 for piece in pieces)
    assert all(_count(piece) > 30 for piece in pieces[:-1])


def test_a_long_sentence_is_split_between_words() -> None:
    sentence = "The list names " + ", ".join(f"thing {i}" for i in range(100)) + "."
    text = f"A short one. {sentence} Another short one."
    pieces = [p.text for chunk in pack([text], random.Random(1), 20, 30) for p in chunk.pieces]
    assert " ".join(pieces).split() == text.split()
    assert all(_count(piece) <= 30 for piece in pieces)


@given(
    st.lists(st.text(alphabet="ab é你好.!?\n\t1,", max_size=120).filter(str.strip), max_size=6),
    st.integers(1, 40),
    st.integers(0, 40),
)
def test_nothing_is_lost_and_no_chunk_is_too_long(
    texts: list[str], smallest: int, more: int
) -> None:
    chunks = list(pack(texts, random.Random(0), smallest, smallest + more))
    assert all(
        _count(p.text) <= smallest + more or len(p.text) == 1 for c in chunks for p in c.pieces
    )
    assert all(_count(c.text) <= smallest + more or len(c.text) < 3 for c in chunks)
    for source, text in enumerate(texts):
        pieces = [p.text for chunk in chunks for p in chunk.pieces if p.source == source]
        assert "".join("".join(pieces).split()) == "".join(text.split())
        assert all(piece in text for piece in pieces)


@given(st.text(alphabet='aB. !?\n"()Labels:[]é', max_size=80))
def test_sentence_spans_agree_with_the_sentence_splitter(text: str) -> None:
    spans = sentence_spans(text)
    assert len(spans) == len(split_sentences(text))
    for (start, end), sentence in zip(spans, split_sentences(text), strict=True):
        assert text[start:end].split() == sentence.split()
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_a_labelled_example_is_one_sentence_span() -> None:
    text = "Before. " + "\n" + format_example("Is it so?", "7").replace("\n", "\n   ") + "\nAfter."
    assert [text[a:b] for a, b in sentence_spans(text)][1].endswith("Label: 7")


@pytest.mark.parametrize(("smallest", "largest"), [(0, 5), (6, 5), (-1, -1)])
def test_impossible_sizes_are_refused(smallest: int, largest: int) -> None:
    with pytest.raises(UsageError, match="1 <= min_tokens <= max_tokens"):
        check_sizes(smallest, largest)


def test_a_conversation_carries_its_date_and_the_text() -> None:
    text = conversation(35, "The fact itself.\nAnd more.", random.Random(1))
    assert text.startswith("[Conversation of 2024-02-05 09:00]\nUser: ")
    assert "\nThe fact itself.\nAnd more.\nAssistant: " in text
    assert find_dates(text) == ["2024-02-05"]
    assert "The fact itself." in split_sentences(text)


def test_conversations_vary_in_their_words_only() -> None:
    texts = {conversation(0, "X.", random.Random(seed)) for seed in range(200)}
    openers = {text.splitlines()[1] for text in texts}
    taught = {
        conversation(0, "X.", random.Random(seed), examples=True).splitlines()[1]
        for seed in range(200)
    }
    assert len(openers) >= 12
    assert len(taught) >= 12
    assert not openers & taught
    assert len({text.splitlines()[-1] for text in texts}) >= 12
