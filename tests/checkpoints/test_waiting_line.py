"""Processes that write to one file wait in line, in order and never longer than they said."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dalsegno.checkpoints.file.database import Database
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.file.waiting_line import WaitingLine
from dalsegno.errors import DatabaseUnavailable

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="it has no such locks: nobody waits in line there"
)

LONG = 60.0


@pytest.fixture
def log(tmp_path: Path) -> str:
    (tmp_path / "log").touch()
    return str(tmp_path / "log")


def line_of(log: str) -> WaitingLine:
    """One that has met somebody."""
    line = WaitingLine(log)
    line.took(1.0)
    return line


def until(is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.001)


@pytest.fixture
def line(log: str) -> Iterator[WaitingLine]:
    line = line_of(log)
    yield line
    line.close()


def test_who_is_next_waits_until_the_one_in_front_has_left(log: str, line: WaitingLine) -> None:
    other = line_of(log)
    line.enter(LONG)
    with ThreadPoolExecutor(1) as pool:
        waited = pool.submit(other.enter, LONG)
        until(lambda: other._waits is not None)  # it stands in line
        with pytest.raises(TimeoutError):
            waited.result(0.05)
        line.leave()
        assert waited.result(LONG) > 0.0
    assert line.enter(0.01) >= 0.01  # it is the other one's turn now


def test_who_meets_nobody_does_not_stand_in_line(log: str, line: WaitingLine) -> None:
    line.enter(LONG)
    other = WaitingLine(log)
    other.took(0.0001)
    assert other.enter(LONG) == 0.0


def test_who_was_killed_is_not_waited_for(log: str, line: WaitingLine, child: Any) -> None:
    def body(tell: Callable[[str], None]) -> None:
        line_of(log).enter(LONG)
        tell("in front")
        os.kill(os.getpid(), signal.SIGKILL)

    assert child(body).wait() == -signal.SIGKILL
    assert line.enter(LONG) < LONG


def test_a_wait_ends_in_time_and_nobody_stands_in_line_behind_a_stopped_one_again(
    log: str, line: WaitingLine
) -> None:
    other = line_of(log)
    line.enter(LONG)
    assert 0.05 <= other.enter(0.05) < LONG
    other.took(1.0)
    assert other.enter(LONG) == 0.0
    line.leave()
    # The wait that was given up leaves the line as soon as its turn comes.
    third = line_of(log)
    assert third.enter(LONG) < LONG


def test_a_wait_that_is_interrupted_is_given_up(log: str, line: WaitingLine) -> None:
    other = line_of(log)
    line.enter(LONG)
    began = time.monotonic()
    timer = threading.Timer(0.05, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])

    def enter() -> None:
        timer.start()  # in here: it may come at once
        other.enter(LONG)

    with pytest.raises(KeyboardInterrupt):
        enter()
    timer.join()
    line.leave()
    assert line_of(log).enter(LONG) < LONG
    assert time.monotonic() - began < LONG


def test_a_line_that_is_closed_leaves_no_thread_and_no_open_file(log: str, line: WaitingLine) -> None:
    before = set(threading.enumerate())
    line.enter(LONG)
    other = line_of(log)
    other.enter(0.01)  # closes itself
    line.leave()
    until(lambda: all(each.name != "dalsegno-line" for each in threading.enumerate() if each not in before))
    if os.path.isdir("/proc/self/fd"):
        files = [
            os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd") if _is_open(each)
        ]
        assert files.count(log) == 1


def _is_open(number: str) -> bool:
    with contextlib.suppress(OSError):
        os.readlink(f"/proc/self/fd/{number}")
        return True
    return False


def test_where_there_is_no_log_nobody_waits(tmp_path: Path) -> None:
    assert line_of(str(tmp_path / "none")).enter(LONG) == 0.0


def test_a_file_that_stays_locked_is_waited_for_once_by_those_in_line_too(path: Path) -> None:
    with contextlib.ExitStack() as opened:
        databases = [opened.enter_context(contextlib.closing(Database(path, timeout=1))) for _ in range(10)]
        for database in databases:
            with database.transaction():
                pass
            database._line.took(1.0)
        other = opened.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            failures = list(pool.map(failure_of, databases))
        assert all(isinstance(one, DatabaseUnavailable) for one in failures)
        assert time.monotonic() - began < 9  # one after the other they would have waited for 10 s
        other.execute("ROLLBACK")
        for database in databases:
            with database.transaction() as connection:
                assert connection.execute("PRAGMA busy_timeout").fetchone() == (1000,)


def failure_of(database: Database) -> BaseException | None:
    try:
        with database.transaction():
            return None
    except DatabaseUnavailable as error:
        return error
