"""Makes a tiny language model with random weights, with which tests load and serve a real one.

About half a million parameters, in the format that transformers and vLLM load. It writes nonsense,
which is what it is for: every path from the prompt's template to the reply is the real one, and
an agent must get along with whatever comes out.
"""

from pathlib import Path
from typing import Any, Literal

__all__ = ["POSITIONS", "make_tiny_model"]

POSITIONS = 4_096
"""Longest prompt and reply together, in tokens, unless a test wants another."""

VOCABULARY = 1_024
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Parts of the text, not of its frame: they stay when special tokens are left out of decoded text.
TEXT_MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>",
              "</think>")  # fmt: skip

TEMPLATE = r"""
{%- macro told(content) -%}{{ content if content is string else content | tojson }}{%- endmacro -%}
{%- if tools -%}
{{ "<|im_start|>system\nTools at hand, one JSON object per line:\n" }}
{%- for tool in tools -%}{{ tool | tojson ~ "\n" }}{%- endfor -%}
{{ 'Use one by writing <tool_call>{"name": …, "arguments": {…}}</tool_call>.' }}
{{- "<|im_end|>\n" }}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == "tool" -%}
{{ "<|im_start|>user\n<tool_response>" ~ told(message.content) ~ "</tool_response><|im_end|>\n" }}
{%- elif message.role in ("system", "user", "assistant") -%}
{{ "<|im_start|>" ~ message.role ~ "\n" ~ told(message.content or "") }}
{%- for call in message.tool_calls or () -%}
{%- set call = call.function or call -%}
{{ '<tool_call>{"name": ' ~ call.name | tojson ~ ', "arguments": ' }}
{{- told(call.arguments) ~ "}</tool_call>" }}
{%- endfor -%}
{{ "<|im_end|>\n" }}
{%- else -%}
{{ raise_exception("unknown role: " ~ message.role) }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ "<|im_start|>assistant\n" }}
{%- if enable_thinking is defined and not enable_thinking -%}{{ "<think>\n\n</think>\n\n" }}
{%- endif -%}
{%- endif -%}
""".strip()


def make_tiny_model(
    folder: Path,
    architecture: Literal["qwen3", "llama"] = "qwen3",
    *,
    seed: int = 0,
    positions: int = POSITIONS,
) -> Path:
    """Write the model, its tokenizer and its chat template to a folder, and return the folder.

    Args:
        folder: Made if it does not exist.
        architecture: As what it can be loaded.
        seed: Of the weights; equal arguments give equal files.
        positions: Longest prompt and reply together, in tokens.
    """
    import torch
    import transformers

    library: Any = transformers
    tokenizer = _tokenizer(positions)
    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 64,  # the smallest that vLLM has on every device
        "max_position_embeddings": positions,
        "tie_word_embeddings": False,
        "initializer_range": 0.1,  # wide enough that tokens differ clearly in probability
        "bos_token_id": pad,
        "eos_token_id": end,
        "pad_token_id": pad,
    }
    name = {"qwen3": "Qwen3", "llama": "Llama"}[architecture]
    config = getattr(library, f"{name}Config")(**shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(library, f"{name}ForCausalLM")(config)
    model.generation_config = library.GenerationConfig(eos_token_id=[end, pad], pad_token_id=pad)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(positions: int) -> Any:
    """Return a byte-level tokenizer whose merges come from text as agents see it."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    fast: Any = transformers.PreTrainedTokenizerFast

    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(TEXT_MARKS),
        special_tokens=list(MARKS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokens.train_from_iterator(_texts(), trainer)
    tokens.add_tokens(list(TEXT_MARKS))
    tokenizer = fast(
        tokenizer_object=tokens,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
        model_max_length=positions,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _texts() -> list[str]:
    from memgym.tasks.registry import load_source
    from memgym.tools import describe_tools

    episodes = load_source("procedural", "train", {"tokens": 1_000, "chunk_tokens": 500})
    return [describe_tools(), *(chunk for n in range(8) for chunk in episodes.episode(n).chunks)]
