"""Cancelling until it is done.

One cancellation may be lost: `asyncio.wait_for` of Python 3.11, which clients use for each piece of a stream, takes the
piece and drops the cancellation that comes together with it. So what goes on is cancelled once more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Self

AGAIN = 1.0
"""Seconds that what was cancelled has to end before it is cancelled once more, and again."""


class CancelledAgain:
    """Around work that something else cancels at `when`, a time of the loop: cancels it again while it goes on."""

    def __init__(self, when: float | None) -> None:
        task = asyncio.current_task()
        assert task is not None  # who awaits is in one
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._times = 0
        self._next: asyncio.TimerHandle | None = None
        self.reschedule(when)

    def reschedule(self, when: float | None) -> None:
        """It is cancelled then; not at all where it is None."""
        if self._next is not None:
            self._next.cancel()
        self._next = None if when is None else self._loop.call_at(when + AGAIN, self._cancel)

    def _cancel(self) -> None:
        self._times += self._task.cancel()
        self.reschedule(self._loop.time())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.reschedule(None)
        for _time in range(self._times):
            self._task.uncancel()


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel these and wait until they have ended."""
    going = {task for task in tasks if not task.done()}
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=AGAIN)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # it is looked at, or it would be told of as lost


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do what is left to do after a cancellation, also where that comes again meanwhile; it has to end by itself."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((task,))
    task.result()
