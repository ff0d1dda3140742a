"""Accurate retrieval: single facts and chains of two, told once among much else.

The subjects are people, objects and landmarks; twelve families of relations (home town, occupation,
employer, pet, dish, birthday, locker; location and owner of an object; architect, year and town of
a landmark). About three questions in ten need two facts ("Where does the owner of the brass compass
work?"), told in different chunks where there are several. Each asked fact is stated once; the
background states facts of the same families about other subjects, many of whom share a first or
last name with somebody asked about. Not here: wording (``*_forms``), names and values (``words``).
"""

import functools
import random
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from memgym.episode import Episode, Evidence, Question
from memgym.tasks.procedural.dialogue import Style
from memgym.tasks.procedural.engine import (
    LazyChunks,
    ProceduralOptions,
    check_split,
    chunk_date,
    episode_id,
    episode_metadata,
    generator,
)
from memgym.tasks.procedural.layout import Layout, Place, in_asking_order, midstream
from memgym.tasks.procedural.relations import Chain, Family
from memgym.tasks.procedural.retrieval_forms import ANIMALS, CHAINS, FAMILIES, FRAMES
from memgym.tasks.procedural.scene import Scene, talked_about
from memgym.tasks.procedural.words import with_article
from memgym.tasks.procedural.writing import ChunkWriter

__all__ = ["ABILITY", "build"]

ABILITY: Final = "accurate_retrieval"
_TWO_HOP_PERCENT = 30
_STATEMENT_TOKENS = 18.5  # mean, measured
_PLAIN_SHARE = 0.45  # of the statements: a bare clause, without a frame
_ASKED_SUBJECT_SHARE = 0.15  # of the background facts: another relation of somebody asked about


class _Fact(NamedTuple):
    family: Family
    subject: str
    value: str


@dataclass(slots=True)
class _Plan:
    """Everything an episode's chunks need to know; its size is that of the questions."""

    scene: Scene
    layout: Layout
    questions: list[Question] = field(default_factory=list)
    subjects: list[tuple[str, str]] = field(default_factory=list)  # (family, subject) asked about
    stated: set[tuple[str, str]] = field(default_factory=set)


def build(split: str, index: int, options: ProceduralOptions) -> Episode:
    """Return the accurate-retrieval episode with this ``index`` of ``split``; its text is lazy.

    Raises:
        UsageError: no such split.
    """
    check_split(split)
    name = episode_id(ABILITY, split, index, options)
    plan = _make_plan(name, split, options)
    early = midstream(len(plan.questions), options.midstream, generator(f"{name}/midstream"))
    return Episode(
        id=name,
        source="procedural-accurate-retrieval",
        ability=ABILITY,
        chunks=LazyChunks(plan.layout.chunks, functools.partial(_chunk, plan)),
        questions=in_asking_order(plan.questions, early),
        metadata=episode_metadata(split, options),
    )


def _make_plan(name: str, split: str, options: ProceduralOptions) -> _Plan:
    plan = _Plan(Scene(name, split), Layout(options, _STATEMENT_TOKENS))
    rng = generator(f"{name}/plan")
    families = rng.sample(list(FAMILIES.values()), len(FAMILIES))
    for number in range(options.questions):
        two_hops = (number + 1) * _TWO_HOP_PERCENT // 100 > number * _TWO_HOP_PERCENT // 100
        if number and plan.layout.sentences_left() < 1 + two_hops:
            break
        added = _add_chain(plan, rng) if two_hops else _add_single(plan, families[0], rng)
        families.append(families.pop(0))
        # Objects, landmarks and pets can run out; people cannot.
        if not added and not _add_single(plan, FAMILIES["employer"], rng):
            break
    rng.shuffle(plan.questions)
    return plan


def _add_single(plan: _Plan, family: Family, rng: random.Random) -> bool:
    place = plan.layout.find(rng)
    subject = _new_subject(plan, family, rng)
    value = _new_value(plan, family, rng)
    if place is None or subject is None or value is None:
        return False
    evidence = _state(plan, _Fact(family, subject, value), place, rng)
    asked = rng.choice(family.questions).format(s=_definite(family.subject, subject))
    plan.questions.append(Question(asked, _accepted(family, value), "text", evidence=(evidence,)))
    return True


def _add_chain(plan: _Plan, rng: random.Random) -> bool:
    chain = rng.choice(CHAINS)
    places = _two_places(plan.layout, rng)
    first, second = FAMILIES[chain.first], FAMILIES[rng.choice(chain.second)]
    subject = _new_subject(plan, first, rng)
    link = _new_value(plan, first, rng)
    value = _new_value(plan, second, rng)
    if places is None or subject is None or link is None or value is None:
        return False
    known, bridge = (link, subject) if chain.inverse else (subject, link)
    if (second.name, bridge) in plan.stated:
        return False
    evidence = (
        _state(plan, _Fact(first, subject, link), places[0], rng),
        _state(plan, _Fact(second, bridge, value), places[1], rng),
    )
    asked = _chain_question(chain, first, second, known, rng)
    plan.questions.append(Question(asked, _accepted(second, value), "text", evidence=evidence))
    return True


