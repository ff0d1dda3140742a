"""The index equals rank_bm25's BM25Okapi bit for bit, whatever the edits that led to its list."""

import copy
import math
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from memgym import bm25, postings
from memgym.bm25 import BM25Index, LazyIndex
from memgym.errors import UsageError
from memgym.tokenise import Tokeniser, words, words_and_bigrams

Items = dict[str, str]
Edit = tuple[str, int, str]

# Few words: ties, terms in most of the items, repeated terms. "..." has no word character.
VOCABULARY = ["the", "the", "the", "of", "of", "cat", "dog", "Cat", "42", "...", "né"]
TEXTS = st.lists(st.sampled_from(VOCABULARY), max_size=7).map(" ".join)
EDITS = st.lists(
    st.tuples(st.sampled_from(["insert", "insert", "update", "delete"]), st.integers(0), TEXTS),
    max_size=30,
)
# (_TAIL, _PROLONG, DENSE_DF): as shipped; everything at once in bulk; a few rows at a time.
SHIPPED, BULK, SMALL = (4096, 32, 64), (-1, 0, 0), (12, 1, 2)
THRESHOLDS = st.sampled_from([SHIPPED, BULK, SMALL])


@contextmanager
def thresholds(sizes: tuple[int, int, int]) -> Iterator[None]:
    """Shift the sizes at which the index changes its representation, which no result may show."""
    with (
        patch.object(postings, "_TAIL", sizes[0]),
        patch.object(postings, "_PROLONG", sizes[1]),
        patch.object(bm25, "DENSE_DF", sizes[2]),
    ):
        yield


def okapi(items: Items, query: str, tokenise: Tokeniser = words) -> list[tuple[str, float]]:
    corpus = [tokenise(text) for text in items.values()]
    if not any(corpus):
        return [(key, 0.0) for key in items]  # BM25Okapi divides by zero
    scores = BM25Okapi(corpus).get_scores(tokenise(query)).tolist()
    return list(zip(items, scores, strict=True))


