"""Group commit: what several threads want written at once goes into one transaction.

Whoever comes pushes its job and stands in line for the lock; the first one in begins a transaction, for which it may
have to wait for another process, writes everything that was pushed meanwhile, and lets the others go on, wherever
they stand in the line. A job that may linger does not take the lock at all: it waits for company, at most `linger`
seconds, and is then written by a thread that ends when there is nothing to do.
Where `linger` is 0 every job has a transaction of its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from dalsegno.checkpoints.enlisting import Outcome
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.fair_lock import FairLock, Ticket
from dalsegno.errors import Fenced

_IDLE_ROUNDS = 20  # of `linger` seconds, before the thread ends

Company = dict[Any, Any]
"""What the jobs of one transaction tell each other."""

AT_THE_END = "at the end"
"""Where they tell what is to be done with the connection once all of them are written: a list of functions."""

Arrived = Callable[[], Sequence["Job"]]
"""Gives the jobs of a transaction that has begun, in the order in which they are written."""


class Job(Ticket, ABC):
    """Something to be written. `place` is where, and by whom: what is lost there is the next one's to tell, and
    nobody's who has the thread since. `task` is whose journal rows go with it: a task's, or those of all tasks of the
    checkpoint with that id; `outcome` what it says of that task."""

    __slots__ = ("due", "error", "on_disk", "outcome", "place", "task")
    order = 0
    """Jobs of a lower number are written first, in one transaction."""

    def __init__(self, place: Hashable, task: str | None = None, outcome: Outcome = "done") -> None:
        super().__init__()
        self.place = place
        self.task = task
        self.outcome: Outcome = outcome
        self.due = 0.0
        self.on_disk = False
        self.error: Exception | None = None

    @abstractmethod
    def write(self, connection: sqlite3.Connection, company: Company) -> None:
        """Execute the statements; again where the transaction failed because of another job."""

    def is_of(self, thread: str) -> bool:
        """Whether who reads that thread must see it."""
        return True

    def committed(self) -> None:
        """It is on disk."""
        return

    def failed(self) -> None:
        """The transaction was rolled back."""
        return


def write(jobs: Iterable[Job], connection: sqlite3.Connection) -> None:
    """Write jobs, in the transaction that a connection has open."""
    company: Company = {}
    for job in jobs:
        job.write(connection, company)
    for gathered in company.get(AT_THE_END, ()):
        gathered(connection)


class GroupCommit:
    """The jobs of one database. `write` begins a transaction and has it make what has arrived then, all or none."""

    def __init__(self, lock: FairLock, write: Callable[[Arrived], None], linger: float) -> None:
        self.linger = linger
        self._lock = lock
        self._write_all = weakref.WeakMethod(write)  # whoever has the database keeps it open, nobody else
        self._jobs: deque[Job] = deque()
        self._parked: dict[Hashable, Exception] = {}
        self._told: set[Hashable] = set()  # places whose last writer in person was told that it failed
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._jobs)

    def has(self, thread: str | None) -> bool:
        """Whether a job waits, of that thread where one is named."""
        return bool(self._jobs) and (thread is None or any(job.is_of(thread) for job in list(self._jobs)))

    def _write(self, arrived: Arrived) -> None:
        write = self._write_all()
        assert write is not None  # the caller has the database
        write(arrived)

    def commit(self, job: Job) -> None:
        """Write a job, and return when it is on disk.

        Raises what writing it raised, or what writing a lingering one of the same place has raised since.
        """
        self._raise_parked_of(job.place)
        if self.linger > 0:
            self._jobs.append(job)
        try:
            with self._lock.turn(job):
                if self.linger <= 0:
                    self._one_by_one([job])
                elif not job.done:
                    self.drain()
        except BaseException:  # Ctrl-C: nobody waits for it any more
            with contextlib.suppress(ValueError):
                self._jobs.remove(job)
            raise
        if job.error is not None:
            raise job.error

    def commit_soon(self, job: Job) -> None:
        """Write a job with the next one that comes, or `linger` seconds from now."""
        self._raise_parked_of(job.place)
        job.due = time.monotonic() + self.linger
        self._jobs.append(job)
        try:
            self._start()
        except RuntimeError:  # no more threads
            with self._lock.turn():
                self.drain()

    def write_within(self, job: Job) -> None:
        """Write a job, and no other one, in the transaction that this thread has open."""
        self._raise_parked_of(job.place)
        self._one_by_one([job])
        if job.error is not None:
            raise job.error

    def drain(self) -> None:
        """Write everything that waits; the lock is held. What a lingering job raises is raised later."""
        if not self._jobs:
            return
        jobs: list[Job] = []

        def arrived() -> Sequence[Job]:
            while self._jobs:
                jobs.append(self._jobs.popleft())
            jobs.sort(key=_order)
            return jobs

        try:
            self._write_together(jobs, arrived)
        except BaseException:  # Ctrl-C: it is this thread's, and no job is to blame
            self._wait_on(jobs)
            raise

    def _write_together(self, jobs: list[Job], arrived: Arrived) -> None:
        try:
            self._write(arrived)
        except Exception as error:
            alone = len(jobs) < 2  # or the transaction has not begun: no job is to blame
            for job in jobs or arrived():
                job.failed()
            if alone:
                self._settle(sorted(jobs, key=_lingers_not), error)
            else:
                self._one_by_one(jobs)
        else:
            self._settle(jobs, None)

    def _wait_on(self, jobs: Sequence[Job]) -> None:
        """What is not on disk waits on, before what has come meanwhile."""
        for job in reversed(jobs):
            if job.on_disk and not job.done:
                self._settle([job], None)
            elif not job.done:
                job.failed()
                self._jobs.appendleft(job)
        if any(job.due for job in list(self._jobs)):  # others bring more meanwhile
            self._start()

    def _raise_parked_of(self, place: Hashable) -> None:
        if self._parked and (parked := self._parked.pop(place, None)) is not None:
            raise parked

    def raise_parked(self) -> None:
        """Raise what writing a lingering job has raised, where nobody was told yet.

        LangGraph hands over a task's writes beside the checkpoint: where that one failed, its run has ended with it.
        """
        for place in [*self._parked]:
            if place not in self._told and (error := self._parked.pop(place, None)) is not None:
                raise error

    def _one_by_one(self, jobs: Sequence[Job]) -> None:
        """What is wrong with one is not the others' fault; but what comes after a lost write is not written."""
        lost: dict[Hashable, Exception] = {}
        for job in sorted(jobs, key=_lingers_not):
            error = lost.get(job.place)
            if error is None:
                try:
                    self._write(lambda job=job: [job])  # type: ignore[misc]
                except Exception as raised:
                    error = lost[job.place] = raised
                    job.failed()
            self._settle([job], error)

    def _settle(self, jobs: Sequence[Job], error: Exception | None) -> None:
        for job in jobs:
            job.error = error
            if error is None:
                self._told.discard(job.place)
                job.committed()
            elif job.due and not isinstance(error, Fenced):  # whoever lost its thread is told at each write
                self._parked[job.place] = error
            else:
                self._parked.pop(job.place, None)  # who waits for it is told now
                self._told.add(job.place)
            self._lock.dismiss(job)

    def _start(self) -> None:
        """Have a thread that writes what lingers."""
        with self._mutex:
            if self._thread is None:
                # It has the database as long as it runs, or what waits would be lost with it.
                database = self._write_all()
                thread = threading.Thread(
                    target=self._flush, args=(database,), name="dalsegno-linger", daemon=True
                )
                thread.start()
                self._thread = thread

    def _flush(self, database: object) -> None:
        idle = 0
        while True:
            due = min((job.due for job in list(self._jobs) if job.due), default=None)
            if due is None:
                idle += 1
                if idle > _IDLE_ROUNDS:
                    with self._mutex:
                        if not self._jobs:
                            self._thread = None
                            return
                time.sleep(self.linger)
                continue
            idle = 0
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            else:
                with self._lock.turn():
                    self.drain()


def _order(job: Job) -> int:
    return job.order


def _lingers_not(job: Job) -> bool:
    return not job.due
