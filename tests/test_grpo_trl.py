"""The page on TRL is true: its script trains, and ``MemoryTools`` plays ``MemAlpha-v0``."""

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import memgym  # noqa: F401 - registers the environment
from memgym.agents.grpo.trl_example import MemoryTools, episode_rows
from memgym.benchmarks.speed.trl_side import make_random_model, time_trl
from memgym.errors import UsageError
from memgym.tools import openai_tools
from tests.tiny_model import make_tiny_model

PAGE = Path(__file__).parent.parent / "docs" / "training_with_trl.md"
OPTIONS = {"tokens": 1_000, "chunk_tokens": 250, "questions": 8}
WRITES = ("new_memory_insert", "memory_update", "memory_delete")
# Each is one token of the test's model, which writes next to nothing else.
CALLS = (
    '<tool_call>\n{"name": "next_chunk", "arguments": {}}\n</tool_call>',
    '<tool_call>\n{"name": "new_memory_insert", "arguments": '
    '{"memory_type": "semantic", "content": "It rains."}}\n</tool_call>',
    '<tool_call>\n{"name": "memory_delete", "arguments": '
    '{"memory_type": "episodic", "memory_id": "e9"}}\n</tool_call>',
)


def caller(folder: Path) -> Any:
    """Write a model of one small layer that makes calls, and return it.

    Its chat template is Qwen3's as TRL ships it.
    """
    import torch
    import transformers
    from trl.chat_template_utils import qwen3_chat_template

    library: Any = transformers
    make_tiny_model(folder)
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(CALLS))
    tokenizer.chat_template = qwen3_chat_template
    tokenizer.save_pretrained(folder)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 16}
    config = library.AutoConfig.from_pretrained(
        folder,
        vocab_size=len(tokenizer),
        num_attention_heads=1,
        layer_types=["full_attention"],
        **small,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = library.AutoModelForCausalLM.from_config(config)
    end, *calls = tokenizer.convert_tokens_to_ids(["<|im_end|>", *CALLS])
    with torch.no_grad():  # the first dimension is large in every state, so it acts as a bias
        model.model.embed_tokens.weight[:, 0] = 10
        model.lm_head.weight[:, 0] = 0
        model.lm_head.weight[calls, 0] = 4
        model.lm_head.weight[end, 0] = 4.1  # ends a reply about as often as a call goes on
    model.save_pretrained(folder)
    return model


def run_page(folder: Path) -> Any:
    """Run the script of the page with the model in the folder, and return its trainer."""
    page = PAGE.read_text(encoding="utf-8")
    [script] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    values = '"Qwen/Qwen3-0.6B", 200, 8'
    assert script.count(values) == 1
    script = script.replace(values, f'"{folder}", 2, 3')
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(script, PAGE.name, "exec"), namespace)
    return namespace["trainer"]


def played(calls: list[list[dict[str, Any]]]) -> tuple[list[str], float]:
    """Return the chunks and the return of ``MemAlpha-v0`` for these calls, one list a step."""
    env = gym.make("MemAlpha-v0", source_options=OPTIONS)
    observation, _ = env.reset(options={"episode": 3})
    chunks, total, ended = [observation["chunk"]], 0.0, False
    while not ended:
        step = calls.pop(0) if calls else []
        observation, reward, ended, _, _ = env.step(step)
        chunks.append(observation["chunk"])
        total += float(reward)
    return chunks, total


def insert(content: str) -> dict[str, Any]:
    return {
        "name": "new_memory_insert",
        "arguments": {"memory_type": "semantic", "content": content},
    }


def test_a_conversation_is_an_episode() -> None:
    tools = MemoryTools(source_options=OPTIONS)
    first = tools.reset(episode=3, prompt="of no interest")
    chunks, total = played([[insert(first[:200]), insert("It rains.")], [], [insert("It snows.")]])
    assert first == f"\n{chunks[0]}"
    tools.new_memory_insert("semantic", first[:200])
    tools.new_memory_insert("semantic", "It rains.")
    shown = tools.next_chunk()
    assert "inserted s1" in shown
    assert "inserted s2" in shown
    assert shown.endswith(chunks[1])
    assert tools.next_chunk() == chunks[2]
    tools.new_memory_insert("semantic", "It snows.")
    assert "inserted s3" in tools.next_chunk()
    assert tools.next_chunk() == "The text is over. Reply without a call."
    assert tools.get_reward() == pytest.approx(total) != 0
    assert tools.get_reward() == pytest.approx(total)
    for call in (tools.next_chunk, lambda: tools.new_memory_insert("core", "Late.")):
        with pytest.raises(ValueError, match="The text is over"):
            call()


