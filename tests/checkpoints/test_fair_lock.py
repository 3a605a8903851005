"""The lock that threads get in the order in which they come for it."""

from __future__ import annotations

import contextlib
import dis
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import Any

import pytest

from dalsegno.checkpoints.file import fair_lock
from dalsegno.checkpoints.file.fair_lock import FairLock, Ticket


def until(is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.001)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def in_line(
    lock: FairLock, threads: ThreadPoolExecutor, work: Callable[[], Any], ticket: Ticket
) -> Future[Any]:
    """Have another thread do something in its turn; it waits for that when this returns."""

    def wait() -> Any:
        with lock.turn(ticket):
            return work()

    waits = threads.submit(wait)
    until(lambda: ticket.waits)
    return waits


def test_who_comes_first_has_it_first_also_where_the_last_one_comes_again(
    threads: ThreadPoolExecutor,
) -> None:
    lock = FairLock()
    order: list[Any] = []
    with lock.turn():
        waiting = [in_line(lock, threads, lambda n=n: order.append(n), Ticket()) for n in range(6)]  # type: ignore[misc]
    with lock.turn():
        order.append("again")
    for each in waiting:
        each.result(60)
    assert order == [0, 1, 2, 3, 4, 5, "again"]


def test_what_is_done_meanwhile_is_waited_for_no_more(threads: ThreadPoolExecutor) -> None:
    lock, tickets = FairLock(), [Ticket() for _ in range(4)]
    order: list[int] = []
    with lock.turn():
        waiting = [
            in_line(lock, threads, lambda n=n: order.append(n), ticket)  # type: ignore[misc]
            for n, ticket in enumerate(tickets)
        ]
        for n in (0, 2):
            lock.dismiss(tickets[n])
            waiting[n].result(60)  # while this thread has the lock
        assert order == [0, 2]
    for each in waiting:
        each.result(60)
    assert order == [0, 2, 1, 3]


def test_who_has_it_may_take_it_again_before_those_who_wait(threads: ThreadPoolExecutor) -> None:
    lock = FairLock()
    order: list[str] = []
    with lock.turn():
        other = in_line(lock, threads, lambda: order.append("other"), Ticket())
        with lock.turn(), lock.turn(Ticket()):
            order.append("inside")
    other.result(60)
    assert order == ["inside", "other"]


def test_who_took_it_before_all_who_wait_may_take_it_again(threads: ThreadPoolExecutor) -> None:
    lock = FairLock()
    assert lock.acquire(timeout=0)
    other = threads.submit(in_turn, lock, lambda: None)
    until(lambda: len(lock._line) == 1)
    in_turn(lock, lambda: None)
    lock.release()
    other.result(60)


def test_two_turns_may_end_in_the_order_in_which_they_began(threads: ThreadPoolExecutor) -> None:
    lock = FairLock()
    first, second = lock.turn(), lock.turn()
    first.__enter__()
    second.__enter__()
    other = threads.submit(in_turn, lock, lambda: None)
    until(lambda: len(lock._line) == 2)
    first.__exit__(None, None, None)
    in_turn(lock, lambda: None)
    second.__exit__(None, None, None)
    other.result(60)


def test_an_error_inside_leaves_it_to_the_next(threads: ThreadPoolExecutor) -> None:
    lock = FairLock()
    with contextlib.suppress(ZeroDivisionError), lock.turn():
        other = in_line(lock, threads, lambda: "next", Ticket())
        raise ZeroDivisionError
    assert other.result(60) == "next"


def test_one_thread_at_a_time_has_it_and_nobody_is_left_waiting(threads: ThreadPoolExecutor) -> None:
    lock, inside, done = FairLock(), [0], itertools.count()
    most = 0

    def work(n: int) -> None:
        nonlocal most
        for _ in range(200):
            ticket = Ticket()
            with lock.turn(ticket):
                if not ticket.done:
                    inside[0] += 1
                    most = max(most, inside[0])
                    if n % 2:  # as a commit that takes others' work along
                        for other in list(lock._line)[1:3]:
                            lock.dismiss(other)
                    inside[0] -= 1
            next(done)

    list(threads.map(work, range(8)))
    assert most == 1
    assert next(done) == 1600
    assert not lock._line
    assert not lock._threads


class Signal:
    """Is heard once where Python hears signals in the file of the lock: behind a call, at the start of a function, and
    where a loop begins again. Its handler is called at one of these."""

    def __init__(self, at: int, handler: Callable[[], object]) -> None:
        self.left = at
        self._handler = handler
        self._last: dict[FrameType, str] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != fair_lock.__file__:
            return None
        frame.f_trace_opcodes = True
        is_heard = event == "call"
        if event == "opcode":
            is_heard = self._last.get(frame, "").startswith(("CALL", "RESUME", "JUMP_BACKWARD"))
            self._last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        if is_heard:
            self.left -= 1
            if self.left == 0:
                self._handler()
        return self


def ctrl_c() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("waits", [False, True], ids=["it is free", "it is not"])
@pytest.mark.parametrize("handler", ["Ctrl-C", "takes it itself"])
def test_a_signal_wherever_it_is_heard_leaves_it_to_others(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, waits: bool, handler: str
) -> None:
    monkeypatch.setattr(fair_lock, "_LOOKS_AGAIN", 0.01)
    for at in itertools.count(1):
        lock, goes = FairLock(), threading.Event()
        signal = Signal(at, ctrl_c if handler == "Ctrl-C" else partial(in_turn, lock, lambda: None))
        others = [threads.submit(in_turn, lock, partial(goes.wait, 60))] if waits else []
        if waits:
            until(lambda lock=lock: len(lock._line) == 1)  # type: ignore[misc]
            others.append(threads.submit(goes_on, lock, goes, signal))
        mine = threads.submit(interrupted, lock, signal)
        others += [mine, threads.submit(in_turn, lock, lambda: None)]
        for each in others:
            each.result(60)
        in_turn(lock, lambda: None)
        assert not lock._line
        if signal.left > 0:
            break
    assert at > 10


def interrupted(lock: FairLock, signal: Signal) -> None:
    """Take the lock, and be interrupted."""
    sys.settrace(signal)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            in_turn(lock, lambda: None)
    finally:
        sys.settrace(None)


def goes_on(lock: FairLock, goes: threading.Event, signal: Signal) -> None:
    """Let the one go on that has the lock, once another one waits for it, or has heard the signal."""
    until(lambda: signal.left <= 0 or (len(lock._line) > 1 and lock._line[1].waits))
    goes.set()


def in_turn(lock: FairLock, work: Callable[[], object]) -> None:
    with lock.turn():
        work()
