"""Paired, interleaved measurement: what is compared runs in turns in one process, so that a ratio does not
depend on how busy the machine is."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """Medians of two things measured in turns. Times are seconds a call."""

    name: str
    ours: float
    theirs: float
    ratio: float
    rounds: int
    gate: float | None = None
    stretch: float | None = None
    per: str = ""

    def row(self) -> str:
        """A row of the table in the docs."""
        gates = f"≤ {self.gate:g}" if self.gate is not None else "—"
        if self.stretch is not None:
            gates += f" / {self.stretch:g}"
        met = "—" if self.gate is None else "yes" if self.ratio <= self.gate else "**no**"
        times = f"{self.ours * 1e6:,.0f} | {self.theirs * 1e6:,.0f}"
        return f"| {self.name} | {times} | {self.ratio:.2f} × | {gates} | {met} |"


HEADER = "| what | ours, µs | plain, µs | ratio | gate | met |\n|---|--:|--:|--:|--:|:-:|"


def paired(
    name: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    per: int = 1,
    rounds: int = 41,
    gate: float | None = None,
    stretch: float | None = None,
) -> Pair:
    """Measure both in turns, `rounds` times, and divide each time by `per`.

    The ratio is the median of the rounds' ratios.
    """
    ours(), theirs()
    a: list[float] = []
    b: list[float] = []
    for number in range(rounds):
        first, second = (ours, theirs) if number % 2 else (theirs, ours)
        times = {}
        for work in (first, second):
            gc.collect()
            began = time.perf_counter()
            work()
            times[work] = time.perf_counter() - began
        a.append(times[ours])
        b.append(times[theirs])
    ratio = statistics.median(x / y for x, y in zip(a, b, strict=True))
    return Pair(name, statistics.median(a) / per, statistics.median(b) / per, ratio, rounds, gate, stretch)
