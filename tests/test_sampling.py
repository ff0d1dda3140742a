"""Random choice of tokens: right shares, and draws that nothing but their own key decides."""

import pytest
import torch

from memgym.agents.chat.decoding import Draft
from memgym.agents.chat.local_text import Prompt
from memgym.agents.chat.sampling import pick, race, waiting_times
from memgym.agents.chat.types import ChatRequest


def _keys(seeds: int, positions: int) -> torch.Tensor:
    return torch.tensor([(seed, at) for seed in range(seeds) for at in range(positions)])


def test_waiting_times_are_exponential_and_independent() -> None:
    times = waiting_times(_keys(40, 40), 200).double()
    assert times.dtype == torch.float64
    assert bool((times > 0).all())
    assert bool(times.isfinite().all())
    assert float(times.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(times.var()) == pytest.approx(1.0, abs=0.03)
    for limit in (0.001, 0.01, 0.1, 0.5, 1.0, 3.0):
        share = float((times < limit).double().mean())
        wanted = 1 - torch.tensor(-limit).exp().item()
        assert share == pytest.approx(wanted, abs=5 * (wanted / times.numel()) ** 0.5)
    grid = times.view(40, 40, 200) - 1
    neighbours = (
        (grid[1:] * grid[:-1]).mean(),  # seeds
        (grid[:, 1:] * grid[:, :-1]).mean(),  # positions
        (grid[:, :, 1:] * grid[:, :, :-1]).mean(),  # columns
    )
    assert all(abs(float(product)) < 0.01 for product in neighbours)


def test_waiting_times_depend_on_their_own_key_alone() -> None:
    keys = torch.tensor([(-(2**63), 0), (2**63 - 1, 5), (0, 0), (0, 1), (1, 0)])
    times = waiting_times(keys, 9)
    assert len({tuple(row) for row in times.tolist()}) == 5
    for row in range(5):
        assert torch.equal(waiting_times(keys[row : row + 1], 9)[0], times[row])
        assert torch.equal(waiting_times(keys[row : row + 1], 4)[0], times[row, :4])


@pytest.mark.parametrize("columns", [1, 2, 7, 64, 1_000])
def test_columns_are_drawn_with_their_shares(columns: int) -> None:
    generator = torch.Generator().manual_seed(columns)
    shares = torch.randn(columns, generator=generator).mul(2).softmax(-1)
    shares[::3] *= columns < 3  # some are never drawn
    keys = _keys(100, 200)
    drawn = race(shares.expand(len(keys), -1), keys).bincount(minlength=columns).double()
    wanted = (shares / shares.sum() * len(keys)).double()
    assert bool((drawn[wanted == 0] == 0).all())
    likely = wanted > 5
    wrong = ((drawn - wanted) ** 2 / wanted)[likely].sum()
    free = int(likely.sum())
    assert float(wrong) < free + 5 * (2 * free) ** 0.5


def test_an_unlikely_column_is_drawn_if_nothing_else_may_be() -> None:
    shares = torch.zeros(50, 300)
    shares[:, 137] = 1e-38
    assert race(shares, _keys(50, 1)).tolist() == [137] * 50


def _draft(number: int, **given: float) -> Draft:
    request = ChatRequest((), **{"temperature": 1.0, **given})  # type: ignore[arg-type]
    seed = number if request.temperature else None
    return Draft(number, request, Prompt((1, 2), 9), {}, seed)


def test_every_row_keeps_its_own_settings() -> None:
    logits = torch.randn(1, 500, generator=torch.Generator().manual_seed(0)).mul(3).expand(6, -1)
    given = [{}, {"temperature": 0.0}, {"temperature": 0.3}, {"top_p": 0.4}, {}, {}]
    drafts = [_draft(number, **one) for number, one in enumerate(given)]
    allowed = [None, None, None, None, [3, 4], [499]]
    together = pick(logits, drafts, allowed)
    alone = [
        pick(logits[:1], [draft], [few])[0] for draft, few in zip(drafts, allowed, strict=True)
    ]
    assert [one and one[0] for one in together] == [one and one[0] for one in alone]
    logprobs = logits[0].log_softmax(-1)
    for one in together:
        assert one is not None
        assert one[1] == pytest.approx(float(logprobs[one[0]]), abs=1e-5)
    tokens = [one[0] for one in together if one]
    assert tokens[1] == int(logprobs.argmax())
    assert tokens[4] in (3, 4)
    assert tokens[5] == 499


def test_logits_that_are_no_numbers_fail_their_row_only() -> None:
    logits = torch.zeros(5, 20)
    logits[0, 3] = torch.nan
    logits[1, 3] = torch.inf
    logits[2] = -torch.inf
    logits[3, 3:] = -torch.inf  # as for a padded vocabulary
    picked = pick(logits, [_draft(number) for number in range(5)], [None] * 5)
    assert picked[:3] == [None, None, None]
    assert picked[3] is not None
    assert picked[3][0] < 3
    assert picked[3][1] == pytest.approx(-1.0986, abs=1e-3)
    assert picked[4] is not None
