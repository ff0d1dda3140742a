"""What the numeric form sees of names: how often they came up in the text so far."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.envs.features import ChunkFeatures, Featuriser, HashedWords
from memgym.envs.mentions import MENTIONS, Mentions
from memgym.tokens import get_counter

FEATURISER = Featuriser(HashedWords(16), get_counter().count)


def described(chunk: str) -> ChunkFeatures:
    return FEATURISER.describe(chunk)


def rows(*chunks: str) -> list[dict[str, float]]:
    """Read chunks in order; return what is seen of the sentences of the last one."""
    mentions = Mentions()
    for chunk in chunks:
        found = mentions.read(described(chunk))
    return [dict(zip(MENTIONS, map(float, row), strict=True)) for row in found]


def test_a_name_that_came_up_before_by_hand() -> None:
    # "Ada" is in three sentences, "Holm" in two, "Lund" in one: 3 + 2 + 1 mentions, 9 + 4 + 1.
    before = "We met Ada Holm. We saw that Ada was gone."
    [row] = rows(before, "They say that Ada Holm moved to Lund.")
    usual = (9 + 4 + 1) / (3 + 2 + 1)
    assert row["word_has"] == row["word_most_again"] == 1.0
    assert row["word_least_again"] == row["word_least"] == 0.0  # Lund
    assert row["word_most"] == pytest.approx(2 / (2 + usual))
    assert row["word_most_of_all"] == 1.0
    # The full name is in two sentences; "Lund" stands alone.
    assert row["pair_most"] == row["pair_least"] == pytest.approx(1 / (1 + 2))
    assert row["pair_least_again"] == 1.0


def test_the_chunk_in_view_counts_and_the_sentence_itself_does_not() -> None:
    first, second, third = rows("We met Ada. They met Ada. They met Ben.")
    assert first == second
    assert first["word_most_again"] == 1.0
    assert third["word_has"] == 1.0
    assert third["word_most_again"] == third["word_most"] == 0.0


def test_a_sentence_without_names_shows_nothing() -> None:
    first, _ = rows("It rained all day. We met Ada.")
    assert set(first.values()) == {0.0}


def test_a_speakers_role_and_a_month_are_no_names() -> None:
    [row, *_] = rows("User: Please come on 5 March. User: Please go on 6 March.")
    assert row["word_has"] == 0.0


SENTENCES = st.lists(st.sampled_from(["We met Ada Holm.", "We met Ben.", "It rained."]))


@given(st.lists(SENTENCES.filter(bool), min_size=1, max_size=4))
def test_all_lies_between_0_and_1_and_is_the_same_again(chunks: list[list[str]]) -> None:
    first, second = Mentions(), Mentions()
    for chunk in chunks:
        features = described(" ".join(chunk))
        found = first.read(features)
        assert found.shape == (len(features.sentences), len(MENTIONS))
        assert found.dtype == np.float32
        assert ((found >= 0) & (found <= 1)).all()
        assert (found == second.read(features)).all()
