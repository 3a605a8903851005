"""Threads that a call can be abandoned in.

Not `concurrent.futures`: its threads are joined when the interpreter ends, so that one call that never
returns would keep the process for ever, and its condition and queue cost twice the hand-over. These are
daemons, and one that was abandoned comes back for further work when its call returns after all.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from dalsegno.nodes.forking import in_forked_child

IDLE = 1.0
"""Seconds after which a thread without work ends."""

SLICE = 0.5
"""Seconds that are waited at a stretch. A signal that arrives just before a thread blocks in a lock is only seen when
the lock lets go (the interpreter looks for signals between instructions): this is the longest that Ctrl-C can take."""


SPIN = 50e-6
"""Seconds for which an answer that is expected at once is waited for awake."""

_give_way = getattr(os, "sched_yield", None)


class Done:
    """A `threading.Event` for one waiter: a lock, without the condition around it."""

    __slots__ = ("_lock", "_set")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._set = False

    def set(self) -> None:
        """Wake the waiter; once."""
        self._set = True
        self._lock.release()

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def spin(self) -> bool:
        """Wait for it awake for a moment, giving way to whoever can run; whether it is set.

        A processor that sleeps takes 50 µs to wake on many a machine. Where it has other work to do this costs it
        nothing, and the wait ends no later than without.
        """
        if _give_way is not None:
            end = monotonic() + SPIN
            while not self._set and monotonic() < end:
                _give_way()
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most `timeout` seconds; whether it is."""
        end = None if timeout is None else monotonic() + timeout
        while not self._set:
            left = SLICE if end is None else min(end - monotonic(), SLICE)
            if left <= 0:
                break
            if self._lock.acquire(timeout=left):
                self._lock.release()
        return self._set


class Job:
    """A call in a worker thread. What it gives after it was abandoned goes nowhere."""

    __slots__ = ("_call", "_context", "_open", "_then", "done", "error", "result")

    def __init__(self, call: Callable[[], Any], then: Callable[[], None] | None = None) -> None:
        self._call = call
        self._context = contextvars.copy_context()
        self._then = then
        # Whoever takes the one element settles the job: the worker answers it, or the waiter abandons it.
        self._open = [True]
        self.done = Done()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> bool:
        """Make the call, in the context it was given in; whether anybody is to be told."""
        try:
            self.result = self._context.run(self._call)
        except BaseException as raised:
            self.error = raised
        if self._settled():
            return True
        self.result = self.error = None
        return False

    def tell(self) -> None:
        """Wake who waits for the answer."""
        self.done.set()
        if self._then is not None:
            try:
                self._then()
            except RuntimeError:  # its event loop was closed: nobody waits any more
                return

    def abandon(self) -> bool:
        """Take no answer any more; False where it has answered."""
        return self._settled()

    def answer(self) -> Any:
        """What the call gave, or raised."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # no cycle of error, traceback and this frame
        return self.result

    def _settled(self) -> bool:
        try:
            return self._open.pop()  # atomic
        except IndexError:
            return False


class Worker:
    """A thread that waits a while for the next job, among the idle ones."""

    __slots__ = ("_idle", "_job", "_wake")

    def __init__(self, idle: list[Worker]) -> None:
        self._idle = idle
        self._job: Job | None = None
        self._wake = threading.Lock()
        self._wake.acquire()

    def take(self, job: Job) -> None:
        """Have it run; only for who took this worker off the idle ones."""
        self._job = job
        self._wake.release()

    def work(self) -> None:
        """Run one job after the other, until none comes for a while."""
        wake, idle = self._wake, self._idle
        while True:
            if not wake.acquire(timeout=IDLE):
                try:
                    idle.remove(self)
                except ValueError:
                    continue  # a job is on its way
                return
            job, self._job = self._job, None
            assert job is not None
            is_awaited = job.run()
            # Idle again before anybody is told: who is woken finds this one, not a new thread, for the next
            # job; and it waits already, and holds nothing up, when the other one has woken.
            idle.append(self)
            if is_awaited:
                job.tell()
            del job


class Workers:
    """Daemon threads; as many as are busy at once."""

    def __init__(self) -> None:
        self._forget()
        in_forked_child(self._forget)

    def _forget(self) -> None:
        self._idle: list[Worker] = []

    def start(self, job: Job) -> Job:
        """Have the job run."""
        try:
            worker = self._idle.pop()  # the last one used: atomic, and its caches are warm
        except IndexError:
            worker = Worker(self._idle)
            threading.Thread(target=worker.work, name="dalsegno-worker", daemon=True).start()
        worker.take(job)
        return job


WORKERS = Workers()
