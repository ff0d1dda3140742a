"""Numbers that describe a sentence: its hashed words, its surface, a vector to compare it by.

What :mod:`memgym.envs.numeric` shows of the text. Everything here is a function of the chunk alone:
no question, no gold and no other chunk is looked at. Not here: how alike a sentence and a memory
item are (:mod:`memgym.envs.similar`), and what the memory looks like (:mod:`.micro_steps`).
"""

import functools
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memgym.errors import UsageError
from memgym.text import find_dates, labelled_examples, split_sentences
from memgym.tokenise import words_and_bigrams
from memgym.tokens import clean_text

__all__ = [
    "SURFACE",
    "ChunkFeatures",
    "Encoder",
    "Featuriser",
    "Floats",
    "HashedWords",
    "SentenceEmbeddings",
    "make_encoder",
]

Floats: TypeAlias = NDArray[np.float32]

SURFACE = (
    "characters", "words", "date", "number", "numbers", "label", "name", "names", "question",
    "exclamation", "quotation", "heading", "user", "assistant", "other_speaker", "turn_start",
    "first_person",
)  # fmt: skip
"""What each surface number says, in order; all lie in 0..1. ``characters`` is a share of 320,
``words`` of 40, ``numbers`` and ``names`` of 4; the others are 0 or 1. ``user``, ``assistant`` and
``other_speaker`` say whose turn the sentence is part of, ``turn_start`` that it opens the turn."""

_CHARACTERS, _WORDS, _FEW = 320, 40, 4
_WORD = re.compile(r"\w+")
_SPEAKER = re.compile(r"([^\W\d_][\w .'’-]{0,40}):(?:\s|$)")
_QUOTATION = re.compile('["“«「]')
_TURN_OF = {"user": 12, "assistant": 13}
_OTHER_TURN = 14
# With what a turn or a labelled example begins; the word after it opens a sentence.
_ROLE = re.compile(r"(?:User|Assistant|System|Sentence|Text|Question|Utterance): ?")
_MONTHS = frozenset(
    "January February March April May June July August September October November December".split()
)
_FIRST_PERSON = frozenset({"i", "me", "my", "mine", "we", "us", "our", "ours"})
_NOTED_WORD = 4  # characters; shorter words say nothing of what a sentence is about
_NAME_WEIGHT = 2.0  # names and numbers say most of it
_VECTOR = 256
_CACHED_CHUNKS = 256


def _code(word: str) -> int:
    """Return a number for a word that is the same in every process."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


_NUMBER = _code("0")  # every number is this word


@functools.lru_cache(maxsize=200_000)
def _read_token(token: str) -> tuple[int, bool, bool, bool, bool]:
    """Return what a token is wherever it stands; kept, as a text is made of the same words.

    Returns:
        The code of the word, and whether it is a number, may be a name, says something of what a
        sentence is about, is a speaker's word for themselves.
    """
    word = token.lower()
    is_number = token[0].isdigit()
    may_be_name = token[0].isupper() and word != "i" and token not in _MONTHS
    is_telling = len(token) >= _NOTED_WORD or not token.isascii()
    return _code(word), is_number, may_be_name, is_telling, word in _FIRST_PERSON


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a sentence, by what they can tell.

    Attributes:
        common: Codes of the words as a policy should know them: lower-cased; numbers are all one
            word, and names are left out, for they are others in every text.
        telling: Codes of what the sentence is about, names and numbers among it.
        weights: One per telling word.
        names: Codes of the capitalised words that open no sentence.
        name_pairs: Codes of those of them that follow each other.
        numbers: Words that begin with a digit.
        first_person: Whether somebody speaks of themselves.
    """

    common: list[int]
    telling: list[int]
    weights: list[float]
    names: list[int]
    name_pairs: list[int]
    numbers: int
    first_person: bool


