"""The writes of tasks that are on their way to the server, which the checkpoint behind them waits for.

They go by several connections at once. What a task wrote, and the journal of its node, must be there when its
checkpoint is: a crash in between would leave a node that is done and that nobody has executed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_SLICE = 0.5  # seconds; a wait in a lock hears no signal


class UnderWay:
    """How many writes of each thread are under way in this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count: Counter[str] = Counter()

    @contextmanager
    def one(self, thread: str) -> Iterator[None]:
        """A write is under way for as long as this lasts."""
        with self._changed:
            self._count[thread] += 1
        try:
            yield
        finally:
            with self._changed:
                self._count[thread] -= 1
                if not self._count[thread]:
                    del self._count[thread]
                    self._changed.notify_all()

    def wait(self, thread: str) -> None:
        """Wait for those that are under way now, and for what has joined them."""
        with self._changed:
            while self._count[thread] > 0:
                self._changed.wait(_SLICE)
            del self._count[thread]
