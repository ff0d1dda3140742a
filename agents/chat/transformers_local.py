"""A model in this process through transformers, on a GPU or a CPU, with continuous batching.

The loop over tokens is ours, because each request has its own seed, stop strings and choices,
which neither ``generate`` nor ``generate_batch`` of transformers has. Requests enter and leave the
batch between two steps. Works for every causal language model whose past is keys and values.
"""

import contextlib
import inspect
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memgym.agents.chat.batching import Batcher
from memgym.agents.chat.decoding import Decoding, Draft
from memgym.agents.chat.local_text import LocalText, load_tokenizer
from memgym.agents.chat.models import ModelSettings
from memgym.agents.chat.sampling import pick
from memgym.agents.chat.slots import Slots
from memgym.agents.chat.types import ChatError, ChatReply, ChatRequest, ServerError
from memgym.errors import UsageError, nearest

if TYPE_CHECKING:
    import torch

__all__ = ["LOADING", "LocalEngine", "TransformersModel", "load_model", "without_bars"]

Result = ChatReply | ChatError

OPTIONS: Mapping[str, str] = {
    "device": 'a torch device, e.g. "cuda:0"',
    "dtype": 'a torch type, e.g. "bfloat16"',
    "attn_implementation": 'e.g. "sdpa"',
    "revision": "a branch or commit on the model hub",
    "batch_tokens": "a number of tokens, at least 1",
}
LOADING = threading.Lock()
"""Held while transformers makes a model: it patches its classes meanwhile, and two threads that do
so at a time can leave them patched (tied weights are then no longer tied)."""
BATCH_TOKENS = 65_536
"""Prompt and reply tokens that are held at a time, padding included: it bounds the memory (the
buffers have up to half as much again in reserve)."""

PREFILL_TOKENS = 8_192
"""Prompt tokens that are read in one pass, padding included, unless one prompt alone is longer."""

PASS_TOKENS = 512
"""Padding that is read rather than taking another pass, which costs as much for a small model."""

ADMISSION_SHARE = 16
"""New requests wait until they are one for so many that run, since reading few costs as much as
writing for many, ..."""

ADMISSION_STEPS = 8
"""... but no longer than so many steps."""


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars of its own, and leave it as it was."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


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
        options = settings.engine_options
        for name, value in options.items():
            _check_option(name, value)
        tokenizer = load_tokenizer(settings)
        batch_tokens = options.get("batch_tokens", BATCH_TOKENS)
        engine = LocalEngine(load_model(settings), tokenizer, batch_tokens=batch_tokens)
        super().__init__(engine, settings.concurrency)


def _check_option(name: str, value: object) -> None:
    if name not in OPTIONS:
        raise UsageError(
            f'backend "transformers" has no engine option "{name}": {nearest(name, OPTIONS)}'
        )
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if not (whole if name == "batch_tokens" else isinstance(value, str)):
        raise UsageError(f'engine option "{name}" must be {OPTIONS[name]}, got {value!r}')


def load_model(settings: ModelSettings) -> Any:
    """Return the model of ``settings.model`` on its device, for inference.

    Args:
        settings: As for :class:`TransformersModel`.

    Raises:
        UsageError: it cannot be loaded.
    """
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
        with LOADING, without_bars():
            model: Any = AutoModelForCausalLM.from_pretrained(settings.model, dtype=dtype, **chosen)
        model = model.to(device).eval()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UsageError(
            f'cannot load the model "{settings.model}": {str(error).strip().splitlines()[0]}'
        ) from error
    return model


