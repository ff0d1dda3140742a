"""A small language model made from nothing: a tokenizer, and random weights.

For showing that the learner learns, where no pretrained model is at hand. The tokenizer has read
text of the train split only. What the model can do it learns in training (see
:class:`.settings.SupervisedSettings`: first to copy, then to write calls).
"""

from collections.abc import Sequence
from typing import Any

from memgym.agents.chat.transformers_local import LOADING
from memgym.agents.grpo.policy import Policy

__all__ = ["SHAPE", "TINY", "make_tiny"]

TINY = "tiny"
"""The name by which the settings ask for it."""


KIND = "llama"
"""Its architecture, a ``model_type`` of transformers: one that does not normalise queries and keys,
which would limit how sharply so small a model can look something up."""

SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    # Twice the usual width: telling apart what followed the same two words takes it (measured).
    "head_dim": 64,
    "max_position_embeddings": 2_048,
    # Turns slowly enough that what a token is can be compared over a whole chunk.
    "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
    "tie_word_embeddings": True,
}
"""Configuration of the model, in the names of transformers."""

VOCABULARY = 2_048
_MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# The frame of a call in few tokens; what is written is JSON text all the same. No mark lies inside
# of ordinary text.
_INSERT = '<tool_call>\n{"name": "new_memory_insert", "arguments": {"memory_type": "'
_UPDATE = '<tool_call>\n{"name": "memory_update", "arguments": {"memory_type": "'
_DELETE = '<tool_call>\n{"name": "memory_delete", "arguments": {"memory_type": "'
FRAME = (
    _INSERT,
    _UPDATE,
    _DELETE,
    'semantic"',
    'episodic"',
    'core"',
    ', "content": "',
    ', "new_content": "',
    ', "memory_id": "',
    '"}}\n</tool_call>\n',
    '"\n</tool_call>\n',
    "Memory:",
    " tokens used",
    "Core memory (at most 512 tokens):",
    "Semantic memory",
    "Episodic memory",
    "The piece to read now:",
    "Your memory so far:",
    "(empty)",
    "[Conversation of",
    "[Document read on",
)
TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)


def make_tiny(seed: int, kind: str = KIND) -> Policy:
    """Return a policy with random weights.

    Args:
        seed: Of the weights.
        kind: Architecture, a ``model_type`` of transformers.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    tokenizer = _tokenizer()
    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        bos_token_id=pad,
        eos_token_id=end,
        pad_token_id=pad,
        **SHAPE,
    )
    with LOADING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad)
    return Policy(model, tokenizer)


def _tokenizer() -> Any:
    import transformers
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import BpeTrainer

    tokens = Tokenizer(models.BPE())
    # A word is the same token wherever it stands: behind a line break or a quotation mark, too.
    tokens.normalizer = normalizers.Replace("\n", "\n ")
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokens.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Fuse(), *(_closed_up(part) for part in _OPENINGS)]
    )
    trainer = BpeTrainer(
        vocab_size=VOCABULARY - len(FRAME),
        special_tokens=list(_MARKS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokens.train_from_iterator(_texts(), trainer)
    tokens.add_tokens([AddedToken(part, normalized=False) for part in FRAME])
    fast: Any = transformers.PreTrainedTokenizerFast
    tokenizer = fast(
        tokenizer_object=tokens,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
        model_max_length=SHAPE["max_position_embeddings"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


_OPENINGS = (', "content": "', ', "new_content": "', ', "memory_id": "')


def _closed_up(opening: str) -> Any:
    """Return the rule that takes back the space before the first word of an argument."""
    from tokenizers import decoders

    return decoders.Replace(f"{opening} ", opening)


def _texts() -> Sequence[str]:
    from memgym.tasks.registry import load_source

    options = {"tokens": 1_000, "chunk_tokens": 200}
    episodes = load_source("procedural", "train", options)
    return [chunk for number in range(400) for chunk in episodes.episode(number).chunks]
