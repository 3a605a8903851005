"""Ctrl-C and SIGTERM during a run: stop so that it can go on, and stop at once when asked again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from dalsegno.nodes.forking import in_forked_child

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """How a run was asked to stop, and what that does.

    SIGTERM calls `drain`: the run stops after its current superstep. SIGINT raises `KeyboardInterrupt`: what is in
    flight is given up, and what cannot be, in threads, is told so by `leave`. A second signal ends the process at once;
    what was committed is kept, and the run shows as stopped. `say` tells the user about the first signal, `last_words`
    is written before the second one ends the process.

    A thread of its own reads the signals as they come: Python's handlers run in the main thread only, and
    not while that is waiting in a call it has just entered, where a signal would be seen seconds later.
    """

    def __init__(
        self,
        drain: Callable[[], None],
        leave: Callable[[], None],
        say: Callable[[str], None],
        last_words: Callable[[], str],
    ) -> None:
        self.signal: int | None = None
        self._drain = drain
        self._leave = leave
        self._say = say
        self._last_words = last_words
        self._interrupted = threading.Event()
        self._pokes = 0
        self._before: dict[int, Any] = {}
        self._fd = -1
        self._thread = threading.Thread(target=self._read, name="dalsegno-signals", daemon=True)

    @property
    def code(self) -> int | None:
        """The exit code of the signal, as a shell gives it; None where there was none."""
        return None if self.signal is None else 128 + self.signal

    def install(self) -> None:
        """Take the two signals over; only the main thread may."""
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)  # a handler may not wait
        self._before = {number: signal.signal(number, self._in_main_thread) for number in _NUMBERS}
        self._fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._thread.start()

    def remove(self) -> None:
        """Give them back, and let the thread end."""
        signal.set_wakeup_fd(self._fd)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._writer.close()
        self._interrupted.set()
        self._thread.join()  # the last signal is noted before anybody asks which it was
        self._reader.close()

    def forget(self) -> None:
        """In a forked child: what ends it is not meant for us."""
        signal.set_wakeup_fd(-1)
        for number in _NUMBERS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    def _in_main_thread(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and not self._interrupted.is_set():
            self._interrupted.set()
            raise KeyboardInterrupt

    def _read(self) -> None:
        while came := self._reader.recv(1):
            number = came[0]
            if number == signal.SIGINT and self._pokes:
                self._pokes -= 1
            elif number in _NUMBERS:
                self._came(number)

    def _came(self, number: int) -> None:
        asked_before, self.signal = self.signal, number
        if asked_before is not None and (asked_before == number or number == signal.SIGTERM):
            with contextlib.suppress(OSError):
                os.write(2, self._last_words().encode())
            os._exit(128 + number)
        if number == signal.SIGINT:
            self._leave()
        with contextlib.suppress(OSError, ValueError):
            self._say(
                "stopping after this superstep; a second SIGTERM stops at once"
                if number == signal.SIGTERM
                else "stopping; Ctrl-C again stops at once"
            )
        if number == signal.SIGTERM:
            self._drain()
            return
        main = threading.main_thread().ident
        while main is not None and not self._interrupted.wait(0.1):
            self._pokes += 1
            signal.pthread_kill(main, signal.SIGINT)


_active: Stop | None = None


@contextlib.contextmanager
def stoppable(stop: Stop) -> Iterator[None]:
    """Let what is inside be stopped by signals; `stop.signal` is settled afterwards.

    Outside of the main thread signals are left as they are.
    """
    global _active
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop.install()
    _active = stop
    try:
        yield
    finally:
        _active = None
        stop.remove()


@in_forked_child
def _in_forked_child() -> None:
    global _active
    if _active is not None:
        _active.forget()
        _active = None
