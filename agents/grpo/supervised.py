"""Supervised learning: the warm-up that teaches a model to copy, and how calls are written."""

from collections.abc import Callable, Sequence
from random import Random

from memgym.agents.grpo.batches import denominator, micro_batches, share
from memgym.agents.grpo.demonstrations import Demonstration
from memgym.agents.grpo.samples import Sample
from memgym.agents.grpo.settings import SupervisedSettings
from memgym.agents.grpo.updates import Updates

__all__ = ["SupervisedLearner", "copying", "in_passes"]

_BETAS = (0.9, 0.98)
_RANDOM_SHARE = 0.4  # of the steps, with random tokens alone
_LONGEST = 48  # of them; half as many leave too little to copy, and it is understood later
_PIECE_TOKENS = (6, 24)
_KEPT_SHARES = (0.3, 0.6, 1.0)  # of the sentences, where they are said again in order
_RANDOM_EVERY = 8  # samples of text between which there is one of random tokens


class SupervisedLearner:
    """Trains a policy to respond as in samples; the loss is on responses only.

    Args:
        updates: The weights.
        draw: Returns the samples of an update by its number.
        steps: Updates until the learning rate is 0.
        learning_rate: Peak.
        warmup_share: Share of the steps in which it grows.
        micro_batch_tokens: Tokens of a forward pass, padding included.

    Attributes:
        done: Updates made.
    """

    def __init__(
        self,
        updates: Updates,
        draw: Callable[[int], Sequence[Sample]],
        *,
        steps: int,
        learning_rate: float,
        warmup_share: float,
        micro_batch_tokens: int,
    ) -> None:
        self._updates = updates
        self._draw = draw
        self._steps = steps
        self._peak = learning_rate
        self._warm = max(1, round(warmup_share * steps))
        self._budget = micro_batch_tokens
        self.done = 0

    def begin(self) -> None:
        """Start the stage."""
        self._updates.begin(_BETAS, weight_decay=0.0)

    def update(self) -> float:
        """Make the next update; return its loss, in nats per token."""
        import torch

        updates, samples = self._updates, self._draw(self.done)
        total = denominator(samples, "tokens")
        whole = micro_batches(samples, self._budget, processes=updates.processes)
        mine = share(whole, updates.rank, updates.processes)
        losses = []
        updates.policy.model.train()
        for number, batch in enumerate(mine):
            with updates.one_pass(last=number == len(mine) - 1):
                loss = updates.negative_log_likelihood(batch) / total
                updates.backward(loss)
            losses.append(loss.detach())
        updates.step(self._learning_rate(), max_gradient_norm=1.0)
        updates.policy.model.eval()
        self.done += 1
        return float(updates.summed({"loss": torch.stack(losses).sum()})["loss"])

    def _learning_rate(self) -> float:
        grown = min(1.0, (self.done + 1) / self._warm)
        return self._peak * grown * max(0.0, 1 - self.done / self._steps)


def in_passes(
    shown: Sequence[Demonstration], settings: SupervisedSettings, seed: int
) -> Callable[[int], list[Sample]]:
    """Return the samples of each update: the next ones of a shuffled pass over demonstrations."""
    samples = [_sample(item.prompt_ids, item.response_ids) for item in shown]
    size = min(settings.batch_size, len(samples))
    per_pass = len(samples) // size

    def draw(step: int) -> list[Sample]:
        order = list(range(len(samples)))
        Random(f"{seed}/{step // per_pass}").shuffle(order)
        first = step % per_pass * size
        return [samples[place] for place in order[first : first + size]]

    return draw


def copying(
    tokens: Sequence[int],
    texts: Sequence[Sequence[Sequence[int]]],
    settings: SupervisedSettings,
    seed: int,
) -> Callable[[int], list[Sample]]:
    """Return the samples of each update: something to be said again, piece by piece.

    The pieces come in another order, so that what follows a token has to be looked up by what it
    is, and not by how far away it is. At first it is random tokens, until copying is understood; in
    half of the samples they are drawn from so few that what follows one of them depends on what was
    before it, as in language. Then it is the sentences of a chunk, half of the time as they follow
    each other with some left out, which is how a memory is written; with few samples of random
    tokens between them, and half as many samples, as they are several times as long.

    Args:
        tokens: Ids that may occur.
        texts: Chunks of the train split, as the token ids of their sentences.
        settings: Number of updates and samples in each.
        seed: Of all that is random.
    """
    random_steps = round(_RANDOM_SHARE * settings.copying_steps)
    few = max(1, settings.batch_size // 2)

    def draw(step: int) -> list[Sample]:
        random = Random(f"copying/{seed}/{step}")
        if step < random_steps:
            return [_random_pieces(tokens, _LONGEST, random) for _ in range(settings.batch_size)]
        return [
            _sentences(random.choice(texts), random)
            if number % _RANDOM_EVERY
            else _random_pieces(tokens, 2 * _LONGEST, random)
            for number in range(few)
        ]

    return draw


def _random_pieces(tokens: Sequence[int], longest: int, random: Random) -> Sample:
    length = random.randint(longest // 2, longest)
    few = random.random() < 0.5
    pool = random.sample(tokens, min(len(tokens), max(8, length // 2))) if few else tokens
    text = random.choices(pool, k=length)
    pieces, start = list[Sequence[int]](), 0
    while start < length:
        end = start + random.randint(*_PIECE_TOKENS)
        pieces.append(text[start:end])
        start = end
    return _in_another_order(pieces, random)


def _sentences(sentences: Sequence[Sequence[int]], random: Random) -> Sample:
    if random.random() < 0.5:
        return _in_another_order(sentences, random)
    share = random.choice(_KEPT_SHARES)
    kept = [sentence for sentence in sentences if random.random() < share]
    return _sample(_joined(sentences), _joined(kept or [random.choice(sentences)]))


def _in_another_order(pieces: Sequence[Sequence[int]], random: Random) -> Sample:
    again = list(pieces)
    random.shuffle(again)
    return _sample(_joined(pieces), _joined(again))


def _joined(pieces: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(token for piece in pieces for token in piece)


def _sample(prompt_ids: tuple[int, ...], response_ids: tuple[int, ...]) -> Sample:
    return Sample(
        chunk=0,
        prompt_ids=prompt_ids,
        response_ids=response_ids,
        logprobs=(0.0,) * len(response_ids),
        truncated=False,
        format=0.0,
        content=0.0,
    )
