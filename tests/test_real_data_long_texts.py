"""Every instance of the books, meetings and histories in the folder that MEMGYM_DATA names.

Collected only when that variable is set (see conftest).
"""

import functools
from typing import Any

import pytest

from memgym.baselines import BASELINES
from memgym.episode import Episode
from memgym.evaluation import environment_for, play_episode
from memgym.scoring import contains
from memgym.tasks import load_source
from memgym.tasks.source import ListedEpisodes
from memgym.tokens import get_counter

pytestmark = pytest.mark.no_cover  # they check data; the code is covered without them

_SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "booksum": ("booksum", {}),
    "booksum, single chapters": ("booksum", {"chapters": 1}),
    "qmsum": ("qmsum", {}),
    "longmemeval, oracle": ("longmemeval", {}),
    "longmemeval, joined": ("longmemeval", {"join": 4, "computed": True}),
    "longmemeval, S": ("longmemeval", {"haystack": "s"}),
}

# Golds that have to be worked out stand nowhere.
_STATED = [name for name, (_, options) in _SETS.items() if not options.get("computed")]


@functools.cache
def _set(name: str, split: str = "test") -> ListedEpisodes:
    source, options = _SETS[name]
    loaded = load_source(source, split, options)
    assert isinstance(loaded, ListedEpisodes)
    return loaded


@functools.cache
def _episodes(name: str, split: str = "test") -> tuple[Episode, ...]:
    return tuple(_set(name, split))


@pytest.mark.parametrize("name", _SETS)
def test_every_instance_is_sound(name: str) -> None:
    count = get_counter().count
    for episode in _episodes(name):
        assert len({question.question for question in episode.questions}) == len(episode.questions)
        assert all(chunk.strip() and count(chunk) < 2_150 for chunk in episode.chunks)
        for question in episode.questions:
            assert question.evidence or name not in _STATED
            for evidence in question.evidence:
                assert evidence.text in episode.chunks[evidence.chunk]


@pytest.mark.parametrize("name", _STATED)
def test_the_evidence_states_every_gold(name: str) -> None:
    for episode in _episodes(name):
        for question in episode.questions:
            text = " ".join(evidence.text for evidence in question.evidence)
            stated = [contains(gold, text) for gold in question.answers]
            assert all(stated) if question.kind == "keywords" else any(stated)


def test_sources_give_several_instances_to_test_on() -> None:
    sizes = {name: len(_episodes(name)) for name in _SETS}
    assert sizes["booksum"] >= 3
    assert sizes["booksum, single chapters"] >= 10
    assert sizes["qmsum"] == 10
    assert sizes["longmemeval, oracle"] >= 10
    assert sizes["longmemeval, S"] == 2


def test_no_chapter_is_in_two_splits() -> None:
    lines: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        chunks = (chunk for episode in _episodes("booksum", split) for chunk in episode.chunks)
        found = (line for chunk in chunks for line in chunk.split("\n"))
        lines[split] = {line for line in found if len(line.split()) > 6 and line[0] != "["}
        assert lines[split]
    assert not lines["train"] & lines["validation"]
    assert not (lines["train"] | lines["validation"]) & lines["test"]


def test_the_summaries_of_the_books_are_not_in_the_text() -> None:
    for split in ("train", "validation", "test"):
        for episode in _episodes("booksum", split):
            for chunk in episode.chunks:
                assert not chunk.split("\n")[1].isupper()
                assert "IN WHICH" not in chunk


def test_what_is_left_out_of_the_histories_is_counted() -> None:
    oracle = _set("longmemeval, oracle")
    asked = sum(len(episode.questions) for episode in _episodes("longmemeval, oracle"))
    assert asked + oracle.excluded["question whose gold has to be worked out"] == 16
    assert sum(len(e.questions) for e in _episodes("longmemeval, joined")) == 16


@pytest.mark.parametrize("name", _STATED)
def test_the_oracle_is_near_the_top_and_nothing_comes_from_nothing(name: str) -> None:
    scores = {}
    for policy in ("closed_book", "oracle"):
        agent = BASELINES[policy]()
        env = environment_for(agent, source="procedural", split="test")
        played = [play_episode(agent, env, episode) for episode in _episodes(name)[:3]]
        scores[policy] = sum(result.score for result in played) / len(played)
    assert scores["closed_book"] == 0.0
    assert scores["oracle"] >= 0.9
