"""The writes of tasks that are on their way to the server, which the checkpoint behind them waits for.

They go by several connections at once. What a task wrote, and the journal of its node, must be there when its
checkpoint is: a crash in between would leave a node that is done and that nobody has executed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

_SLICE = 0.5  # seconds; a wait in a lock hears no signal


class UnderWay:
    """How many writes of each thread are under way in this process, and which checkpoints are being followed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writes: Counter[Hashable] = Counter()
        self._followed: Counter[Hashable] = Counter()

    @contextmanager
    def write(self, thread: str, checkpoint: Hashable) -> Iterator[None]:
        """A task that ran on a checkpoint writes. One that comes when the next checkpoint is on its way waits for that:
        it could take along what the other one needs."""
        with self._changed:
            while self._followed[checkpoint] > 0:
                self._changed.wait(_SLICE)
            self._writes[thread] += 1
        try:
            yield
        finally:
            self._less(self._writes, thread)

    @contextmanager
    def next_checkpoint(self, thread: str, parent: Hashable) -> Iterator[None]:
        """The checkpoint behind `parent` is written, when no write of the thread is under way any more."""
        with self._changed:
            while self._writes[thread] > 0:
                self._changed.wait(_SLICE)
            self._followed[parent] += 1
        try:
            yield
        finally:
            self._less(self._followed, parent)

    def _less(self, counted: Counter[Hashable], name: Hashable) -> None:
        with self._changed:
            counted[name] -= 1
            if not counted[name]:
                del counted[name]
                self._changed.notify_all()
