"""The buffers of keys and values: every text stays whole while others come, go and grow."""

from random import Random
from types import SimpleNamespace
from typing import Any

import torch

from memgym.agents.chat.slots import Slots

HEADS, SIZE, LAYERS = 2, 3, 2


def _read(lengths: list[int], marks: list[float]) -> list[Any]:
    """Return layers as after reading texts; column n of a text holds its mark plus n."""
    width = max(lengths)
    keys = torch.full((len(lengths), HEADS, width, SIZE), -1.0)
    for row, (length, mark) in enumerate(zip(lengths, marks, strict=True)):
        columns = torch.arange(length, dtype=torch.float32) + mark
        keys[row, :, width - length :] = columns[:, None]
    return [SimpleNamespace(keys=keys, values=-keys) for _ in range(LAYERS)]


def _write(slots: Slots, texts: list[list[float]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Let a model add a column to each text, and return what its attention sees per layer."""
    cache = slots.open(max(map(len, texts)))
    assert cache.get_seq_length() == max(map(len, texts))
    for text in texts:
        text.append(text[0] + len(text))
    new = torch.tensor([text[-1] for text in texts])[:, None, None, None].expand(-1, HEADS, 1, SIZE)
    return [cache.update(new, -new, layer) for layer in range(LAYERS)]


def _check(seen: list[tuple[torch.Tensor, torch.Tensor]], texts: list[list[float]]) -> None:
    for keys, values in seen:
        assert keys.shape == (len(texts), HEADS, max(map(len, texts)), SIZE)
        assert bool(keys.isfinite().all())
        assert torch.equal(keys, -values)
        for row, text in enumerate(texts):
            held = torch.tensor(text)[None, :, None].expand(HEADS, -1, SIZE)
            assert torch.equal(keys[row, :, -len(text) :], held)


def test_texts_stay_whole_while_others_come_and_go() -> None:
    random = Random(0)
    slots, marks = Slots(), 0
    texts: list[list[float]] = []
    for _ in range(400):
        if not texts or random.random() < 0.15:
            count = random.randint(1, 4)
            lengths = [random.randint(1, 40) for _ in range(count)]
            starts = [1_000.0 * (marks + number) for number in range(count)]
            marks += count
            picked = [random.randrange(count) for _ in range(random.randint(1, 5))]
            slots.add(_read(lengths, starts), picked)
            texts += [[starts[n] + at for at in range(lengths[n])] for n in picked]
        _check(_write(slots, texts), texts)
        kept = [row for row in range(len(texts)) if random.random() > 0.1]
        texts = [texts[row] for row in slots.keep(kept)]
        assert slots.rows == len(texts)


def test_gaps_are_filled_from_the_end() -> None:
    slots = Slots()
    slots.add(_read([2] * 6, [0.0] * 6), range(6))
    assert slots.keep([1, 2, 5]) == [5, 1, 2]
    assert slots.keep([0, 1, 2]) == [0, 1, 2]
    assert slots.keep([]) == []
    assert slots.rows == 0


def test_what_is_no_number_never_comes_back_into_sight() -> None:
    slots, nan = Slots(), float("nan")
    slots.add(_read([3, 3], [10.0, 20.0]), [0, 1])
    slots.add(_read([10], [nan]), [0])
    slots.keep([0, 1])
    texts = [[10.0, 11.0, 12.0], [20.0, 21.0, 22.0]]
    _check(_write(slots, texts), texts)
    slots.add(_read([2], [30.0]), [0])  # in the row of the broken text, ...
    texts.append([30.0, 31.0])
    _check(_write(slots, texts), texts)
    slots.add(_read([9], [40.0]), [0])  # ... whose columns a longer text brings back
    texts.append([40.0 + at for at in range(9)])
    _check(_write(slots, texts), texts)