def ranked(scores: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(scores, key=lambda pair: -pair[1])


def build(items: Items, tokenise: Tokeniser = words_and_bigrams) -> BM25Index:
    index = BM25Index(tokenise)
    for key, text in items.items():
        index.insert(key, text)
    return index


def numbered(*texts: str) -> Items:
    return {f"s{number}": text for number, text in enumerate(texts, 1)}


def edited(items: Items, edits: list[Edit], prefix: str = "n") -> Iterator[tuple[str, int, str]]:
    """Apply edits to the mapping one by one; give each as (kind, number, key)."""
    for number, (kind, choice, text) in enumerate(edits):
        if kind == "insert" or not items:
            key = f"{prefix}{number}"
            items[key] = text
            yield "insert", number, key
            continue
        key = list(items)[choice % len(items)]
        if kind == "update":
            items[key] = text
        else:
            del items[key]
        yield kind, number, key


def apply(index: BM25Index, kind: str, key: str, items: Items) -> None:
    if kind == "delete":
        index.delete(key)
    else:
        (index.insert if kind == "insert" else index.update)(key, items[key])


def assert_equals_okapi(index: BM25Index, items: Items, query: str) -> None:
    expected = okapi(items, query)
    assert index.scores(query) == expected
    for k in (1, 3, len(items) + 5):
        assert index.search(query, k) == ranked(expected)[:k]


@given(EDITS, st.lists(TEXTS, min_size=1), THRESHOLDS)
@settings(max_examples=200)
def test_edits_keep_scores_and_ranking_of_okapi(
    edits: list[Edit], queries: list[str], sizes: tuple[int, int, int]
) -> None:
    items: Items = {}
    index = BM25Index()
    with thresholds(sizes):
        for kind, number, key in edited(items, edits):
            apply(index, kind, key, items)
            assert len(index) == len(items)
            assert (key in index) == (kind != "delete")
            if number % 3:  # some edits are counted together
                assert_equals_okapi(index, items, queries[number % len(queries)])
        for query in queries:
            assert_equals_okapi(index, items, query)


@pytest.mark.parametrize("sizes", [SHIPPED, SMALL])
def test_a_long_life_of_many_words(sizes: tuple[int, int, int]) -> None:
    """Zipf-like words, hundreds of items: the tail is renewed, columns prolonged, holes arise."""
    random = Random(7)
    items: Items = {}
    index = BM25Index()

    def text(length: int) -> str:
        return " ".join(f"w{int(random.paretovariate(0.6)) % 5000}" for _ in range(length))

    with thresholds(sizes):
        for number in range(1200):
            kind = random.choices(["insert", "update", "delete"], [6, 1, 1 + number // 400])[0]
            key = random.choice(list(items)) if items and kind != "insert" else f"n{number}"
            kind = "insert" if key not in items else kind
            if kind == "delete":
                del items[key]
            else:
                items[key] = text(random.randrange(0, 20))
            apply(index, kind, key, items)
            if number % 25 == 0 or 600 < number < 610:
                query = text(8)
                assert index.scores(query) == okapi(items, query)
                assert index.search(query, 20) == ranked(okapi(items, query))[:20]
    assert index.is_fragmented is False


@pytest.mark.parametrize("sizes", [SHIPPED, BULK, SMALL])
@pytest.mark.parametrize("kind", ["insert", "update", "delete"])
def test_a_word_of_most_items_survives_every_edit(kind: str, sizes: tuple[int, int, int]) -> None:
    items = numbered(*(f"the the number {number % 7}" for number in range(200)))
    with thresholds(sizes):
        index = build(items)
        for number, text in enumerate(["the end", "no article", "the the the the number"]):
            assert_equals_okapi(index, items, "the number 3")
            key = {"insert": f"new{number}", "update": "s5", "delete": f"s{number + 9}"}[kind]
            items[key] = text
            if kind == "delete":
                del items[key]
            apply(index, kind, key, items)
            assert_equals_okapi(index, items, "the number 3")


@given(EDITS, st.lists(TEXTS, min_size=2, max_size=4), st.integers(1, 5), THRESHOLDS)
def test_results_depend_on_the_list_alone(
    edits: list[Edit], queries: list[str], max_terms: int, sizes: tuple[int, int, int]
) -> None:
    items: Items = {}
    index = BM25Index()
    with thresholds(sizes):
        for kind, number, key in edited(items, edits):
            apply(index, kind, key, items)
            if number % 2:
                index.search(queries[0], 3)
    fresh = build(items)
    for query in queries:
        assert index.scores(query) == fresh.scores(query)
        assert index.relevant(query, 9, max_terms) == fresh.relevant(query, 9, max_terms)


@pytest.mark.parametrize(
    "texts",
    [
        ["the cat"],
        ["the cat", "the cat"],
        ["the cat", "a dog"],
        ["the cat", "the dog", "the cow", "the hen"],
        ["the cat", "", "...", "cat"],
    ],
)
@pytest.mark.parametrize("query", ["the cat", "cat cat the", "unicorn", "", "?!"])
def test_tiny_stores_keep_zero_and_negative_scores(texts: list[str], query: str) -> None:
    items = numbered(*texts)
    assert_equals_okapi(build(items), items, query)
    assert len(build(items).search(query, 10)) == len(items)


def test_one_item_has_the_negative_score_of_okapi() -> None:
    [(key, score)] = build({"s1": "the cat"}).search("the cat", 5)
    assert key == "s1"
    assert score < 0


def test_no_items_and_items_without_words() -> None:
    assert BM25Index().search("anything", 5) == []
    assert BM25Index().scores("anything") == []
    assert BM25Index().relevant("anything", 5) == []
    silent = build(numbered("...", "", "!"))
    assert silent.search("anything", 2) == [("s1", 0.0), ("s2", 0.0)]
    assert silent.relevant("anything", 5) == []
    index = build({"s1": "cat"})
    index.update("s1", "...")
    assert index.search("cat", 2) == [("s1", 0.0)]
    index.delete("s1")
    assert index.search("cat", 2) == []


def test_ties_go_by_place_and_an_update_keeps_it() -> None:
    index = build(numbered("red cat", "a dog", "red cat", "a cow", "a hen"))
    assert [key for key, _ in index.search("red", 3)] == ["s1", "s3", "s2"]
    index.update("s1", "a fox")
    index.update("s1", "red cat")
    assert [key for key, _ in index.search("red", 2)] == ["s1", "s3"]
    index.delete("s1")
    index.insert("s1", "red cat")
    assert [key for key, _ in index.search("red", 2)] == ["s3", "s1"]


def test_a_query_term_counts_as_often_as_it_occurs() -> None:
    items = numbered("red cat", "blue cat dog", "blue hen", "a cow", "a hen")
    once, twice = dict(build(items).scores("cat")), dict(build(items).scores("cat cat"))
    assert twice["s1"] == 2 * once["s1"] > 0


@pytest.mark.parametrize("k", [0, -3])
def test_nothing_is_asked_for(k: int) -> None:
    index = build(numbered("red cat", "a dog"))
    assert index.search("cat", k) == []
    assert index.relevant("cat", k) == []


def test_chinese_is_found_by_default_but_not_by_the_published_tokens() -> None:
    items = numbered("我每天早上喝咖啡", "他在上海工作", "天气很好", "她喜欢茶", "明天下雨")
    found = build(items).search("谁喝咖啡?", 1)
    assert found == ranked(okapi(items, "谁喝咖啡?", words_and_bigrams))[:1]
    assert found[0][0] == "s1"
    assert all(score == 0 for _, score in build(items, words).search("谁喝咖啡?", 5))


def test_wrong_keys_are_named_and_change_nothing() -> None:
    index = build(numbered("red cat", "a dog"))
    before = index.scores("cat dog")
    with pytest.raises(UsageError, match='"s1" is already'):
        index.insert("s1", "x")
    edits: list[Callable[[], None]] = [
        lambda: index.update("s9", "x"),
        lambda: index.delete("s9"),
    ]
    for edit in edits:
        with pytest.raises(UsageError, match='no item "s9" in the index of 2 items'):
            edit()
    assert index.scores("cat dog") == before


@given(EDITS, EDITS, TEXTS)
@settings(max_examples=50)
def test_copies_and_pickles_are_independent(before: list[Edit], after: list[Edit], q: str) -> None:
    items: Items = {}
    index = BM25Index()
    for kind, _, key in edited(items, before):
        apply(index, kind, key, items)
    index.search(q, 3)
    expected = index.scores(q)
    for twin in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert twin.scores(q) == expected
        own = dict(items)
        for kind, _, key in edited(own, after, prefix="later"):
            apply(twin, kind, key, own)
        assert_equals_okapi(twin, own, q)
        assert index.scores(q) == expected


# ---------------------------------------------------------------------- relevant


def relevant_by_hand(items: Items, text: str, k: int, max_terms: int) -> list[tuple[str, float]]:
    """The definition, item by item."""
    n = len(items)
    bags = {key: words(content) for key, content in items.items()}
    average = sum(map(len, bags.values())) / max(n, 1)
    df = {word: sum(word in bag for bag in bags.values()) for word in words(text)}
    limit = min(n / 2 if n >= 4 else n, bm25.MAX_RELEVANT_DF)
    rarest = sorted((word for word in df if 0 < df[word] <= limit), key=df.__getitem__)[:max_terms]
    scores = dict.fromkeys(items, 0.0)
    for key, bag in bags.items():
        for word in rarest:
            idf = math.log(1 + (n - df[word] + 0.5) / (df[word] + 0.5))
            tf = bag.count(word)
            if tf:
                scores[key] += idf * tf * 2.5 / (tf + 1.5 * (0.25 + 0.75 * len(bag) / average))
    later_first = [pair for pair in reversed(scores.items()) if pair[1] > 0]
    return sorted(later_first, key=lambda pair: round(-pair[1], 9))[:k]


@given(st.lists(TEXTS, max_size=12), TEXTS, st.integers(1, 4), st.integers(1, 14), THRESHOLDS)
@settings(max_examples=200)
def test_relevant_is_what_it_says(
    texts: list[str], query: str, max_terms: int, k: int, sizes: tuple[int, int, int]
) -> None:
    items = numbered(*texts)
    with thresholds(sizes):
        found = build(items).relevant(query, k, max_terms)
    expected = relevant_by_hand(items, query, k, max_terms)
    assert [key for key, _ in found] == [key for key, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected])


def test_relevant_prefers_later_items_and_ignores_common_words() -> None:
    index = build(numbered("the red cat", "the dog", "the red cat", "the cow", "the hen"))
    assert [key for key, _ in index.relevant("the red the cat the", 5)] == ["s3", "s1"]
    assert index.relevant("the", 5) == []


def test_relevant_works_in_the_smallest_stores() -> None:
    for texts in (["red cat"], ["red cat", "red cat"], ["red cat", "red dog", "red hen"]):
        found = build(numbered(*texts)).relevant("a red cat", 5)
        assert len(found) == len(texts)
        assert all(score > 0 for _, score in found)


def test_relevant_uses_only_the_rarest_terms() -> None:
    index = build(numbered("a b", "a c", "d e", "f g", "h i", "j k"))
    assert [key for key, _ in index.relevant("a b c", 5, max_terms=1)] == ["s1"]
    assert [key for key, _ in index.relevant("a c b", 5, max_terms=1)] == ["s2"]
    assert [key for key, _ in index.relevant("a c b", 5, max_terms=2)] == ["s2", "s1"]


def test_relevant_skips_terms_of_very_many_items() -> None:
    texts = [f"common{number % 3} rare{number}" for number in range(900)]
    index = build(numbered(*texts))
    assert index.relevant("common1", 5) == []  # 300 items, under half but over the cap
    assert [key for key, _ in index.relevant("common1 rare4", 5)] == ["s5"]


# ---------------------------------------------------------------------- the lazy index


@given(EDITS, st.sets(st.integers(0, 29)), TEXTS)
def test_lazy_equals_eager(edits: list[Edit], searched_after: set[int], query: str) -> None:
    items: Items = {}
    lazy, eager = LazyIndex(items), BM25Index()
    for kind, number, key in edited(items, edits):
        apply(eager, kind, key, items)
        {"insert": lazy.inserted, "update": lazy.updated, "delete": lazy.deleted}[kind](key)
        if number in searched_after:
            assert lazy.search(query, 9) == eager.search(query, 9)
            assert lazy.relevant(query, 9, 2) == eager.relevant(query, 9, 2)
    assert lazy.search(query, 9) == eager.search(query, 9)


def test_edits_cost_nothing_until_the_first_search_and_one_text_each_after_it() -> None:
    seen: list[str] = []

    def spy(text: str) -> list[str]:
        seen.append(text)
        return words(text)

    items: Items = {}
    lazy = LazyIndex(items, spy)
    for kind, _, key in edited(items, [("insert", 0, "red cat")] * 3 + [("update", 1, "a dog")]):
        {"insert": lazy.inserted, "update": lazy.updated}[kind](key)
    assert seen == []
    lazy.search("cat", 1)
    assert seen == ["red cat", "a dog", "red cat", "cat"]
    items["late"] = "a hen"
    lazy.inserted("late")
    lazy.search("hen", 1)
    assert seen[4:] == ["a hen", "hen"]
    lazy.reset()
    lazy.search("cow", 1)
    assert seen[6:] == ["red cat", "a dog", "red cat", "a hen", "cow"]


def test_reset_reads_the_mapping_again() -> None:
    items = numbered("red cat", "a dog", "a cow")
    lazy = LazyIndex(items)
    assert lazy.search("red", 1)[0][0] == "s1"
    items.clear()
    items["s7"] = "red hen"
    lazy.reset()
    assert [key for key, _ in lazy.search("red", 5)] == ["s7"]


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copied_owner_has_an_index_of_its_own(twin_of: Callable[[object], object]) -> None:
    items = numbered("red cat", "a dog", "a cow")
    lazy = LazyIndex(items)
    size = len(pickle.dumps(lazy))
    before = lazy.search("red", 5)
    assert len(pickle.dumps(lazy)) == size
    twin = twin_of((items, lazy))
    assert isinstance(twin, tuple)
    other_items, other = twin
    other_items["s4"] = "a hen"
    other.inserted("s4")
    assert other.search("hen", 1)[0][0] == "s4"
    assert lazy.search("red", 5) == before


def test_removed_texts_are_forgotten_in_time() -> None:
    """A window that drops its oldest item must not grow for ever, nor rank differently."""
    items: Items = {}
    lazy = LazyIndex(items)
    lazy.search("start", 1)
    largest = 0
    for number in range(2500):
        items[f"n{number}"] = f"only{number} word"
        lazy.inserted(f"n{number}")
        if number >= 5:
            del items[f"n{number - 5}"]
            lazy.deleted(f"n{number - 5}")
        if number % 50 == 0:
            assert (
                lazy.search(f"only{number} word", 3)
                == ranked(okapi(items, f"only{number} word"))[:3]
            )
        largest = max(largest, len(pickle.dumps(lazy._index)))
    assert largest < 200_000
