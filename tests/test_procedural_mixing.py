import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.tasks.procedural.engine import count_tokens
from memgym.tasks.procedural.mixing import Deck, Mixer, Unit, as_sentence, fact_room, spread

_FACT = "Somebody carried the heavy basket all the way up to the house on the hill."
_FILLER = "It rained a little."
_FACT_TOKENS = count_tokens(f" {_FACT}")
_FILLER_TOKENS = count_tokens(f" {_FILLER}")


def _mixer(seed: int, filler: float, subjects: list[str] | None = None) -> Mixer:
    def remark(subject: str) -> str:
        if subjects is not None:
            subjects.append(subject)
        return _FILLER

    return Mixer(
        rng=random.Random(seed),
        filler=filler,
        fact_tokens=_FACT_TOKENS,
        filler_tokens=_FILLER_TOKENS,
        joint_tokens=0.0,
        fact=lambda: Unit("fact", _FACT, "a fact"),
        remark=remark,
    )


def _planned(count: int) -> list[Unit]:
    return [Unit("planned", f"{_FACT[:-1]} number {k}.", f"plan {k}") for k in range(count)]


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    filler=st.floats(0, 0.95),
    planned=st.integers(0, 40),
    target=st.integers(50, 2_000),
)
def test_planned_units_all_come_in_order_and_the_length_is_reached(
    seed: int, filler: float, planned: int, target: int
) -> None:
    wanted = _planned(planned)
    units = _mixer(seed, filler).units(wanted, target)
    assert [unit for unit in units if unit.kind == "planned"] == wanted
    tokens = sum(count_tokens(f" {unit.text}") for unit in units)
    least = sum(count_tokens(f" {unit.text}") for unit in wanted)
    assert abs(tokens - max(target, least)) <= _FACT_TOKENS


@pytest.mark.no_cover
@pytest.mark.parametrize("filler", [0.0, 0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("target", [100, 1_000])
def test_the_share_of_filler_is_kept_over_many_chunks(filler: float, target: int) -> None:
    units = [unit for seed in range(300) for unit in _mixer(seed, filler).units([], target)]
    share = sum(unit.kind == "filler" for unit in units) / len(units)
    assert share == pytest.approx(filler, abs=0.04)


def test_planned_units_are_not_bunched_together() -> None:
    places: list[float] = []
    for seed in range(200):
        units = _mixer(seed, 0.5).units(_planned(3), 1_000)
        places += [k / len(units) for k, unit in enumerate(units) if unit.kind == "planned"]
    assert 0.35 < sum(places) / len(places) < 0.6
    assert min(places) < 0.1
    assert max(places) > 0.8


def test_remarks_are_told_the_subject_of_the_latest_fact() -> None:
    heard: set[str] = set()
    for seed in range(20):
        subjects: list[str] = []
        units = _mixer(seed, 0.6, subjects).units(_planned(2), 400)
        expected, subject = [], ""
        for unit in units:
            if unit.kind == "filler":
                expected.append(subject)
            else:
                subject = unit.subject
        assert subjects == expected
        heard |= set(subjects)
    assert heard == {"", "plan 0", "plan 1", "a fact"}


def test_a_deck_gives_every_form_before_it_repeats_one() -> None:
    deck = Deck(random.Random(0))
    forms = tuple("abcdefg")
    first, second = [[deck.draw(forms) for _ in forms] for _ in range(2)]
    assert sorted(first) == sorted(second) == list(forms)
    assert first != second


@given(st.integers(1, 200), st.integers(1, 5_000), st.integers(0, 1_000))
def test_spread_is_ascending_and_even(count: int, slots: int, seed: int) -> None:
    places = spread(count, slots, random.Random(seed))
    assert places == sorted(places)
    assert all(0 <= place < slots for place in places)
    assert all(
        k / count * slots <= place <= (k + 1) / count * slots for k, place in enumerate(places)
    )


def test_fact_room_counts_the_facts_of_a_mixture() -> None:
    assert fact_room(1_000, 0.0, 20, 10) == 50
    assert fact_room(3_000, 0.5, 20, 10) == 100
    units = _mixer(0, 0.5).units([], 3_000)
    facts = sum(unit.kind == "fact" for unit in units)
    assert facts == pytest.approx(fact_room(3_000, 0.5, _FACT_TOKENS, _FILLER_TOKENS), rel=0.05)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("the rain stopped", "The rain stopped."),
        ("is it late?", "Is it late?"),
        ('"mind the step," said the cook.', '"Mind the step," said the cook.'),
        ('"come in," he said, "and sit down."', '"Come in," he said, "and sit down."'),
    ],
)
def test_as_sentence_gives_a_capital_and_an_end_mark(text: str, sentence: str) -> None:
    assert as_sentence(text) == sentence
