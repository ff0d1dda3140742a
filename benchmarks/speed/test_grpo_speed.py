"""Our learner against TRL's GRPOTrainer: same model, prompts, lengths, updates and machine."""

from pathlib import Path
from random import Random

import pytest

pytest.importorskip("trl", reason="the comparison needs the extra trl")

from memgym.benchmarks.speed.grpo_side import time_ours
from memgym.benchmarks.speed.trl_side import VOCABULARY, make_random_model, time_trl

_PROMPTS, _PROMPT_TOKENS = 8, 200


# What TRL asks of transformers warns of versions to come; that is no matter of ours.
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("minibatches", [1, 4])
def test_samples_per_second_against_trl(tmp_path: Path, minibatches: int) -> None:
    model = make_random_model(tmp_path / "model")
    random = Random(0)
    prompts = [
        [random.randrange(VOCABULARY - 1) for _ in range(_PROMPT_TOKENS)] for _ in range(_PROMPTS)
    ]
    ours = time_ours(model, prompts, minibatches=minibatches)
    theirs = time_trl(model, prompts, tmp_path / "a", minibatches=minibatches)
    as_on_gpu = time_trl(model, prompts, tmp_path / "b", minibatches=minibatches, as_on_gpu=True)
    ratio = ours.samples_per_second / theirs.samples_per_second
    on_gpu = ours.samples_per_second / as_on_gpu.samples_per_second
    told = [
        f"{minibatches} updates a step: ours {ours}",
        f"TRL {theirs}: ours / TRL {ratio:.2f}",
        f"TRL, loss on responses only as on a GPU, {as_on_gpu}: ours / TRL {on_gpu:.2f}",
    ]
    print("\n" + "\n".join(told))  # noqa: T201
    assert ratio >= 2
    assert ours.padding < 0.1
