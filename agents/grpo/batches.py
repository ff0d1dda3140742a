"""Cuts a step's samples into minibatches, and these into padded micro-batches of token ids.

A minibatch is what one update learns from; a micro-batch is what one forward pass holds. Plain
numpy: no model, no device. Samples are known by their place in the sequence that was given.

Rows are padded on the right, where causal attention needs no care. Samples of like length share a
micro-batch, so that there is less than a tenth of padding, whatever the lengths. There is no
packing of several samples into one row: it needs attention kernels for it, and could save no more
than that tenth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from memgym.agents.grpo.samples import Sample

__all__ = [
    "Batch",
    "denominator",
    "micro_batches",
    "minibatches",
    "padding_share",
    "share",
    "token_weights",
]

_TOKENS_PER_PADDING = 10  # there are more than so many


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One forward pass; all arrays are int64.

    The response tokens are flat, row after row: the logits at ``rows``, ``columns`` predict
    ``targets``.

    Attributes:
        samples: Place of the sample in each row; empty in a pass that only keeps a process in step
            with the others (see :func:`share`).
        ids: [rows, columns], token ids of prompt and response, then padding (0).
        attention_mask: [rows, columns], 1 for tokens and 0 for padding.
        rows: [tokens], row of each response token.
        columns: [tokens], column of the token before it.
        targets: [tokens], its id.
        sample_index: [tokens], place of its sample.
    """

    samples: tuple[int, ...]
    ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    targets: NDArray[np.int64]
    sample_index: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        """Tokens of its prompts and responses, without padding."""
        return int(self.attention_mask.sum()) if self.samples else 0

    @property
    def padding_share(self) -> float:
        """Padding tokens per token that is none."""
        return padding_share([self])

    def flat(self, values: Sequence[Sequence[float]]) -> NDArray[np.float32]:
        """Return one value per response token, in the order of ``targets``.

        Args:
            values: Per sample, in the order given to :func:`micro_batches`, one per token of its
                response, e.g. the log-probabilities.

        Raises:
            ValueError: a sample has not as many values as its response has tokens.
        """
        lengths = np.bincount(self.sample_index, minlength=len(values))
        for sample in self.samples:
            if len(values[sample]) != lengths[sample]:
                raise ValueError(
                    f"sample {sample}: {len(values[sample])} values for a response of "
                    f"{lengths[sample]} tokens"
                )
        picked = [value for sample in self.samples for value in values[sample]]
        return np.array(picked, dtype=np.float32)


