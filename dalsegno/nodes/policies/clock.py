"""Time, as every policy sees it: the system's, or one that a test moves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import monotonic, sleep
from time import time as unix_time
from typing import Protocol, TypeVar

from dalsegno.nodes.cancelling import CancelledAgain, ended

T = TypeVar("T")


LONGEST = 1e9
"""Seconds that anything is waited for at most: 30 years. The system refuses to count to more than a few times that."""


class Signal(Protocol):
    """What is waited for: a `threading.Event`, or something like it."""

    def is_set(self) -> bool:
        """Whether it has come."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it at most `timeout` seconds; whether it has come."""
        ...


class Clock(Protocol):
    """What a policy needs of time. All values are seconds."""

    def now(self) -> float:
        """Seconds of a clock that is not set back: for durations."""
        ...

    def time(self) -> float:
        """Unix seconds: for what outlives the process."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait that long."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Wait that long in an event loop."""
        ...

    def wait(self, done: Signal, seconds: float | None, *, since: float | None = None) -> bool:
        """Wait until `done` is set, at most that long from now, or from the moment `since` of `now`; whether it is."""
        ...

    async def within(self, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        """The result of `work`, cancelled with `Elapsed` when it takes longer."""
        ...


class Elapsed(Exception):
    """`Clock.within`: the time is over."""


class SystemClock:
    """The system's clocks."""

    now = staticmethod(monotonic)
    time = staticmethod(unix_time)
    asleep = staticmethod(asyncio.sleep)

    def sleep(self, seconds: float) -> None:
        sleep(min(seconds, LONGEST))

    def wait(self, done: Signal, seconds: float | None, *, since: float | None = None) -> bool:
        if seconds is None:
            return done.wait()
        left = seconds if since is None else max(since + seconds - monotonic(), 0.0)
        return done.wait(min(left, LONGEST))

    async def within(self, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                with CancelledAgain(limit.when()):
                    return await work()
        except TimeoutError:
            if limit.expired():
                raise Elapsed from None
            raise  # the node's own

    def __repr__(self) -> str:
        return "SystemClock()"


class ManualClock:
    """A clock that stands still until it is moved: for tests of what happens in time.

    `sleep` moves it and returns at once, and notes how long it was asked for in `slept`. A timeout
    fires when someone, the node itself or another thread, moves the clock beyond it.

    >>> clock = ManualClock()
    >>> clock.sleep(2.5); clock.advance(1); clock.now(), clock.slept
    (3.5, [2.5])
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._moved = threading.Condition()
        self._watchers: set[Callable[[], None]] = set()
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock; back where `seconds` is negative."""
        with self._moved:
            self._now += seconds
            self._moved.notify_all()
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def wait(self, done: Signal, seconds: float | None, *, since: float | None = None) -> bool:
        if seconds is None:
            return done.wait()
        until = (self._now if since is None else since) + seconds
        with self._moved:
            while not done.is_set() and self._now < until:
                # A short real wait, because the end of the work does not move this clock.
                self._moved.wait(0.002)
        return done.is_set()

    async def within(self, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        until = self._now + seconds
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def look() -> None:
            if self._now >= until:
                loop.call_soon_threadsafe(over.set)

        with self._moved:
            self._watchers.add(look)
        task = asyncio.ensure_future(work())
        timer = asyncio.ensure_future(over.wait())
        try:
            look()
            await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            await ended(task)
            raise Elapsed
        finally:
            with self._moved:
                self._watchers.discard(look)
            timer.cancel()
            if not task.done():
                task.cancel()


SYSTEM: Clock = SystemClock()
"""The clock of every policy that is given no other."""
