"""Threads that a call can be abandoned in.

Not `concurrent.futures`: its threads are joined when the interpreter ends, so that one call that never
returns would keep the process for ever. These are daemons, and one that was abandoned comes back for
further work when its call returns after all.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

IDLE = 1.0
"""Seconds after which a thread without work ends."""


class Done:
    """A `threading.Event` for one waiter: half of what its condition and locks cost."""

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

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most `timeout` seconds; whether it is."""
        if not self._set and self._lock.acquire(timeout=-1 if timeout is None else timeout):
            self._lock.release()
        return self._set


class Job:
    """A call in a worker thread. What it gives after it was abandoned goes nowhere."""

    __slots__ = ("_abandoned", "_call", "_context", "_lock", "_then", "done", "error", "result")

    def __init__(self, call: Callable[[], Any], then: Callable[[Job], None] | None = None) -> None:
        self._call = call
        self._context = contextvars.copy_context()
        self._then = then
        self._lock = threading.Lock()
        self._abandoned = False
        self.done = Done()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Make the call, in the context it was given in."""
        result, error = None, None
        try:
            result = self._context.run(self._call)
        except BaseException as raised:
            error = raised
        with self._lock:
            if self._abandoned:
                return
            self.result, self.error = result, error
            self.done.set()
        if self._then is not None:
            self._then(self)

    def abandon(self) -> bool:
        """Take no answer any more; False where it has answered."""
        with self._lock:
            self._abandoned = not self.done.is_set()
            return self._abandoned

    def answer(self) -> Any:
        """What the call gave, or raised."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # no cycle of error, traceback and this frame
        return self.result


class Workers:
    """Daemon threads that wait a while for the next job; as many as are busy at once."""

    def __init__(self) -> None:
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._idle: list[SimpleQueue[Job]] = []

    def start(self, job: Job) -> Job:
        """Have the job run."""
        try:
            inbox = self._idle.pop()  # the last one used: atomic, and its caches are warm
        except IndexError:
            inbox = SimpleQueue()
            threading.Thread(target=self._work, args=(inbox,), name="dalsegno-worker", daemon=True).start()
        inbox.put(job)
        return job

    def _work(self, inbox: SimpleQueue[Job]) -> None:
        idle = self._idle
        while True:
            try:
                job = inbox.get(timeout=IDLE)
            except Empty:
                try:
                    idle.remove(inbox)
                except ValueError:
                    continue  # a job is on its way
                return
            job.run()
            del job
            idle.append(inbox)


WORKERS = Workers()
