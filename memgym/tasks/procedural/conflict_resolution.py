"""Conflict resolution: states that change, are corrected or retracted, asked for now and then.

Each asked subject (a person, a landmark, a project) has one changing attribute with three to five
dated statements: a first state, then news, corrections of a mistaken notice, or retractions after
which the state before stands. Every statement carries its own date, names the subject in full and
holds exactly one value; some are read later than younger ones. A subject is asked for its state now
and on a past date, never on a date between a mistaken notice and its correction. Undated memories
of former states and unconfirmed rumours are told about the same subjects; for some, a change is
settled whose date lies beyond the end of the text, so that it is not yet the state "now".
Not here: wording (``conflict_forms``, ``attribute_forms``), names and values (``words``).
"""

import functools
import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from memgym.episode import Episode, Evidence, Question
from memgym.tasks.procedural.attribute_forms import ATTRIBUTES
from memgym.tasks.procedural.conflict_forms import (
    DATED_FRAMES,
    MEMORY_FRAMES,
    PLAN_FRAMES,
    RUMOUR_FRAMES,
    Attribute,
    Change,
)
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
from memgym.tasks.procedural.scene import Scene, talked_about
from memgym.tasks.procedural.words import with_article
from memgym.tasks.procedural.writing import ChunkWriter
from memgym.text import MONTHS

__all__ = ["ABILITY", "build"]

ABILITY: Final = "conflict_resolution"

# What happens to a subject, in order of the dates. What comes before a correction or a retraction
# turns out to be untrue.
_STORIES: tuple[tuple[Change, ...], ...] = (
    ("news", "news", "news"),
    ("news", "news", "correction"),
    ("news", "news", "retraction"),
    ("news", "news", "news", "news"),
    ("news", "news", "news", "retraction"),
    ("news", "news", "news", "correction"),
    ("news", "news", "retraction", "news"),
    ("news", "news", "correction", "news"),
    ("news", "news", "news", "news", "retraction"),
    ("news", "news", "correction", "news", "news"),
)
# Two news in a row, of which neither is corrected next, may be read in either order.
_SWAPPABLE: tuple[tuple[Change, ...], ...] = (("news", "news", "news"), ("news", "news"))
_STATEMENT_TOKENS = 26.0  # mean, measured
_LATE_SHARE = 0.35  # of the subjects: one statement is read after a younger one
_PLANNED_SHARE = 0.3  # of the subjects: a change is settled for a date after the last chunk
_MEMORY_SHARE, _RUMOUR_SHARE = 0.3, 0.3  # of the remarks


class _Statement(NamedTuple):
    """A dated statement of a subject's state."""

    day: date
    value: str
    chunk: int
    text: str
    true: bool


@dataclass(frozen=True, slots=True)
class _Subject:
    """A subject, its attribute and its statements in order of their dates.

    ``never_true`` holds the value of the rumours about it, then that of a settled change, if any.
    """

    attribute: Attribute
    name: str
    statements: tuple[_Statement, ...]
    never_true: tuple[str, ...]

    def memory(self) -> tuple[str, int] | None:
        """Return the first value and the chunk after which it is history, unless it came back."""
        first, *later = self.statements
        if any(item.value == first.value for item in later):
            return None
        return first.value, max(first.chunk, later[0].chunk)


@dataclass(slots=True)
class _Plan:
    """Everything an episode's chunks need to know; its size is that of the questions."""

    scene: Scene
    layout: Layout
    subjects: list[_Subject] = field(default_factory=list)


def build(split: str, index: int, options: ProceduralOptions) -> Episode:
    """Return the conflict-resolution episode with this ``index`` of ``split``; its text is lazy.

    Raises:
        UsageError: no such split.
    """
    check_split(split)
    name = episode_id(ABILITY, split, index, options)
    plan = _make_plan(name, split, options)
    return Episode(
        id=name,
        source="procedural-conflict-resolution",
        ability=ABILITY,
        chunks=LazyChunks(plan.layout.chunks, functools.partial(_chunk, plan)),
        questions=_questions(plan, options, generator(f"{name}/questions")),
        metadata=episode_metadata(split, options),
    )


