"""Cutting text for prompts."""

from hypothesis import given
from hypothesis import strategies as st

from memgym.agents.passages import centre_cut, pieces, shortened
from memgym.tokens import get_counter

COUNTER = get_counter()
WORDS = "".join(f" {number % 10}" for number in range(100))  # two tokens each: space and digit


def test_a_text_that_fits_is_not_cut() -> None:
    assert centre_cut(WORDS, COUNTER.count(WORDS), COUNTER) == WORDS


def test_the_centre_is_what_goes() -> None:
    assert COUNTER.count("\n…\n") == 2
    assert centre_cut("a b c d e f g h i", 7, COUNTER) == "a b c\n…\n h i"


def test_a_cut_text_with_its_mark_makes_no_odd_last_piece() -> None:
    text = " ".join(f"House {number} is in Lund." for number in range(500))
    cut = centre_cut(text, 100, COUNTER)
    assert COUNTER.count(cut) <= 100
    assert len(list(pieces(cut, 20, COUNTER))) == 5


def test_a_text_is_halved_until_it_is_not_worth_a_call() -> None:
    tokens = COUNTER.count(WORDS)
    sizes = [tokens]
    while sizes[-1] // 2 >= 16:
        sizes.append(sizes[-1] // 2)
    assert len(sizes) > 3
    assert list(shortened(WORDS, COUNTER)) == [centre_cut(WORDS, n, COUNTER) for n in sizes]
    assert list(shortened("too short to be cut", COUNTER)) == ["too short to be cut"]


def test_pieces_are_full_and_in_order() -> None:
    text = "a b c d e f g h i"
    assert list(pieces(text, 4, COUNTER)) == ["a b c d", " e f g h", " i"]
    assert list(pieces(f"a{' ' * 4_000}b", 1, COUNTER)) == ["a", "b"]  # no blank pieces
    assert list(pieces("", 4, COUNTER)) == []


@given(text=st.text(max_size=60), tokens=st.integers(1, 8))
def test_pieces_hold_every_word(text: str, tokens: int) -> None:
    found = list(pieces(text, tokens, COUNTER))
    assert "".join("".join(found).split()) == "".join(text.split())
    # One character of several tokens cannot be cut any further.
    assert all(COUNTER.count(piece) <= tokens or len(piece) == 1 for piece in found)
