"""Long-range understanding: a story of many threads that runs through all chunks.

Every chunk is a chapter. A *thread* is one protagonist with 6 to 10 events of four kinds (comes to
a place, obtains a thing, meets a person, mends something), spread over the whole text and told in
the order of happening, except that in some threads one event from long before the story is told
late, in a sentence that says so. Each event is one sentence that names the protagonist in full and
the value, which occurs nowhere else in the story (in a story with hundreds of questions two
protagonists may share a value). Between them stand events of other people, who
share names with the protagonists, and prose in which nothing happens.

A thread gives up to three questions: what happened to the protagonist (kind ``keywords``, one
keyword per event) and, for two kinds of events, the values in the order of happening (kind
``order``). Evidence stands in the order of happening.

Wording is in ``story_forms`` and ``story_filler``. Test episodes use names, values and event forms
that occur in no training or validation episode.
"""

import functools
import random
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

from memgym.episode import Episode, Evidence, Question
from memgym.tasks.procedural import story_filler, story_forms
from memgym.tasks.procedural.engine import (
    LazyChunks,
    ProceduralOptions,
    check_split,
    chunk_count,
    chunk_date,
    chunk_target,
    count_tokens,
    episode_id,
    episode_metadata,
    generator,
)
from memgym.tasks.procedural.layout import in_asking_order, midstream
from memgym.tasks.procedural.mixing import Deck, Mixer, Unit, as_sentence, fact_room, spread
from memgym.tasks.procedural.story_cast import FIND, MEND, VISIT, Background, Cast
from memgym.tasks.procedural.story_forms import KINDS
from memgym.tasks.procedural.words import with_article

__all__ = ["build"]

_EVENT_TOKENS = 19.0  # of one event sentence on average
_REMARK_TOKENS = 13.0  # of one sentence of filler on average
_JOINT_TOKENS = 0.15  # of the line breaks between paragraphs, per sentence
_EVENTS_IN_ROOM = 0.6  # largest share of the facts that protagonists may take
_EVENTS = 8  # of a thread on average
_PER_THREAD = 3  # questions
_PAST_IN_BACKGROUND = 0.05  # share of events from before the story, as rare as in the threads
_ECHOED = {"thing": FIND, "part": MEND}  # slots of remarks that take half of a value


@dataclass(frozen=True, slots=True)
class _Event:
    """One event of a thread: what happens and where in the text it is told."""

    kind: int
    value: str
    position: float
    text: str

    @property
    def evidence(self) -> Evidence:
        return Evidence(int(self.position), self.text)


@dataclass(frozen=True, slots=True)
class _Thread:
    """One protagonist: full name, events in order of happening, kinds fit for order questions."""

    who: str
    events: tuple[_Event, ...]
    ordered_kinds: tuple[int, ...]


def build(split: str, index: int, options: ProceduralOptions) -> Episode:
    """Return episode ``index`` of ``split``, a function of its arguments alone.

    A text too short for ``options.questions`` has fewer threads and so fewer questions (at least
    one thread).

    Raises:
        UsageError: no such split.
    """
    check_split(split)
    name = episode_id("long_range_understanding", split, index, options)
    rng = generator(f"{name}/plan")
    title = rng.choice(story_filler.TITLES)
    writer = _Writer(split)
    chunks = chunk_count(options)
    cast = Cast(split, rng)
    threads = tuple(_thread(cast, writer, chunks, rng) for _ in range(_thread_count(options)))
    maker = _Chapters(name, title, options, writer, cast.background(), _told(threads))
    return Episode(
        id=name,
        source="procedural-long-range-understanding",
        ability="long_range_understanding",
        chunks=LazyChunks(chunks, maker),
        questions=_questions(threads, split, options, rng),
        metadata={
            **episode_metadata(split, options),
            "title": title,
            "threads": len(threads),
            "question_preface": (
                f'The texts you read are chapters of "{title}". Answer with the names, places and '
                "things in question, in the order of happening, not of telling."
            ),
        },
    )