def _chain_question(
    chain: Chain, first: Family, second: Family, known: str, rng: random.Random
) -> str:
    pool_name = first.value if chain.inverse else first.subject
    description = rng.choice(chain.descriptions).format(x=_definite(pool_name, known))
    forms = [form for form in second.questions if "{s}'s" not in form]
    return rng.choice(forms).format(s=description)


def _two_places(layout: Layout, rng: random.Random) -> tuple[Place, Place] | None:
    """Return two places in random order, in different chunks if there are several."""
    if layout.chunks == 1:
        first, second = layout.find(rng), layout.find(rng)
    else:
        cut = rng.randrange(1, layout.chunks)
        first, second = layout.find(rng, 0, cut), layout.find(rng, cut)
    if first is None or second is None:
        return None
    return (first, second) if rng.random() < 0.5 else (second, first)


def _new_subject(plan: _Plan, family: Family, rng: random.Random) -> str | None:
    """Draw a subject of which this family has stated nothing; None if there is none left."""
    while True:
        subject = plan.scene.new_subject(family.subject, family.name, rng)
        if subject is None or (family.name, subject) not in plan.stated:
            return subject


def _new_value(plan: _Plan, family: Family, rng: random.Random) -> str | None:
    """Draw a value. A pet identifies its owner, so that pets never repeat, and can run out."""
    if family.value == "pet":
        return plan.scene.new_subject("pet", "pet", rng)
    return plan.scene.new_value(family.value, family.name, rng)


def _definite(pool_name: str, subject: str) -> str:
    return f"the {subject}" if pool_name in ("object", "landmark") else subject


def _accepted(family: Family, value: str) -> tuple[str, ...]:
    """Return the gold and its usual variants: "14 June" is also "June 14"."""
    if family.value == "day":
        day, month = value.split()
        return value, f"{month} {day}"
    return (value,)


def _state(plan: _Plan, fact: _Fact, place: Place, rng: random.Random) -> Evidence:
    """Plan the one sentence that states a fact that questions rest on."""
    sentence = _sentence(plan.scene, fact, place.style, rng)
    plan.layout.put(place, sentence)
    plan.stated.add((fact.family.name, fact.subject))
    plan.subjects.append((fact.family.name, fact.subject))
    return Evidence(place.chunk, sentence)


def _sentence(scene: Scene, fact: _Fact, style: Style, rng: random.Random) -> str:
    family = fact.family
    held_out = scene.split == "test"
    frames = FRAMES["held_out" if held_out else "train", style]
    frame = "{c}." if rng.random() < _PLAIN_SHARE else rng.choice(frames)
    clause = rng.choice(family.test if held_out else family.train).format(
        s=_definite(family.subject, fact.subject),
        v=fact.value,
        av=with_article(fact.value),
        animal=rng.choice(ANIMALS),
    )
    text = scene.render(frame.replace("{c}", clause), rng)
    return text[0].upper() + text[1:]


def _chunk(plan: _Plan, number: int) -> str:
    """Make the text of one chunk from the plan and the chunk's own generator."""
    layout, scene = plan.layout, plan.scene
    writer = ChunkWriter(
        scene,
        fact=functools.partial(_background_fact, plan),
        remark=functools.partial(_remark, plan),
        background_share=layout.background_share(),
        rng=generator(f"{scene.id}/chunk/{number}"),
    )
    when = chunk_date(number, layout.chunks)
    return writer.write(number, when, layout.target_tokens, layout.planned(number))


def _background_fact(plan: _Plan, rng: random.Random, style: Style) -> str:
    """State a fact that no question rests on; the same subject always gets the same value."""
    scene = plan.scene
    family = rng.choice(tuple(FAMILIES.values()))
    subject = _background_subject(plan, family, rng)
    value = scene.fixed_value(family.value, subject, family.name)
    return _sentence(scene, _Fact(family, subject, value), style, rng)


def _background_subject(plan: _Plan, family: Family, rng: random.Random) -> str:
    if plan.subjects and rng.random() < _ASKED_SUBJECT_SHARE:
        other, subject = rng.choice(plan.subjects)
        same_pool = FAMILIES[other].subject == family.subject
        if same_pool and (family.name, subject) not in plan.stated:
            return subject
    return _unasked(plan.scene, family.subject, rng)


def _unasked(scene: Scene, pool_name: str, rng: random.Random) -> str:
    if pool_name == "person":
        return scene.other_person(rng)
    return rng.choice(scene.background(pool_name))


def _remark(plan: _Plan, rng: random.Random) -> str:
    """Touch on a relation, often one that is asked about, without stating anything."""
    if plan.subjects and rng.random() < plan.scene.mention:
        name, subject = talked_about(plan.subjects, rng)
        family = FAMILIES[name]
    else:
        family = rng.choice(tuple(FAMILIES.values()))
        subject = _unasked(plan.scene, family.subject, rng)
    text = rng.choice(family.remarks).format(s=_definite(family.subject, subject))
    return text[0].upper() + text[1:]
