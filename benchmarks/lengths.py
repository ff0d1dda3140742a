"""Scores against the length of the text: of entries that differ in nothing else."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from memgym.benchmarks.pooled import PooledSuite
from memgym.benchmarks.statistics import Estimate, Stratum, estimate_mean

__all__ = ["LengthCurves", "length_curves"]

# "accurate retrieval 8k", "test time learning x16", "factconsolidation_sh_262k"
_LENGTH = re.compile(r"(?<![^ _-])(x?\d+[kKM]?)(?![A-Za-z\d])")


@dataclass(frozen=True, slots=True)
class LengthCurves:
    """The score of every method at every length.

    Attributes:
        labels: What the entries call the lengths.
        tokens: Mean length of the texts, ascending.
        scores: Per method, one estimate per length: the plain mean over abilities of the plain
            mean over the kinds of text that come in all of these lengths.
        episodes: Number of episodes at each length.
    """

    labels: tuple[str, ...]
    tokens: tuple[float, ...]
    scores: dict[str, tuple[Estimate, ...]]
    episodes: tuple[int, ...]


def length_curves(pooled: PooledSuite) -> LengthCurves | None:
    """Return the curves of a suite, ``None`` if no entries differ only in a length.

    Those are entries of one ability whose names are the same but for one length: 8k and 32k, x1 and
    x4. Only lengths that all of them have are compared, as else the kind of text would change along
    the curve.
    """
    families: dict[tuple[str, str], dict[str, Stratum]] = {}
    for ability, strata in pooled.strata.items():
        for stratum in strata:
            label = _LENGTH.search(stratum.name)
            if label:
                stem = stratum.name[: label.start()] + stratum.name[label.end() :]
                families.setdefault((ability, stem), {})[label[1]] = stratum
    several = {place: found for place, found in families.items() if len(found) > 1}
    if not several:
        return None
    shared = set.intersection(*(set(found) for found in several.values()))
    points = sorted(
        (fmean(pooled.tokens[found[label].name] for found in several.values()), label)
        for label in shared
    )
    if len(points) < 2:
        return None
    members = [pooled.runs_of(method.name) for method in pooled.methods]
    estimates = [estimate_mean(_by_ability(several, label), members) for _, label in points]
    return LengthCurves(
        labels=tuple(label for _, label in points),
        tokens=tuple(tokens for tokens, _ in points),
        scores={
            method.name: tuple(found[index] for found in estimates)
            for index, method in enumerate(pooled.methods)
        },
        episodes=tuple(found[0].episodes for found in estimates),
    )


def _by_ability(
    families: dict[tuple[str, str], dict[str, Stratum]], label: str
) -> list[Sequence[Stratum]]:
    """Return the strata of one length, in one group per ability."""
    groups: dict[str, list[Stratum]] = {}
    for (ability, _), found in families.items():
        groups.setdefault(ability, []).append(found[label])
    return list(groups.values())