def _thread_count(options: ProceduralOptions) -> int:
    wanted = -(-options.questions // _PER_THREAD)
    room = fact_room(options.tokens, options.filler, _EVENT_TOKENS, _REMARK_TOKENS)
    return max(1, min(wanted, int(room * _EVENTS_IN_ROOM / _EVENTS)))


@dataclass(frozen=True, slots=True)
class _Writer:
    """Words events and remarks in one split."""

    split: str

    def event(self, kind: int, who: str, value: str, deck: Deck, *, past: bool = False) -> str:
        """Return the sentence that tells an event; ``past``: from long before the story."""
        test, words = self.split == "test", KINDS[kind]
        if past:
            forms = words.test_past_forms if test else words.past_forms
            openings = story_forms.TEST_PAST_OPENINGS if test else story_forms.PAST_OPENINGS
        else:
            forms = words.test_forms if test else words.forms
            openings = story_forms.TEST_OPENINGS if test else story_forms.OPENINGS
        text = deck.draw(forms).format(who=who, v=value, av=with_article(value))
        if past or deck.rng.random() < 0.6:
            text = f"{deck.draw(openings)}, {text}"
        return as_sentence(text)

    def remark(self, name: str, background: Background, deck: Deck) -> str:
        """Return a sentence in which nothing happens; it may be about the person ``name``."""
        [forms] = deck.rng.choices(_REMARKS, _REMARK_WEIGHTS)
        form = deck.draw(forms)
        slots = {slot: _slot(slot, name, background, deck.rng) for slot in _slots_of(form)}
        return as_sentence(form.format_map(slots))


_REMARKS = (story_filler.ABOUT, story_filler.SCENES, story_filler.VOICES, story_filler.ECHOES)
_REMARK_WEIGHTS = (38, 38, 15, 9)
_FIRST_NAME_ONLY = 0.7  # share of the mentions of people in remarks


@functools.cache
def _slots_of(form: str) -> tuple[str, ...]:
    return tuple(slot for _, slot, _, _ in string.Formatter().parse(form) if slot)


def _slot(slot: str, name: str, background: Background, rng: random.Random) -> str:
    """Return what stands in one slot of a remark (see ``story_filler``)."""
    if slot == "name":
        return name.split(" ", 1)[0] if rng.random() < _FIRST_NAME_ONLY else name
    if slot == "quest":  # the same at every mention of the person
        return story_filler.QUESTS[crc32(name.encode()) % len(story_filler.QUESTS)]
    if slot == "stem":
        return rng.choice(background.values[VISIT]).split(" ", 1)[0]
    if slot in _ECHOED:
        return with_article(rng.choice(background.values[_ECHOED[slot]]).split(" ", 1)[1])
    return rng.choice(story_filler.SLOTS[slot])


def _thread(cast: Cast, writer: _Writer, chunks: int, rng: random.Random) -> _Thread:
    """Plan one thread: two kinds with 3 to 5 and 3 events, up to two more of the others."""
    who = cast.protagonist()
    main, second, *others = rng.sample(range(len(KINDS)), len(KINDS))
    kinds = [main] * rng.randint(3, 5) + [second] * 3 + others[: rng.randint(0, 2)]
    rng.shuffle(kinds)
    past = rng.random() < 0.4
    if past:  # what happened first is told in the second half
        kinds.remove(main)
        kinds.insert(0, main)
    told = list(range(len(kinds)))
    if past:
        told.insert(rng.randint(len(told) // 2, len(told) - 1), told.pop(0))
    positions = dict(zip(told, spread(len(kinds), chunks, rng), strict=True))
    deck = Deck(rng)
    events: list[_Event] = []
    for number, kind in enumerate(kinds):
        while (value := cast.value(kind)) in [event.value for event in events]:
            pass
        text = writer.event(kind, who, value, deck, past=past and number == 0)
        events.append(_Event(kind, value, positions[number], text))
    return _Thread(who, tuple(events), (main, second))


def _told(threads: Iterable[_Thread]) -> dict[int, tuple[Unit, ...]]:
    """Return the planned sentences of each chunk in the order in which they are told."""
    events = sorted(
        (event.position, event.text, thread.who) for thread in threads for event in thread.events
    )
    chunks: dict[int, list[Unit]] = {}
    for position, text, who in events:
        chunks.setdefault(int(position), []).append(Unit("planned", text, who))
    return {chunk: tuple(units) for chunk, units in chunks.items()}


def _questions(
    threads: Sequence[_Thread], split: str, options: ProceduralOptions, rng: random.Random
) -> tuple[Question, ...]:
    """Return a summary question for each thread, then order questions until there are enough."""
    deck = Deck(rng)
    wanted: list[tuple[_Thread, int | None]] = [
        *((thread, None) for thread in threads),
        *((thread, thread.ordered_kinds[0]) for thread in threads),
        *((thread, thread.ordered_kinds[1]) for thread in threads),
    ]
    wanted = wanted[: options.questions]
    rng.shuffle(wanted)
    questions = tuple(_question(thread, kind, split, deck) for thread, kind in wanted)
    return in_asking_order(questions, midstream(len(questions), options.midstream, rng))


def _question(thread: _Thread, kind: int | None, split: str, deck: Deck) -> Question:
    """Return a question for the values of one kind, or the summary question (``None``)."""
    test = split == "test"
    if kind is None:
        forms = story_filler.TEST_SUMMARY_QUESTIONS if test else story_filler.SUMMARY_QUESTIONS
    else:
        forms = KINDS[kind].test_order_questions if test else KINDS[kind].order_questions
    events = [event for event in thread.events if kind is None or event.kind == kind]
    return Question(
        question=deck.draw(forms).format(who=thread.who),
        answers=tuple(event.value for event in events),
        kind="keywords" if kind is None else "order",
        evidence=tuple(event.evidence for event in events),
    )


@dataclass(frozen=True, slots=True)
class _Chapters:
    """Makes any chapter of one episode from its index alone."""

    name: str
    title: str
    options: ProceduralOptions
    writer: _Writer
    background: Background
    planned: dict[int, tuple[Unit, ...]]

    def __call__(self, index: int) -> str:
        rng = generator(f"{self.name}/chunk/{index}")
        deck = Deck(rng)
        date = chunk_date(index, chunk_count(self.options))
        header = f'[Chapter {index + 1} of "{self.title}", read on {date:%Y-%m-%d}]'

        def fact() -> Unit:
            who, kind = self.background.person(rng), rng.randrange(len(KINDS))
            value = self.background.value(kind, who, rng)
            past = rng.random() < _PAST_IN_BACKGROUND
            return Unit("fact", self.writer.event(kind, who, value, deck, past=past), who)

        def remark(subject: str) -> str:
            stay = subject and rng.random() < 0.5
            return self.writer.remark(
                subject if stay else rng.choice(self.background.protagonists), self.background, deck
            )

        mixer = Mixer(
            rng=rng,
            filler=self.options.filler,
            fact_tokens=_EVENT_TOKENS,
            filler_tokens=_REMARK_TOKENS,
            joint_tokens=_JOINT_TOKENS,
            fact=fact,
            remark=remark,
        )
        target = chunk_target(self.options) - count_tokens(header) - 1
        return f"{header}\n{_paragraphs(mixer.units(self.planned.get(index, ()), target), rng)}"


def _paragraphs(units: Sequence[Unit], rng: random.Random) -> str:
    """Return paragraphs of two to seven sentences; most begin with an event."""
    paragraphs: list[list[str]] = [[]]
    for unit in units:
        size = len(paragraphs[-1])
        if size >= 7 or (size >= 2 and unit.kind != "filler" and rng.random() < 0.5):
            paragraphs.append([])
        paragraphs[-1].append(unit.text)
    return "\n".join(" ".join(sentences) for sentences in paragraphs)
