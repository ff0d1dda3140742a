"""A model in this process through transformers: a real, tiny one with random weights."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from memgym.agents import AGENTS
from memgym.agents.chat import (
    Chat,
    ChatError,
    ChatReply,
    ChatRequest,
    ContextLengthError,
    ModelSettings,
    RefusedError,
    ServerError,
    open_backend,
)
from memgym.agents.chat.local_text import split_tool_calls
from memgym.agents.chat.transformers_local import TransformersModel
from memgym.errors import UsageError
from memgym.evaluation import environment_for, play_episode
from tests.episodes import village
from tests.tiny_model import make_tiny_model

POSITIONS = 512


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keeps the tests that run beside this one from waiting for torch's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny-qwen3"), positions=POSITIONS)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny-llama"), "llama", positions=POSITIONS)


def _settings(folder: Path, **given: Any) -> ModelSettings:
    options = {"device": "cpu", **given.pop("engine_options", {})}
    return ModelSettings(str(folder), backend="transformers", engine_options=options, **given)


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[TransformersModel]:
    opened = TransformersModel(_settings(folder))
    yield opened
    opened.close()


def _ask(text: str = "Where does Ada Holm live?", **given: Any) -> ChatRequest:
    return ChatRequest(({"role": "user", "content": text},), **{"max_tokens": 24, **given})


def _replies(model: TransformersModel, *requests: ChatRequest) -> list[ChatReply]:
    results = model.generate(requests)
    assert not [result for result in results if isinstance(result, ChatError)], results
    return [result for result in results if isinstance(result, ChatReply)]


TEXTS = (
    "Ada",
    "Ada Holm lives in Lund. " * 8,
    "Ben?",
    "It rained on the road. " * 3,
    "x",
    "y " * 40,
)


@pytest.mark.parametrize("architecture", ["folder", "llama"])
def test_greedy_replies_are_those_of_the_plain_model(
    architecture: str, request: pytest.FixtureRequest
) -> None:
    """Prompts and replies of all lengths in one batch, against one text at a time and no cache."""
    folder = request.getfixturevalue(architecture)
    reference: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    opened = TransformersModel(_settings(folder, engine_options={"batch_tokens": 700}))
    asked = [
        _ask(text, max_tokens=6 + 5 * number, logprobs=True) for number, text in enumerate(TEXTS)
    ]
    for question, reply in zip(asked, _replies(opened, *asked), strict=True):
        ids = list(reply.prompt_ids)
        wanted = []
        for _ in range(question.max_tokens):
            with torch.inference_mode():
                logprobs = reference(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            ids.append(int(logprobs.argmax()))
            wanted.append(float(logprobs.max()))
            if ids[-1] in (0, 2):
                break
        assert list(reply.token_ids) == ids[len(reply.prompt_ids) :]
        assert reply.logprobs == pytest.approx(wanted, abs=1e-4)
    opened.close()


def test_what_else_runs_does_not_matter(model: TransformersModel) -> None:
    asked = [
        _ask(text, temperature=1.3, top_p=0.9, seed=number, max_tokens=10 + 8 * number)
        for number, text in enumerate(TEXTS)
    ]
    alone = [_replies(model, question)[0] for question in asked]
    together = _replies(model, *asked)
    assert [reply.token_ids for reply in together] == [reply.token_ids for reply in alone]
    threads: dict[int, ChatReply] = {}

    def one(number: int) -> None:
        threads[number] = _replies(model, asked[number])[0]

    workers = [threading.Thread(target=one, args=(number,)) for number in range(len(asked))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [threads[n].token_ids for n in range(len(asked))] == [x.token_ids for x in alone]


def test_seeds_decide_and_no_global_random_number_is_used(model: TransformersModel) -> None:
    state = torch.get_rng_state()
    seeded = [_ask(temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    first, same, other = _replies(model, *seeded)
    assert first.token_ids == same.token_ids != other.token_ids
    one, two = _replies(model, *[_ask(temperature=1.0)] * 2)
    assert one.token_ids != two.token_ids
    assert torch.equal(torch.get_rng_state(), state)


def test_a_narrow_nucleus_or_a_low_temperature_is_greedy(model: TransformersModel) -> None:
    greedy, narrow, cold = _replies(
        model,
        _ask(),
        _ask(temperature=1.0, top_p=1e-6, seed=5),
        _ask(temperature=1e-4, seed=5),
    )
    assert greedy.token_ids == narrow.token_ids == cold.token_ids


def test_first_tokens_are_drawn_with_their_probabilities(
    model: TransformersModel, folder: Path
) -> None:
    """From the nucleus of the tempered distribution; its tokens and shares are worked out here."""
    drawn = [_ask(max_tokens=1, temperature=0.4, top_p=0.5, seed=seed) for seed in range(400)]
    replies = _replies(model, *drawn)
    reference: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        logits = reference(input_ids=torch.tensor([replies[0].prompt_ids])).logits[0, -1]
    shares = (logits / 0.4).softmax(-1)
    nucleus: list[int] = []
    for token in shares.argsort(descending=True).tolist():
        if float(shares[nucleus].sum()) >= 0.5:
            break
        nucleus.append(token)
    assert len(nucleus) > 3
    assert {reply.token_ids[0] for reply in replies} <= set(nucleus)
    total = float(shares[nucleus].sum())
    for token in nucleus[:3]:
        share = sum(reply.token_ids[0] == token for reply in replies) / len(replies)
        assert share == pytest.approx(float(shares[token]) / total, abs=0.08)


def test_a_reply_ends_at_the_end_token_which_is_no_text(model: TransformersModel) -> None:
    asked = [_ask(temperature=1.5, seed=seed, max_tokens=150) for seed in range(12)]
    replies = _replies(model, *asked)
    ended = [reply for reply in replies if reply.finish_reason == "stop"]
    assert ended
    assert len(ended) < len(replies)
    for reply in replies:
        assert (reply.token_ids[-1] in (0, 2)) == (reply.finish_reason == "stop")
        assert not {0, 2} & set(reply.token_ids[:-1])
        assert "<|im_end|>" not in reply.text
        assert reply.finish_reason == "stop" or len(reply.token_ids) == 150


def test_a_reply_ends_before_a_stop_string(model: TransformersModel) -> None:
    [plain] = _replies(model, _ask(max_tokens=60))
    stop = plain.text[30:36]  # over the borders of tokens
    cut = plain.text.index(stop)
    [stopped] = _replies(model, _ask(max_tokens=60, stop=("never in it", stop)))
    assert stopped.text == plain.text[:cut]
    assert stopped.finish_reason == "stop"
    assert plain.token_ids[: len(stopped.token_ids)] == stopped.token_ids
    assert len(stopped.token_ids) < len(plain.token_ids)


def test_the_prefill_is_continued_and_not_part_of_the_text(
    model: TransformersModel, folder: Path
) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    [plain, begun] = _replies(model, _ask(), _ask(prefill="She lives in"))
    assert tokenizer.decode(begun.prompt_ids) == tokenizer.decode(plain.prompt_ids) + "She lives in"
    assert not begun.text.startswith("She")
    assert begun.token_ids != plain.token_ids


def test_template_options_and_tools_reach_the_template(
    model: TransformersModel, folder: Path
) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tool = {"type": "function", "function": {"name": "note_down", "parameters": {}}}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":"é"}'}}
    broken = {**call, "function": {"name": "f", "arguments": '{"a":'}}
    ready = {**call, "function": {"name": "f", "arguments": {"b": 2}}}
    history = (
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": None, "tool_calls": [call, broken, ready]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    )
    options = {"enable_thinking": False}
    [reply] = _replies(
        model, ChatRequest(history, max_tokens=2, tools=(tool,), template_options=options)
    )
    prompt = tokenizer.decode(reply.prompt_ids)
    assert '"note_down"' in prompt
    # The arguments are an object in the prompt, not JSON text within JSON.
    assert '{"name": "f", "arguments": {"a": "é"}}' in prompt
    assert '{"name": "f", "arguments": {"a":}' in prompt
    assert '{"name": "f", "arguments": {"b": 2}}' in prompt
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_the_reply_is_one_of_the_choices(model: TransformersModel) -> None:
    choices = ("yes", "yes, partly", "no", "not sure")
    asked = [_ask(choices=choices, temperature=5.0, seed=n, max_tokens=1) for n in range(60)]
    replies = _replies(model, *asked)
    assert {reply.text for reply in replies} == set(choices)
    assert {reply.finish_reason for reply in replies} == {"stop"}
    [sure] = _replies(
        model, _ask(choices=("a choice of many tokens, never cut off",), max_tokens=2)
    )
    assert sure.text == "a choice of many tokens, never cut off"


def test_tool_calls_are_read_out_of_the_text_if_tools_were_offered(
    model: TransformersModel,
) -> None:
    written = 'Well. <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    offered, plain = _replies(
        model, _ask(choices=(written,), tools=(tool,)), _ask(choices=(written,))
    )
    assert (offered.text, offered.finish_reason) == ("Well.", "tool_calls")
    [call] = offered.tool_calls
    assert (call["id"], call["type"], call["function"]["name"]) == ("call_0", "function", "f")
    assert json.loads(call["function"]["arguments"]) == {"a": 1}
    assert (plain.text, plain.tool_calls, plain.finish_reason) == (written, (), "stop")


@pytest.mark.parametrize(
    "block",
    ["{", "[]", '{"name": 3, "arguments": {}}', '{"name": "f", "arguments": [1]}', "[" * 99_999],
)
def test_malformed_tool_calls_stay_in_the_text(block: str) -> None:
    bad = f"<tool_call>{block}</tool_call>"
    good = '<tool_call>\n{"name": "f"}\n</tool_call>'
    assert split_tool_calls(bad) == (bad, ())
    rest, calls = split_tool_calls(f"{bad}{good} and <tool_call>")
    assert rest == f"{bad} and <tool_call>"
    assert [call["function"] for call in calls] == [{"name": "f", "arguments": "{}"}]


def test_a_prompt_that_does_not_fit_is_told_and_a_long_reply_is_shortened(
    model: TransformersModel, folder: Path
) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    word = " Lund"
    each = len(tokenizer(word * 10)["input_ids"]) // 10
    frame = _replies(model, _ask("", max_tokens=1))[0].usage.prompt_tokens
    fits = (POSITIONS - 64 - frame) // each
    [short] = _replies(model, _ask(word * fits, max_tokens=400))
    assert short.usage.prompt_tokens <= POSITIONS - 64
    used = short.usage.prompt_tokens + short.usage.completion_tokens
    assert used == POSITIONS or short.finish_reason == "stop"
    too_long = word * (fits + 64)
    assert _replies(model, _ask(word * (fits + 1), max_tokens=8))
    assert isinstance(model.generate([_ask(too_long, max_tokens=1)])[0], ContextLengthError)
    error = model.generate([_ask(word * (fits + 32), max_tokens=400)])[0]
    assert isinstance(error, ContextLengthError)
    assert "512" in str(error)
    choice = model.generate([_ask(word * (fits + 1), choices=("x" * 80,), max_tokens=1)])[0]
    assert isinstance(choice, ContextLengthError)


def test_a_conversation_that_the_template_refuses_fails_alone(model: TransformersModel) -> None:
    refused, fine, broken = model.generate(
        [
            ChatRequest(({"role": "stranger", "content": "Hello"},)),
            _ask(),
            _ask("half a character: \ud800"),
        ]
    )
    assert isinstance(refused, ServerError)
    assert "unknown role: stranger" in str(refused)
    assert isinstance(fine, ChatReply)
    assert isinstance(broken, RefusedError)


def test_calls_are_counted(model: TransformersModel) -> None:
    [reply] = _replies(model, _ask(max_tokens=5))
    usage = reply.usage
    assert (usage.calls, usage.failures, usage.cached_tokens) == (1, 0, 0)
    assert usage.prompt_tokens == len(reply.prompt_ids)
    assert usage.completion_tokens == len(reply.token_ids) == 5
    assert usage.seconds > 0
    assert reply.logprobs == ()


def test_output_that_is_not_a_number_fails_its_request_only(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    broken: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    [bell] = tokenizer("\x07")["input_ids"]
    with torch.no_grad():
        broken.model.embed_tokens.weight[bell] = torch.nan
    broken.save_pretrained(tmp_path)
    opened = TransformersModel(_settings(tmp_path))
    good, bad = opened.generate([_ask(), _ask("ring \x07 the bell")])
    assert isinstance(good, ChatReply)
    assert isinstance(bad, ServerError)
    assert "not a number" in str(bad)
    opened.close()


@pytest.mark.parametrize("batch_tokens", [1, 250])
def test_little_room_for_a_batch_only_takes_longer(
    folder: Path, model: TransformersModel, batch_tokens: int
) -> None:
    opened = TransformersModel(_settings(folder, engine_options={"batch_tokens": batch_tokens}))
    engine: Any = opened._engine
    shapes: list[tuple[int, int]] = []
    engine._model.register_forward_pre_hook(
        lambda _, args, given: shapes.append(tuple(given["attention_mask"].shape)),
        with_kwargs=True,
    )
    asked = [_ask(text) for text in TEXTS]
    slow, fast = _replies(opened, *asked), _replies(model, *asked)
    assert [reply.token_ids for reply in slow] == [reply.token_ids for reply in fast]
    assert all(rows == 1 or rows * width <= batch_tokens for rows, width in shapes)
    assert (max(rows for rows, _ in shapes) > 1) == (batch_tokens > 1)
    opened.close()


def test_bfloat16_and_eager_attention(folder: Path) -> None:
    options = {"dtype": "bfloat16", "attn_implementation": "eager"}
    opened = TransformersModel(_settings(folder, engine_options=options))
    assert len(_replies(opened, *[_ask(text) for text in TEXTS])) == len(TEXTS)
    opened.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devise": "cpu"}, 'no engine option "devise": did you mean "device"'),
        ({"device": "abacus"}, '"device" must be a torch device'),
        ({"dtype": "float33"}, '"dtype" must be a torch type'),
        ({"dtype": 16}, '"dtype" must be a torch type'),
        ({"batch_tokens": 0}, '"batch_tokens" must be a number of tokens'),
        ({"batch_tokens": True}, '"batch_tokens" must be a number of tokens'),
        ({"attn_implementation": "flush"}, "cannot load the model"),
    ],
)
def test_wrong_engine_options_are_named(
    folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        TransformersModel(_settings(folder, engine_options=options))


def test_models_that_cannot_be_loaded_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot load a tokenizer for model") as caught:
        TransformersModel(_settings(tmp_path))
    assert "\n" not in str(caught.value)
    shutil.copytree(folder, tmp_path / "bare")
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="cannot load the model") as caught:
        TransformersModel(_settings(tmp_path / "bare"))
    assert "\n" not in str(caught.value)
    shutil.copytree(folder, tmp_path / "dumb")
    (tmp_path / "dumb" / "chat_template.jinja").unlink()
    with pytest.raises(UsageError, match="no chat template"):
        TransformersModel(_settings(tmp_path / "dumb"))


def test_it_is_opened_by_its_settings_and_says_when_it_is_closed(folder: Path) -> None:
    opened = open_backend(_settings(folder, concurrency=3))
    assert isinstance(opened, TransformersModel)
    assert open_backend(_settings(folder, concurrency=3)) is opened
    assert isinstance(opened.generate([_ask(max_tokens=2)])[0], ChatReply)
    opened.close()
    assert isinstance(opened.generate([_ask(max_tokens=2)])[0], ServerError)
    opened.close()


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_every_agent_completes_an_episode(
    name: str, model: TransformersModel, folder: Path
) -> None:
    """Whatever a random model writes, and however little fits its 512 positions."""
    agent = AGENTS[name](Chat(_settings(folder, max_tokens=8), model))
    result = play_episode(agent, environment_for(agent), village())
    assert len(result.answers) == len(village().questions)
    assert agent.usage.calls + agent.usage.failures > 0 or name in NO_CALLS


NO_CALLS = ("rag", "long_context", "closed_book")
"""They ask the model for answers only, and here the reader answers."""
