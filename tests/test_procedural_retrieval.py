"""Accurate retrieval: facts told once, chains of two, wording and filler."""

import hashlib
import re
from collections import Counter

import pytest

from memgym.episode import Episode
from memgym.tasks.procedural import ProceduralOptions
from memgym.tasks.procedural.accurate_retrieval import build
from memgym.tasks.procedural.filler_forms import ASSISTANT_FILLER, DOCUMENT_FILLER, USER_FILLER
from memgym.tasks.procedural.retrieval_forms import CHAINS, FAMILIES, FRAMES
from memgym.tasks.procedural.words import POOLS, pool
from memgym.text import split_sentences

NAME = re.compile(r"[A-Z]\w+ [A-Z]\w+")


def sentences(episode: Episode) -> list[str]:
    return [
        sentence.removeprefix("User: ").removeprefix("Assistant: ")
        for chunk in episode.chunks
        for sentence in split_sentences(chunk)
        if not sentence.startswith("[")
    ]


def matcher(form: str) -> str:
    """Return a pattern for the sentences a form can become."""
    form = form[0].upper() + form[1:]
    return re.sub(r"\\\{\w+\\\}", ".+", re.escape(form)).removeprefix(r"\{s\}")


FILLER = re.compile(
    "|".join(
        matcher(form)
        for form in (
            *USER_FILLER,
            *ASSISTANT_FILLER,
            *DOCUMENT_FILLER,
            *(remark for family in FAMILIES.values() for remark in family.remarks),
        )
    )
)


@pytest.fixture(scope="module", params=["train", "validation", "test"])
def episode(request: pytest.FixtureRequest) -> Episode:
    return build(request.param, 11, ProceduralOptions(tokens=20_000, questions=60))


def test_golden_episode() -> None:
    episode = build("train", 0, ProceduralOptions(tokens=3_000, midstream=0.25))
    content = "\n".join([*episode.chunks, *map(repr, episode.questions)])
    assert (
        hashlib.sha256(content.encode()).hexdigest()
        == "967f2000888173f0a24c58049c37c4e66cc2838a4cb0ba1df0c7b853ee39fb13"
    )


def test_three_questions_in_ten_need_two_facts_from_two_chunks(episode: Episode) -> None:
    assert len(episode.questions) == 60
    hops = Counter(len(question.evidence) for question in episode.questions)
    assert hops == {1: 42, 2: 18}
    for question in episode.questions:
        assert question.kind == "text"
        chunks = [evidence.chunk for evidence in question.evidence]
        assert len(set(chunks)) == len(chunks)


def test_the_second_fact_is_about_what_the_first_one_leads_to(episode: Episode) -> None:
    chained = [question for question in episode.questions if len(question.evidence) == 2]
    for question in chained:
        first, second = (evidence.text for evidence in question.evidence)
        shared = {word for word in words(first) if word in words(second)}
        assert any(word[0].isupper() or word in COMMON_THINGS for word in shared), question
        assert not any(gold in first for gold in question.answers)
        assert not any(gold in question.question for gold in question.answers)


def words(text: str) -> list[str]:
    return re.findall(r"\w[\w-]*", text)


COMMON_THINGS = frozenset(word for thing in POOLS["object"]() for word in thing.split())


def test_a_fact_asked_about_is_told_once(episode: Episode) -> None:
    told = sentences(episode)
    for question in episode.questions:
        for evidence in question.evidence:
            assert told.count(evidence.text) == 1
        last = question.evidence[-1].text
        for subject in NAME.findall(last):
            others = [s for s in told if subject in s and s != last]
            for gold in question.answers:
                assert gold == subject or not any(gold in other for other in others), subject


def test_gold_values_do_not_occur_in_the_background(episode: Episode) -> None:
    text = "\n".join(sentences(episode))
    for question in episode.questions:
        gold = question.answers[0]
        if gold not in people(text):
            assert len(re.findall(rf"\b{re.escape(gold)}\b", text)) <= 2, gold


def people(text: str) -> set[str]:
    return {name for name in NAME.findall(text) if name.split()[0] in FIRST_NAMES}


FIRST_NAMES = frozenset(POOLS["person_first"]())


def test_names_come_from_the_pool_of_the_split(episode: Episode) -> None:
    split = episode.metadata["split"]
    firsts, lasts = set(pool("person_first", split)), set(pool("person_last", split))
    told = people("\n".join(sentences(episode)))
    assert len(told) > 100
    assert all(set(name.split()) & (firsts | lasts) == set(name.split()) for name in told)


def test_background_people_share_names_with_asked_ones(episode: Episode) -> None:
    asked = {name for q in episode.questions for name in people(q.question)}
    told = "\n".join(sentences(episode))
    parts = {part for name in asked for part in name.split()}
    namesakes = {name for name in people(told) if name not in asked and set(name.split()) & parts}
    assert len(namesakes) > len(asked)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9])
def test_filler_has_the_wanted_share(share: float) -> None:
    options = ProceduralOptions(tokens=30_000, filler=share)
    told = sentences(build("train", 2, options))
    filler = sum(FILLER.fullmatch(sentence) is not None for sentence in told)
    assert filler / len(told) == pytest.approx(share, abs=0.04)


