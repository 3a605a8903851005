"""How often each client may ask: a bucket of tokens for each, and how much each has open."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST = 10_000
"""Clients that are remembered; of more, the one that asked longest ago is forgotten."""


class Rates:
    """Buckets that fill with `rate` a second up to `burst`, one for each client.

    >>> now = [0.0]
    >>> rates = Rates(rate=2, burst=2, clock=lambda: now[0])
    >>> [rates.wait("a") for _ in range(3)]
    [0.0, 0.0, 0.5]
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, client: str) -> float:
        """Take one; gives 0 where there was one, else the seconds until there is."""
        with self._lock:
            now = self._clock()
            level, at = self._buckets.pop(client, (float(self._burst), now))
            level = min(level + (now - at) * self._rate, float(self._burst))
            is_there = level >= 1
            self._buckets[client] = (level - 1 if is_there else level, now)
            if len(self._buckets) > MOST:
                self._buckets.popitem(last=False)
        return 0.0 if is_there else (1 - level) / self._rate


class Open:
    """How many of something each client has open, and no more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: Counter[str] = Counter()

    def is_full(self, client: str) -> bool:
        """Whether it may open no more."""
        return self._counts[client] >= self._most

    @contextmanager
    def one(self, client: str) -> Iterator[None]:
        """One of them is open inside."""
        self._counts[client] += 1
        try:
            yield
        finally:
            self._counts[client] -= 1
            if not self._counts[client]:
                del self._counts[client]


def whole_seconds(seconds: float) -> int:
    """As `Retry-After` has it."""
    return max(1, math.ceil(seconds))
