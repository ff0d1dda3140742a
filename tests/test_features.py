"""What a sentence is in numbers, and which items resemble it."""

import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.envs.features import (
    SURFACE,
    Featuriser,
    HashedWords,
    SentenceEmbeddings,
    make_encoder,
)
from memgym.envs.similar import SimilarItems
from memgym.errors import UsageError
from memgym.text import format_example


def featuriser(words: int = 64) -> Featuriser:
    return Featuriser(HashedWords(words), len)


def surface(chunk: str) -> list[dict[str, float]]:
    rows = featuriser().describe(chunk).surface.tolist()
    return [dict(zip(SURFACE, row, strict=True)) for row in rows]


def words(sentence: str, width: int = 4_096) -> Any:
    return HashedWords(width).encode([sentence])[0][0]


def likeness(one: str, two: str) -> float:
    vectors = HashedWords(64).encode([one, two])[1]
    return float(vectors[0] @ vectors[1])


def test_names_and_numbers_are_not_part_of_the_words_shown() -> None:
    shown = words("The register shows Oren Ellman at locker 4725.")
    assert np.array_equal(shown, words("The register shows Tessa Wynwood at locker 19."))
    assert not np.array_equal(shown, words("The register shows Oren Ellman at a locker."))
    assert shown.sum() == 6  # the register shows at locker <number>


def test_a_name_that_opens_the_sentence_is_known_by_the_name_after_it() -> None:
    assert np.array_equal(words("Oren Ellman sings."), words("Tessa Wynwood sings."))
    assert not np.array_equal(words("Nobody sings."), words("Everybody sings."))
    assert not np.array_equal(words("Perhaps I sing."), words("Surely I sing."))


def test_sentences_are_alike_by_what_they_are_about() -> None:
    fact = "Oren Ellman uses locker 4725."
    assert likeness(fact, fact) == pytest.approx(1.0)
    newer = likeness(fact, "The list shows Oren Ellman at locker 31.")
    same_form = likeness(fact, "Tessa Wynwood uses locker 96.")
    assert newer > same_form > likeness(fact, "It rained on the fields all day.")


def test_a_text_without_words_has_a_vector_of_zeros() -> None:
    shown, vectors = HashedWords(64).encode(["…", "the rain in Lund"])
    assert not shown[0].any()
    assert not vectors[0].any()
    assert np.linalg.norm(vectors[1]) == pytest.approx(1.0)


def test_scripts_without_spaces_are_compared_by_pairs_of_characters() -> None:
    assert likeness("我在北京工作", "他在北京生活") > 0.1


