"""What holds for every procedural task: options, lazy chunks, lengths, reproducibility, splits."""

import copy
import itertools
import os
import pickle
import re
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.episode import ABILITIES, Ability, Episode
from memgym.errors import UsageError
from memgym.tasks.procedural import GENERATORS, SPLITS, ProceduralOptions, build_procedural
from memgym.tasks.procedural.dialogue import conversation, document
from memgym.tasks.procedural.engine import LazyChunks, chunk_date, count_tokens, generator
from memgym.tasks.procedural.layout import Layout
from memgym.tasks.procedural.words import POOLS, pool, with_article
from memgym.text import split_sentences

OURS = ("accurate_retrieval", "conflict_resolution")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 299}, "tokens must be from 300 to 10,000,000, got 299"),
        ({"tokens": 10_000_001}, "tokens"),
        ({"tokens": 2e3}, "tokens must be a whole number"),
        ({"chunk_tokens": 39}, "chunk_tokens"),
        ({"chunk_tokens": True}, "chunk_tokens must be a whole number"),
        ({"filler": 0.96}, "filler must be from 0.0 to 0.95"),
        ({"filler": "half"}, "filler must be a number"),
        ({"filler": float("nan")}, "filler"),
        ({"questions": 0}, "questions"),
        ({"questions": 1_001}, "questions"),
        ({"midstream": -0.1}, "midstream"),
        ({"midstream": None}, "midstream must be a number"),
    ],
)
def test_options_out_of_range_say_what_would_be_right(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        ProceduralOptions(**options)  # type: ignore[arg-type]


def test_options_at_their_limits_are_accepted() -> None:
    ProceduralOptions(tokens=10_000_000, chunk_tokens=20_000, filler=0, questions=1_000)
    ProceduralOptions(tokens=1_000, chunk_tokens=100, filler=0.95, questions=1, midstream=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("acurate_retrieval", "train", 0), 'did you mean "accurate_retrieval"'),
        (("accurate_retrieval", "tests", 0), 'did you mean "test"'),
        (("conflict_resolution", "dev", 0), 'unknown split "dev"'),
        (("accurate_retrieval", "train", -1), "integer from 0"),
        (("accurate_retrieval", "train", True), "integer from 0"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments: tuple[str, str, int], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        build_procedural(*arguments)


def test_every_ability_has_a_generator() -> None:
    assert set(GENERATORS) == set(ABILITIES)


def test_generators_depend_on_the_path_alone() -> None:
    assert generator("a/b").random() == generator("a/b").random()
    assert generator("a/b").random() != generator("a/c").random()
    # Written down, so that a change of the derivation cannot go unnoticed.
    assert generator("procedural").randrange(10**9) == 270_590_311


class CountingMaker:
    """Makes chunk texts and remembers which were made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, index: int) -> str:
        self.made.append(index)
        return f"chunk {index}"


def test_lazy_chunks_behave_like_a_tuple() -> None:
    chunks, plain = LazyChunks(5, CountingMaker()), tuple(f"chunk {i}" for i in range(5))
    assert len(chunks) == 5
    assert [chunks[i] for i in range(-5, 5)] == [plain[i] for i in range(-5, 5)]
    assert chunks[1:4] == plain[1:4]
    assert chunks[::-2] == plain[::-2]
    assert tuple(chunks) == plain
    assert chunks == plain
    assert chunks == list(plain)
    assert chunks != plain[:4]
    assert chunks != (*plain[:4], "other")
    assert chunks != "chunk 0"
    assert "chunk 3" in chunks
    for index in (5, -6):
        with pytest.raises(IndexError, match="of 5"):
            chunks[index]


def test_lazy_chunks_make_only_what_is_read_and_keep_only_the_latest() -> None:
    maker = CountingMaker()
    chunks = LazyChunks(1_000, maker, cache=2)
    assert chunks[900] == chunks[900] == "chunk 900"
    assert maker.made == [900]
    for index in (1, 2, 900):
        assert chunks[index] == f"chunk {index}"
    assert maker.made == [900, 1, 2, 900]


def test_lazy_chunks_can_be_copied_and_pickled() -> None:
    chunks = build_procedural("accurate_retrieval", "train", 0, ProceduralOptions(2_000)).chunks
    first = chunks[0]
    for other in (copy.deepcopy(chunks), pickle.loads(pickle.dumps(chunks))):
        assert other[0] == first
        assert other == chunks


@given(st.integers(1, 50_000), st.data())
def test_dates_never_go_backwards(chunks: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, chunks - 1))
    assert chunk_date(0, chunks) >= datetime(2031, 1, 1)
    assert chunk_date(index, chunks) <= chunk_date(index + 1, chunks) <= datetime(2042, 1, 1)


def test_no_string_is_in_the_pools_of_two_splits() -> None:
    split_of: dict[str, str] = {}
    for name, split in itertools.product(POOLS, SPLITS):
        words = pool(name, split)
        assert len(set(words)) == len(words) >= 30, (name, split)
        for word in words:
            assert split_of.setdefault(word, split) == split, word


def test_pools_and_articles() -> None:
    with pytest.raises(UsageError, match='did you mean "person_first"'):
        pool("person_frist", "train")
    assert with_article("amber vase") == "an amber vase"
    assert with_article("brass drum") == "a brass drum"


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 2**32))
def test_conversations_and_documents_hold_every_sentence_once(
    mine: int, theirs: int, seed: int
) -> None:
    rng = generator(str(seed))
    user = [f"User sentence {i} ends." for i in range(mine)]
    assistant = [f"Assistant sentence {i} ends." for i in range(theirs)]
    talk = conversation(user, assistant, rng)
    said = re.findall(r"\w+ sentence \d+ ends\.", talk)
    assert sorted(said) == sorted(user + assistant)
    speakers = [line.split(":")[0] for line in talk.splitlines()]
    if mine and theirs:
        assert speakers == ["User", "Assistant"] * (len(speakers) // 2)
    assert re.findall(r"\w+ sentence \d+ ends\.", document(user, rng)) == user


def test_layout_stops_when_the_text_is_full_and_keeps_filler_its_room() -> None:
    layout = Layout(ProceduralOptions(1_000, chunk_tokens=200), 18.0)
    sentence = "Mara Lindqvist keeps a brass compass in the top drawer of the old desk upstairs."
    rng = generator("layout")
    booked = 0
    while layout.sentences_left() > 0 and (place := layout.find(rng)) is not None:
        assert 0 <= place.chunk < 5
        layout.put(place, sentence)
        booked += 1
    assert booked * count_tokens(sentence) < 600
    assert booked == sum(len(layout.planned(chunk)) for chunk in range(5)) > 10
    assert layout.background_share() < 0.1


# ---------------------------------------------------------------- both generators of this module's


def _options() -> Iterator[ProceduralOptions]:
    yield ProceduralOptions(tokens=1_000)
    yield ProceduralOptions(tokens=1_000, chunk_tokens=100, filler=0.95, questions=50)
    yield ProceduralOptions(tokens=1_500, filler=0.0, questions=1_000)
    yield ProceduralOptions(tokens=6_000, chunk_tokens=100, midstream=0.5)
    yield ProceduralOptions(tokens=8_000)
    yield ProceduralOptions(tokens=30_000, chunk_tokens=20_000, filler=0.8, questions=7)


@pytest.fixture(params=[(a, o) for a in OURS for o in _options()], ids=str, scope="module")
def episode(request: pytest.FixtureRequest) -> Episode:
    ability, options = request.param
    return build_procedural(ability, "validation", 3, options)


@pytest.mark.parametrize("ability", ABILITIES)
def test_chunks_of_a_sentence_or_two(ability: Ability) -> None:
    options = ProceduralOptions(tokens=600, chunk_tokens=40, questions=10)
    lengths, most = [], []
    for number in range(20):
        episode = build_procedural(ability, "validation", number, options)
        assert len(episode.chunks) == 15
        assert all(split_sentences(chunk) for chunk in episode.chunks)
        lengths.append(episode.count_tokens(count_tokens))
        most.append(max(count_tokens(chunk) for chunk in episode.chunks))
    assert sum(lengths) / len(lengths) == pytest.approx(600, rel=0.2)
    assert max(most) < 120


def test_length_is_as_asked(episode: Episode) -> None:
    wanted = episode.metadata["tokens"]
    assert episode.count_tokens(count_tokens) == pytest.approx(wanted, rel=0.04)
    size = wanted / len(episode.chunks)
    assert all(
        count_tokens(chunk) == pytest.approx(size, abs=0.05 * size + 20) for chunk in episode.chunks
    )


def test_evidence_stands_in_its_chunk_once_and_holds_the_gold(episode: Episode) -> None:
    for question in episode.questions:
        for evidence in question.evidence:
            assert episode.chunks[evidence.chunk].count(evidence.text) == 1
        assert any(gold in question.evidence[-1].text for gold in question.answers)


def test_evidence_is_one_sentence_to_a_reader(episode: Episode) -> None:
    for question in episode.questions:
        for evidence in question.evidence:
            sentences = split_sentences(episode.chunks[evidence.chunk])
            holding = [item for item in sentences if evidence.text in item]
            assert len(holding) == 1
            assert holding[0].removeprefix("User: ").removeprefix("Assistant: ") == evidence.text


_HEADER = r"\[(Conversation of DATE \d\d:\d\d|Document read on DATE: .+)\]\n".replace(
    "DATE", r"\d{4}-\d\d-\d\d"
)


def test_chunks_look_like_dated_input(episode: Episode) -> None:
    previous = ""
    for chunk in episode.chunks:
        assert re.match(_HEADER, chunk)
        day = re.search(r"\d{4}-\d\d-\d\d", chunk)
        assert day is not None
        assert day[0] >= previous
        previous = day[0]


def test_every_sentence_is_clean_english_text(episode: Episode) -> None:
    for sentence in itertools.chain.from_iterable(map(split_sentences, episode.chunks)):
        plain = sentence.removeprefix("User: ").removeprefix("Assistant: ")
        assert re.match(r"[A-Z\d\[]", plain), sentence
        assert plain[-1] in ".?]", sentence
        assert not re.search(r"\b([a-z]+) \1\b", plain, re.IGNORECASE), sentence
        assert not re.search(r"\ba [aeiou]|\ban (?!hour)[^aeiou]|[{}]|  | [,.?:]", plain), sentence


def test_questions_name_no_template_slots_and_differ(episode: Episode) -> None:
    asked = [question.question for question in episode.questions]
    assert len(set(asked)) == len(asked)
    assert all(re.fullmatch(r"[A-Z][^{}]*\?", question) for question in asked)


def test_id_names_the_options() -> None:
    options = ProceduralOptions(tokens=2_000, filler=0.25, questions=4, midstream=0.5)
    episode = build_procedural("accurate_retrieval", "test", 7, options)
    assert episode.id == "procedural/accurate_retrieval/test/t2000-c1000-f0.25-q4-m0.5/7"
    assert episode.source == "procedural-accurate-retrieval"
    assert episode.metadata["split"] == "test"
    assert episode.metadata["options"]["filler"] == 0.25


@pytest.mark.parametrize("ability", OURS)
def test_index_and_split_change_the_text(ability: str) -> None:
    options = ProceduralOptions(tokens=1_000)
    texts = {
        build_procedural(ability, split, index, options).chunks[0]
        for split in SPLITS
        for index in range(3)
    }
    assert len(texts) == 9


@pytest.mark.parametrize("ability", OURS)
def test_midstream_questions_come_right_after_their_evidence(ability: str) -> None:
    options = ProceduralOptions(tokens=8_000, midstream=0.4)
    questions = build_procedural(ability, "train", 0, options).questions
    early = [question for question in questions if question.asked_after is not None]
    assert len(early) == round(0.4 * len(questions))
    for question in early:
        assert question.asked_after == max(item.chunk for item in question.evidence)
    order = [9_999 if q.asked_after is None else q.asked_after for q in questions]
    assert order == sorted(order)


@pytest.mark.parametrize("ability", OURS)
@pytest.mark.parametrize("filler", [0.0, 0.3, 0.5, 0.9])
def test_a_thousand_questions_fit_a_long_text(ability: str, filler: float) -> None:
    options = ProceduralOptions(tokens=1_000_000, filler=filler, questions=1_000)
    questions = build_procedural(ability, "test", 0, options).questions
    assert len(questions) == 1_000


@pytest.mark.parametrize("ability", OURS)
def test_ten_million_tokens_can_be_read_anywhere(ability: str) -> None:
    episode = build_procedural(ability, "test", 0, ProceduralOptions(tokens=10_000_000))
    assert len(episode.chunks) == 10_000
    read = {index: episode.chunks[index] for index in (9_999, 0, 5_000)}
    assert all(count_tokens(chunk) == pytest.approx(1_000, abs=40) for chunk in read.values())
    assert max(item.chunk for q in episode.questions for item in q.evidence) > 5_000


@pytest.mark.no_cover
@pytest.mark.parametrize("ability", OURS)
def test_reading_on_keeps_memory_flat(ability: str) -> None:
    options = ProceduralOptions(tokens=100_000, chunk_tokens=100)
    episode = build_procedural(ability, "train", 0, options)
    assert len(episode.chunks) == 1_000
    for index in range(300):
        episode.chunks[index]
    tracemalloc.start()
    try:
        for index in range(300, 1_000):
            episode.chunks[index]
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 64_000  # bytes; the text read meanwhile has about 330,000


_DIGEST_SCRIPT = """
import hashlib
from memgym.episode import episode_to_dict
from memgym.tasks.procedural import ProceduralOptions, build_procedural
for ability in ("accurate_retrieval", "conflict_resolution"):
    episode = build_procedural(ability, "test", 5, ProceduralOptions(5_000, midstream=0.3))
    print(hashlib.sha256(repr(episode_to_dict(episode)).encode()).hexdigest())
"""


def test_episodes_are_the_same_in_every_process() -> None:
    printed = [
        subprocess.run(
            [sys.executable, "-c", _DIGEST_SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "4242")
    ]
    assert printed[0] == printed[1]
    assert len(set(printed[0].split())) == 2


@pytest.mark.parametrize("ability", OURS)
def test_chunks_do_not_depend_on_the_order_of_reading(ability: str) -> None:
    options = ProceduralOptions(tokens=6_000)
    forwards = build_procedural(ability, "train", 1, options)
    backwards = build_procedural(ability, "train", 1, options)
    last_first = [backwards.chunks[index] for index in range(5, -1, -1)]
    assert list(forwards.chunks) == last_first[::-1]


def test_threads_may_read_the_chunks_of_one_episode() -> None:
    chunks = LazyChunks(40, str, cache=2)
    found: list[list[str]] = []

    def read(offset: int) -> None:
        found.append([chunks[(offset + step) % 40] for step in range(4_000)])

    threads = [threading.Thread(target=read, args=(offset,)) for offset in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(found) == 8, "a thread has raised"