def test_filler_states_nothing_and_names_asked_people(episode: Episode) -> None:
    filler = [s for s in sentences(episode) if FILLER.fullmatch(s)]
    evidence = {e.text for question in episode.questions for e in question.evidence}
    assert not evidence & set(filler)
    asked = {name for q in episode.questions for name in people(q.question)}
    assert sum(any(name in s for name in asked) for s in filler) > 20


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_has_many_forms_and_others_held_out(name: str) -> None:
    family = FAMILIES[name]
    for clauses in (family.train, family.test):
        assert len({skeleton(clause) for clause in clauses}) == len(clauses)
        assert all("{s}" in clause and ("{v}" in clause or "{av}" in clause) for clause in clauses)
    assert not set(family.train) & set(family.test)
    forms = {group: rendered_forms(name, group) for group in ("train", "held_out")}
    assert len(forms["train"]) >= 40
    assert len(forms["held_out"]) >= 20
    assert not forms["train"] & forms["held_out"]
    assert len(set(family.questions)) >= 6
    assert all("{s}" in question for question in family.questions)
    assert len(family.remarks) >= 3


def rendered_forms(name: str, group: str) -> set[str]:
    clauses = FAMILIES[name].train if group == "train" else FAMILIES[name].test
    frames = {"{c}.", *FRAMES[group, "talk"], *FRAMES[group, "document"]}
    return {frame.replace("{c}", clause) for frame in frames for clause in clauses}


def skeleton(clause: str) -> tuple[str, ...]:
    """Return the words in order, without what composing adds."""
    return tuple(word for word in words(clause) if word not in ("the", "a", "av", "v", "animal"))


def test_train_and_test_episodes_use_their_own_clauses() -> None:
    def clauses(split: str, forms: str) -> int:
        patterns = [
            re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(clause)), re.IGNORECASE)
            for family in FAMILIES.values()
            for clause in getattr(family, forms)
        ]
        episode = build(split, 0, ProceduralOptions(tokens=10_000, questions=40))
        stated = [e.text for question in episode.questions for e in question.evidence]
        assert all(any(pattern.search(text) for pattern in patterns) for text in stated)
        return len(stated)

    assert clauses("train", "train") == clauses("validation", "train") == clauses("test", "test")


def test_every_chain_leads_from_one_family_to_another() -> None:
    for chain in CHAINS:
        bridge = FAMILIES[chain.first].subject if chain.inverse else FAMILIES[chain.first].value
        for second in chain.second:
            assert FAMILIES[second].subject == bridge
            assert any("{s}'s" not in form for form in FAMILIES[second].questions)
        assert all("{x}" in description for description in chain.descriptions)


def test_birthdays_are_accepted_in_both_orders() -> None:
    questions = build("test", 0, ProceduralOptions(tokens=10_000, questions=60)).questions
    dated = [q for q in questions if len(q.answers) == 2]
    assert dated
    for question in dated:
        day, month = question.answers[0].split()
        assert question.answers[1] == f"{month} {day}"
        assert day.isdigit()


def test_long_episodes_state_no_relation_of_a_subject_twice() -> None:
    options = ProceduralOptions(tokens=400_000, questions=1_000)
    questions = build("test", 1, options).questions
    assert len({question.question for question in questions}) == 1_000
    clauses = thing_clauses()
    things = Counter(
        (name, match[1])
        for question in questions
        for evidence in question.evidence
        for name, clause in clauses
        if (match := clause.search(evidence.text))
    )
    assert len(things) > 400
    assert max(things.values()) == 1
    pets = Counter(
        pet
        for question in questions
        for evidence in question.evidence
        for pet in pool("pet", "test")
        if re.search(rf"\b{pet}\b", evidence.text)
    )
    assert len(pets) > 40
    assert max(pets.values()) == 1


def clause_pattern(clause: str, subject: str) -> re.Pattern[str]:
    """Return a pattern for a clause, whose group 1 is the subject."""
    escaped = re.sub(r"\\\{(?!s\\\})\w+\\\}", ".+", re.escape(clause))
    return re.compile(escaped.replace(r"\{s\}", f"({subject})"), re.IGNORECASE)


def thing_clauses() -> list[tuple[str, re.Pattern[str]]]:
    """Return every clause about things, with its family: large patterns, slow to compile."""
    return [
        (name, clause_pattern(clause, f"the (?:{'|'.join(pool(family.subject, 'test'))})"))
        for name, family in FAMILIES.items()
        if family.subject != "person"
        for clause in family.test
    ]


def test_the_background_never_restates_a_fact_asked_about() -> None:
    episode = build("train", 3, ProceduralOptions(tokens=100_000))
    told = sentences(episode)
    checked = 0
    for question in episode.questions:
        found = relation_and_subject(question.question)
        if found is None:
            continue
        name, subject = found
        patterns = [clause_pattern(c, re.escape(subject)) for c in FAMILIES[name].train]
        stating = [s for s in told if any(pattern.search(s) for pattern in patterns)]
        assert stating == [question.evidence[0].text]
        checked += 1
    assert checked >= 10


def relation_and_subject(question: str) -> tuple[str, str] | None:
    """Return which family a question of one hop asks about, and whom."""
    for family in FAMILIES.values():
        for form in family.questions:
            before, _, after = form.partition("{s}")
            if question.startswith(before) and question.endswith(after):
                subject = question[len(before) : len(question) - len(after)]
                if not re.search(r"called|named|belongs|owns?|of|designed", subject):
                    return family.name, subject
    return None
