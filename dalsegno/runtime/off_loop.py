"""Blocking work of async runs, in threads, while the event loop goes on with other things."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from dalsegno.nodes.forking import in_forked_child

T = TypeVar("T")

_MOST = 32
"""Threads, of all loops of the process. Not those of a loop's own pool: sync nodes that hang may have all of these."""

_pool: ThreadPoolExecutor | None = None


class OffLoop(Generic[T]):
    """Work that goes on in a thread; `done` belongs to the loop in which this is made, and says that it has ended."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._work: Future[T] = _begun(work)
        self._work.add_done_callback(self._tell)

    def _tell(self, _: Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    async def ended(self) -> asyncio.CancelledError | None:
        """Wait until it has ended, also where that is cancelled meanwhile; gives what was raised then.

        Raises
        ------
        GeneratorExit
            Whoever waits was dropped with its loop, and can await nothing more; it has ended all the same.
        """
        cancelled: asyncio.CancelledError | None = None
        while not self.done.done():
            try:
                await asyncio.wait((self.done,))
            except asyncio.CancelledError as error:
                cancelled = error
            except GeneratorExit:
                self._work.exception()
                raise
        return cancelled

    @property
    def result(self) -> T:
        """What came of it, when it has ended; raises what it raised."""
        return self._work.result()


async def off_loop(work: Callable[[], T]) -> T:
    """Do it in a thread, to its end: where that is cancelled meanwhile, it is heard afterwards."""
    under_way = OffLoop(work)
    cancelled = await under_way.ended()
    result = under_way.result
    if cancelled is not None:
        raise cancelled
    return result


def _begun(work: Callable[[], T]) -> Future[T]:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_MOST, thread_name_prefix="dalsegno-off-loop")
    done: Future[T] = Future()
    is_begun = threading.Lock()
    try:
        _pool.submit(contextvars.copy_context().run, _do, work, done, is_begun)
    except RuntimeError:  # no more threads; yet the pool has it in its queue, for the next one that is free
        _do(work, done, is_begun)
    return done


def _do(work: Callable[[], T], done: Future[T], is_begun: threading.Lock) -> None:
    """Do it, unless another thread does."""
    if not is_begun.acquire(blocking=False):
        return
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)
        del done  # the error has this frame, and would keep itself alive


@in_forked_child
def _forget() -> None:
    global _pool
    _pool = None  # its threads are the parent's
