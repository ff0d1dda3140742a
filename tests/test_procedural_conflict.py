"""Conflict resolution: which state holds when, and what is told beside it."""

import hashlib
import re
from collections import defaultdict

import pytest

from memgym.episode import Episode, Question
from memgym.tasks.procedural import ProceduralOptions
from memgym.tasks.procedural.attribute_forms import ATTRIBUTES
from memgym.tasks.procedural.conflict_forms import (
    DATED_FRAMES,
    MEMORY_FRAMES,
    PLAN_FRAMES,
    RUMOUR_FRAMES,
    Attribute,
)
from memgym.tasks.procedural.conflict_resolution import build
from memgym.tasks.procedural.filler_forms import ASSISTANT_FILLER, DOCUMENT_FILLER, USER_FILLER
from memgym.text import find_dates, split_sentences

SUBJECT = re.compile(r"Project [A-Z]\w+ [A-Z]\w+|(?<=the )[A-Z]\w+(?: [A-Z]\w+)+|[A-Z]\w+ [A-Z]\w+")


def sentences(episode: Episode) -> list[str]:
    return [
        sentence.removeprefix("User: ").removeprefix("Assistant: ")
        for chunk in episode.chunks
        for sentence in split_sentences(chunk)
        if not sentence.startswith("[")
    ]


def subject_of(question: Question) -> str:
    found = SUBJECT.search(re.sub(r"^\w+ ", "", question.question))
    assert found is not None, question
    return found[0]


def pattern(form: str) -> str:
    form = form[0].upper() + form[1:]
    return re.sub(r"\\\{\w+\\\}", ".+", re.escape(form))


def alternatives(forms: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(pattern, forms)))


PLANS = alternatives([form for forms in PLAN_FRAMES.values() for form in forms])
RUMOURS = alternatives(list(RUMOUR_FRAMES))
MEMORIES = alternatives(list(MEMORY_FRAMES))
REMARKS = alternatives(
    [remark for attribute in ATTRIBUTES for remark in attribute.remarks]
    + [*USER_FILLER, *ASSISTANT_FILLER, *DOCUMENT_FILLER]
)


@pytest.fixture(scope="module", params=["train", "validation", "test"])
def episode(request: pytest.FixtureRequest) -> Episode:
    return build(request.param, 4, ProceduralOptions(tokens=24_000, questions=60))


@pytest.fixture(scope="module")
def told(episode: Episode) -> list[str]:
    return sentences(episode)


def statements_about(subject: str, told: list[str]) -> list[tuple[str, str]]:
    """Return the dated statements about a subject that are in force, (date, sentence), sorted."""
    return sorted(
        (find_dates(sentence)[0], sentence)
        for sentence in told
        if subject in sentence and find_dates(sentence) and not PLANS.fullmatch(sentence)
    )


def test_golden_episode() -> None:
    episode = build("train", 0, ProceduralOptions(tokens=3_000, midstream=0.25))
    content = "\n".join([*episode.chunks, *map(repr, episode.questions)])
    assert (
        hashlib.sha256(content.encode()).hexdigest()
        == "f5d7cf9f9e7f9cfc848d6dd884f46f26d9dc4bed4f4c66646424d8393d75c7af"
    )


def test_half_of_the_questions_ask_for_now_and_half_for_a_date(episode: Episode) -> None:
    dated = [question for question in episode.questions if find_dates(question.question)]
    assert len(episode.questions) == 60
    assert len(dated) == 30
    assert all(question.kind == "state" for question in episode.questions)
    for number in (1, 7):
        questions = build("train", 1, ProceduralOptions(questions=number)).questions
        assert len(questions) == number


def test_evidence_is_the_latest_statement_at_the_asked_time(
    episode: Episode, told: list[str]
) -> None:
    for question in episode.questions:
        asked = (find_dates(question.question) or ["9999"])[0]
        before = [item for item in statements_about(subject_of(question), told) if item[0] <= asked]
        assert before[-1][1] == question.evidence[0].text
        assert len(question.evidence) == 1


def test_a_past_date_lies_strictly_between_two_statements(
    episode: Episode, told: list[str]
) -> None:
    for question in episode.questions:
        for asked in find_dates(question.question):
            dates = [date for date, _ in statements_about(subject_of(question), told)]
            assert asked not in dates
            assert dates[0] < asked < dates[-1]


def test_no_past_date_falls_between_a_mistake_and_its_correction(
    episode: Episode, told: list[str]
) -> None:
    undone = alternatives(
        [form for (_, change), forms in DATED_FRAMES.items() if change != "news" for form in forms]
    )
    checked = 0
    for question in episode.questions:
        for asked in find_dates(question.question):
            later = [i for i in statements_about(subject_of(question), told) if i[0] > asked]
            evidence = question.evidence[0].text
            if undone.fullmatch(later[0][1]) and not undone.fullmatch(evidence):
                raise AssertionError(f"{question} is asked before {later[0]}")
            checked += 1
    assert checked == 30


def test_each_statement_holds_exactly_one_value_of_its_subject(
    episode: Episode, told: list[str]
) -> None:
    for question in episode.questions:
        values = [*question.answers, *question.distractors]
        assert len(set(values)) == len(values) >= 3
        dated = statements_about(subject_of(question), told)
        assert 3 <= len(dated) <= 5
        assert len({date for date, _ in dated}) == len(dated)
        for _, sentence in dated:
            assert sum(value in sentence for value in values) == 1, sentence