class LocalEngine:
    """Generates with a model in this process; see :class:`memgym.agents.chat.batching.Engine`.

    The model's weights are read at each step, so a learner may change them between two replies. The
    caller puts a model that was being trained into evaluation mode: with dropout on, replies would
    depend on the batch and on torch's global random numbers.

    Args:
        model: A causal language model of transformers, also with adapters of peft.
        tokenizer: With a chat template.
        batch_tokens: Prompt and reply tokens that are held at a time, padding included.
        max_length: Most tokens of prompt and reply together; 0: what the model takes.
        ends: Token ids that end a reply; by default those of the model and of the tokenizer.

    Raises:
        UsageError: the model keeps something else than keys and values.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        batch_tokens: int = BATCH_TOKENS,
        max_length: int = 0,
        ends: Sequence[int] | None = None,
    ) -> None:
        plain = model.get_base_model() if hasattr(model, "get_base_model") else model
        if getattr(plain, "_is_stateful", False):
            raise UsageError(
                f'the model "{model.name_or_path}" keeps a state other than keys and values, which '
                'backend "transformers" does not batch; use a server (backend "openai") or backend '
                '"vllm"'
            )
        takes = getattr(plain.config.get_text_config(), "max_position_embeddings", None) or 0
        limit = min(filter(None, (takes, max_length)), default=0)
        known = _ends(plain, tokenizer) if ends is None else ends
        self._model = model
        self._decoding = Decoding(LocalText(tokenizer, limit), known)
        self._batch_tokens = batch_tokens
        self._accepted = frozenset(inspect.signature(plain.forward).parameters)
        self._slots = Slots()
        self.drop()

    def start(self, number: int, request: ChatRequest) -> None:
        """Take a request in.

        Raises:
            ChatError: it does not fit, or the chat template refuses it.
        """
        self._waiting.append(self._decoding.draft(number, request))

    def step(self) -> list[tuple[int, Result]]:
        """Write a token of every reply, begin new ones, and return what has ended."""
        import torch

        # Not inference mode: what a model keeps from it could not be used in training.
        with torch.no_grad():
            ended = self._write() if self._running else []
            for drafts in _passes(self._admit()):
                ended += self._read(drafts)
        return [(draft.number, self._result(draft)) for draft in ended]

    def drop(self) -> None:
        """Forget all requests."""
        self._waiting: deque[Draft] = deque()
        self._running: list[Draft] = []  # a draft's place is its row in the slots
        self._waited = 0
        self._slots.clear()

    def close(self) -> None:
        """Let go of the model; its memory is free once nobody else holds it."""
        import torch

        self.drop()
        del self._model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _admit(self) -> list[Draft]:
        """Take as many waiting requests as fit, at least one if nothing runs."""
        running = len(self._running)
        if len(self._waiting) * ADMISSION_SHARE < running and self._waited < ADMISSION_STEPS:
            self._waited += bool(self._waiting)
            return []
        self._waited = 0
        taken: list[Draft] = []
        width = max((draft.prompt.most_tokens for draft in self._running), default=0)
        while self._waiting:
            width = max(width, self._waiting[0].prompt.most_tokens)
            rows = running + len(taken)
            if rows and (rows + 1) * width > self._batch_tokens:
                break
            taken.append(self._waiting.popleft())
        return taken

    def _read(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Run the model over prompts, each distinct one once, and write the first tokens."""
        from transformers import DynamicCache

        rows = {ids: row for row, ids in enumerate(dict.fromkeys(d.prompt.ids for d in drafts))}
        lengths = [len(ids) for ids in rows]
        width = max(lengths)
        texts = [[0] * (width - len(ids)) + list(ids) for ids in rows]
        cache = DynamicCache()
        logits = self._forward(texts, lengths, cache)
        source = [rows[draft.prompt.ids] for draft in drafts]
        self._add(drafts, logits if len(rows) == len(drafts) else logits[source])
        kept = [row for row, draft in enumerate(drafts) if not draft.ended]
        self._slots.add(cache.layers, [source[row] for row in kept])
        self._running += [drafts[row] for row in kept]
        return [draft for draft in drafts if draft.ended]

    def _write(self) -> list[Draft]:
        """Run the model over the last token of each reply, and write the next."""
        running = self._running
        lengths = [draft.length for draft in running]
        cache = self._slots.open(max(lengths) - 1)  # the last tokens have not been read yet
        logits = self._forward([[draft.token_ids[-1]] for draft in running], lengths, cache)
        self._add(running, logits)
        kept = [row for row, draft in enumerate(running) if not draft.ended]
        if len(kept) < len(running):
            self._running = [running[row] for row in self._slots.keep(kept)]
        return [draft for draft in running if draft.ended]

    def _forward(
        self, texts: Sequence[list[int]], lengths: Sequence[int], cache: Any
    ) -> "torch.Tensor":
        """Return the logits after the last column, ``[rows, vocabulary]``.

        Args:
            texts: Token ids per row that are not in the cache yet, padded on the left.
            lengths: Tokens per row, those in the cache included.
            cache: As wide as the longest text lacks of its new tokens.
        """
        import torch

        device = self._model.device
        ids = torch.tensor(texts, device=device)
        begins = max(lengths) - torch.tensor(lengths, device=device)[:, None]
        columns = torch.arange(max(lengths), device=device)
        # Some architectures know no positions, or always compute the logits of every column.
        optional = {
            "position_ids": (columns[-ids.shape[1] :] - begins).clamp(min=0),
            "logits_to_keep": 1,
        }
        logits: torch.Tensor = self._model(
            input_ids=ids,
            attention_mask=(columns >= begins).long(),
            past_key_values=cache,
            use_cache=True,
            **{name: value for name, value in optional.items() if name in self._accepted},
        ).logits
        return logits[:, -1]

    def _add(self, drafts: Sequence[Draft], logits: "torch.Tensor") -> None:
        allowed = [self._decoding.allowed(draft) for draft in drafts]
        for draft, picked in zip(drafts, pick(logits, drafts, allowed), strict=True):
            if picked is None:
                draft.ended = "failed"
            else:
                self._decoding.add(draft, *picked)

    def _result(self, draft: Draft) -> Result:
        if draft.ended == "failed":
            return ServerError("the model's output is not a number")
        return self._decoding.reply(draft)


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens with which the model and the tokenizer say that a text ends."""
    told = [model.generation_config.eos_token_id, tokenizer.eos_token_id]
    flat = (number for end in told for number in (end if isinstance(end, list) else [end]))
    return [end for end in flat if end is not None]


def _passes(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    """Split drafts into those whose prompts are read together: with little padding, not too many.

    Drafts with one prompt, as in a group of rollouts, stay together. The longest come first, so
    that the slots need not be widened.
    """
    group: list[Draft] = []
    rows = tokens = 0
    by_length = sorted(drafts, key=lambda draft: (len(draft.prompt.ids), draft.prompt.ids))
    for draft in reversed(by_length):
        ids = draft.prompt.ids
        if not group or ids != group[-1].prompt.ids:
            longest = len(group[0].prompt.ids) if group else len(ids)
            width, used = longest * (rows + 1), tokens + len(ids)
            full = width > PREFILL_TOKENS or width - used > max(PASS_TOKENS, used // 8)
            if full and group:
                yield group
                group, rows, used = [], 0, len(ids)
            rows, tokens = rows + 1, used
        group.append(draft)
    if group:
        yield group
