"""Speed of the BM25 index against the published rebuild-per-query search.

10,000 items of 20 to 60 words, questions of 12. Run with ``pytest benchmarks/speed -s``.
"""

import itertools
from collections.abc import Callable
from functools import partial

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from memgym.benchmarks.speed.measure import Ratio, alternate, seconds, zipf_texts
from memgym.benchmarks.speed.published import published_search
from memgym.bm25 import BM25Index
from memgym.tokenise import words_and_bigrams

ITEMS = 10_000
TOP_K = 20
SAMPLED_SIZES = (500, 1_000, 2_000, 3_500, 5_000, 7_500, ITEMS)
CHUNK_WORDS = 480  # about 3,000 characters


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return zipf_texts(ITEMS, (20, 60), seed=1)


@pytest.fixture(scope="module")
def questions() -> list[str]:
    return zipf_texts(200, (12, 12), seed=2)


def build(texts: list[str]) -> BM25Index:
    index = BM25Index()
    for number, text in enumerate(texts):
        index.insert(f"s{number}", text)
    return index


def ask_all(index: BM25Index, questions: list[str]) -> None:
    for question in questions:
        index.search(question, TOP_K)


def report(
    benchmark: BenchmarkFixture, ratio: Ratio, target: str, action: Callable[[], object]
) -> None:
    """Record the ratio, and the time of ours by itself."""
    benchmark.extra_info["ratio"] = ratio.median
    benchmark.extra_info["rounds"] = list(ratio.rounds)
    print(f"\n{benchmark.name}: {ratio}, target {target}")  # noqa: T201
    benchmark.pedantic(action, rounds=3)  # type: ignore[no-untyped-call]


class PublishedQueries:
    """Times a few published queries per round and returns the seconds of ``count`` of them."""

    def __init__(self, texts: list[str], questions: list[str], count: int) -> None:
        self.texts, self.questions, self.count = texts, itertools.cycle(questions), count

    def __call__(self, _round: int) -> float:
        sample = list(itertools.islice(self.questions, 3))
        taken = seconds(lambda: [published_search(self.texts, q, TOP_K) for q in sample])
        return taken / len(sample) * self.count


def test_query(benchmark: BenchmarkFixture, texts: list[str], questions: list[str]) -> None:
    index = build(texts)
    expected = [(f"s{at}", score) for at, score in published_search(texts, questions[0], TOP_K)]
    assert index.search(questions[0], TOP_K) == expected
    ratio = alternate(
        PublishedQueries(texts, questions, count=len(questions)),
        lambda _: seconds(lambda: ask_all(index, questions)),
        rounds=7,
    )
    report(benchmark, ratio, ">= 1,000x", lambda: ask_all(index, questions))
    assert ratio.median >= 1_000


def test_end_of_episode_maintained(
    benchmark: BenchmarkFixture, texts: list[str], questions: list[str]
) -> None:
    """The index was searched during the episode; caches are cold after the last insert."""
    index = build(texts[:-20])
    index.search(questions[0], TOP_K)
    last = iter(range(ITEMS - 20, ITEMS))

    def after_an_insert(_round: int) -> float:
        number = next(last)
        index.insert(f"s{number}", texts[number])
        return seconds(lambda: ask_all(index, questions))

    ratio = alternate(PublishedQueries(texts, questions, len(questions)), after_an_insert, rounds=7)
    report(benchmark, ratio, ">= 1,000x", lambda: after_an_insert(0))
    assert ratio.median >= 1_000


def test_end_of_episode_built_then(
    benchmark: BenchmarkFixture, texts: list[str], questions: list[str]
) -> None:
    def from_scratch() -> None:
        ask_all(build(texts), questions)

    ratio = alternate(
        PublishedQueries(texts, questions, len(questions)), lambda _: seconds(from_scratch)
    )
    report(benchmark, ratio, ">= 100x", from_scratch)
    assert ratio.median >= 100


def test_search_after_each_insert(
    benchmark: BenchmarkFixture, texts: list[str], questions: list[str]
) -> None:
    """Both are timed in turn along one growing list; the reference is integrated (trapezoids)."""

    def insert_and_search(index: BM25Index, numbers: range) -> None:
        for number in numbers:
            index.insert(f"s{number}", texts[number])
            index.search(questions[number % len(questions)], TOP_K)

    def grow() -> float:
        index, ours, reference, previous = BM25Index(), 0.0, 0.0, 0.0
        for begin, end in itertools.pairwise((0, *SAMPLED_SIZES)):
            ours += seconds(partial(insert_and_search, index, range(begin, end)))
            per_query = PublishedQueries(texts[:end], questions, count=1)(0)
            reference += (end - begin) * (previous + per_query) / 2
            previous = per_query
        return reference / ours

    ratio = Ratio(tuple(grow() for _ in range(5)))
    report(
        benchmark, ratio, ">= 300x", lambda: insert_and_search(BM25Index(), range(SAMPLED_SIZES[0]))
    )
    assert ratio.median >= 300


def test_insert_against_tokenising(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    """Counting is put off until a search, so one search is part of the time of inserting."""

    def insert(index: BM25Index, begin: int, end: int) -> None:
        for number in range(begin, end):
            index.insert(f"s{number}", texts[number])

    def tokenise(begin: int, end: int) -> None:
        for text in texts[begin:end]:
            words_and_bigrams(text)

    def one_round() -> float:
        index, inserting, tokenising = BM25Index(), 0.0, 0.0
        for begin in range(0, ITEMS, 250):  # in turn, in small steps
            tokenising += seconds(partial(tokenise, begin, begin + 250))
            inserting += seconds(partial(insert, index, begin, begin + 250))
        inserting += seconds(lambda: index.search(texts[0].split()[0], 1))
        return inserting / tokenising

    ratio = Ratio(tuple(one_round() for _ in range(9)))
    report(benchmark, ratio, "<= 3x the time of tokenising", lambda: build(texts))
    assert ratio.median <= 3


def test_relevant_does_not_grow(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    chunks = zipf_texts(50, (CHUNK_WORDS, CHUNK_WORDS), seed=3)
    small, large = build(texts[:100]), build(texts)

    def view(index: BM25Index) -> float:
        return seconds(lambda: [index.relevant(chunk, 10) for chunk in chunks])

    view(small), view(large)  # count once
    ratio = alternate(lambda _: view(large), lambda _: view(small), rounds=9)
    report(benchmark, ratio, "<= 1.5x the time at 100 items", lambda: view(large))
    assert ratio.median <= 1.5
