"""How many episodes would tell two agents apart.

A calculation before the next experiment, not a test of this one: it takes the difference that was
found for the true one. Where that is hardly more than noise, so is the number of episodes.
"""

import math
from statistics import NormalDist

__all__ = ["LEVEL", "POWER", "episodes_needed"]

LEVEL = 0.05  # two-sided
POWER = 0.8
_NOTHING = 1e-12  # what is left of equal means after rounding


def episodes_needed(difference: float, standard_error: float, episodes: int) -> int | None:
    """Return the episodes at which a two-sided test at 5 % finds a difference 4 times in 5.

    That of the paired t test: the normal approximation with the small-sample term of Guenther
    (1981). Where episodes are of several sources, their shares are taken to stay as they are.

    Args:
        difference: The mean paired difference, taken for the true one.
        standard_error: Of that mean.
        episodes: Number of episodes that both rest on.

    Returns:
        At least 2; ``None`` if there is no difference, which no number of episodes can show.
    """
    if abs(difference) < _NOTHING:
        return None
    normal = NormalDist()
    significant, powerful = normal.inv_cdf(1 - LEVEL / 2), normal.inv_cdf(POWER)
    # Of one episode's weighted difference: the standard error shrinks with the root of the number.
    deviation = standard_error * math.sqrt(episodes)
    needed = ((significant + powerful) * deviation / difference) ** 2 + significant**2 / 2
    return max(2, math.ceil(needed))
