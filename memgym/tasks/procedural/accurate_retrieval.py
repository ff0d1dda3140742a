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

from memgym.episode import Episode, Evidence, Question
from memgym.tasks.procedural.dialogue import Style, write_chunk
from memgym.tasks.procedural.engine import (
    LazyChunks,
    ProceduralOptions,
    check_split,
    chunk_date,
    episode_id,
    episode_metadata,
    generator,
)
from memgym.tasks.procedural.layout import Layout, Place, ask_midstream
from memgym.tasks.procedural.relations import Chain, Family
from memgym.tasks.procedural.retrieval_forms import ANIMALS, CHAINS, FAMILIES, FRAMES
from memgym.tasks.procedural.scene import Scene
from memgym.tasks.procedural.words import with_article

__all__ = ["ABILITY", "build"]

ABILITY = "accurate_retrieval"
_TWO_HOP_SHARE = 0.3
_ASKED_SUBJECT_SHARE = 0.15  # of the background facts: another relation of somebody asked about


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
    return Episode(
        id=name,
        source="procedural-accurate-retrieval",
        ability=ABILITY,
        chunks=LazyChunks(plan.layout.chunks, functools.partial(_chunk, plan)),
        questions=tuple(plan.questions),
        metadata=episode_metadata(split, options),
    )


def _make_plan(name: str, split: str, options: ProceduralOptions) -> _Plan:
    plan = _Plan(Scene(name, split), Layout(options))
    rng = generator(f"{name}/plan")
    singles = list(FAMILIES)
    for number in range(options.questions):
        two_hops = int((number + 1) * _TWO_HOP_SHARE + 1e-9) > int(number * _TWO_HOP_SHARE + 1e-9)
        if number and plan.layout.sentences_left() < 1 + two_hops:
            break
        family = FAMILIES[singles[number % len(singles)]]
        added = _add_chain(plan, rng) if two_hops else _add_single(plan, family, rng)
        if not added:
            break
    rng.shuffle(plan.questions)
    plan.questions = ask_midstream(plan.questions, options.midstream, rng)
    return plan


def _add_single(plan: _Plan, family: Family, rng: random.Random) -> bool:
    place = plan.layout.find(rng)
    if place is None:
        return False
    subject = _new_subject(plan.scene, family.subject, rng)
    value = _new_subject(plan.scene, family.value, rng)
    evidence = _state(plan, family, subject, value, place, rng)
    asked = rng.choice(family.questions).format(s=_definite(family.subject, subject))
    plan.questions.append(Question(asked, _accepted(family, value), "text", evidence=(evidence,)))
    return True


def _add_chain(plan: _Plan, rng: random.Random) -> bool:
    chain = rng.choice(CHAINS)
    if chain.first == "pet" and not plan.scene.unused("pet"):
        chain = CHAINS[0]
    places = _two_places(plan.layout, rng)
    if places is None:
        return False
    first, second = FAMILIES[chain.first], FAMILIES[rng.choice(chain.second)]
    subject = _new_subject(plan.scene, first.subject, rng)
    link = _new_subject(plan.scene, first.value, rng)
    known, bridge = (link, subject) if chain.inverse else (subject, link)
    value = _new_subject(plan.scene, second.value, rng)
    evidence = (
        _state(plan, first, subject, link, places[0], rng),
        _state(plan, second, bridge, value, places[1], rng),
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


def _new_subject(scene: Scene, pool_name: str, rng: random.Random) -> str:
    return scene.new_person(rng) if pool_name == "person" else scene.new_value(pool_name, rng)


def _definite(pool_name: str, subject: str) -> str:
    return f"the {subject}" if pool_name in ("object", "landmark") else subject


def _accepted(family: Family, value: str) -> tuple[str, ...]:
    """Return the gold and its usual variants: "14 June" is also "June 14"."""
    if family.value == "day":
        day, month = value.split()
        return value, f"{month} {day}"
    return (value,)


def _state(
    plan: _Plan, family: Family, subject: str, value: str, place: Place, rng: random.Random
) -> Evidence:
    """Plan the one sentence that states a fact that questions rest on."""
    sentence = _sentence(plan.scene, family, subject, value, place.style, rng)
    plan.layout.put(place, sentence)
    plan.stated.add((family.name, subject))
    plan.subjects.append((family.name, subject))
    return Evidence(place.chunk, sentence)


def _sentence(
    scene: Scene, family: Family, subject: str, value: str, style: Style, rng: random.Random
) -> str:
    held_out = scene.split == "test"
    frame = rng.choice(FRAMES["held_out" if held_out else "train", style])
    clause = rng.choice(family.test if held_out else family.train).format(
        s=_definite(family.subject, subject),
        v=value,
        av=with_article(value),
        animal=rng.choice(ANIMALS),
    )
    text = scene.render(frame.replace("{c}", clause), rng)
    return text[0].upper() + text[1:]


def _chunk(plan: _Plan, number: int) -> str:
    """Make the text of one chunk from the plan and the chunk's own generator."""
    layout, scene = plan.layout, plan.scene
    return write_chunk(
        scene=scene,
        chunk=number,
        when=chunk_date(number, layout.chunks),
        target_tokens=layout.target_tokens,
        planned=layout.planned(number),
        background_share=layout.background_share(),
        fact=functools.partial(_background_fact, plan),
        remark=functools.partial(_remark, plan),
        rng=generator(f"{scene.id}/chunk/{number}"),
    )


def _background_fact(plan: _Plan, rng: random.Random, style: Style) -> str:
    """State a fact that no question rests on; the same subject always gets the same value."""
    scene = plan.scene
    family = rng.choice(tuple(FAMILIES.values()))
    subject = _background_subject(plan, family, rng)
    value = scene.fixed_value(family.value, subject, family.name)
    return _sentence(scene, family, subject, value, style, rng)


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
        name, subject = rng.choice(plan.subjects)
        family = FAMILIES[name]
    else:
        family = rng.choice(tuple(FAMILIES.values()))
        subject = _unasked(plan.scene, family.subject, rng)
    text = rng.choice(family.remarks).format(s=_definite(family.subject, subject))
    return text[0].upper() + text[1:]
