"""Tokenisers: equal to the published one on spaced scripts, bigrams on the others."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.tokenise import TOKENISERS, words, words_and_bigrams

NO_CJK = st.text(st.characters(max_codepoint=0x10FF) | st.sampled_from(" .-'’—😀𝔸ﬁ"))


@given(st.text())
def test_words_are_the_published_tokens(text: str) -> None:
    assert words(text) == re.findall(r"\b\w+\b", text.lower())


@given(NO_CJK)
def test_bigrams_change_nothing_without_cjk(text: str) -> None:
    assert words_and_bigrams(text) == words(text)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("我喜欢咖啡。", ["我喜", "喜欢", "欢咖", "咖啡"]),
        ("茶", ["茶"]),
        ("Python程序设计3.11", ["python", "程序", "序设", "设计", "3", "11"]),
        ("コーヒーが好き", ["コー", "ーヒ", "ヒー", "ーが", "が好", "好き"]),
        ("서울에 산다", ["서울", "울에", "산다"]),
        ("東京・大阪", ["東京", "大阪"]),
        ("人々", ["人々"]),
        ("𠮷野家", ["𠮷野", "野家"]),
        ("ﾃｽﾄ", ["ﾃｽ", "ｽﾄ"]),
        ("Ａ１é", ["ａ１é"]),
        ("", []),
    ],
)
def test_bigrams_of_cjk_runs(text: str, terms: list[str]) -> None:
    assert words_and_bigrams(text) == terms


@given(st.text(st.sampled_from("咖啡店の名前é7 ,。_가나")))
def test_every_word_character_is_in_some_term(text: str) -> None:
    terms = words_and_bigrams(text)
    assert set("".join(terms)) == set("".join(words(text)))
    assert all(len(term) <= 2 for term in terms if re.search("[咖-의]", term))


def test_the_table_names_both() -> None:
    assert dict(TOKENISERS) == {"default": words_and_bigrams, "paper": words}