def _read_words(sentence: str) -> _Words:
    role = _ROLE.match(sentence)
    if role:
        sentence = sentence[role.end() :]
    tokens = _WORD.findall(sentence)
    if not sentence.isascii():
        tokens = [part for token in tokens for part in _unspaced(token)]
    common: list[int] = []
    telling: list[int] = []
    weights: list[float] = []
    names: list[int] = []
    pairs: list[int] = []
    numbers, name_place = 0, -2
    first_person = False
    for place, token in enumerate(tokens):
        code, is_number, may_be_name, is_telling, is_speaker = _read_token(token)
        if is_number:
            numbers += 1
            common.append(_NUMBER)
        elif may_be_name and (place or _is_name(tokens[1:2])):
            if name_place == place - 1:
                pairs.append(_code(f"{names[-1]} {code}"))
            names.append(code)
            name_place = place
        else:
            common.append(code)
            first_person = first_person or is_speaker
            if is_telling:
                telling.append(code)
                weights.append(1.0)
            continue
        telling.append(code)
        weights.append(_NAME_WEIGHT)
    if role:
        common.append(_code(role[0].lower()))
    return _Words(common, telling, weights, names, pairs, numbers, first_person)


def _unspaced(token: str) -> list[str]:
    """Return a token as it is, or the pairs of its characters in a script without spaces."""
    return [token] if token.isascii() else words_and_bigrams(token)


def _is_name(following: Sequence[str]) -> bool:
    """Whether the first word of a sentence begins a name, by the word that follows it."""
    return bool(following) and following[0][0].isupper() and following[0] != "I"


class Encoder(Protocol):
    """Turns sentences into what the policy sees of their words and what they are compared by.

    Attributes:
        words_width: Numbers per sentence that the policy sees.
        words_low: Least value of them; the greatest is 1.
        vector_width: Numbers per sentence that similarity is computed from.
    """

    words_width: int
    words_low: float
    vector_width: int

    def encode(self, sentences: Sequence[str]) -> tuple[Floats, Floats]:
        """Return ``(n, words_width)`` and ``(n, vector_width)``; vectors have length 1 (or 0)."""
        ...


class HashedWords:
    """A bag of hashed words: 1 where a word of the sentence falls, 0 elsewhere.

    Names do not enter what the policy sees (they differ in every text), but they weigh most in
    what sentences are compared by.

    Args:
        width: Buckets of the words shown.

    Raises:
        UsageError: ``width`` is no integer of at least 8.
    """

    words_low = 0.0
    vector_width = _VECTOR

    def __init__(self, width: int) -> None:
        if isinstance(width, bool) or not isinstance(width, int) or width < 8:
            raise UsageError(f"words must be an integer of at least 8, got {width!r}")
        self.words_width = width

    def encode(self, sentences: Sequence[str]) -> tuple[Floats, Floats]:
        """Return presence of hashed words and unit vectors (see the class)."""
        return self.encode_words([_read_words(sentence) for sentence in sentences])

    def encode_words(self, read: Sequence[_Words]) -> tuple[Floats, Floats]:
        """Return what :meth:`encode` does, for sentences whose words have been read."""
        count = len(read)
        words = np.zeros((count, self.words_width), dtype=np.float32)
        common = np.array([code for item in read for code in item.common], dtype=np.int64)
        rows = np.repeat(np.arange(count), [len(item.common) for item in read])
        words[rows, common % self.words_width] = 1.0
        telling = np.array([code for item in read for code in item.telling], dtype=np.int64)
        weights = np.array([weight for item in read for weight in item.weights])
        rows = np.repeat(np.arange(count), [len(item.telling) for item in read])
        cells = rows * _VECTOR + telling % _VECTOR
        sums = np.bincount(cells, weights, minlength=count * _VECTOR).astype(np.float64)
        return words, _unit_rows(sums.reshape(count, _VECTOR))