def minibatches(samples: int, count: int, seed: int | Sequence[int]) -> list[tuple[int, ...]]:
    """Split the places 0 .. ``samples`` - 1 at random into parts of nearly equal size.

    Args:
        samples: Number of samples in the step.
        count: Parts; with fewer samples, that many.
        seed: The same gives the same parts.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    order = np.random.default_rng(seed).permutation(samples)
    parts = np.array_split(order, min(count, samples)) if samples else []
    return [tuple(part.tolist()) for part in parts]


def micro_batches(
    samples: Sequence[Sample], budget_tokens: int, *, processes: int = 1
) -> list[Batch]:
    """Return forward passes in which each sample is once, samples of like length together.

    Each takes the next longest samples until its budget or the limit of padding is reached. Samples
    without a response are left out.

    Args:
        samples: Those of a minibatch.
        budget_tokens: Limit of a pass in tokens, padding included; a longer sample has a pass of
            its own.
        processes: Number of processes that :func:`share` them: passes are halved until there are
            equally many for each, if there are samples enough.

    Raises:
        ValueError: a sample has no prompt, so nothing predicts its first token.
    """
    trained = [place for place, sample in enumerate(samples) if sample.response_ids]
    for place in trained:
        if not samples[place].prompt_ids:
            raise ValueError(f"sample {place} has no prompt")
    lengths = {place: samples[place].tokens for place in trained}
    parts = _parts(lengths, budget_tokens)
    while len(parts) % processes:
        cells = [lengths[part[0]] * len(part) * (len(part) > 1) for part in parts]
        if not any(cells):
            break
        largest = parts.pop(cells.index(max(cells)))
        half = len(largest) // 2
        parts += [largest[:half], largest[half:]]
    return [_batch(samples, part) for part in parts]


def share(batches: Sequence[Batch], rank: int, world: int) -> list[Batch]:
    """Return the passes of one process, as many as every other process has.

    At each turn the processes hold passes of about the same size, so that none waits long. Where
    there are too few, a process gets a pass without samples: one token that no loss looks at, so
    that its gradients are zero but there, as sharded models need.

    Args:
        batches: Those of the minibatch, the same on all processes.
        rank: Number of this process, from 0.
        world: Number of processes.
    """
    order = sorted(range(len(batches)), key=lambda place: (-batches[place].ids.size, place))
    mine = [batches[place] for place in order[rank::world]]
    missing = -(-len(batches) // world) - len(mine)
    return mine + [_empty()] * missing


def token_weights(batch: Batch, mean: Literal["tokens", "samples"]) -> NDArray[np.float32]:
    """Return the weight of each response token in the loss, [tokens].

    Args:
        batch: The forward pass.
        mean: ``tokens``: all alike; ``samples``: those of a sample add up to 1.
    """
    if mean == "tokens":
        return np.ones(len(batch.targets), dtype=np.float32)
    lengths = np.bincount(batch.sample_index)
    return (1.0 / lengths[batch.sample_index]).astype(np.float32)


def denominator(samples: Iterable[Sample], mean: Literal["tokens", "samples"]) -> int:
    """Return the sum of all :func:`token_weights` of these samples."""
    lengths = [len(sample.response_ids) for sample in samples]
    return sum(lengths) if mean == "tokens" else sum(length > 0 for length in lengths)


def padding_share(batches: Iterable[Batch]) -> float:
    """Return padding tokens per token that is none, over several passes; 0.0 without any."""
    cells = tokens = 0
    for batch in batches:
        cells += batch.ids.size
        tokens += batch.tokens
    return (cells - tokens) / tokens if tokens else 0.0


def _parts(lengths: Mapping[int, int], budget: int) -> list[list[int]]:
    """Return the places in parts within budget and padding, longest first, each filled up."""
    parts: list[list[int]] = []
    tokens = 0
    for place in sorted(lengths, key=lambda place: (-lengths[place], place)):
        tokens += lengths[place]
        if parts:
            cells = lengths[parts[-1][0]] * (len(parts[-1]) + 1)
            if cells <= budget and (cells - tokens) * _TOKENS_PER_PADDING < tokens:
                parts[-1].append(place)
                continue
        parts.append([place])
        tokens = lengths[place]
    return parts


def _batch(samples: Sequence[Sample], places: Sequence[int]) -> Batch:
    width = max(samples[place].tokens for place in places)
    ids = np.zeros((len(places), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    rows, columns = [], []
    for row, place in enumerate(places):
        sample = samples[place]
        ids[row, : sample.tokens] = sample.prompt_ids + sample.response_ids
        mask[row, : sample.tokens] = 1
        rows.append(np.full(len(sample.response_ids), row, dtype=np.int64))
        columns.append(np.arange(len(sample.prompt_ids), sample.tokens, dtype=np.int64) - 1)
    at_row, at_column = np.concatenate(rows), np.concatenate(columns)
    sample_index = np.array(places, dtype=np.int64)[at_row]
    targets = ids[at_row, at_column + 1]
    return Batch(tuple(places), ids, mask, at_row, at_column, targets, sample_index)


def _empty() -> Batch:
    none = np.zeros(0, dtype=np.int64)
    one = np.ones((1, 1), dtype=np.int64)
    return Batch((), np.zeros_like(one), one, none, none, none, none)
