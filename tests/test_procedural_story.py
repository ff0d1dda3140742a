import copy
import itertools
import os
import pickle
import re
import subprocess
import sys
import tracemalloc

import pytest

from memgym.episode import Episode, Question, episode_from_dict, episode_to_dict
from memgym.errors import UsageError
from memgym.memory import Memory
from memgym.reader import ReaderQuestion, VerbatimReader
from memgym.scoring import contains, score_answer
from memgym.tasks.procedural import story_filler, story_forms
from memgym.tasks.procedural.engine import SPLITS, ProceduralOptions, count_tokens
from memgym.tasks.procedural.long_range_understanding import build
from memgym.tasks.procedural.story_cast import value_pool
from memgym.tasks.procedural.story_forms import KINDS, Kind
from memgym.tasks.procedural.words import pool
from memgym.text import split_sentences

# Changes only when the wording or the drawing of episodes changes; then every figure ever measured
# on these episodes changes too.
_GOLDEN = "f6f0d63da3383925d5d34b9d2b66e17f24658455e6f9202e947d719d2240615d"
_SCRIPT = """
import hashlib
from memgym.tasks.procedural.engine import ProceduralOptions
from memgym.tasks.procedural.long_range_understanding import build
digest = hashlib.sha256()
for split in ("train", "test"):
    episode = build(split, 7, ProceduralOptions(midstream=0.5))
    digest.update(repr((episode.id, tuple(episode.chunks), episode.questions)).encode())
    digest.update(repr(sorted(episode.metadata.items())).encode())
print(digest.hexdigest())
"""
_PAST = (*story_forms.PAST_OPENINGS, *story_forms.TEST_PAST_OPENINGS)


