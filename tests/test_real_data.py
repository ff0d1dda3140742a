"""Every instance of the real data slices in the folder that MEMGYM_DATA names.

Collected only when that variable is set (see conftest).
"""

import functools
import re

import pytest

from memgym.episode import Episode
from memgym.tasks import load_source
from memgym.tasks.source import ListedEpisodes
from memgym.text import labelled_examples
from memgym.tokens import get_counter

pytestmark = pytest.mark.no_cover  # they check data; the code is covered without them

_SPLITS = ("train", "validation", "test")
_SETS = [
    ("squad", ""),
    ("hotpotqa", "evidence"),
    ("hotpotqa", "distractor"),
    ("banking77", ""),
]


@functools.cache
def _episodes(source: str, setting: str, split: str) -> tuple[Episode, ...]:
    loaded = load_source(source, split, {"setting": setting} if setting else {})
    assert isinstance(loaded, ListedEpisodes)
    return tuple(loaded)


def _passages(episodes: tuple[Episode, ...]) -> set[str]:
    """Return the lines of text without the conversation around them."""
    lines = {line for episode in episodes for chunk in episode.chunks for line in chunk.split("\n")}
    wrapper = re.compile(r"\[Conversation of |User: |Assistant: |Label: ")
    return {line for line in lines if len(line.split()) > 6 and not wrapper.match(line)}


@pytest.mark.parametrize("split", _SPLITS)
@pytest.mark.parametrize(("source", "setting"), _SETS)
def test_every_instance_is_sound(source: str, setting: str, split: str) -> None:
    count = get_counter().count
    episodes = _episodes(source, setting, split)
    for episode in episodes:
        assert 2 <= len(episode.chunks) <= 25
        assert 1 <= len(episode.questions) <= 100
        assert len({question.question for question in episode.questions}) == len(episode.questions)
        for chunk in episode.chunks:
            assert 20 < count(chunk) < 2_150
        for question in episode.questions:
            assert question.evidence
            for evidence in question.evidence:
                assert evidence.text in episode.chunks[evidence.chunk]
            joined = " ".join(evidence.text for evidence in question.evidence)
            assert any(gold.casefold() in joined.casefold() for gold in question.answers)
    assert len({episode.id for episode in episodes}) == len(episodes)


@pytest.mark.parametrize(("source", "setting"), _SETS)
def test_no_passage_or_question_is_in_two_splits(source: str, setting: str) -> None:
    loaded = {split: _episodes(source, setting, split) for split in _SPLITS}
    passages = {split: _passages(episodes) for split, episodes in loaded.items()}
    questions = {s: {q.question for e in loaded[s] for q in e.questions} for s in _SPLITS}
    for one, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
        assert passages[one]
        assert not passages[one] & passages[other]
        assert not questions[one] & questions[other]


def test_test_questions_are_never_shown_as_examples() -> None:
    asked = {q.question for e in _episodes("banking77", "", "test") for q in e.questions}
    for split in _SPLITS:
        episodes = _episodes("banking77", "", split)
        shown = {x.text for e in episodes for chunk in e.chunks for x in labelled_examples(chunk)}
        assert len(shown) > 1_000
        assert not shown & asked


def test_sources_give_several_instances_to_test_on() -> None:
    sizes = {key: len(_episodes(*key, "test")) for key in _SETS}
    assert all(size >= 4 for size in sizes.values()), sizes
