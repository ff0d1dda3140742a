"""A model in this process through transformers, on a GPU or a CPU, with continuous batching.

The loop over tokens is ours, because each request has its own seed, stop strings and choices,
which neither ``generate`` nor ``generate_batch`` of transformers has. Requests enter and leave the
batch between two steps. Works for every causal language model whose past is keys and values.
"""

import inspect
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memgym.agents.chat.batching import Batcher
from memgym.agents.chat.decoding import Decoding, Draft, pick
from memgym.agents.chat.local_text import LocalText, load_tokenizer
from memgym.agents.chat.models import ModelSettings
from memgym.agents.chat.types import ChatError, ChatReply, ChatRequest, ServerError
from memgym.errors import UsageError, nearest

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersModel"]

Result = ChatReply | ChatError

OPTIONS: Mapping[str, str] = {
    "device": 'a torch device, e.g. "cuda:0"',
    "dtype": 'a torch type, e.g. "bfloat16"',
    "attn_implementation": 'e.g. "sdpa"',
    "revision": "a branch or commit on the model hub",
    "batch_tokens": "a number of tokens, at least 1",
}
BATCH_TOKENS = 65_536
"""Prompt and reply tokens that are held at a time, padding included: it bounds the memory."""


class TransformersModel(Batcher):
    """Backend of ``backend="transformers"``.

    Args:
        settings: ``model`` is a folder or a name on the model hub; ``engine_options`` may hold
            ``device`` (default: a GPU if there is one), ``dtype`` (default: bfloat16 on a GPU,
            float32 on a CPU), ``attn_implementation``, ``revision`` and ``batch_tokens``.

    Raises:
        UsageError: the model cannot be loaded or has no chat template, or an option is wrong.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(_load(settings), settings.concurrency)


def _load(settings: ModelSettings) -> "_Engine":
    for name, value in settings.engine_options.items():
        if name not in OPTIONS:
            raise UsageError(
                f'backend "transformers" has no engine option "{name}": {nearest(name, OPTIONS)}'
            )
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not (whole if name == "batch_tokens" else isinstance(value, str)):
            raise UsageError(f'engine option "{name}" must be {OPTIONS[name]}, got {value!r}')
    tokenizer = load_tokenizer(settings)
    model = _load_model(settings)
    config = model.config.get_text_config()
    limit = getattr(config, "max_position_embeddings", None) or 0
    ends = [model.generation_config.eos_token_id, tokenizer.eos_token_id]
    flat = (number for end in ends for number in (end if isinstance(end, list) else [end]))
    known = [end for end in flat if end is not None]
    decoding = Decoding(LocalText(tokenizer, limit), known, model.device)
    return _Engine(model, decoding, settings.engine_options.get("batch_tokens", BATCH_TOKENS))


def _load_model(settings: ModelSettings) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    options = settings.engine_options
    name = options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f'engine option "device" must be {OPTIONS["device"]}, got {name!r}'
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f'engine option "device" is {name!r}, but torch sees no CUDA device')
    type_name = options.get("dtype") or ("bfloat16" if device.type == "cuda" else "float32")
    dtype = getattr(torch, type_name, None)
    if not isinstance(dtype, torch.dtype):
        raise UsageError(f'engine option "dtype" must be {OPTIONS["dtype"]}, got {type_name!r}')
    chosen = {key: options[key] for key in ("attn_implementation", "revision") if options.get(key)}
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(settings.model, dtype=dtype, **chosen)
        model = model.to(device).eval()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UsageError(
            f'cannot load the model "{settings.model}": {str(error).strip().splitlines()[0]}'
        ) from error
    if getattr(model, "_is_stateful", False):
        raise UsageError(
            f'the model "{settings.model}" keeps a state other than keys and values, which backend '
            '"transformers" does not batch; use a server (backend "openai") or backend "vllm"'
        )
    return model


@dataclass(eq=False, slots=True)
class _Batch:
    """Replies in the making, with what the model remembers of each.

    Attributes:
        drafts: One per row.
        cache: Keys and values per layer, ``[rows, heads, columns, size]``.
        mask: 1 where a column holds a token, ``[rows, columns]``; texts end at the last column.
    """

    drafts: list[Draft]
    cache: Any
    mask: "torch.Tensor"


class _Engine:
    """The loop over tokens; see :class:`memgym.agents.chat.batching.Engine`."""

    def __init__(self, model: Any, decoding: Decoding, batch_tokens: int) -> None:
        self._model = model
        self._decoding = decoding
        self._batch_tokens = batch_tokens
        self._accepted = inspect.signature(model.forward).parameters
        self._waiting: deque[Draft] = deque()
        self._batch: _Batch | None = None

    def start(self, number: int, request: ChatRequest) -> None:
        self._waiting.append(self._decoding.draft(number, request))

    def step(self) -> list[tuple[int, Result]]:
        import torch

        with torch.inference_mode():
            batches = [self._write(self._batch)] if self._batch else []
            if new := self._admit():
                batches.append(self._read(new))
            self._batch = _join(batches)
        return [
            (draft.number, self._result(draft))
            for batch in batches
            for draft in batch.drafts
            if draft.ended
        ]

    def drop(self) -> None:
        self._waiting.clear()
        self._batch = None

    def close(self) -> None:
        import torch

        self.drop()
        del self._model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _admit(self) -> list[Draft]:
        """Take as many waiting requests as fit, at least one if nothing runs."""
        running = self._batch.drafts if self._batch else []
        taken: list[Draft] = []
        width = max((draft.prompt.most_tokens for draft in running), default=0)
        while self._waiting:
            width = max(width, self._waiting[0].prompt.most_tokens)
            rows = len(running) + len(taken)
            if rows and (rows + 1) * width > self._batch_tokens:
                break
            taken.append(self._waiting.popleft())
        return taken

    def _read(self, drafts: list[Draft]) -> _Batch:
        """Run the model over whole prompts, and write the first token of each reply."""
        import torch
        from transformers import DynamicCache

        texts = [list(draft.prompt.ids) for draft in drafts]
        width = max(map(len, texts))
        device = self._model.device
        ids = torch.tensor([[0] * (width - len(text)) + text for text in texts], device=device)
        mask = torch.tensor(
            [[0] * (width - len(text)) + [1] * len(text) for text in texts], device=device
        )
        batch = _Batch(drafts, DynamicCache(), mask)
        self._forward(batch, ids, (mask.cumsum(-1) - 1).clamp(min=0))
        return batch

    def _write(self, batch: _Batch) -> _Batch:
        """Run the model over the last token of each reply, and write the next."""
        import torch

        batch.mask = torch.nn.functional.pad(batch.mask, (0, 1), value=1)
        ids = batch.mask.new_tensor([[draft.token_ids[-1]] for draft in batch.drafts])
        places = batch.mask.new_tensor([[draft.length - 1] for draft in batch.drafts])
        self._forward(batch, ids, places)
        return batch

    def _forward(self, batch: _Batch, ids: "torch.Tensor", places: "torch.Tensor") -> None:
        # Some architectures know no positions, or always compute the logits of every column.
        optional = {"position_ids": places, "logits_to_keep": 1}
        logits = self._model(
            input_ids=ids,
            attention_mask=batch.mask,
            past_key_values=batch.cache,
            use_cache=True,
            **{name: value for name, value in optional.items() if name in self._accepted},
        ).logits[:, -1]
        allowed = [self._decoding.allowed(draft) for draft in batch.drafts]
        for draft, picked in zip(batch.drafts, pick(logits, batch.drafts, allowed), strict=True):
            if picked is None:
                draft.ended = "failed"
            else:
                self._decoding.add(draft, *picked)

    def _result(self, draft: Draft) -> Result:
        if draft.ended == "failed":
            return ServerError("the model's output is not a number")
        return self._decoding.reply(draft)


def _join(batches: Sequence[_Batch]) -> _Batch | None:
    """Return what goes on in all of the batches as one, without columns that nobody needs."""
    from torch import cat
    from torch.nn.functional import pad
    from transformers import DynamicCache

    kept = [[row for row, draft in enumerate(batch.drafts) if not draft.ended] for batch in batches]
    if len(batches) == 1 and len(kept[0]) == len(batches[0].drafts):
        return batches[0]
    parts = [(batch, rows) for batch, rows in zip(batches, kept, strict=True) if rows]
    if not parts:
        return None
    drafts = [batch.drafts[row] for batch, rows in parts for row in rows]
    width = max(draft.length - 1 for draft in drafts)  # the last token has not been read yet
    # A negative padding cuts off.
    masks = [pad(batch.mask[rows], (width - batch.mask.shape[1], 0)) for batch, rows in parts]
    cache: Any = DynamicCache()
    for number in range(len(parts[0][0].cache.layers)):
        layers = [(batch.cache.layers[number], rows) for batch, rows in parts]
        keys, values = (
            cat([pad(part[rows], (0, 0, width - part.shape[2], 0)) for part, rows in side])
            for side in (
                [(layer.keys, rows) for layer, rows in layers],
                [(layer.values, rows) for layer, rows in layers],
            )
        )
        cache.update(keys, values, number)
    return _Batch(drafts, cache, cat(masks))
