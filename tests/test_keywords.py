"""Keywords of summaries: what is taken, what is not, and that scorers find them in the text."""

from hypothesis import given
from hypothesis import strategies as st

from memgym.scoring import contains
from memgym.tasks.keywords import covering, extract_keywords, together, words_of

_TEXT = (
    "Mr. Fogg's servant lost a pair of shoes in the pagoda.",
    "The Reform Club was 1,000 yards from Saville Row.",
    "Nobody at the Reform Club knew that the remote-control was broken.",
)


def test_keywords_are_what_summary_and_text_share_in_summary_order() -> None:
    summary = "The Reform Club hears of a broken remote control. Passepartout loses his shoes."
    assert extract_keywords(summary, _TEXT) == ("Reform Club", "broken", "remote control", "shoes")


def test_words_without_content_are_no_keywords() -> None:
    assert extract_keywords("He said that there was nobody in it, a discussion.", _TEXT) == ()


def test_words_of_the_question_are_no_keywords() -> None:
    summary = "The Reform Club and the shoes."
    assert extract_keywords(summary, _TEXT, without="Which shoes?") == ("Reform Club",)


def test_no_keyword_reaches_over_a_sentence_or_a_punctuation_mark() -> None:
    assert extract_keywords("pagoda reform", _TEXT) == ("pagoda", "reform")
    assert extract_keywords("Reform, Club", _TEXT) == ("Reform", "Club")


def test_numbers_keep_their_separators() -> None:
    assert extract_keywords("It was 1,000 yards away.", _TEXT) == ("1,000 yards",)
    assert words_of("3.5 of 1,000, then 7. It's") == ["3.5", "of", "1,000", "then", "7", "its"]


def test_a_summary_in_capitals_gives_small_letters() -> None:
    assert extract_keywords("THE SHOES OF SAVILLE ROW", _TEXT) == ("shoes", "saville row")


def test_the_rarest_are_kept() -> None:
    text = ("river river castle", "river castle moat")
    assert extract_keywords("castle, river, moat", text, most=1) == ("moat",)
    assert extract_keywords("castle, river, moat", text, most=2) == ("castle", "moat")
    assert extract_keywords("river; castle moat", text, most=1) == ("castle moat",)


def test_few_passages_cover_the_keywords() -> None:
    passages = ["one", "one two", "three", "two three four", "five"]
    assert covering(["one", "two", "three", "four", "six"], passages) == [0, 3]
    assert covering(["six"], passages) == []


def test_keywords_far_from_all_others_can_be_dropped() -> None:
    passages = ["one", "two three"]
    assert together(["one", "two", "three"], passages) == ("two", "three")
    assert together(["one", "two"], passages) == ("one", "two")


_SENTENCES = st.lists(
    st.text("abc ABC-'’.,!\n 0123", min_size=1, max_size=60).filter(str.strip), max_size=4
)


@given(_SENTENCES, _SENTENCES)
def test_every_keyword_is_found_by_the_scorer(summary: list[str], text: list[str]) -> None:
    found = extract_keywords(" ".join(summary), text)
    assert len(set(found)) == len(found)
    places = covering(found, text)
    for keyword in found:
        assert any(set(words_of(keyword)) <= set(words_of(text[place])) for place in places)


@given(st.lists(st.sampled_from("red fox Reform-Club it's dog's 1,000 3.5 end".split())))
def test_scorer_and_keywords_agree_on_words(words: list[str]) -> None:
    text = "We saw " + " ".join(words) + " there."
    for keyword in extract_keywords(text, [text]):
        assert contains(keyword, text)
