import copy
import functools
import itertools
import os
import pickle
import re
import subprocess
import sys
import tracemalloc

import pytest

from memgym.episode import Episode, episode_from_dict, episode_to_dict
from memgym.errors import UsageError
from memgym.memory import Memory
from memgym.reader import ReaderQuestion, VerbatimReader
from memgym.scoring import score_answer
from memgym.tasks.procedural.engine import SPLITS, ProceduralOptions, count_tokens
from memgym.tasks.procedural.label_concepts import cue_pool
from memgym.tasks.procedural.label_forms import FAMILIES, Family
from memgym.tasks.procedural.label_talk import TALK
from memgym.tasks.procedural.test_time_learning import build
from memgym.text import labelled_examples, split_sentences

# Changes only when the wording or the drawing of episodes changes; then every figure ever measured
# on these episodes changes too.
_GOLDEN = "f6331796caa4f5cb1fd06ba148a966a33ee9fc501d7d30802851e605367ef41c"
_SCRIPT = """
import hashlib
from memgym.tasks.procedural.engine import ProceduralOptions
from memgym.tasks.procedural.test_time_learning import build
digest = hashlib.sha256()
for split in ("train", "test"):
    episode = build(split, 7, ProceduralOptions(midstream=0.5))
    digest.update(repr((episode.id, tuple(episode.chunks), episode.questions)).encode())
    digest.update(repr(sorted(episode.metadata.items())).encode())
print(digest.hexdigest())
"""


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
    episodes = [build(split, index, ProceduralOptions(tokens=1_000)) for index in range(8)]
    assert len({episode.chunks[0] for episode in episodes}) == 8
    assert all(
        episode.id == f"procedural/test_time_learning/{split}/t1000-c1000-f0.5-q20-m0/{index}"
        for index, episode in enumerate(episodes)
    )
    assert episodes[3] == build(split, 3, ProceduralOptions(tokens=1_000))


def test_an_unknown_split_is_a_user_mistake() -> None:
    with pytest.raises(UsageError, match='unknown split "tset": did you mean "test"'):
        build("tset", 0, ProceduralOptions())


@pytest.mark.parametrize("tokens", [1_000, 2_500, 8_000, 50_000, 200_000])
@pytest.mark.parametrize("filler", [0.0, 0.5, 0.9])
def test_the_text_has_the_wanted_length(tokens: int, filler: float) -> None:
    episode = build("train", 1, ProceduralOptions(tokens=tokens, filler=filler))
    assert episode.count_tokens(count_tokens) == pytest.approx(tokens, rel=0.1)