class SentenceEmbeddings:
    """Embeddings of a sentence-transformers model, for the policy and for similarity alike.

    Args:
        path: Folder or name of the model.

    Raises:
        UsageError: the library is missing, or the model cannot be loaded.
    """

    words_low = -1.0

    def __init__(self, path: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise UsageError(
                "embeddings need the sentence-transformers library: "
                f"pip install sentence-transformers ({error})"
            ) from error
        try:
            self._model: Any = SentenceTransformer(path, device="cpu")
        except (OSError, ValueError) as error:
            raise UsageError(
                f'embeddings: no sentence-transformers model at "{path}" ({error})'
            ) from error
        probe = self.encode(["width"])[0]
        self.words_width = self.vector_width = int(probe.shape[1])

    def encode(self, sentences: Sequence[str]) -> tuple[Floats, Floats]:
        """Return the normalised embeddings twice."""
        raw = self._model.encode(list(sentences), show_progress_bar=False)
        vectors = _unit_rows(np.asarray(raw, dtype=np.float64))
        return vectors, vectors


def _unit_rows(rows: NDArray[np.float64]) -> Floats:
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return (rows / np.where(length > 0, length, 1.0)).astype(np.float32)


def make_encoder(words: int, embeddings: str) -> Encoder:
    """Return the encoder of the environment's settings (see the two classes)."""
    return SentenceEmbeddings(embeddings) if embeddings else HashedWords(words)


@dataclass(frozen=True, slots=True)
class ChunkFeatures:
    """A chunk, sentence by sentence.

    Attributes:
        sentences: Its n sentences, labelled examples whole, as a memory would hold them.
        words: ``(n, words_width)``, what the policy sees of the words.
        surface: ``(n, len(SURFACE))``.
        tokens: Tokens of each sentence.
        vectors: ``(n, vector_width)``, what similarity is computed from.
        names: Codes of the names in each sentence.
        name_pairs: Codes of the pairs of neighbouring names in each.
    """

    sentences: tuple[str, ...]
    tokens: tuple[int, ...]
    words: Floats
    surface: Floats
    vectors: Floats
    names: tuple[frozenset[int], ...]
    name_pairs: tuple[frozenset[int], ...]


class Featuriser:
    """Describes chunks; the latest are kept, so that a text met again costs nothing.

    Args:
        encoder: See :class:`Encoder`.
        count: Counts tokens.

    Attributes:
        nothing: The features of no chunk.
    """

    def __init__(self, encoder: Encoder, count: Callable[[str], int]) -> None:
        self.encoder = encoder
        none = np.zeros((0, 0), dtype=np.float32)
        self.nothing = ChunkFeatures((), (), none, none, none, (), ())
        self._count = count
        self._kept: OrderedDict[str, ChunkFeatures] = OrderedDict()

    def describe(self, chunk: str) -> ChunkFeatures:
        """Return the features of a chunk's sentences; a blank chunk is one sentence."""
        found = self._kept.get(chunk)
        if found is None:
            found = self._kept[chunk] = self._describe(chunk)
            if len(self._kept) > _CACHED_CHUNKS:
                self._kept.popitem(last=False)
        return found

    def _describe(self, chunk: str) -> ChunkFeatures:
        sentences = [clean_text(sentence) for sentence in split_sentences(chunk) or [chunk]]
        read = [_read_words(sentence) for sentence in sentences]
        encoder = self.encoder
        if isinstance(encoder, HashedWords):
            words, vectors = encoder.encode_words(read)
        else:
            words, vectors = encoder.encode(sentences)
        tokens = tuple(map(self._count, sentences))
        surface = _surface(sentences, read)
        return ChunkFeatures(
            tuple(sentences),
            tokens,
            words,
            surface,
            vectors,
            tuple(frozenset(item.names) for item in read),
            tuple(frozenset(item.name_pairs) for item in read),
        )


def _surface(sentences: Sequence[str], read: Sequence[_Words]) -> Floats:
    rows: list[list[float]] = []
    speaker = 0  # no turn has begun
    for sentence, words in zip(sentences, read, strict=True):
        label = "abel" in sentence and bool(labelled_examples(sentence))
        turn = None if label else _SPEAKER.match(sentence)
        heading = sentence.startswith(("[", "#"))
        if turn:
            speaker = _TURN_OF.get(turn[1].lower(), _OTHER_TURN)
        elif heading:
            speaker = 0
        row = [
            min(len(sentence) / _CHARACTERS, 1.0),
            min((len(words.common) + len(words.names)) / _WORDS, 1.0),
            words.numbers > 0 and bool(find_dates(sentence)),
            words.numbers > 0,
            min(words.numbers / _FEW, 1.0),
            label,
            bool(words.names),
            min(len(words.names) / _FEW, 1.0),
            "?" in sentence[-3:],
            "!" in sentence[-3:],
            _QUOTATION.search(sentence) is not None,
            heading,
            0.0, 0.0, 0.0,
            turn is not None,
            words.first_person,
        ]  # fmt: skip
        if speaker:
            row[speaker] = 1.0
        rows.append(row)
    return np.array(rows, dtype=np.float32)