def _digest(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_episodes_are_the_same_bytes_in_every_process() -> None:
    assert _digest("1") == _digest("4242") == _GOLDEN


@pytest.mark.parametrize("split", SPLITS)
def test_episodes_differ_by_index_and_split(split: str) -> None:
    episodes = [build(split, index, ProceduralOptions(tokens=2_000)) for index in range(8)]
    assert len({episode.chunks[0] for episode in episodes}) == 8
    assert all(
        episode.id == f"procedural/long_range_understanding/{split}/t2000-c1000-f0.5-q20-m0/{index}"
        for index, episode in enumerate(episodes)
    )
    assert episodes[3] == build(split, 3, ProceduralOptions(tokens=2_000))


def test_an_unknown_split_is_a_user_mistake() -> None:
    with pytest.raises(UsageError, match='unknown split "tset": did you mean "test"'):
        build("tset", 0, ProceduralOptions())


@pytest.mark.parametrize("tokens", [1_000, 2_500, 8_000, 50_000, 200_000])
@pytest.mark.parametrize("filler", [0.0, 0.5, 0.9])
def test_the_text_has_the_wanted_length(tokens: int, filler: float) -> None:
    episode = build("train", 1, ProceduralOptions(tokens=tokens, filler=filler))
    assert episode.count_tokens(count_tokens) == pytest.approx(tokens, rel=0.1)


@pytest.mark.parametrize("chunk_tokens", [100, 300, 5_000, 20_000])
def test_chapters_have_the_wanted_size(chunk_tokens: int) -> None:
    options = ProceduralOptions(tokens=40_000, chunk_tokens=chunk_tokens, questions=10)
    episode = build("validation", 0, options)
    assert len(episode.chunks) == -(-40_000 // chunk_tokens)
    sizes = [count_tokens(chunk) for chunk in episode.chunks]
    assert sum(sizes) / len(sizes) == pytest.approx(chunk_tokens, rel=0.05)
    for index, chunk in enumerate(episode.chunks):
        title = re.escape(episode.metadata["title"])
        header = rf'\[Chapter {index + 1} of "{title}", read on \d{{4}}-\d\d-\d\d\]\n'
        assert re.match(header, chunk)


def test_ten_million_tokens_are_planned_without_being_written() -> None:
    options = ProceduralOptions(tokens=10_000_000, questions=1_000)
    episode = build("test", 0, options)
    assert len(episode.chunks) == 10_000
    assert len(episode.questions) == 1_000
    assert all(
        len(set(question.answers)) == len(question.answers) for question in episode.questions
    )
    for index in (0, 5_000, 9_999):
        assert count_tokens(episode.chunks[index]) == pytest.approx(1_000, rel=0.1)
        assert build("test", 0, options).chunks[index] == episode.chunks[index]


@pytest.mark.no_cover
def test_reading_thousands_of_chapters_keeps_memory_flat() -> None:
    episode = build("train", 0, ProceduralOptions(tokens=210_000, chunk_tokens=100))
    list(itertools.islice(episode.chunks, 100))
    tracemalloc.start()
    try:
        for index in range(100, 2_100):
            assert episode.chunks[index]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def _who(question: Question) -> str:
    """Return the protagonist: the one name that stands in all evidence and in the question."""
    names: list[str] = re.findall(r"[A-Z]\w+ [A-Z]\w+", question.question)
    [name] = [n for n in names if all(n in item.text for item in question.evidence)]
    return name


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("index", range(4))
def test_answers_stand_in_their_evidence_and_nowhere_else(split: str, index: int) -> None:
    episode = build(split, index, ProceduralOptions())
    text = "\n".join(episode.chunks)
    sentences = [split_sentences(chunk) for chunk in episode.chunks]
    for question in episode.questions:
        assert len(question.answers) == len(question.evidence)
        assert len(set(question.answers)) == len(question.answers)
        _who(question)
        for answer, evidence in zip(question.answers, question.evidence, strict=True):
            assert answer in evidence.text
            assert text.count(answer) == 1
            assert sentences[evidence.chunk].count(evidence.text) == 1


def _told_in_order(question: Question) -> bool:
    chunks = [evidence.chunk for evidence in question.evidence]
    return chunks == sorted(chunks)


def test_events_are_listed_as_they_happened() -> None:
    flashbacks = told_late = 0
    for split in SPLITS:
        for index in range(8):
            for question in build(split, index, ProceduralOptions()).questions:
                past = [
                    evidence.text.lower().startswith(_PAST) and " had " in evidence.text
                    for evidence in question.evidence
                ]
                # Only what was before the story comes first without being told first.
                assert not any(past[1:])
                rest = [evidence.chunk for evidence in question.evidence][past[0] :]
                assert rest == sorted(rest)
                flashbacks += past[0]
                told_late += not _told_in_order(question)
    assert flashbacks > 50
    assert told_late > 0.5 * flashbacks


@pytest.mark.parametrize("split", SPLITS)
def test_threads_have_six_to_ten_events_over_the_whole_text(split: str) -> None:
    spans = []
    for index in range(6):
        episode = build(split, index, ProceduralOptions())
        kinds = [question.kind for question in episode.questions]
        assert kinds.count("keywords") == episode.metadata["threads"] == 7
        assert kinds.count("order") == 13
        for question in episode.questions:
            if question.kind == "keywords":
                assert 6 <= len(question.answers) <= 10
                chunks = [evidence.chunk for evidence in question.evidence]
                spans.append(max(chunks) - min(chunks))
            else:
                assert 3 <= len(question.answers) <= 5
    assert min(spans) >= 4


def test_every_question_is_asked_once() -> None:
    for index in range(10):
        episode = build("test", index, ProceduralOptions(tokens=60_000, questions=100))
        asked = [question.question for question in episode.questions]
        assert len(set(asked)) == len(asked) == 100


def test_a_short_text_has_fewer_threads() -> None:
    options = ProceduralOptions(tokens=1_000, filler=0.95, questions=1_000)
    assert len(build("train", 0, options).questions) == 3


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_midstream_questions_come_after_their_evidence(share: float) -> None:
    episode = build("train", 0, ProceduralOptions(midstream=share))
    early = [question for question in episode.questions if question.asked_after is not None]
    assert len(early) == round(share * 20)
    for question in early:
        assert question.asked_after == max(evidence.chunk for evidence in question.evidence)


@pytest.mark.parametrize("filler", [0.0, 0.3, 0.5, 0.8])
def test_the_share_of_filler_is_kept(filler: float) -> None:
    episode = build("train", 2, ProceduralOptions(tokens=30_000, filler=filler))
    values = [value for kind in range(4) for value in value_pool(kind, "train")]
    names = pool("person_first", "train")
    event = re.compile(
        rf"\b(?:{'|'.join(values)})\b|\b(?:{'|'.join(names)}) \w+.*\b(?:{'|'.join(names)}) [A-Z]"
    )
    found = [
        bool(event.search(sentence))
        for chunk in episode.chunks
        for sentence in split_sentences(chunk)[1:]
    ]
    assert 1 - sum(found) / len(found) == pytest.approx(filler, abs=0.03)


def test_nothing_happens_in_filler() -> None:
    remarks = (
        *story_filler.ABOUT,
        *story_filler.SCENES,
        *story_filler.VOICES,
        *story_filler.ECHOES,
    )
    assert len(set(remarks)) == len(remarks) >= 110
    assert not any("{who}" in remark or "{v}" in remark for remark in remarks)


def test_background_people_share_names_with_protagonists() -> None:
    episode = build("train", 0, ProceduralOptions())
    heroes = {_who(question) for question in episode.questions}
    people = {
        f"{first} {last}"
        for first, last in itertools.pairwise(re.findall(r"\w+", " ".join(episode.chunks)))
        if first in pool("person_first", "train") and last in pool("person_last", "train")
    }
    parts = {part for hero in heroes for part in hero.split()}
    near = [name for name in people - heroes if parts & set(name.split())]
    assert len(near) >= 15


def test_no_value_is_known_to_be_asked_for_from_other_episodes() -> None:
    asked, elsewhere = set(), set()
    for index in range(6):
        episode = build("test", index, ProceduralOptions())
        answers = {answer for question in episode.questions for answer in question.answers}
        text = "\n".join(episode.chunks)
        values = {value for kind in range(4) for value in value_pool(kind, "test")}
        asked |= answers & values
        elsewhere |= {value for value in values - answers if value in text}
    assert len(asked & elsewhere) > 0.3 * len(asked)


def test_an_episode_survives_copying_and_json() -> None:
    episode = build("train", 4, ProceduralOptions(tokens=2_000))
    assert copy.deepcopy(episode) == episode
    assert pickle.loads(pickle.dumps(episode)) == episode
    assert episode_from_dict(episode_to_dict(episode), "here") == episode


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_splits_share_no_values(kind: int) -> None:
    pools = {split: set(value_pool(kind, split)) for split in SPLITS}
    assert sum(map(len, pools.values())) == len(set.union(*pools.values()))
    if KINDS[kind].lefts:
        assert min(map(len, pools.values())) >= 100


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_there_are_enough_ways_to_say_it(kind: Kind) -> None:
    slots = {"who": "W", "v": "V", "av": "a V"}
    train = {form.format(**slots) for form in kind.forms}
    test = {form.format(**slots) for form in kind.test_forms}
    assert len(train) >= 22
    assert len(test) >= 20
    assert not train & test
    assert not set(story_forms.OPENINGS) & set(story_forms.TEST_OPENINGS)
    assert len(train) * (1 + len(story_forms.OPENINGS)) >= 300
    assert not set(kind.past_forms) & set(kind.test_past_forms)
    for questions in (kind.order_questions, kind.test_order_questions):
        assert len(set(questions)) >= 6
    assert not set(kind.order_questions) & set(kind.test_order_questions)
    for form in (*train, *test, *kind.past_forms, *kind.test_past_forms):
        assert "V" in form or "v}" in form


@pytest.mark.parametrize("split", SPLITS)
def test_sentences_are_well_formed(split: str) -> None:
    for index in range(10):
        episode = build(split, index, ProceduralOptions(tokens=6_000))
        sentences = [s for chunk in episode.chunks for s in split_sentences(chunk)[1:]]
        sentences += [question.question for question in episode.questions]
        for sentence in sentences:
            assert re.fullmatch(r'"?[A-Z][^{}\n]*[.?"]', sentence), sentence
            assert not re.search(r"\b(\w+) \1\b", sentence.lower()), sentence
            assert not re.search(r"\ba [aeio]|\ban [^aeiou]|  | [.,?]|\.\.", sentence), sentence


def _score(episode: Episode, items: list[str]) -> float:
    memory = Memory()
    for item in items:
        memory.insert("semantic", item)
    asked = [ReaderQuestion(question.question, question.kind) for question in episode.questions]
    answers = VerbatimReader().answer(asked, memory)
    return sum(
        score_answer(question, answer.text)
        for question, answer in zip(episode.questions, answers, strict=True)
    ) / len(asked)


def _sentences(episode: Episode) -> list[str]:
    return [sentence for chunk in episode.chunks for sentence in split_sentences(chunk)]


def test_structured_memory_beats_raw_chunks_and_evidence_beats_both() -> None:
    oracle, sentences, chunks = [], [], []
    for index in range(5):
        episode = build("test", index, ProceduralOptions())
        gold = [" ".join(item.text for item in question.evidence) for question in episode.questions]
        oracle.append(_score(episode, gold))
        sentences.append(_score(episode, _sentences(episode)))
        chunks.append(_score(episode, list(episode.chunks)))
    assert sum(oracle) / 5 >= 0.95
    assert 0.55 <= sum(sentences) / 5 <= 0.95
    assert sum(chunks) / 5 <= 0.3


def test_a_longer_story_is_harder_to_keep_by_the_sentence() -> None:
    short = build("train", 0, ProceduralOptions(tokens=8_000))
    long = build("train", 0, ProceduralOptions(tokens=64_000))
    assert _score(long, _sentences(long)) < 0.6 * _score(short, _sentences(short))


def test_the_answer_cannot_be_told_from_the_question() -> None:
    for question in build("test", 0, ProceduralOptions()).questions:
        assert not any(contains(answer, question.question) for answer in question.answers)
