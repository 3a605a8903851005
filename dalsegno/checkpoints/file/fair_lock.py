"""A lock that threads get in the order in which they come for it, and that nobody waits for in vain.

Who has a lock of Python's, and comes for it again at once, gets it before those who wait; and whoever waits has to get
it, though what it wanted was done by another thread meanwhile. Among many threads that commit together, more than half
of the time of a commit went into that.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator

_LOOKS_AGAIN = 1.0
"""Seconds after which whoever waits looks by itself: Ctrl-C may have kept the one in front from leaving the line."""


class Ticket:
    """A thread's place in the line. Once what it is for is `done`, there is nothing to wait for."""

    __slots__ = ("_woken", "done", "here")

    def __init__(self) -> None:
        self.done = False
        self.here = threading.Lock()
        """The thread has it as long as it is in line."""
        self._woken: threading.Lock | None = None

    @property
    def waits(self) -> bool:
        """Whether its thread has to be woken."""
        return self._woken is not None

    def wait(self, seconds: float) -> bool:
        """Wait to be woken, that long at most; whether it was. The first time it comes back at once: who left before
        it had nothing to wake, so one has to look again."""
        if self._woken is None:
            woken = threading.Lock()
            woken.acquire()
            self._woken = woken
            return True
        return self._woken.acquire(timeout=seconds)

    def wake(self) -> None:
        """Let its thread look again."""
        if self._woken is not None:
            with contextlib.suppress(RuntimeError):  # it was woken already
                self._woken.release()


class FairLock:
    """The lock. A thread that has it may take it again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._line: deque[Ticket] = deque()
        self._threads: set[int] = set()  # those in line

    @contextlib.contextmanager
    def turn(self, ticket: Ticket | None = None) -> Iterator[None]:
        """Have the lock inside, behind those who came before; without it, where `ticket` is done by then.

        Who has it already, or waits for it and was interrupted, by the handler of a signal or by what the garbage
        collector calls, does not stand in line again: it would wait for itself. Where Ctrl-C comes as the `with`
        statement begins or ends, the lock may be given back only when the traceback is forgotten.
        """
        thread = threading.get_ident()
        if thread in self._threads or self._lock._is_owned():  # type: ignore[attr-defined]  # as `threading.Condition`
            with self._lock:
                yield
            return
        mine = Ticket() if ticket is None else ticket
        with mine.here:
            try:
                self._threads.add(thread)
                self._line.append(mine)
                self._wait(mine)
                with contextlib.nullcontext() if mine.done else self._lock:
                    yield
            finally:
                try:
                    self._remove(mine)
                    if (first := self._first()) is not None:
                        first.wake()
                finally:
                    self._threads.discard(thread)

    def dismiss(self, ticket: Ticket) -> None:
        """What it is for is done: its thread goes on, where it waits."""
        ticket.done = True
        if ticket.waits:
            self._remove(ticket)
            ticket.wake()

    def acquire(self, *, timeout: float) -> bool:
        """Take the lock before all who wait for it, as soon as it is free; whether that came in `timeout` seconds."""
        return self._lock.acquire(timeout=timeout) if timeout > 0 else self._lock.acquire(blocking=False)

    def release(self) -> None:
        """Give back what `acquire` took."""
        self._lock.release()

    def _wait(self, mine: Ticket) -> None:
        while not mine.done and (first := self._first()) is not mine:
            if not mine.wait(_LOOKS_AGAIN) and first is not None and not first.here.locked():
                self._remove(first)

    def _first(self) -> Ticket | None:
        try:
            return self._line[0]
        except IndexError:
            return None

    def _remove(self, ticket: Ticket) -> None:
        with contextlib.suppress(ValueError):  # done, and removed by who did it
            self._line.remove(ticket)