def test_gold_is_in_the_evidence_and_no_distractor_is(episode: Episode) -> None:
    for question in episode.questions:
        evidence = question.evidence[0].text
        assert question.answers[0] in evidence
        assert not any(value in evidence for value in question.distractors)


def test_states_are_corrected_and_retracted(episode: Episode) -> None:
    answers = defaultdict(set)
    for question in episode.questions:
        answers[subject_of(question)].add(question.answers[0])
    back = [subject for subject, golds in answers.items() if len(golds) == 1]
    assert 2 <= len(back) <= 20  # the state on the past date is the state now: a retraction
    kinds = {change for _, change in DATED_FRAMES}
    assert kinds == {"news", "correction", "retraction"}


def test_some_statements_are_read_after_younger_ones(episode: Episode, told: list[str]) -> None:
    subjects = {subject_of(question) for question in episode.questions}
    late = 0
    for subject in subjects:
        dates = [d for s in told if subject in s and not PLANS.fullmatch(s) for d in find_dates(s)]
        late += dates != sorted(dates)
    assert 1 <= late <= len(subjects) / 2


def test_rumours_never_name_an_asked_subject_in_full(episode: Episode, told: list[str]) -> None:
    rumours = [sentence for sentence in told if RUMOURS.fullmatch(sentence)]
    assert len(rumours) > 20
    subjects = {subject_of(question) for question in episode.questions}
    for sentence in rumours:
        assert find_dates(sentence)
        assert not any(subject in sentence for subject in subjects), sentence


def test_memories_are_undated_and_out_of_date(episode: Episode, told: list[str]) -> None:
    memories = [sentence for sentence in told if MEMORIES.fullmatch(sentence)]
    assert len(memories) > 5
    for sentence in memories:
        assert not find_dates(sentence)
        about = [q for q in episode.questions if subject_of(q) in sentence]
        for question in about:
            if not find_dates(question.question):
                assert question.answers[0] not in sentence
                assert any(value in sentence for value in question.distractors)


def test_settled_changes_lie_beyond_the_text(episode: Episode, told: list[str]) -> None:
    last = re.search(r"\d{4}-\d\d-\d\d", episode.chunks[-1])
    assert last is not None
    plans = [sentence for sentence in told if PLANS.fullmatch(sentence)]
    assert len(plans) >= 4
    for sentence in plans:
        assert find_dates(sentence)[0] > last[0]
        about = [q for q in episode.questions if subject_of(q) in sentence]
        assert about
        for question in about:
            assert question.answers[0] not in sentence
            assert any(value in sentence for value in question.distractors)


def test_statements_are_never_dated_after_they_are_read(episode: Episode) -> None:
    for question in episode.questions:
        evidence = question.evidence[0]
        read = re.search(r"\d{4}-\d\d-\d\d", episode.chunks[evidence.chunk])
        assert read is not None
        assert find_dates(evidence.text)[0] <= read[0]


def test_midstream_questions_ask_for_what_is_known_so_far() -> None:
    options = ProceduralOptions(tokens=24_000, questions=60, midstream=1.0)
    episode = build("test", 1, options)
    by_chunk = [
        [
            sentence
            for sentence in split_sentences(chunk)
            if find_dates(sentence) and not PLANS.search(sentence)
        ]
        for chunk in episode.chunks
    ]
    now = [question for question in episode.questions if not find_dates(question.question)]
    unfinished = 0
    for question in now:
        assert question.asked_after is not None
        read = [s for chunk in by_chunk[: question.asked_after + 1] for s in chunk]
        known = [s for s in read if subject_of(question) in s]
        assert question.evidence[0].text in max(known, key=lambda s: find_dates(s)[0])
        rest = [s for chunk in by_chunk[question.asked_after + 1 :] for s in chunk]
        unfinished += any(subject_of(question) in s for s in rest)
    assert unfinished >= 5


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9])
def test_filler_has_the_wanted_share(share: float) -> None:
    spoken = sentences(build("train", 2, ProceduralOptions(tokens=30_000, filler=share)))
    filler = sum(
        any(kind.fullmatch(sentence) for kind in (REMARKS, MEMORIES, RUMOURS))
        and not any(kind.fullmatch(sentence) for kind in (PLANS,))
        for sentence in spoken
    )
    assert filler / len(spoken) == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda attribute: attribute.name)
def test_each_attribute_has_many_forms_and_others_held_out(attribute: Attribute) -> None:
    train = rendered_forms(attribute.train, "train")
    held_out = rendered_forms(attribute.test, "held_out")
    assert len(train) >= 40
    assert len(held_out) >= 20
    assert not train & held_out
    for clause in (*attribute.train, *attribute.test):
        assert "{s}" in clause
        assert "{v}" in clause or "{av}" in clause
    assert len(set(attribute.now)) >= 6
    assert len(set(attribute.past)) >= 6
    assert all("{s}" in form for form in attribute.now)
    assert all("{s}" in form and "{d}" in form for form in attribute.past)
    assert all("{f}" in form and "{s}" not in form for form in attribute.rumours)


def rendered_forms(clauses: tuple[str, ...], group: str) -> set[str]:
    return {
        frame.replace("{c}", clause)
        for (owner, _), frames in DATED_FRAMES.items()
        if owner == group
        for frame in frames
        for clause in clauses
    }


def test_long_episodes_never_ask_about_a_subject_twice() -> None:
    options = ProceduralOptions(tokens=400_000, questions=1_000)
    questions = build("test", 1, options).questions
    asked: dict[str, int] = defaultdict(int)
    for question in questions:
        asked[subject_of(question)] += 1
    assert len(questions) == 1_000
    assert set(asked.values()) == {2}