def _make_plan(name: str, split: str, options: ProceduralOptions) -> _Plan:
    plan = _Plan(Scene(name, split), Layout(options, _STATEMENT_TOKENS))
    rng = generator(f"{name}/plan")
    attributes = rng.sample(ATTRIBUTES, len(ATTRIBUTES))
    for number in range((options.questions + 1) // 2):
        story = rng.choice(_STORIES)
        if not plan.subjects:
            story = _STORIES[rng.randrange(3)]  # the shortest: it must fit anywhere
        if plan.subjects and plan.layout.sentences_left() < len(story):
            break
        subject = _new_subject(plan, attributes[number % len(attributes)], story, rng)
        if subject is None:
            break
        plan.subjects.append(subject)
    return plan


def _new_subject(
    plan: _Plan, attribute: Attribute, story: tuple[Change, ...], rng: random.Random
) -> _Subject | None:
    """Plan the statements about one subject, or return None if the text has no room for them."""
    places = _places(plan.layout, story, rng)
    if places is None:
        return None
    scene = plan.scene
    name = scene.new_subject(attribute.subject, "subject", rng)
    if name is None:
        return None
    days = _days([place.chunk for place in places], plan.layout.chunks, rng)
    values: list[str] = []
    for change in story:
        values.append(
            values[-2] if change == "retraction" else _other_value(scene, attribute, values, rng)
        )
    untrue = [change != "news" for change in (*story[1:], "news")]
    statements = []
    for change, place, day, value, wrong in zip(story, places, days, values, untrue, strict=True):
        clause = _clause(scene, attribute, name, value, rng)
        text = _dated(scene, change, clause, day, rng)
        plan.layout.put(place, text)
        statements.append(_Statement(day, value, place.chunk, text, not wrong))
    rumoured = scene.fixed_value(attribute.value, name, "rumour")
    subject = _Subject(attribute, name, tuple(statements), (rumoured,))
    return _settle_change(plan, subject, rng) if rng.random() < _PLANNED_SHARE else subject


def _settle_change(plan: _Plan, subject: _Subject, rng: random.Random) -> _Subject:
    """Announce, if there is room, a change of the subject for a date beyond the end of the text."""
    layout, scene, attribute = plan.layout, plan.scene, subject.attribute
    place = layout.find(rng, subject.statements[0].chunk)
    if place is None or layout.sentences_left() < 1:
        return subject
    value = _other_value(scene, attribute, [item.value for item in subject.statements], rng)
    end = chunk_date(layout.chunks - 1, layout.chunks).date()
    day = end + timedelta(days=rng.randint(40, 400))
    frame = rng.choice(PLAN_FRAMES["held_out" if scene.split == "test" else "train"])
    clause = rng.choice(attribute.rumours).format(
        f=_definite(attribute, subject.name), v=value, av=with_article(value)
    )
    layout.put(place, _capitalised(frame.format(r=clause, d=_written(day, rng))))
    return replace(subject, never_true=(*subject.never_true, value))


def _other_value(scene: Scene, attribute: Attribute, not_in: list[str], rng: random.Random) -> str:
    while True:
        value = scene.new_value(attribute.value, attribute.name, rng)
        if value not in not_in:
            return value


def _places(layout: Layout, story: tuple[Change, ...], rng: random.Random) -> list[Place] | None:
    """Return a place for each statement, spread over the text, in order of their dates."""
    count, chunks = len(story), layout.chunks
    places = []
    for number in range(count):
        low, high = number * chunks // count, (number + 1) * chunks // count
        place = layout.find(rng, min(low, chunks - 1), max(high, low + 1, 1))
        if place is None:
            return None
        places.append(place)
    swaps = [i for i in range(1, count - 1) if story[i : i + 3] in _SWAPPABLE]
    if swaps and rng.random() < _LATE_SHARE:
        late = rng.choice(swaps)
        places[late], places[late + 1] = places[late + 1], places[late]
    return places


def _days(positions: list[int], chunks: int, rng: random.Random) -> list[date]:
    """Return increasing dates, none later than the day on which its chunk is read.

    Neighbours are at least five days apart, so that a date between them can be asked for.
    """
    days: list[date] = []
    for number in range(len(positions)):
        read = chunk_date(min(positions[number:]), chunks).date()
        slack = 25 * (len(positions) - 1 - number)
        day = read - timedelta(days=slack + rng.randrange(20))
        days.append(max(day, days[-1] + timedelta(days=rng.randint(5, 25))) if days else day)
    return days


def _clause(
    scene: Scene, attribute: Attribute, subject: str, value: str, rng: random.Random
) -> str:
    clauses = attribute.test if scene.split == "test" else attribute.train
    return rng.choice(clauses).format(
        s=_definite(attribute, subject), v=value, av=with_article(value)
    )


def _dated(scene: Scene, change: Change, clause: str, day: date, rng: random.Random) -> str:
    group = "held_out" if scene.split == "test" else "train"
    frame = rng.choice(DATED_FRAMES[group, change])
    return _capitalised(frame.format(c=clause, d=_written(day, rng)))


def _definite(attribute: Attribute, subject: str) -> str:
    return f"the {subject}" if attribute.subject == "landmark" else subject


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


def _written(day: date, rng: random.Random) -> str:
    month = MONTHS[day.month - 1]
    forms = (f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}", day.isoformat())
    return rng.choices(forms, (5, 3, 2))[0]


def _questions(plan: _Plan, options: ProceduralOptions, rng: random.Random) -> tuple[Question, ...]:
    """Ask each subject for its state now and on a past date, in mixed order."""
    wanted = [(subject, now) for subject in plan.subjects for now in (True, False)]
    if options.questions % 2 and len(wanted) > options.questions:
        wanted.pop(-rng.randint(1, 2))
    rng.shuffle(wanted)
    early = midstream(len(wanted), options.midstream, rng)
    questions = [
        _ask_now(subject, number in early, rng) if now else _ask_past(subject, rng)
        for number, (subject, now) in enumerate(wanted)
    ]
    return in_asking_order(questions, early)


def _ask_now(subject: _Subject, early: bool, rng: random.Random) -> Question:
    """Ask for the present state: after the last chunk, or while reading, as far as then known."""
    current = subject.statements[-1]
    if early:
        current = rng.choice(
            [
                item
                for item in subject.statements[1:]
                if item.true
                and all(other.day <= item.day for other in _read_by(subject, item.chunk))
            ]
        )
    form = rng.choice(subject.attribute.now)
    return _question(subject, form.format(s=_definite(subject.attribute, subject.name)), current)


def _read_by(subject: _Subject, chunk: int) -> list[_Statement]:
    return [item for item in subject.statements if item.chunk <= chunk]


def _ask_past(subject: _Subject, rng: random.Random) -> Question:
    pairs = [(a, b) for a, b in pairwise(subject.statements) if a.true]
    current, following = rng.choice(pairs)
    gap = (following.day - current.day).days
    day = current.day + timedelta(days=rng.randint(1, gap - 1))
    form = rng.choice(subject.attribute.past)
    asked = form.format(s=_definite(subject.attribute, subject.name), d=_written(day, rng))
    return _question(subject, asked, current)


def _question(subject: _Subject, asked: str, current: _Statement) -> Question:
    values = dict.fromkeys([*(item.value for item in subject.statements), *subject.never_true])
    return Question(
        asked,
        (current.value,),
        "state",
        evidence=(Evidence(current.chunk, current.text),),
        distractors=tuple(value for value in values if value != current.value),
    )


def _chunk(plan: _Plan, number: int) -> str:
    """Make the text of one chunk from the plan and the chunk's own generator."""
    layout, scene = plan.layout, plan.scene
    when = chunk_date(number, layout.chunks)
    writer = ChunkWriter(
        scene,
        fact=functools.partial(_background_fact, plan, when.date()),
        remark=functools.partial(_remark, plan, number, when.date()),
        background_share=layout.background_share(),
        rng=generator(f"{scene.id}/chunk/{number}"),
    )
    return writer.write(number, when, layout.target_tokens, layout.planned(number))


def _background_fact(plan: _Plan, today: date, rng: random.Random, style: Style) -> str:
    """State what no question is about; the same subject is always in the same state."""
    scene = plan.scene
    attribute = rng.choice(ATTRIBUTES)
    subject = _unasked(scene, attribute, rng)
    value = scene.fixed_value(attribute.value, subject, attribute.name)
    changes: tuple[Change, ...] = ("news", "correction", "retraction")
    change = rng.choices(changes, (8, 1, 1))[0]
    day = today - timedelta(days=rng.randrange(60))
    return _dated(scene, change, _clause(scene, attribute, subject, value, rng), day, rng)


def _unasked(scene: Scene, attribute: Attribute, rng: random.Random) -> str:
    if attribute.subject == "person":
        return scene.other_person(rng)
    return rng.choice(scene.background(attribute.subject))


def _remark(plan: _Plan, chunk: int, today: date, rng: random.Random) -> str:
    """Touch on a subject, often an asked one: a memory, a rumour, or nothing at all."""
    if rng.random() >= plan.scene.mention:
        attribute = rng.choice(ATTRIBUTES)
        name = _definite(attribute, _unasked(plan.scene, attribute, rng))
        return _capitalised(rng.choice(attribute.remarks).format(s=name))
    subject = talked_about(plan.subjects, rng)
    attribute, name = subject.attribute, _definite(subject.attribute, subject.name)
    kind = rng.random()
    memory = subject.memory()
    if kind < _MEMORY_SHARE and memory is not None and memory[1] < chunk:
        clause = rng.choice(attribute.memories).format(
            s=name, v=memory[0], av=with_article(memory[0])
        )
        return _capitalised(rng.choice(MEMORY_FRAMES).format(m=clause))
    if kind > 1.0 - _RUMOUR_SHARE:
        return _rumour(subject, today, rng)
    return _capitalised(rng.choice(attribute.remarks).format(s=name))


def _rumour(subject: _Subject, today: date, rng: random.Random) -> str:
    """Tell an unconfirmed story with a later date, naming the subject in part only."""
    first, _, rest = subject.name.partition(" ")
    kind = subject.attribute.subject
    short = first if kind == "person" else "the project" if kind == "project" else f"the {rest}"
    value = subject.never_true[0]
    clause = rng.choice(subject.attribute.rumours).format(
        f=short if kind == "person" else short.lower(), v=value, av=with_article(value)
    )
    day = today + timedelta(days=rng.randint(10, 60))
    return _capitalised(rng.choice(RUMOUR_FRAMES).format(r=clause, d=_written(day, rng)))
