"""An event loop beside the program, for what is async only and is called from sync code."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from dalsegno.nodes.forking import in_forked_child

T = TypeVar("T")


class Background:
    """One event loop in a daemon thread, begun when first needed, so that clients and sessions outlive a call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._last: list[Callable[[], None]] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="dalsegno-background", daemon=True
                )
                self._thread.start()
                atexit.register(self.stop)
            return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, in the caller's context; it is cancelled where the waiting is broken off.

        Raises
        ------
        RuntimeError
            It was called in the loop itself, which would wait for ever.
        """
        loop = self.loop
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError(
                "Sync code in the background loop waits for the background loop: use the async way."
            )
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def before_stop(self, function: Callable[[], None]) -> None:
        """Have a function called before the loop stops, while it can still be used: what is open is closed there."""
        self._last.append(function)

    def stop(self) -> None:
        """Stop the loop and its thread; the next use begins another."""
        if self._loop is not None:
            for function in self._last:
                function()
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        if not thread.is_alive():
            loop.close()

    def forget(self) -> None:
        """In a process that was forked: the loop runs in the other one, and the next use begins another."""
        self._lock = threading.Lock()
        self._loop = self._thread = None


BACKGROUND = Background()
"""The loop of this process."""

in_forked_child(BACKGROUND.forget)
