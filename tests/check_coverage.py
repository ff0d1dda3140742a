"""How often the intervals hold the true mean: prints the table of docs/statistics.md.

Takes minutes, so it is no test: ``python -m tests.check_coverage``. A quick form of it is in
``tests/test_statistics.py``.
"""

import sys

import numpy as np

from memgym.benchmarks.statistics import Stratum, mean_interval

_MEAN = 0.6
_QUESTIONS = 20
_REPETITIONS = 600


def coverage(episodes: int, deviation: float) -> tuple[float, float]:
    """Return the shares of intervals that hold the mean: of both levels, of episodes only.

    Args:
        episodes: Number of episodes.
        deviation: Standard deviation of their true scores.
    """
    rng = np.random.default_rng([episodes, int(1_000 * deviation)])
    shape = _MEAN * (1 - _MEAN) / deviation**2 - 1 if deviation else 0.0
    held = [0, 0]
    for trial in range(_REPETITIONS):
        ability = np.full(episodes, _MEAN)
        if deviation:
            ability = rng.beta(_MEAN * shape, (1 - _MEAN) * shape, episodes)
        scores = (rng.random((episodes, _QUESTIONS)) < ability[:, None]).astype(float)
        draws = Stratum(f"trial {trial}", [scores.tolist()]).draws
        assert draws is not None, "there are several questions"
        both = np.percentile(draws[0], (2.5, 97.5))
        alone = mean_interval(scores.mean(axis=1))
        held[0] += bool(both[0] <= _MEAN <= both[1])
        held[1] += bool(alone[0] <= _MEAN <= alone[1])
    return held[0] / _REPETITIONS, held[1] / _REPETITIONS


def main() -> None:
    """Print the rows."""
    for episodes in (4, 8, 12, 24):
        shares = [
            share for deviation in (0.0, 0.1, 0.25) for share in coverage(episodes, deviation)
        ]
        cells = " | ".join(f"{100 * share:.0f}" for share in shares)
        sys.stdout.write(f"| {episodes} | {cells} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
