"""Picks the next token of every reply in a batch, and tells when a reply has ended.

Each reply has its own temperature, nucleus, random numbers, stop strings and choices. What is
picked for one depends on its own distribution and its own seed only, so the others in the batch
do not matter beyond rounding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from memgym.agents.chat.local_text import LocalText, Prompt
from memgym.agents.chat.types import ChatReply, ChatRequest, FinishReason

if TYPE_CHECKING:
    import torch

__all__ = ["Decoding", "Draft", "pick"]

_STOP_MARGIN = 4  # tokens of the window that may be empty: special ones, parts of a character


@dataclass(eq=False, slots=True)
class Draft:
    """A reply in the making.

    Attributes:
        number: Of the request.
        choices: Token ids of each admissible reply; empty if any reply is.
        generator: Of the random numbers of this reply, ``None`` if it is greedy.
        ended: Why it has ended, ``""`` while it has not.
    """

    number: int
    request: ChatRequest
    prompt: Prompt
    choices: Mapping[tuple[int, ...], str]
    generator: "torch.Generator | None"
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: Literal["", "stop", "length", "failed"] = ""

    @property
    def length(self) -> int:
        """Tokens of the prompt and of what is written so far."""
        return len(self.prompt.ids) + len(self.token_ids)


class Decoding:
    """The rules by which drafts begin, grow and end.

    Args:
        text: Tokenizer and context limit.
        ends: Token ids that end a reply.
        device: Of the model, where random numbers are drawn.
    """

    def __init__(self, text: LocalText, ends: Sequence[int], device: "torch.device") -> None:
        self._text = text
        self._device = device
        self._ends = frozenset(ends)
        self._unseeded = 0

    def draft(self, number: int, request: ChatRequest) -> Draft:
        """Return an empty draft.

        Raises:
            ContextLengthError: it does not fit.
            ServerError: it cannot be rendered.
        """
        prompt = self._text.prompt(request)
        choices = {self._text.encode(choice): choice for choice in request.choices}
        return Draft(number, request, prompt, choices, self._generator(request))

    def allowed(self, draft: Draft) -> list[int] | None:
        """Return the tokens that may come next, ``None`` if all may."""
        if not draft.choices:
            return None
        written = tuple(draft.token_ids)
        found = sorted({ids[len(written)] for ids in draft.choices if _begins(ids, written)})
        return [*found, *sorted(self._ends)] if written in draft.choices else found

    def add(self, draft: Draft, token: int, logprob: float) -> None:
        """Append a token, and note if the reply ends with it."""
        draft.token_ids.append(token)
        draft.logprobs.append(logprob)
        if draft.choices:
            written = tuple(draft.token_ids)
            if not any(_begins(ids, written) for ids in draft.choices):
                draft.ended = "stop"
        elif token in self._ends or self._has_stop(draft):
            draft.ended = "stop"
        elif len(draft.token_ids) >= draft.prompt.max_tokens:
            draft.ended = "length"

    def reply(self, draft: Draft) -> ChatReply:
        """Return the finished reply."""
        written = draft.token_ids
        if written and written[-1] in self._ends:
            written = written[:-1]
        text = draft.choices.get(tuple(draft.token_ids), draft.choices.get(tuple(written)))
        if text is None:
            text = self._text.decode(written)
            found = [at for stop in draft.request.stop if (at := text.find(stop)) >= 0]
            text = text[: min(found, default=len(text))]
        finish: FinishReason = "length" if draft.ended == "length" else "stop"
        logprobs = draft.logprobs if draft.request.logprobs else ()
        return self._text.reply(
            draft.request,
            draft.prompt,
            text,
            finish=finish,
            token_ids=draft.token_ids,
            logprobs=logprobs,
        )

    def _has_stop(self, draft: Draft) -> bool:
        stops = draft.request.stop
        if not stops:
            return False
        # A token adds at least a byte, so a stop string that is now complete lies in this window.
        window = max(len(stop.encode()) for stop in stops) + _STOP_MARGIN
        tail = self._text.decode(draft.token_ids[-window:])
        return any(stop in tail for stop in stops)

    def _generator(self, request: ChatRequest) -> "torch.Generator | None":
        import torch

        if not request.temperature:
            return None
        seed = request.seed
        if seed is None:  # equal requests without a seed shall differ
            seed = self._unseeded = self._unseeded + 1
        return torch.Generator(self._device).manual_seed(seed)


def _begins(ids: tuple[int, ...], written: tuple[int, ...]) -> bool:
    """Tell whether ``ids`` goes on after ``written``."""
    return len(ids) > len(written) and ids[: len(written)] == written


def pick(
    logits: "torch.Tensor", drafts: Sequence[Draft], allowed: Sequence[list[int] | None]
) -> list[tuple[int, float] | None]:
    """Return the next token of each draft with its log-probability under the plain model.

    Args:
        logits: One row per draft.
        drafts: Whose settings and random numbers are used.
        allowed: Per draft, the only tokens that may be picked.

    Returns:
        ``None`` for a draft whose model output is not a number.
    """
    import torch

    logprobs = logits.float().log_softmax(-1)
    scores = logprobs
    if any(few is not None for few in allowed):
        scores = logprobs.clone()
        for row, few in enumerate(allowed):
            if few is not None:
                kept = scores[row, few]
                scores[row] = -torch.inf
                scores[row, few] = kept
    tokens = scores.argmax(-1)
    sampled = [row for row, draft in enumerate(drafts) if draft.generator is not None]
    if sampled:
        tokens[sampled] = _sample(scores[sampled], [drafts[row] for row in sampled])
    picked = logprobs.gather(1, tokens[:, None])[:, 0]
    broken = logprobs.isnan().any(-1).tolist()
    pairs = zip(tokens.tolist(), picked.tolist(), broken, strict=True)
    return [None if nan else (token, logprob) for token, logprob, nan in pairs]


def _sample(scores: "torch.Tensor", drafts: Sequence[Draft]) -> "torch.Tensor":
    """Draw one token per row from its nucleus, with the row's own random numbers."""
    import torch

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, device=scores.device)[:, None]

    scores = scores / column([draft.request.temperature for draft in drafts])
    shares, order = scores.softmax(-1).sort(dim=-1, descending=True, stable=True)
    before = shares.cumsum(-1) - shares  # probability of all that are more likely
    outside = before >= column([draft.request.top_p for draft in drafts])
    scores = scores.masked_fill(outside.scatter(1, order, outside), -torch.inf)
    # The least of exponential variables with these rates. Unlike a draw by summed shares, it hardly
    # depends on rounding, which differs with the size of the batch.
    noise = torch.empty_like(scores)
    for row, draft in enumerate(drafts):
        noise[row].exponential_(generator=draft.generator)
    return (scores.softmax(-1) / noise).argmax(-1)
