"""Async work in sync code: on an event loop of its own, which ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_ROUND = 0.5
"""Seconds: Ctrl-C that comes in the moment before a thread begins to wait is heard when it stops waiting."""


def on_own_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, also where this thread's own event loop is running."""
    if not loop_is_running():
        asyncio.run(work)
        return
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    with _elsewhere(work, ended.put):
        if (error := _got(ended)) is not None:
            raise error


def from_own_loop(chunks: AsyncGenerator[T, None]) -> Iterator[T]:
    """What an async generator gives; it goes on when the next chunk is asked for, and is closed when none is."""
    handed: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    asked = asyncio.Event()

    async def hand_over() -> None:
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                handed.put((chunk,))
                await asked.wait()
                asked.clear()

    with _elsewhere(hand_over(), handed.put) as loop:
        while isinstance(given := _got(handed), tuple):
            yield given[0]
            loop.call_soon_threadsafe(asked.set)
        if given is not None:
            raise given


def _got(queue: SimpleQueue[T]) -> T:
    while True:
        with contextlib.suppress(Empty):
            return queue.get(timeout=_ROUND)


@contextlib.contextmanager
def _elsewhere(
    work: Coroutine[Any, Any, None], ended: Callable[[BaseException | None], None]
) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread of its own that runs a coroutine, and cancels it where what is inside is left early."""
    loop = asyncio.new_event_loop()
    task: asyncio.Task[None] | None = None
    is_left = False

    async def main() -> None:
        nonlocal task
        task = asyncio.current_task()
        if is_left:
            work.close()
            raise asyncio.CancelledError
        await work

    def run() -> None:
        error: BaseException | None = None
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(main())
        except BaseException as raised:
            error = raised
        ended(error)

    def cancel() -> None:
        if task is not None:
            task.cancel()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="dalsegno-loop")
    thread.start()
    try:
        yield loop
    except BaseException:
        is_left = True
        with contextlib.suppress(RuntimeError):  # it has ended meanwhile
            loop.call_soon_threadsafe(cancel)
        raise
    finally:
        thread.join()


def loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
