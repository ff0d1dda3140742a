"""The real slices of the labelled sentences, the labelled abstracts and PerLTQA.

Collected only when MEMGYM_DATA names a folder of them (see conftest).
"""

import functools

import pytest

from memgym.episode import Episode
from memgym.scoring import score_answer
from memgym.tasks import load_source
from memgym.tasks.source import ListedEpisodes
from memgym.text import find_dates, labelled_examples
from memgym.tokens import get_counter

pytestmark = pytest.mark.no_cover  # they check data; the code is covered without them

_SPLITS = ("train", "validation", "test")
_LABELS = {"trec-coarse": 6, "trec-fine": 50, "nlu": 64, "pubmed-rct": 5, "csabstruct": 5}


@functools.cache
def _episodes(source: str, split: str) -> tuple[Episode, ...]:
    loaded = load_source(source, split)
    assert isinstance(loaded, ListedEpisodes)
    return tuple(loaded)


def _shown(source: str, split: str) -> set[str]:
    chunks = [chunk for episode in _episodes(source, split) for chunk in episode.chunks]
    return {example.text for chunk in chunks for example in labelled_examples(chunk)}


def _asked(source: str, split: str) -> set[str]:
    return {q.question for episode in _episodes(source, split) for q in episode.questions}


@pytest.mark.parametrize("split", _SPLITS)
@pytest.mark.parametrize("source", _LABELS)
def test_every_instance_is_sound(source: str, split: str) -> None:
    count = get_counter().count
    episodes = _episodes(source, split)
    assert len(episodes) == 10
    labels = set()
    for episode in episodes:
        assert 3 <= len(episode.chunks) <= 15
        assert 40 <= len(episode.questions) <= 100
        assert all(20 < count(chunk) < 2_150 for chunk in episode.chunks)
        for chunk in episode.chunks:
            labels |= {int(example.label) for example in labelled_examples(chunk)}
        for question in episode.questions:
            assert question.evidence
            for evidence in question.evidence:
                assert evidence.text in episode.chunks[evidence.chunk]
                assert [x.label for x in labelled_examples(evidence.text)] == [*question.answers]
    # A few of the 50 fine TREC labels have no example among the validation rows.
    assert len(labels) > 0.8 * _LABELS[source]


@pytest.mark.parametrize("source", _LABELS)
def test_no_sentence_is_in_two_splits_or_uses(source: str) -> None:
    seen: set[str] = set()
    for split in _SPLITS:
        for used in (_shown(source, split), _asked(source, split)):
            assert used
            assert not used & seen
            seen |= used


def test_no_test_question_is_trained_on_in_another_source() -> None:
    sources = [*_LABELS, "banking77"]
    asked = set().union(*(_asked(source, "test") for source in sources))
    for source in sources:
        for split in ("train", "validation"):
            assert not asked & (_shown(source, split) | _asked(source, split))


def test_perltqa_tells_a_life_by_date_and_asks_what_it_says() -> None:
    loaded = load_source("perltqa", "test")
    assert isinstance(loaded, ListedEpisodes)
    episode = loaded.episode(0)
    dates = ["".join(find_dates(chunk.splitlines()[0])) or "9999" for chunk in episode.chunks]
    assert dates == sorted(dates)
    assert len(dates) == 23
    assert dates.count("9999") == 5
    assert len(episode.questions) == 100
    for question in episode.questions:
        assert all(x.text in episode.chunks[x.chunk] for x in question.evidence)
        joined = "\n".join(evidence.text for evidence in question.evidence)
        assert score_answer(question, joined) == 1.0
        assert score_answer(question, question.question) == 0.0
    several = load_source("perltqa", "test", {"chunks": 8, "min_questions": 10})
    assert several.size == 3
