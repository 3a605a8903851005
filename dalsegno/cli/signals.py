"""Ctrl-C and SIGTERM during a run: stop so that it can go on, and stop at once when asked again."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """How a run was asked to stop: by which signal, None while it was not."""

    signal: int | None = None

    @property
    def code(self) -> int | None:
        """The exit code of that signal, as a shell gives it."""
        return None if self.signal is None else 128 + self.signal


@contextlib.contextmanager
def stoppable(
    drain: Callable[[], None], say: Callable[[str], None], last_words: Callable[[], str]
) -> Iterator[Stop]:
    """Let a run be stopped by signals.

    SIGTERM calls `drain`: the run stops after its current superstep. SIGINT raises `KeyboardInterrupt`:
    what is in flight is given up. A second signal of either kind ends the process at once; what was
    committed is kept, and the run shows as stopped. `say` tells the user about the first signal,
    `last_words` is written before the second one ends the process.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def stopping(number: int, frame: FrameType | None) -> None:
        again = stop.signal is not None and (stop.signal == number or number == signal.SIGTERM)
        stop.signal = number
        if again:
            with contextlib.suppress(OSError):
                os.write(2, last_words().encode())
            os._exit(128 + number)
        if number == signal.SIGTERM:
            say("stopping after this superstep; a second SIGTERM stops at once")
            drain()
        else:
            say("stopping; Ctrl-C again stops at once")
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stopping) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
