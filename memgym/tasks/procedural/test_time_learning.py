r"""Test-time learning: an unfamiliar set of numbered classes, taught by labelled examples.

An episode has one concept family (sick plants, river signals, guild orders, counter requests) and
14 to 20 classes with random numbers (fewer if the text is too short to teach them, which begins
somewhat below 8,000 tokens with half of it filler). A class is a handful of *cues*; each class
shares a cue with the next, so a single cue may mislead. An example is a sentence with two cues and
the number of its class. Questions are unseen sentences whose pair of cues occurs in no example,
though each of the two cues does. Examples of all classes lie interleaved in every chunk, between
remarks that mention cues without a number.

Wording is in :mod:`memgym.tasks.procedural.label_forms`. Test episodes use cues and sentence forms
that occur in no training or validation episode.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memgym.episode import Episode, Evidence, Question
from memgym.tasks.procedural.dialogue import conversation_header, document_header
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
from memgym.tasks.procedural.label_concepts import Concept, Pair, covering, make_concepts
from memgym.tasks.procedural.label_forms import FAMILIES
from memgym.tasks.procedural.label_talk import ROOMS, TALK
from memgym.tasks.procedural.layout import in_asking_order, midstream
from memgym.tasks.procedural.mixing import Deck, Mixer, Unit, as_sentence, fact_room, spread
from memgym.tasks.procedural.words import pool
from memgym.text import format_example

__all__ = ["build"]

_EXAMPLE_TOKENS = 30.0  # of one labelled example on average, both lines
_REMARK_TOKENS = 14.0  # of one remark on average
_MARKER_TOKENS = 1.3  # line breaks, "User:" and the like, per unit
_TRIES = 50  # at a sentence that has not been asked yet
_EVIDENCE = 6  # examples that make up the evidence of a class, if it has as many


@dataclass(frozen=True, slots=True)
class _Lesson:
    """One planned example: where it stands, which class it teaches, and its two lines."""

    chunk: int
    concept: int
    text: str
    is_evidence: bool


def build(split: str, index: int, options: ProceduralOptions) -> Episode:
    r"""Return episode ``index`` of ``split``, a function of its arguments alone.

    Questions have kind ``label``, and no sentence is asked twice: a text that teaches only a few
    classes may have fewer than ``options.questions`` when hundreds are wanted.
    ``metadata["question_preface"]`` says that the answer is wanted as ``\boxed{number}``.

    Raises:
        UsageError: no such split.
    """
    check_split(split)
    name = episode_id("test_time_learning", split, index, options)
    rng = generator(f"{name}/plan")
    family = rng.randrange(len(FAMILIES))
    room = fact_room(options.tokens, options.filler, _EXAMPLE_TOKENS, _REMARK_TOKENS)
    lessons_each, concepts = make_concepts(FAMILIES[family], split, int(room), rng)
    writer = _Writer(family, split)
    lessons = _lessons(writer, concepts, lessons_each, chunk_count(options), rng)
    questions = _questions(writer, concepts, lessons, options, rng)
    chunks = _Chunks(name, writer, options, concepts, _texts_by_chunk(lessons))
    kind = FAMILIES[family].class_word
    return Episode(
        id=name,
        source="procedural-test-time-learning",
        ability="test_time_learning",
        chunks=LazyChunks(chunk_count(options), chunks),
        questions=questions,
        metadata={
            **episode_metadata(split, options),
            "family": FAMILIES[family].name,
            "labels": len(concepts),
            "question_preface": (
                f"The texts you read contain sentences labelled with the number of a {kind}. Give "
                "the number that belongs to the following sentence, and nothing else, in the form "
                "\\boxed{number}."
            ),
        },
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    """Words the sentences of one family in one split."""

    family: int
    split: str

    def sentence(self, pair: Pair, deck: Deck) -> str:
        """Return a sentence of an example, with both cues in either order."""
        family = FAMILIES[self.family]
        test = self.split == "test"
        text = self._fill(deck.draw(family.test_forms if test else family.forms), pair, deck.rng)
        if deck.rng.random() < 0.6:
            opening = deck.draw(family.test_openings if test else family.openings)
            text = f"{opening}, {text}"
        return as_sentence(text)

    def question(self, pair: Pair, deck: Deck) -> str:
        """Return a sentence to be classified, with both cues in either order."""
        family = FAMILIES[self.family]
        forms = family.test_asked_forms if self.split == "test" else family.asked_forms
        return as_sentence(self._fill(deck.draw(forms), pair, deck.rng))

    def _fill(self, form: str, pair: Pair, rng: random.Random) -> str:
        first, second = pair if rng.random() < 0.5 else pair[::-1]
        return form.format(a=first, b=second, **self._scene(rng))

    def example(self, concept: Concept, pair: Pair, deck: Deck) -> str:
        """Return the two lines of a labelled example."""
        return format_example(self.sentence(pair, deck), concept.label)

    def remark(self, concepts: Sequence[Concept], deck: Deck) -> str:
        """Return a sentence that teaches nothing; it may name a cue."""
        rng = deck.rng
        text = deck.draw(TALK).format(
            cue=rng.choice(rng.choice(concepts).cues),
            room=rng.choice(ROOMS),
            class_word=FAMILIES[self.family].class_word,
            count=rng.choice(("two", "three", "four", "five", "six", "a dozen", "nine", "eight")),
            day=rng.choice(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")),
            who=rng.choice(pool("person_first", self.split)),
        )
        return as_sentence(text)

    def _scene(self, rng: random.Random) -> dict[str, str]:
        return {
            "who": rng.choice(pool("person_first", self.split)),
            "where": rng.choice(FAMILIES[self.family].places),
        }


def _lessons(
    writer: _Writer,
    concepts: Sequence[Concept],
    each: int,
    chunks: int,
    rng: random.Random,
) -> list[_Lesson]:
    """Return the planned examples: every class and cue, classes interleaved over the text."""
    wanted = [
        (k, number, pair)
        for k, concept in enumerate(concepts)
        for number, pair in enumerate(covering(concept, each, rng))
    ]
    rng.shuffle(wanted)
    deck = Deck(rng)
    places = spread(len(wanted), chunks, rng)
    return [
        _Lesson(int(place), k, writer.example(concepts[k], pair, deck), number < _EVIDENCE)
        for place, (k, number, pair) in zip(places, wanted, strict=True)
    ]


def _questions(
    writer: _Writer,
    concepts: Sequence[Concept],
    lessons: Sequence[_Lesson],
    options: ProceduralOptions,
    rng: random.Random,
) -> tuple[Question, ...]:
    """Return the questions, about equally many for each class, in the order of asking.

    The evidence of a question is what teaches its class: examples that hold all cues of the class,
    so also the two of the question.
    """
    order = [k % len(concepts) for k in range(options.questions)]
    rng.shuffle(order)
    evidence: list[list[Evidence]] = [[] for _ in concepts]
    for lesson in lessons:
        if lesson.is_evidence:
            evidence[lesson.concept].append(Evidence(lesson.chunk, lesson.text))
    deck = Deck(rng)
    questions: dict[str, Question] = {}
    for k in order:
        for _ in range(_TRIES):
            pair = rng.choice(concepts[k].held_out)
            text = writer.question(pair, deck)
            if text not in questions:
                questions[text] = Question(
                    text, (concepts[k].label,), "label", evidence=tuple(evidence[k])
                )
                break
    early = midstream(len(questions), options.midstream, rng)
    return in_asking_order(tuple(questions.values()), early)


def _texts_by_chunk(lessons: Sequence[_Lesson]) -> dict[int, tuple[Unit, ...]]:
    texts: dict[int, tuple[Unit, ...]] = {}
    for lesson in lessons:
        texts[lesson.chunk] = (*texts.get(lesson.chunk, ()), Unit("planned", lesson.text))
    return texts


@dataclass(frozen=True, slots=True)
class _Chunks:
    """Makes any chunk of one episode from its index alone."""

    name: str
    writer: _Writer
    options: ProceduralOptions
    concepts: tuple[Concept, ...]
    lessons: dict[int, tuple[Unit, ...]]

    def __call__(self, index: int) -> str:
        rng = generator(f"{self.name}/chunk/{index}")
        date = chunk_date(index, chunk_count(self.options))
        header = self._header(index, date)
        deck = Deck(rng)
        mixer = Mixer(
            rng=rng,
            filler=self.options.filler,
            fact_tokens=_EXAMPLE_TOKENS,
            filler_tokens=_REMARK_TOKENS,
            joint_tokens=_MARKER_TOKENS,
            fact=lambda: self._further_example(deck),
            remark=lambda _: self.writer.remark(self.concepts, deck),
        )
        target = chunk_target(self.options) - count_tokens(header)
        units = mixer.units(self.lessons.get(index, ()), target)
        lay_out = _conversation if index % 2 == 0 else _document
        return f"{header}\n{lay_out(units, rng)}"

    def _header(self, index: int, date: datetime) -> str:
        if index % 2 == 0:
            return conversation_header(date)
        topic = FAMILIES[self.writer.family].topic
        return document_header(date, f"{topic}, sheet {index // 2 + 1}")

    def _further_example(self, deck: Deck) -> Unit:
        concept = deck.rng.choice(self.concepts)
        return Unit("fact", self.writer.example(concept, deck.rng.choice(concept.taught), deck))


def _conversation(units: Sequence[Unit], rng: random.Random) -> str:
    """Return turns: the user brings the examples, remarks come from both sides."""
    lines: list[str] = []
    speaker = ""
    for at, unit in enumerate(units):
        remark = unit.kind == "filler"
        after_example = at > 0 and units[at - 1].kind != "filler"
        if not remark:
            lines.extend([] if speaker == "User" else ["User:"])
            lines.append(unit.text)
            speaker = "User"
        elif not speaker or after_example or rng.random() < 0.5:
            speaker = "Assistant" if speaker == "User" else "User"
            lines.append(f"{speaker}: {unit.text}")
        else:
            lines[-1] = f"{lines[-1]} {unit.text}"
    return "\n".join(lines)


def _document(units: Sequence[Unit], rng: random.Random) -> str:
    """Return paragraphs of remarks between the examples."""
    lines: list[str] = []
    for at, unit in enumerate(units):
        joins = at > 0 and unit.kind == "filler" == units[at - 1].kind and rng.random() < 0.7
        if joins:
            lines[-1] = f"{lines[-1]} {unit.text}"
        else:
            lines.append(unit.text)
    return "\n".join(lines)
