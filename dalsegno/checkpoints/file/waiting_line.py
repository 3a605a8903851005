"""The line of the processes that want to write to one file.

SQLite lets one of them write, and the others try again and again, after pauses that grow: much of the time nobody
writes then, and who came last may be next. Here they wait for a lock of the system's, which hands it on at once. It
only keeps order. Whether somebody may write is still SQLite's to say, so what goes wrong here costs time and nothing
else: where there are no such locks, nobody waits, and who meets nobody does not stand in line at all.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from queue import SimpleQueue

from dalsegno.checkpoints.file.driver import sqlite3

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MET = 0.001
"""Seconds that a transaction takes to begin where another process writes: SQLite's first pause."""

_MOMENT = 0.1
"""Seconds of waiting in line that do not count."""

_STAYS = 100
"""Transactions for which to stand in line after having met somebody."""


class WaitingLine:
    """One process's place in the line; of its threads one at a time uses it.

    The lock is on SQLite's log, on which SQLite itself has none; it is there as long as anybody has the database open.
    A process that ends, however it does, leaves the line.
    """

    def __init__(self, log: str | None) -> None:
        self._file: int | None = None
        self._waits: SimpleQueue[_Wait | None] | None = None
        self._stays = 0
        self._stands = False
        if fcntl is not None and log is not None:
            with contextlib.suppress(OSError):  # in memory: there is no log
                self._file = os.open(log, os.O_RDWR)

    def begin(self, connection: sqlite3.Connection, timeout: float) -> None:
        """Begin a transaction that writes, when it is this process's turn; `leave` after it.

        In all it waits at most `timeout` seconds, a moment left out. Raises what SQLite does.
        """
        began = time.monotonic()
        waited = self.enter(timeout)
        if waited < _MOMENT:
            connection.execute("BEGIN IMMEDIATE")
        else:
            _wait_for_others(connection, timeout - waited)
            try:
                connection.execute("BEGIN IMMEDIATE")
            finally:
                _wait_for_others(connection, timeout)
        self.took(time.monotonic() - began)

    def enter(self, timeout: float) -> float:
        """Wait until it is this process's turn, at most `timeout` seconds; how many it took."""
        if self._file is None or not self._stays:
            return 0.0
        self._stays -= 1
        self._stands = True
        try:
            if _is_free(self._file):
                return 0.0
            began = time.monotonic()
            wait = _Wait()
            self._asked().put(wait)
            if not wait.ends_in(timeout):
                self.close()  # whoever is in front may be stopped: from now on SQLite alone says whose turn it is
            return time.monotonic() - began
        except (OSError, RuntimeError):  # no locks in this file system, no more files, or no more threads
            self.close()
            return 0.0

    def _asked(self) -> SimpleQueue[_Wait | None]:
        """Where the thread finds what it is asked: the system's wait has no end, so it does not do for this one."""
        if self._waits is None:
            assert self._file is not None
            file = os.dup(self._file)  # who closes this one may give its number to another
            waits: SimpleQueue[_Wait | None] = SimpleQueue()
            try:
                threading.Thread(
                    target=_wait_for_turns, args=(file, waits), name="dalsegno-line", daemon=True
                ).start()
            except RuntimeError:
                os.close(file)
                raise
            self._waits = waits
        return self._waits

    def took(self, seconds: float) -> None:
        """How long it took to begin, the wait in line included."""
        if seconds >= _MET:
            self._stays = _STAYS

    def leave(self) -> None:
        """It is the next one's turn."""
        if self._file is not None and self._stands:
            self._stands = False
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Stand in line no more. In a forked child: that of the parent stays as it is."""
        if self._waits is not None:
            self._waits.put(None)
            self._waits = None
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        self.close()


def _wait_for_others(connection: sqlite3.Connection, seconds: float) -> None:
    milliseconds = int(min(max(seconds * 1000, 0), 2**31 - 1))
    connection.execute(f"PRAGMA busy_timeout = {milliseconds}")


class _Wait:
    """One wait for a turn, which may be given up."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._turn.acquire()
        self._mutex = threading.Lock()
        self._is_given_up = False

    def ends_in(self, timeout: float) -> bool:
        """Whether the turn comes in `timeout` seconds."""
        came = False
        try:
            came = self._turn.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))
        finally:
            if not came:  # too late, or Ctrl-C
                with self._mutex:
                    self._is_given_up = self._turn.locked()
        return not self._is_given_up

    def came(self) -> bool:
        """The turn has come; whether anybody still waits for it."""
        with self._mutex:
            self._turn.release()
            return not self._is_given_up


def _is_free(file: int) -> bool:
    """Whether it is our turn now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_turns(file: int, waits: SimpleQueue[_Wait | None]) -> None:
    try:
        while (wait := waits.get()) is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if not wait.came():
                fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        os.close(file)