@pytest.mark.parametrize("chunk_tokens", [100, 300, 5_000, 20_000])
def test_chunks_have_the_wanted_size(chunk_tokens: int) -> None:
    options = ProceduralOptions(tokens=40_000, chunk_tokens=chunk_tokens)
    episode = build("validation", 0, options)
    assert len(episode.chunks) == -(-40_000 // chunk_tokens)
    sizes = [count_tokens(chunk) for chunk in episode.chunks]
    assert sum(sizes) / len(sizes) == pytest.approx(chunk_tokens, rel=0.05)
    # A chunk is never cut inside an example, so it may miss its size by about one of them.
    assert max(abs(size - chunk_tokens) for size in sizes) < 60 + 0.05 * chunk_tokens


def test_ten_million_tokens_are_planned_without_being_written() -> None:
    options = ProceduralOptions(tokens=10_000_000, questions=1_000)
    episode = build("test", 0, options)
    assert len(episode.chunks) == 10_000
    assert len(episode.questions) == 1_000
    for index in (0, 5_000, 9_999):
        assert count_tokens(episode.chunks[index]) == pytest.approx(1_000, rel=0.1)
        assert build("test", 0, options).chunks[index] == episode.chunks[index]


@pytest.mark.no_cover
def test_reading_thousands_of_chunks_keeps_memory_flat() -> None:
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


def _all_examples(episode: Episode) -> list[tuple[str, str]]:
    return [
        (example.text, example.label)
        for chunk in episode.chunks
        for example in labelled_examples(chunk)
    ]


_cue_pool = functools.cache(cue_pool)


def _cues(text: str, episode: Episode, split: str) -> set[str]:
    family = next(f for f in FAMILIES if f.name == episode.metadata["family"])
    words = f" {re.sub(r'[^a-z-]+', ' ', text.lower())} "
    return {cue for cue in _cue_pool(family, split) if f" {cue} " in words}


@pytest.mark.no_cover
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("index", range(3))
def test_questions_are_new_sentences_of_taught_classes(split: str, index: int) -> None:
    episode = build(split, index, ProceduralOptions())
    examples = _all_examples(episode)
    taught = [(frozenset(_cues(text, episode, split)), label) for text, label in examples]
    assert all(len(cues) == 2 for cues, _ in taught)
    by_cue: dict[str, set[str]] = {}
    for cues, label in taught:
        for cue in cues:
            by_cue.setdefault(cue, set()).add(label)
    for question in episode.questions:
        assert question.kind == "label"
        assert question.question not in {text for text, _ in examples}
        cues = frozenset(_cues(question.question, episode, split))
        assert len(cues) == 2
        assert cues not in {pair for pair, _ in taught}
        # Whoever knows what every cue stands for can only give the gold label.
        assert set.intersection(*(by_cue[cue] for cue in cues)) == set(question.answers)


@pytest.mark.no_cover
@pytest.mark.parametrize("split", SPLITS)
def test_evidence_is_a_whole_example_of_the_right_class(split: str) -> None:
    for index in range(4):
        episode = build(split, index, ProceduralOptions(tokens=4_000))
        units = [split_sentences(chunk) for chunk in episode.chunks]
        for question in episode.questions:
            assert 3 <= len(question.evidence) <= 6
            seen: set[str] = set()
            for evidence in question.evidence:
                assert evidence.text in episode.chunks[evidence.chunk]
                assert units[evidence.chunk].count(evidence.text) == 1
                [example] = labelled_examples(evidence.text)
                assert (example.label,) == question.answers
                seen |= _cues(example.text, episode, split)
            assert seen >= _cues(question.question, episode, split)


def test_every_class_has_its_own_number_of_two_or_three_digits() -> None:
    counts = set()
    for index in range(30):
        episode = build("train", index, ProceduralOptions())
        labels = {label for _, label in _all_examples(episode)}
        assert len(labels) == episode.metadata["labels"]
        assert all(label.isdigit() and 10 <= int(label) <= 999 for label in labels)
        assert {question.answers[0] for question in episode.questions} <= labels
        counts.add(len(labels))
    assert min(counts) >= 14
    assert max(counts) == 20


def test_classes_lie_interleaved_in_every_chunk() -> None:
    for index in range(5):
        episode = build("train", index, ProceduralOptions())
        for chunk in episode.chunks:
            labels = [example.label for example in labelled_examples(chunk)]
            assert len(set(labels)) >= 5
            assert max(map(labels.count, labels)) <= len(labels) / 2


@pytest.mark.parametrize("filler", [0.0, 0.3, 0.5, 0.8])
def test_the_share_of_filler_is_kept(filler: float) -> None:
    episode = build("train", 2, ProceduralOptions(tokens=30_000, filler=filler))
    examples = remarks = 0
    for chunk in episode.chunks:
        for unit in split_sentences(chunk)[1:]:
            examples += bool(labelled_examples(unit))
            remarks += not labelled_examples(unit) and unit not in ("User:", "Assistant:")
    assert remarks / (remarks + examples) == pytest.approx(filler, abs=0.04)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_midstream_questions_come_after_their_evidence(share: float) -> None:
    episode = build("train", 0, ProceduralOptions(midstream=share))
    early = [question for question in episode.questions if question.asked_after is not None]
    assert len(early) == round(share * 20)
    for question in early:
        assert question.asked_after == max(evidence.chunk for evidence in question.evidence)
    if early:
        assert len({question.asked_after for question in early}) > 1


def test_a_short_text_teaches_fewer_classes() -> None:
    options = ProceduralOptions(tokens=1_000, filler=0.95, questions=1_000)
    episode = build("test", 1, options)
    assert 2 <= episode.metadata["labels"] <= 6
    asked = [question.question for question in episode.questions]
    assert len(set(asked)) == len(asked)
    assert 100 < len(asked) <= 1_000


def test_an_episode_survives_copying_and_json() -> None:
    episode = build("train", 4, ProceduralOptions(tokens=2_000))
    assert copy.deepcopy(episode) == episode
    assert pickle.loads(pickle.dumps(episode)) == episode
    assert episode_from_dict(episode_to_dict(episode), "here") == episode


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_splits_share_no_cues_and_test_shares_no_forms(family: Family) -> None:
    pools = {split: set(cue_pool(family, split)) for split in SPLITS}
    assert sum(map(len, pools.values())) == len(set.union(*pools.values()))
    assert min(map(len, pools.values())) >= 20 * 5
    assert not set(family.forms) & set(family.test_forms)
    assert not set(family.openings) & set(family.test_openings)
    assert not set(family.asked_forms) & set(family.test_asked_forms)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_there_are_enough_ways_to_say_it(family: Family) -> None:
    slots = {"a": "A", "b": "B", "who": "W", "where": "at P"}
    train = {form.format(**slots) for form in family.forms}
    test = {form.format(**slots) for form in family.test_forms}
    assert len(train) >= 24
    assert len(test) >= 20
    assert len(train) * (1 + len(family.openings)) >= 200
    assert min(len(family.asked_forms), len(family.test_asked_forms)) >= 6


def _written(split: str) -> list[str]:
    sentences = []
    for index in range(12):
        episode = build(split, index, ProceduralOptions(tokens=5_000))
        sentences += [text for text, _ in _all_examples(episode)]
        sentences += [question.question for question in episode.questions]
        for chunk in episode.chunks:
            for unit in split_sentences(chunk)[1:]:
                bare = re.sub(r"^(?:User|Assistant): ?", "", unit)
                sentences += [bare] if bare and not labelled_examples(unit) else []
    return sentences


@pytest.mark.parametrize("split", SPLITS)
def test_sentences_are_well_formed(split: str) -> None:
    for sentence in _written(split):
        assert re.fullmatch(r"[A-Z][^{}\n]*[.?]", sentence), sentence
        assert not re.search(r"\b(?!had)(\w+) \1\b", sentence.lower()), sentence
        assert not re.search(r"\ba [aeio]|\ban (?!hour)[^aeiou]|  | [.,?]|\.\.", sentence), sentence


def test_test_episodes_use_wording_that_training_never_saw() -> None:
    def skeletons(split: str) -> set[str]:
        found = set()
        for index in range(12):
            episode = build(split, index, ProceduralOptions())
            family = next(f for f in FAMILIES if f.name == episode.metadata["family"])
            slots = [*family.places, *cue_pool(family, split)]
            pattern = re.compile("|".join(map(re.escape, slots)), re.IGNORECASE)
            for text, _ in _all_examples(episode):
                bare = re.sub(r"(?<! )\b[A-Z]\w+", "", pattern.sub("*", text))
                found.add(f"{family.name}: {re.sub(r'(?<=.)[A-Z][a-z]+', 'W', bare)}")
        return found

    train, test = skeletons("train"), skeletons("test")
    assert len(train) >= 160
    assert len(test) >= 80
    assert not train & test


def _scores(episode: Episode, items: list[str]) -> float:
    memory = Memory()
    for item in items:
        memory.insert("semantic", item)
    asked = [ReaderQuestion(question.question, question.kind) for question in episode.questions]
    answers = VerbatimReader().answer(asked, memory)
    return sum(
        score_answer(question, answer.text)
        for question, answer in zip(episode.questions, answers, strict=True)
    ) / len(asked)


def test_structured_memory_beats_raw_chunks_and_evidence_beats_both() -> None:
    oracle, sentences, chunks = [], [], []
    for index in range(5):
        episode = build("test", index, ProceduralOptions())
        gold = ["\n".join(e.text for e in question.evidence) for question in episode.questions]
        oracle.append(_scores(episode, gold))
        every = [unit for chunk in episode.chunks for unit in split_sentences(chunk)]
        sentences.append(_scores(episode, every))
        chunks.append(_scores(episode, list(episode.chunks)))
    assert sum(oracle) / 5 >= 0.95
    assert 0.6 <= sum(sentences) / 5 <= 0.95
    assert sum(chunks) < 0.8 * sum(sentences)


def test_remarks_give_no_class_away() -> None:
    assert len(set(TALK)) == len(TALK) >= 40
    assert not any("{label}" in remark or re.search(r"\d", remark) for remark in TALK)