def test_surface_of_a_conversation() -> None:
    rows = surface(
        "[Conversation of 2031-01-06 08:00]\n"
        "User: On 5 March 2031 Ada Holm moved to Lund! It rained.\n"
        'Assistant: Did you say "Lund"?\n'
        "Caroline: I did.\n"
        "[Document read on 2031-01-06: Notes]\n"
        "The oven holds 4 trays."
    )
    turns = [[row[name] for name in ("user", "assistant", "other_speaker")] for row in rows]
    assert turns == [[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert [row["turn_start"] for row in rows] == [0, 1, 0, 1, 1, 0, 0]
    assert [row["heading"] for row in rows] == [1, 0, 0, 0, 0, 1, 0]
    assert [row["date"] for row in rows] == [1, 1, 0, 0, 0, 1, 0]
    assert [row["number"] for row in rows] == [1, 1, 0, 0, 0, 1, 1]
    assert [row["question"] for row in rows] == [0, 0, 0, 1, 0, 0, 0]
    assert [row["exclamation"] for row in rows] == [0, 1, 0, 0, 0, 0, 0]
    assert [row["quotation"] for row in rows] == [0, 0, 0, 1, 0, 0, 0]
    assert [row["first_person"] for row in rows] == [0, 0, 0, 0, 1, 0, 0]
    assert rows[1]["names"] == 0.75  # Ada, Holm and Lund: a month and a speaker's role are none
    assert rows[2]["names"] == 0.0
    assert rows[1]["characters"] == len("User: On 5 March 2031 Ada Holm moved to Lund!") / 320


def test_a_labelled_example_stays_whole_and_is_nobodys_turn() -> None:
    rows = surface("User:\n" + format_example("the oven is cold", "7") + "\nIt rained.")
    assert [row["label"] for row in rows] == [0, 1, 0]
    assert [row["user"] for row in rows] == [1, 1, 1]
    assert [row["other_speaker"] for row in rows] == [0, 0, 0]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_text_gives_numbers_within_bounds(chunk: str) -> None:
    found = featuriser().describe(chunk)
    count = len(found.sentences)
    assert count >= 1
    assert found.words.shape == (count, 64)
    assert found.surface.shape == (count, len(SURFACE))
    assert found.words.min() >= 0
    assert found.words.max() <= 1
    assert found.surface.min() >= 0
    assert found.surface.max() <= 1
    assert np.isfinite(found.vectors).all()
    assert len(found.tokens) == count


def test_a_chunk_met_again_is_not_described_again() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return 1

    both = Featuriser(HashedWords(64), count)
    assert both.describe("It rained.") is both.describe("It rained.")
    assert counted == ["It rained."]
    for number in range(300):
        both.describe(f"Chunk {number}.")
    both.describe("It rained.")
    assert counted.count("It rained.") == 2  # the oldest of many are forgotten


CODES = """
from memgym.envs.features import HashedWords
sentences = ["Ada Holm keeps 3 bees in Lund.", "Où est le café ?"]
print(HashedWords(64).encode(sentences)[1].tobytes().hex())
"""


def test_the_hash_is_the_same_in_every_process() -> None:
    seen = [
        subprocess.run(
            [sys.executable, "-c", CODES],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert seen[0] == seen[1] != ""


@pytest.mark.parametrize("width", [7, 12.0, True, "64"])
def test_a_bad_number_of_words_is_named(width: Any) -> None:
    with pytest.raises(UsageError, match="words must be an integer of at least 8"):
        make_encoder(width, "")


# ------------------------------------------------------------------ embeddings


class TinyModel:
    """What the library's class does with a folder and sentences, in two numbers each."""

    def __init__(self, path: str, device: str) -> None:
        assert device == "cpu"
        if path == "missing":
            raise OSError("no such folder")

    def encode(self, sentences: list[str], show_progress_bar: bool) -> Any:
        assert not show_progress_bar
        return np.array([[len(text), -3.0] for text in sentences], dtype=np.float32)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = TinyModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)


@pytest.mark.usefixtures("library")
def test_embeddings_are_shown_and_compared_as_unit_vectors() -> None:
    encoder = SentenceEmbeddings("models/tiny")
    assert (encoder.words_width, encoder.vector_width, encoder.words_low) == (2, 2, -1.0)
    found = Featuriser(encoder, len).describe("Four.")
    assert found.words.tolist() == [[pytest.approx(5 / 34**0.5), pytest.approx(-3 / 34**0.5)]]
    assert np.array_equal(found.words, found.vectors)


@pytest.mark.usefixtures("library")
def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match='no sentence-transformers model at "missing"'):
        make_encoder(64, "missing")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UsageError, match="pip install sentence-transformers"):
        make_encoder(64, "models/tiny")


# ------------------------------------------------------------------ similar items


def unit(*numbers: float) -> Any:
    vector = np.array(numbers, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def test_similar_items_follow_inserts_updates_and_deletes() -> None:
    items = SimilarItems("s", 2)
    east, north = unit(1, 0), unit(0, 1)
    assert items.most_similar(east, 3) == []
    items.insert("east", 3, east)
    items.insert("north-east", 5, unit(1, 1))
    items.insert("north", 4, north)
    assert [place for place, _ in items.most_similar(east, 2)] == [0, 1]
    assert [place for place, _ in items.most_similar(north, 9)] == [2, 1, 0]
    items.update(0, "north again", 7, north)
    assert [place for place, _ in items.most_similar(north, 2)] == [0, 2]  # alike: the older first
    assert items.most_similar(north, 1)[0][1] == pytest.approx(1.0)
    items.delete(1)
    assert (items.ids, items.texts) == (["s1", "s3"], ["north again", "north"])
    assert items.tokens == [7, 4]
    assert items.held == {"north again", "north"}
    items.insert("east", 3, east)
    assert items.ids == ["s1", "s3", "s4"]  # ids are never used again
    assert items.most_similar(east, 1)[0][0] == 2


def test_similar_items_equal_a_plain_computation() -> None:
    draw = np.random.default_rng(5)
    items = SimilarItems("e", 8)
    vectors: list[Any] = []
    for _ in range(120):
        kind, vector = draw.random(), unit(*draw.normal(size=8))
        place = int(draw.integers(len(vectors))) if vectors else 0
        if kind < 0.7 or not vectors:
            items.insert(f"{len(vectors)}", 1, vector)
            vectors.append(vector)
        elif kind < 0.85:
            items.update(place, "new", 1, vector)
            vectors[place] = vector
        else:
            items.delete(place)
            del vectors[place]
        sentence = unit(*draw.normal(size=8))
        cosines = np.array([item @ sentence for item in vectors])
        best = np.argsort(-cosines, kind="stable")[:3]
        found = items.most_similar(sentence, 3)
        assert [place for place, _ in found] == best.tolist()
        assert [cosine for _, cosine in found] == pytest.approx(cosines[best], abs=1e-6)
