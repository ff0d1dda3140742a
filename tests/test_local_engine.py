"""Generation with a model that somebody else holds: texts of all lengths come and go in one batch.

The yardstick is the plain model, one text at a time and without a cache.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from memgym.agents.chat import ChatError, ChatReply, ChatRequest, ContextLengthError, ServerError
from memgym.agents.chat.decoding import Decoding
from memgym.agents.chat.local_text import LocalText
from memgym.agents.chat.transformers_local import PASS_TOKENS, LocalEngine
from memgym.errors import UsageError
from tests.tiny_model import make_tiny_model

SMALL: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 512,
}
ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    "qwen3": SMALL,
    "llama": SMALL,
    "sliding": {
        **SMALL,
        "kind": "qwen3",
        "use_sliding_window": True,
        "sliding_window": 12,
        "max_window_layers": 1,
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},  # takes no position ids
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keeps the tests that run beside this one from waiting for torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoTokenizer.from_pretrained(make_tiny_model(tmp_path_factory.mktemp("tiny")))


def _model(tokenizer: Any, name: str = "qwen3", attention: str | None = None) -> Any:
    shape = dict(ARCHITECTURES[name])
    config: Any = AutoConfig.for_model(
        shape.pop("kind", name),
        vocab_size=len(tokenizer),
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
        **shape,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    return made.eval()


def _ask(text: str = "Where does Ada live?", **given: Any) -> ChatRequest:
    message = {"role": "user", "content": text}
    return ChatRequest((message,), **{"max_tokens": 20, "logprobs": True, **given})


def _play(
    engine: LocalEngine, asked: list[ChatRequest], at_a_time: int = 99
) -> list[ChatReply | ChatError]:
    """Return the results in order; a new request comes as soon as one has ended."""
    results: dict[int, ChatReply | ChatError] = {}
    begun = 0
    while len(results) < len(asked):
        while begun < len(asked) and begun - len(results) < at_a_time:
            engine.start(begun, asked[begun])
            begun += 1
        results |= dict(engine.step())
    return [results[number] for number in range(len(asked))]


def _replies(engine: LocalEngine, asked: list[ChatRequest], at_a_time: int = 99) -> list[ChatReply]:
    results = _play(engine, asked, at_a_time)
    assert all(isinstance(result, ChatReply) for result in results), results
    return [result for result in results if isinstance(result, ChatReply)]


RAGGED = tuple(
    _ask("Ada lives in Lund. " * ((7 * number) % 11), max_tokens=1 + (5 * number) % 37)
    for number in range(24)
)


def _check_greedy(model: Any, reply: ChatReply) -> None:
    ids = torch.tensor([[*reply.prompt_ids, *reply.token_ids]])
    with torch.no_grad():
        logprobs = model(input_ids=ids).logits[0, len(reply.prompt_ids) - 1 : -1].log_softmax(-1)
    assert list(reply.token_ids) == logprobs.argmax(-1).tolist()
    assert reply.logprobs == pytest.approx(logprobs.amax(-1).tolist(), abs=1e-4)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_texts_that_come_and_go_are_those_of_the_plain_model(name: str, tokenizer: Any) -> None:
    model = _model(tokenizer, name)
    replies = _replies(LocalEngine(model, tokenizer), list(RAGGED), at_a_time=6)
    for reply in replies:
        _check_greedy(model, reply)
    lengths = [len(reply.token_ids) for reply in replies]
    assert max(lengths) > 25
    assert sum(lengths) > 200


def test_greedy_replies_are_those_of_generate(tokenizer: Any) -> None:
    model = _model(tokenizer, attention="eager")
    for reply in _replies(LocalEngine(model, tokenizer), list(RAGGED[:6])):
        ids = torch.tensor([reply.prompt_ids])
        wanted = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=len(reply.token_ids),
        )
        assert wanted[0].tolist() == [*reply.prompt_ids, *reply.token_ids]


def test_sampled_replies_do_not_depend_on_the_batch(tokenizer: Any) -> None:
    model = _model(tokenizer)
    asked = [
        _ask(request.messages[0]["content"], temperature=1.0, seed=number, max_tokens=20)
        for number, request in enumerate(RAGGED[:10])
    ]
    engine = LocalEngine(model, tokenizer, ends=())
    together = _replies(engine, asked, at_a_time=7)
    assert [reply.token_ids for reply in _replies(engine, asked, 1)] == [
        reply.token_ids for reply in together
    ]
    assert len({reply.token_ids for reply in together}) == len(asked)
    for reply in together[:4]:
        ids = torch.tensor([[*reply.prompt_ids, *reply.token_ids]])
        with torch.no_grad():
            plain = model(input_ids=ids).logits[0, len(reply.prompt_ids) - 1 : -1].log_softmax(-1)
        wanted = plain.gather(1, torch.tensor(reply.token_ids)[:, None])[:, 0]
        assert reply.logprobs == pytest.approx(wanted.tolist(), abs=1e-4)


def _shapes(model: Any) -> list[tuple[int, ...]]:
    """Return a list that fills with the shape of what the model reads at each pass."""
    shapes: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(
        lambda _, args, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    return shapes


def test_a_prompt_of_a_whole_group_is_read_once(tokenizer: Any) -> None:
    model = _model(tokenizer)
    shapes = _shapes(model)
    asked = [_ask(temperature=1.0, seed=seed) for seed in range(6)]
    asked += [_ask("Ben?", temperature=1.0, seed=seed) for seed in range(3)]
    engine = LocalEngine(model, tokenizer)
    replies = _replies(engine, asked)
    assert shapes[0] == (2, len(replies[0].prompt_ids))
    assert shapes[1][1] == 1
    assert shapes[1][0] > 6
    assert len({reply.token_ids for reply in replies}) == 9
    assert [reply.token_ids for reply in _replies(engine, asked, 1)] == [
        reply.token_ids for reply in replies
    ]


def test_prompts_of_very_different_lengths_are_not_read_together(tokenizer: Any) -> None:
    model = _model(tokenizer)
    shapes = _shapes(model)
    asked = [_ask("x" * n, max_tokens=1) for n in range(40)]
    replies = _replies(LocalEngine(model, tokenizer), [*asked, _ask("y " * 200, max_tokens=1)])
    tokens = sum(len(reply.prompt_ids) for reply in replies)
    assert sum(rows * width for rows, width in shapes) - tokens <= PASS_TOKENS * len(shapes)
    assert len(shapes) < 6


def test_it_generates_with_the_weights_of_the_moment_and_never_ends_them(tokenizer: Any) -> None:
    model = _model(tokenizer)
    engine = LocalEngine(model, tokenizer)
    [before] = _replies(engine, [_ask()])
    for weights in model.parameters():
        weights.data.mul_(-0.5)
    [after] = _replies(engine, [_ask()])
    assert after.token_ids != before.token_ids
    _check_greedy(model, after)
    engine.close()
    ids = torch.tensor([after.prompt_ids])
    model(input_ids=ids, labels=ids).loss.backward()  # nothing of generation is in the way
    assert all(weights.grad is not None for weights in model.parameters())


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_adapters_of_peft_are_part_of_the_model(tokenizer: Any) -> None:
    """Its forward takes anything, which hides that the model takes position ids."""
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        _model(tokenizer, "gpt2"),
        peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True),
    ).eval()
    with torch.no_grad():
        for name, weights in adapted.named_parameters():
            if "lora_B" in name:
                weights.fill_(0.3)
    for reply in _replies(LocalEngine(adapted, tokenizer), list(RAGGED[:8])):
        _check_greedy(adapted, reply)


def test_ends_and_the_longest_text_can_be_given(tokenizer: Any) -> None:
    model = _model(tokenizer)
    [free] = _replies(LocalEngine(model, tokenizer, ends=()), [_ask(max_tokens=30)])
    end = free.token_ids[7]
    [ended] = _replies(LocalEngine(model, tokenizer, ends=(end,)), [_ask(max_tokens=30)])
    assert ended.token_ids == free.token_ids[: free.token_ids.index(end) + 1]
    assert ended.finish_reason == "stop"
    limit = len(free.prompt_ids) + 12
    short = LocalEngine(model, tokenizer, max_length=limit, ends=())
    with pytest.raises(ContextLengthError, match=f"the model takes {limit} together"):
        short.start(0, _ask(max_tokens=13))
    [fits] = _replies(short, [_ask(max_tokens=12)])
    assert fits.token_ids == free.token_ids[:12]
    with pytest.raises(ContextLengthError, match="the model takes 512 together"):
        LocalEngine(model, tokenizer, max_length=10**6).start(0, _ask("x" * 600))


def test_a_few_new_requests_wait_for_more_but_not_long(tokenizer: Any) -> None:
    model = _model(tokenizer)
    shapes = _shapes(model)
    engine = LocalEngine(model, tokenizer, ends=())
    for number in range(40):
        engine.start(number, _ask(f"{number}", max_tokens=60))
    engine.step()
    shapes.clear()
    engine.start(40, _ask("late"))
    for _ in range(10):
        engine.step()
    assert [width > 1 for _, width in shapes] == [False] * 9 + [True, False]
    engine.drop()
    shapes.clear()
    engine.start(0, _ask("alone"))
    engine.step()
    assert len(shapes) == 1


def test_what_failed_leaves_nothing_to_those_who_come_after(tokenizer: Any) -> None:
    model = _model(tokenizer)
    [bell] = tokenizer("\x07")["input_ids"]
    with torch.no_grad():
        model.get_input_embeddings().weight[bell] = torch.nan
    asked = [
        _ask("\x07 rings" * (1 + number)) if number % 3 == 1 else request
        for number, request in enumerate(RAGGED)
    ]
    results = _play(LocalEngine(model, tokenizer), asked, at_a_time=4)
    for number, result in enumerate(results):
        if number % 3 == 1:
            assert isinstance(result, ServerError)
        else:
            assert isinstance(result, ChatReply)
            _check_greedy(model, result)


@pytest.mark.parametrize("stop", ["本", "本語", "rt.", " W", "ö", "\n"])
def test_stop_strings_are_found_in_whatever_tokens_bring_them(stop: str, tokenizer: Any) -> None:
    """Characters of several tokens, whose text is nothing by itself, among them."""
    text = "Ein schönes 日本語 Wort.\nMore"
    written = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(tokenizer("本", add_special_tokens=False)["input_ids"]) > 1
    decoding = Decoding(LocalText(tokenizer, 0), [2])
    draft = decoding.draft(0, _ask(stop=("never in it", stop), max_tokens=99))
    for token in written:
        if not draft.ended:
            decoding.add(draft, token, 0.0)
    wanted = next(n for n in range(99) if stop in tokenizer.decode(written[:n]))
    assert (draft.ended, len(draft.token_ids)) == ("stop", wanted)
    assert decoding.reply(draft).text == text[: text.index(stop)]


def test_stop_strings_end_a_reply_wherever_they_lie(tokenizer: Any) -> None:
    """Within tokens and over their borders."""
    model = _model(tokenizer)
    engine = LocalEngine(model, tokenizer, ends=())
    [plain] = _replies(engine, [_ask(max_tokens=60, temperature=1.2, seed=5)])
    text = plain.text
    stops = [text[at : at + size] for at in range(0, len(text) - 4, 3) for size in (1, 4)]
    stops = [stop for stop in stops if "\ufffd" not in stop]
    asked = [_ask(max_tokens=60, temperature=1.2, seed=5, stop=(stop,)) for stop in stops]
    for stop, reply in zip(stops, _replies(engine, asked), strict=True):
        written = next(
            count
            for count in range(1, 61)
            if stop in tokenizer.decode(plain.token_ids[:count], skip_special_tokens=True)
        )
        assert len(reply.token_ids) == written
        assert reply.text == text[: text.index(stop)]


def test_a_model_with_another_kind_of_memory_is_refused(tokenizer: Any) -> None:
    config: Any = AutoConfig.for_model(
        "mamba", vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, state_size=4
    )
    with pytest.raises(UsageError, match="a state other than keys and values"):
        LocalEngine(AutoModelForCausalLM.from_config(config), tokenizer)
