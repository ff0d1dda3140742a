"""Stretched episodes: the same chunks and questions, far apart in a longer text."""

import pytest

from memgym.episode import ABILITIES, Ability, Episode
from memgym.errors import UsageError
from memgym.tasks import load_source
from memgym.tokens import get_counter

OPTIONS = {"tokens": 3_000, "chunk_tokens": 500, "midstream": 0.4}


def made(ability: Ability, factor: int, index: int = 1) -> Episode:
    source = f"procedural-{ability.replace('_', '-')}"
    return load_source(source, "test", {**OPTIONS, "stretch": factor}).episode(index)


@pytest.mark.parametrize("ability", ABILITIES)
def test_chunks_and_questions_are_those_of_the_short_episode(ability: Ability) -> None:
    short, long = made(ability, 1), made(ability, 4)
    assert len(long.chunks) == 4 * len(short.chunks)
    own = [chunk for chunk in long.chunks if chunk in set(short.chunks)]
    assert own == list(short.chunks)
    # One in every block of four.
    places = [number for number, chunk in enumerate(long.chunks) if chunk in set(own)]
    assert [place // 4 for place in places] == list(range(len(own)))
    assert len({place % 4 for place in places}) > 1
    assert len(set(long.chunks)) == len(long.chunks)
    assert [(q.question, q.answers) for q in long.questions] == [
        (q.question, q.answers) for q in short.questions
    ]
    for mine, theirs in zip(long.questions, short.questions, strict=True):
        assert [item.text for item in mine.evidence] == [item.text for item in theirs.evidence]
        assert all(item.text in long.chunks[item.chunk] for item in mine.evidence)
        if theirs.asked_after is not None:
            assert mine.asked_after == places[theirs.asked_after]


@pytest.mark.parametrize("ability", ABILITIES)
def test_length_grows_with_the_factor(ability: Ability) -> None:
    count = get_counter().count
    short, long = made(ability, 1).count_tokens(count), made(ability, 8).count_tokens(count)
    assert long == pytest.approx(8 * short, rel=0.1)


@pytest.mark.parametrize("ability", ABILITIES)
def test_the_text_in_between_never_states_an_answer(ability: Ability) -> None:
    short, long = made(ability, 1), made(ability, 6)
    between = "\n".join(chunk for chunk in long.chunks if chunk not in set(short.chunks))
    for question in long.questions:
        for item in question.evidence:
            assert item.text not in between


def test_ids_lead_back_and_names_differ() -> None:
    source = load_source("procedural", "test", {**OPTIONS, "stretch": 4})
    for index in range(4):
        episode = source.episode(index)
        assert "/x4-t3000" in episode.id
        assert source.episode(episode.id).chunks == episode.chunks
        assert episode.metadata["same_as"] != episode.id
        assert episode.metadata["tokens"] == 12_000


def test_factor_one_changes_nothing() -> None:
    plain = load_source("procedural", "test", OPTIONS).episode(0)
    one = load_source("procedural", "test", {**OPTIONS, "stretch": 1}).episode(0)
    assert one == plain


@pytest.mark.parametrize("factor", [0, -1, 5_000])
def test_factors_out_of_range_are_refused_at_once(factor: int) -> None:
    with pytest.raises(UsageError, match="stretch must be at least 1 and give at most 10,000,000"):
        load_source("procedural", "test", {**OPTIONS, "stretch": factor})
