"""Processes: the server that forks, and the children that are killed."""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from dalsegno.errors import DalsegnoError
from dalsegno.testing.crash_kit.syscalls import Machine, halt_at_writes, this_machine
from dalsegno.testing.crash_kit.tracing import Tracer

if TYPE_CHECKING:
    from dalsegno.testing.crash_kit.watching import Watch

T = TypeVar("T")

BEGUN, DONE = b"b", b"d"
"""What a child sends when the part of it that may be killed begins, and when it is over."""


_LOOK = 0.1  # seconds between two looks of a tracer at the clock and at its caller


@dataclass(frozen=True)
class End:
    """How a child ended: `code` as it exited, negative for a signal; `hung` where it was ended for hanging;
    `seconds` between `BEGUN` and `DONE`."""

    code: int
    hung: bool
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was killed, and not for hanging."""
        return self.code == -signal.SIGKILL and not self.hung

    def trouble(self) -> int:
        """How bad it is, among several that end."""
        return 2 if self.hung else int(self.code != 0)


class Server:
    """In the server process: forks one child at a time. `lifeline` ends when the caller is gone."""

    def __init__(self, lifeline: int, inherited: tuple[int, ...]) -> None:
        self._lifeline = lifeline
        self._inherited = inherited

    def settle(self) -> None:
        """Everything is loaded: have the garbage collector of a child leave our pages alone."""
        gc.collect()
        gc.freeze()

    def child(
        self, body: Callable[[Callable[[bytes], None]], None], output: str, watch: Watch | None = None
    ) -> _Child:
        """Fork a process that does `body`; what it prints goes to the file `output`.

        With `watch` it is traced, and begins when it is waited for.
        """
        heard, told = os.pipe()
        go, ready = os.pipe() if watch is not None else (-1, -1)
        pid = os.fork()
        if pid:
            os.close(told)
            if watch is None:
                return _Child(pid, heard, self._lifeline)
            os.close(go)
            return _TracedChild(pid, heard, self._lifeline, ready, watch)
        try:
            for descriptor in (heard, *self._inherited):
                os.close(descriptor)
            _redirect(output)
            if watch is not None:
                os.close(ready)
                os.read(go, 1)
                os.close(go)
                halt_at_writes(_machine())
            body(lambda sign: _tell(told, sign))
            sys.stdout.flush()
        finally:
            os._exit(0)


class _Child:
    def __init__(self, pid: int, heard: int, lifeline: int) -> None:
        self._pid = pid
        self._heard = heard
        self._lifeline = lifeline

    def wait(self, moment: float | None, timeout: float) -> End:
        """Wait for the end of the child, and kill it `moment` seconds after `BEGUN` or when it hangs."""
        now = time.perf_counter()
        limit, due, begun, seconds, hung = now + timeout, None, now, 0.0, False
        while True:
            until = limit if due is None else min(due, limit)
            ready, _, _ = select.select([self._heard, self._lifeline], [], [], max(until - now, 0))
            now = time.perf_counter()
            if self._lifeline in ready:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                raise SystemExit("The caller of the crash test is gone.")
            if not ready and now >= until:
                hung = until == limit
                os.kill(self._pid, signal.SIGKILL)
                due, limit = None, now + 60
                continue
            told = os.read(self._heard, 16) if ready else b"none"
            if not told:
                break
            if BEGUN in told:
                begun = now
                due = None if moment is None else now + moment
            if DONE in told:
                due, seconds = None, now - begun
        os.close(self._heard)
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return End(code, hung, seconds)


class _TracedChild(_Child):
    """A child that is watched at its system calls; killed by its watch, or when it hangs."""

    def __init__(self, pid: int, heard: int, lifeline: int, ready: int, watch: Watch) -> None:
        super().__init__(pid, heard, lifeline)
        self._ready = ready
        self._watch = watch

    def wait(self, moment: float | None, timeout: float) -> End:
        """Trace the child until it ends. A moment means nothing here."""
        self._watch.signs_come_by(self._heard)
        limit = time.perf_counter() + timeout
        # The tracer waits in one system call for whatever comes: a signal is what gets it out of there.
        before = signal.signal(signal.SIGALRM, lambda *_: self._look(limit))
        hung = False
        try:
            tracer = Tracer(self._pid, _machine())
            signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)
            os.write(self._ready, b"g")
            status = tracer.follow(self._watch)
        except TimeoutError:
            hung, status = True, signal.SIGKILL
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            os.close(self._heard)
            os.close(self._ready)
        return End(os.waitstatus_to_exitcode(status), hung, self._watch.seconds)

    def _look(self, limit: float) -> None:
        late = time.perf_counter() >= limit
        gone = bool(select.select([self._lifeline], [], [], 0)[0])
        if late or gone:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise TimeoutError if late else SystemExit("The caller of the crash test is gone.")


def _machine() -> Machine:
    machine = this_machine()
    assert machine is not None  # `why_not` was asked before
    return machine


def in_fork(work: Callable[[Server], T]) -> T:
    """Do `work` in a process forked from this one, once, and give back what it gives or raise what it raises.

    The hundreds of forks are made there: this process may hold databases open and be under a test
    runner; that one has one thread.
    """
    check_system()
    result, out = os.pipe()
    lifeline, held = os.pipe()
    pid = _forked_with_nothing_to_collect()
    if not pid:
        try:
            os.setpgid(0, 0)  # Ctrl-C goes to the caller, whose end is seen by the lifeline
            os.close(result)
            os.close(held)
            serve(work, lifeline, out)
        finally:
            os._exit(0)
    os.close(out)
    os.close(lifeline)
    try:
        with os.fdopen(result, "rb") as stream:
            told = stream.read()
    finally:
        os.close(held)
        os.waitpid(pid, 0)
    return given(told)  # type: ignore[no-any-return]  # what `work` gave


def _forked_with_nothing_to_collect() -> int:
    """`os.fork`, after which the child's garbage collector leaves alone what was there before.

    The caller's garbage may hold what only its own process can end: connections, and what other threads of it run.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        pid = os.fork()
        if not pid:
            gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
    return pid


def check_system() -> None:
    """Refuse a system without fork."""
    if not hasattr(os, "fork"):
        raise DalsegnoError(
            "A crash test forks processes, which this system cannot. Run it on Linux or macOS."
        )


def serve(work: Callable[[Server], Any], lifeline: int, out: int) -> None:
    """In the server: do `work`, and write to `out` what it gives or raises, for `given` to read."""
    try:
        told = pickle.dumps((True, work(Server(lifeline, (lifeline, out)))))
    except BaseException as error:
        told = _failure(error)
    with os.fdopen(out, "wb") as stream:
        stream.write(told)


def given(told: bytes) -> Any:
    """What the server's work gave; raises what it raised."""
    if not told:
        raise DalsegnoError("The crash test's server died. Look at what killed it: memory, or somebody else.")
    ok, value = pickle.loads(told)
    if not ok:
        raise value
    return value


def _failure(error: BaseException) -> bytes:
    try:
        told = pickle.dumps((False, error))
        pickle.loads(told)
    except Exception:  # whatever an error of the user's raises when it cannot be pickled
        told = pickle.dumps((False, DalsegnoError("".join(traceback.format_exception(error)))))
    return told


def _tell(descriptor: int, sign: bytes) -> None:
    os.write(descriptor, sign)


def _redirect(path: str) -> None:
    """Have what is printed go to a file, and nothing come from standard input."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = sys.stderr = os.fdopen(descriptor, "w", buffering=1)
