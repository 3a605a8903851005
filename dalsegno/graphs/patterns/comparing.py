"""Which of several is better, by paired scores, and how sure that is: intervals, never a percentage alone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from typing_extensions import TypedDict  # pydantic validates these on Python 3.11 too

RESAMPLES = 2000
"""How often the cases are drawn again for the interval of a mean difference."""


class Duel(TypedDict):
    """The best against another: cases won, lost and tied, and how much more it scored on average.

    `share` is the interval of its part of the cases that were decided, `difference` the mean one of the scores and
    `interval` that one's.
    """

    other: str
    wins: int
    losses: int
    ties: int
    share: list[float]
    difference: float
    interval: list[float]


class Comparison(TypedDict):
    """What comes of all cases: mean scores, the best, it against each other one, and who is recommended, and why."""

    means: dict[str, float]
    best: str
    duels: list[Duel]
    recommended: str | None
    why: str


def compared(
    scores: Mapping[str, Sequence[float]], *, level: float = 0.95, margin: float = 0.0, seed: int = 0
) -> Comparison:
    """Compare by the scores that each got in the same cases.

    The best is recommended where, against every other, both intervals say that it is better: of its share in the
    decided cases all lies above one half, and of the mean difference above 0.

    >>> compared({"a": [0.1] * 9, "b": [0.5] * 9})["recommended"]
    'b'
    >>> compared({"a": [0.1, 0.2], "b": [0.5, 0.6]})["why"].partition(": ")[2]
    'it won 2 of 2 that were decided (16% to 100%).'
    """
    means = {name: math.fsum(given) / len(given) for name, given in scores.items()}
    best = max(means, key=lambda name: means[name])
    surer = 1 - (1 - level) / (len(scores) - 1)
    others = [name for name in scores if name != best]
    duels = [_duel(name, scores[best], scores[name], surer, margin, seed) for name in others]
    unsure = [duel for duel in duels if duel["share"][0] <= 0.5 or duel["interval"][0] <= 0]
    shown = [_in_words(duel) for duel in unsure or duels]
    if unsure:
        why = f"`{best}` scored best, but the cases do not show that it is better than {'; nor than '.join(shown)}."
    else:
        why = f"`{best}` is better than {'; and than '.join(shown)}."
    return {
        "means": means,
        "best": best,
        "duels": duels,
        "recommended": None if unsure else best,
        "why": why,
    }


def exact_interval(wins: int, cases: int, level: float) -> list[float]:
    """The interval of a share, by Clopper and Pearson (1934): never surer than it says.

    >>> [round(end, 3) for end in exact_interval(6, 6, 0.95)]
    [0.541, 1.0]
    """
    tail = (1 - level) / 2
    whole = math.lgamma(
        cases + 1
    )  # logarithms: of a thousand cases there are more combinations than a float can hold
    ways = [whole - math.lgamma(n + 1) - math.lgamma(cases - n + 1) for n in range(cases + 1)]

    def at_least(won: int, share: float) -> float:
        """How likely so many wins or more are, if the share is that."""
        win, lose = math.log(share), math.log1p(-share)
        return math.fsum(math.exp(ways[n] + n * win + (cases - n) * lose) for n in range(won, cases + 1))

    lower = 0.0 if wins == 0 else _where(lambda share: at_least(wins, share) < tail)
    upper = 1.0 if wins == cases else _where(lambda share: 1 - at_least(wins + 1, share) > tail)
    return [lower, upper]


def mean_interval(differences: Sequence[float], level: float, seed: int) -> list[float]:
    """The percentile interval of a mean, by the bootstrap (Efron, 1979); the same for the same seed.

    >>> mean_interval([0.25, 0.25, 0.25], 0.95, 0)
    [0.25, 0.25]
    """
    draw = random.Random(seed)
    count = len(differences)
    means = sorted(math.fsum(draw.choices(differences, k=count)) / count for _ in range(RESAMPLES))
    aside = int((1 - level) / 2 * RESAMPLES)
    return [means[aside], means[-1 - aside]]


def _duel(
    other: str, own: Sequence[float], others: Sequence[float], level: float, margin: float, seed: int
) -> Duel:
    differences = [mine - theirs for mine, theirs in zip(own, others, strict=True)]
    wins = sum(difference > margin for difference in differences)
    losses = sum(difference < -margin for difference in differences)
    return {
        "other": other,
        "wins": wins,
        "losses": losses,
        "ties": len(differences) - wins - losses,
        "share": exact_interval(wins, wins + losses, level),
        "difference": math.fsum(differences) / len(differences),
        "interval": mean_interval(differences, level, seed),
    }


def _in_words(duel: Duel) -> str:
    decided = duel["wins"] + duel["losses"]
    low, high = duel["share"]
    return (
        f"`{duel['other']}`: it won {duel['wins']} of {decided} that were decided ({low:.0%} to {high:.0%})"
    )


def _where(below: Callable[[float], bool]) -> float:
    """The share up to which it holds, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2
