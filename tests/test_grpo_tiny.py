"""The model made from nothing: its tokenizer loses nothing, and has read the train split only."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.agents.chat.local_text import LocalText
from memgym.agents.grpo import tiny
from memgym.agents.grpo.policy import Policy, ends_of, load_policy
from memgym.agents.grpo.settings import PolicySettings
from memgym.tasks import registry
from memgym.tasks.registry import load_source
from tests.grpo_small import block, insert


@pytest.fixture(scope="module")
def splits() -> list[str]:
    """Return the splits that were read to make the policy; filled by it."""
    return []


@pytest.fixture(scope="module")
def policy(splits: list[str]) -> Policy:
    load = registry._load

    def noted(name: str, split: str, *given: Any) -> Any:
        splits.append(split)
        return load(name, split, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_load", noted)
        return tiny.make_tiny(0)


@pytest.fixture(scope="module")
def text(policy: Policy) -> LocalText:
    return LocalText(policy.tokenizer, 0)


def test_no_text_of_another_split_is_read(policy: Policy, splits: list[str]) -> None:
    assert set(splits) == {"train"}


# ------------------------------------------------------------------ the tokenizer

STORES = st.sampled_from(["semantic", "episodic", "core"])
NUMBERS = st.integers(0, 9_999).map(str)
CALLS = st.one_of(
    st.builds(lambda store, new: block("new_memory_insert", memory_type=store, content=new),
              STORES, st.text()),
    st.builds(lambda store, new, number: block("memory_update", memory_type=store, new_content=new,
                                               memory_id=f"s{number}"),
              STORES, st.text(), NUMBERS),
    st.builds(lambda store, number: block("memory_delete", memory_type=store,
                                          memory_id=f"e{number}"), STORES, NUMBERS),
)  # fmt: skip


def calls_in(written: str) -> list[Any]:
    """Return the calls in a text; spaces are told apart only by whether there are any.

    Every word has a space before it, so one at the beginning of an argument cannot be told from
    it, and one more follows where a token of the prompt's frame occurs in a text.
    """
    blocks = re.findall(r"<tool_call>\n(.*?)\n</tool_call>\n", written, re.DOTALL)
    calls = [json.loads(block) for block in blocks]
    for call in calls:
        for name, value in call["arguments"].items():
            call["arguments"][name] = re.sub(" +", " ", value).strip(" ")
    return calls


@settings(deadline=None)
@given(calls=st.lists(CALLS, min_size=1, max_size=3))
def test_calls_are_the_same_calls_when_they_were_tokens(text: LocalText, calls: list[str]) -> None:
    written = "".join(calls)
    again = text.decode(text.encode(written))
    assert calls_in(again) == calls_in(written)
    assert len(calls_in(again)) == len(calls)


def test_what_the_tasks_hold_is_kept_to_the_letter(text: LocalText) -> None:
    chunks = load_source("procedural", "train", {"tokens": 1_000}).episode(0).chunks
    for line in "\n".join(chunks).splitlines():
        written = insert(line.strip())
        assert text.decode(text.encode(written)) == written


def test_the_frame_of_a_call_is_a_few_tokens(policy: Policy, text: LocalText) -> None:
    for part in tiny.FRAME:
        assert len(text.encode(part)) == 1, part
    assert len(text.encode(insert("Ada"))) - len(text.encode(" Ada")) <= 5
    assert len(policy.tokenizer) == policy.model.config.vocab_size <= 2_048


def test_a_word_is_the_same_token_wherever_it_stands(text: LocalText) -> None:
    (town,) = {text.encode(" Lund")}
    for shown in ("In Lund", "Town:\nLund", insert("Lund")):
        ids = text.encode(shown)
        assert any(ids[at : at + len(town)] == town for at in range(len(ids))), shown


def test_conversations_end_where_a_response_begins(policy: Policy) -> None:
    shown = policy.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, tokenize=False
    )
    assert shown == "<|im_start|>user\nHello<|im_end|><|im_start|>assistant\n"
    assert policy.tokenizer.convert_ids_to_tokens(list(ends_of(policy))) == ["<|im_end|>"]


# ------------------------------------------------------------------ the weights


def equal(one: Policy, other: Policy) -> bool:
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return all(weight.equal(same) for weight, same in pairs)


def test_equal_seeds_give_equal_models(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    monkeypatch.setattr(tiny, "_tokenizer", lambda: policy.tokenizer)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert equal(tiny.make_tiny(0), policy)
    assert not equal(tiny.make_tiny(1), policy)
    assert torch.get_rng_state().equal(before)
    assert tiny.make_tiny(0, "llama").model.config.model_type == "llama"

    policy.save(tmp_path)
    again = load_policy(PolicySettings(model=str(tmp_path), device="cpu"))
    assert equal(again, policy)
    assert again.parameters == policy.parameters < 300_000
    sample = insert("Ada keeps bees.")
    assert again.tokenizer(sample)["input_ids"] == policy.tokenizer(sample)["input_ids"]


def test_the_tokenizer_is_the_same_every_time(policy: Policy) -> None:
    """Its training must not depend on the order of a hash table, which differs by process."""
    assert tiny._tokenizer().get_vocab() == policy.tokenizer.get_vocab()