def test_what_was_not_read_passes_by() -> None:
    tools = MemoryTools(source_options=OPTIONS)
    tools.reset(episode=3)
    tools.new_memory_insert("semantic", "It rains.")
    _, total = played([[insert("It rains.")]])
    assert tools.get_reward() == pytest.approx(total)
    tools.reset(episode=3)  # nothing is left of the conversation before
    assert tools.get_reward() == pytest.approx(played([])[1])


def test_what_the_memory_refuses_is_told() -> None:
    tools = MemoryTools(source_options=OPTIONS)
    tools.reset(episode=0)
    tools.memory_update("episodic", "It snows.", "e7")
    tools.memory_delete("nowhere")  # type: ignore[arg-type]
    tools.new_memory_insert("core", 7)  # type: ignore[arg-type]
    assert len(re.findall("^error: ", tools.next_chunk(), re.MULTILINE)) == 3


def test_the_model_is_shown_the_table_of_tools() -> None:
    from transformers.utils import get_json_schema

    tools = MemoryTools()
    for schema in openai_tools(WRITES):
        wanted = schema["function"]
        shown = get_json_schema(getattr(tools, wanted["name"]))["function"]
        assert shown["description"] == wanted["description"]
        assert shown["parameters"]["required"] == wanted["parameters"]["required"]
        for name, argument in wanted["parameters"]["properties"].items():
            given = {**shown["parameters"]["properties"].pop(name)}
            given.pop("nullable", None)
            assert given == argument
        assert not shown["parameters"]["properties"]


def test_no_other_tool_is_offered() -> None:
    public = {name for name in vars(MemoryTools) if not name.startswith("_")}
    assert public == {*WRITES, "next_chunk", "reset", "get_reward"}


def test_an_agent_cannot_answer_here() -> None:
    with pytest.raises(UsageError, match='answer_mode must be "reader"'):
        MemoryTools(answer_mode="agent")


def test_rows_name_episodes() -> None:
    rows = episode_rows(range(5, 8))
    assert [row["episode"] for row in rows] == [5, 6, 7]
    assert all(row["prompt"][-1]["role"] == "user" for row in rows)


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    """What the page says about templates that TRL does not know."""
    import transformers
    from trl import chat_template_utils as templates

    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(make_tiny_model(tmp_path, "llama"))
    with pytest.raises(ValueError, match="Unrecognized chat template"):
        templates.add_response_schema(tokenizer)
    tokenizer.response_template = templates.qwen3_template
    assert templates.supports_tool_calling(tokenizer)
    assert templates.is_chat_template_prefix_preserving(tokenizer)
    before = tokenizer("<|im_start|>assistant\n").input_ids
    reply = tokenizer(f"{CALLS[1]}\n{CALLS[0]}<|im_end|>").input_ids
    parsed = templates.parse_response(tokenizer, reply, prefix=before)
    assert [call["function"]["name"] for call in parsed["tool_calls"]] == [
        "new_memory_insert",
        "next_chunk",
    ]


@pytest.mark.filterwarnings("ignore:.*checkpointing.* is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set:UserWarning")
def test_the_script_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    monkeypatch.chdir(tmp_path)
    before = caller(tmp_path / "model").state_dict()
    trainer = run_page(tmp_path / "model")
    assert trainer.state.global_step == 2
    steps = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(steps) == 2
    for step in steps:
        assert step["tools/call_frequency"] > 1
        assert step["reward_std"] > 0
    after = trainer.model.state_dict()
    assert any(not torch.equal(before[name], after[name].cpu()) for name in before)
    assert (tmp_path / "runs" / "trl" / "model" / "model.safetensors").is_file()


@pytest.mark.filterwarnings("ignore:.*checkpointing.* is deprecated:FutureWarning")
@pytest.mark.parametrize(("minibatches", "as_on_gpu"), [(1, False), (2, True)])
def test_trl_under_the_clock(tmp_path: Path, minibatches: int, as_on_gpu: bool) -> None:
    model = make_random_model(tmp_path / "model", width=32, layers=1)
    prompts = [[1, 2, 3], [4, 5, 6, 7]]
    chosen: dict[str, Any] = {"group_size": 4, "max_new_tokens": 5, "steps": 2}
    times = time_trl(
        model, prompts, tmp_path, minibatches=minibatches, as_on_gpu=as_on_gpu, **chosen
    )
    assert times.samples == 2 * 2 * 4
    assert times.response_tokens == 5 * times.samples
    assert times.generation > 0
    assert times.update > 0
    assert times.generation + times.update < times.seconds
