"""The rules by which replies begin, grow and end: choices, stop strings, limits and end tokens.

Which token comes next is picked in :mod:`.sampling`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from memgym.agents.chat.local_text import LocalText, Prompt
from memgym.agents.chat.types import ChatReply, ChatRequest, FinishReason

__all__ = ["Decoding", "Draft"]

_STOP_MARGIN = 4  # tokens of the window that may be empty: special ones, parts of a character


@dataclass(eq=False, slots=True)
class Draft:
    """A reply in the making.

    Attributes:
        number: Of the request.
        choices: Token ids of each admissible reply; empty if any reply is.
        seed: Of the random numbers of this reply, a signed number of 64 bits; ``None`` if it is
            greedy.
        ended: Why it has ended, ``""`` while it has not.
    """

    number: int
    request: ChatRequest
    prompt: Prompt
    choices: Mapping[tuple[int, ...], str]
    seed: int | None
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
    """

    def __init__(self, text: LocalText, ends: Sequence[int]) -> None:
        self._text = text
        self._ends = frozenset(ends)
        self._unseeded = 0
        self._pieces: dict[int, str] = {}  # what tokens are as texts of their own

    def draft(self, number: int, request: ChatRequest) -> Draft:
        """Return an empty draft.

        Raises:
            ContextLengthError: it does not fit.
            ServerError: it cannot be rendered.
        """
        prompt = self._text.prompt(request)
        choices = {self._text.encode(choice): choice for choice in request.choices}
        return Draft(number, request, prompt, choices, self._seed(request))

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
        if not stops or not self._may_end(draft.token_ids[-1], stops):
            return False
        # A token adds at least a byte, so a stop string that is now complete lies in this window.
        window = max(len(stop.encode()) for stop in stops) + _STOP_MARGIN
        tail = self._text.decode(draft.token_ids[-window:])
        return any(stop in tail for stop in stops)

    def _may_end(self, token: int, stops: Sequence[str]) -> bool:
        """Tell whether a token can bring the last character of a stop string.

        A token's text may depend on what is before it: by a space in front, or because it holds
        only a part of a character. Both count as "it may".
        """
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._text.decode([token])
        return "\ufffd" in piece or any(stop[-1:] in piece or stop[-1:].isspace() for stop in stops)

    def _seed(self, request: ChatRequest) -> int | None:
        if not request.temperature:
            return None
        seed = request.seed
        if seed is None:  # equal requests without a seed shall differ
            seed = self._unseeded = self._unseeded + 1
        return (seed + 2**63) % 2**64 - 2**63


def _begins(ids: tuple[int, ...], written: tuple[int, ...]) -> bool:
    """Tell whether ``ids`` goes on after ``written``."""
    return len(ids) > len(written) and ids[: len(written)] == written
