"""Driving a compiled graph: sync or on an event loop, until it ends, fails, pauses or is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from dalsegno.checkpoints.fencing import FENCE
from dalsegno.checkpoints.succession import acome_after, come_after
from dalsegno.graphs.kernel import CONTEXT
from dalsegno.graphs.routing import unstamped
from dalsegno.graphs.views import KERNEL
from dalsegno.nodes.cancelling import CancelledAgain
from dalsegno.runtime.off_loop import OffLoop

LOOK = 1.0
"""Seconds between two looks at whether a run in an event loop was cancelled, while no node begins or ends."""

GRACE = 5.0
"""Seconds that a superstep has to end by itself when its run was cancelled. Then its coroutines are cancelled."""


@dataclass
class Drive:
    """One process's turn at a run: what goes into LangGraph, and what came of it.

    `error` is what a node raised; `drained` that it stopped when told to; `left` an exception that is
    not the run's (Ctrl-C, a cancelled task), to be raised again when the run is recorded. `is_cancelled` tells
    whether somebody has asked to cancel the run, and may wait for the database. `later_than` is the checkpoint that the
    run's own have to wait for, since the clock is behind it.
    """

    graph: Any
    payload: Any
    config: Any
    context: Any
    control: RunControl
    is_cancelled: Callable[[], bool]
    later_than: str | None = None
    error: Exception | None = None
    drained: bool = False
    left: BaseException | None = None
    _looks_at: float | None = None
    _ends_at: float | None = None
    _chunks: AsyncGenerator[Any, None] | None = None

    def _options(self) -> dict[str, Any]:
        return {"context": self.context, "durability": "sync", "control": self.control}

    def run(self) -> None:
        """Run it in this thread."""
        with self._ending():
            self._wait()
            self.graph.invoke(self.payload, self.config, **self._options())

    async def arun(self) -> None:
        """Run it in this event loop."""
        with self._ending():
            async with self._cancellable():
                await self._await()
                await self.graph.ainvoke(self.payload, self.config, **self._options())

    def stream(self, mode: Any, subgraphs: bool) -> Iterator[Any]:
        """Run it in this thread, giving LangGraph's chunks without the kernel's keys."""
        options = {**self._options(), "stream_mode": mode, "subgraphs": subgraphs}
        with self._ending():
            self._wait()
            for chunk in self.graph.stream(self.payload, self.config, **options):
                yield without_kernel(chunk)

    async def astream(self, mode: Any, subgraphs: bool) -> AsyncGenerator[Any, None]:
        """Run it in this event loop, giving LangGraph's chunks without the kernel's keys."""
        options = {**self._options(), "stream_mode": mode, "subgraphs": subgraphs}
        with self._ending():
            async with self._cancellable():
                await self._await()
            self._chunks = chunks = self.graph.astream(self.payload, self.config, **options)
            while True:
                try:
                    async with self._cancellable():  # never while whoever reads the chunks has the word
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                yield without_kernel(chunk)

    async def aclose(self) -> None:
        """End LangGraph's part of `astream`: what is still going on in nodes is cancelled."""
        if self._chunks is not None:
            await self._chunks.aclose()

    def _wait(self) -> None:
        come_after(self.later_than, self.config["configurable"]["thread_id"])

    async def _await(self) -> None:
        await acome_after(self.later_than, self.config["configurable"]["thread_id"])

    @asynccontextmanager
    async def _cancellable(self) -> AsyncIterator[None]:
        """Cancel what is inside when the run was cancelled and its superstep has not ended within `GRACE`."""
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.TimerHandle] = []
        is_left = False

        def look() -> None:
            self._looks_at = loop.time() + LOOK
            seen = OffLoop(self.is_cancelled)
            seen.done.add_done_callback(lambda _: noticed(seen.result))

        def noticed(is_cancelled: bool) -> None:
            if is_cancelled and self._ends_at is None:
                self._ends_at = loop.time() + GRACE
            if is_left:
                return
            if self._ends_at is not None:
                limit.reschedule(self._ends_at)
                again.reschedule(self._ends_at)
            else:
                waiting[:] = [loop.call_at(loop.time() + LOOK, look)]

        if self._looks_at is None:
            self._looks_at = loop.time() + LOOK
        if self._ends_at is None:
            waiting.append(loop.call_at(self._looks_at, look))
        try:
            async with asyncio.timeout_at(self._ends_at) as limit:
                with CancelledAgain(self._ends_at) as again:
                    yield
        except TimeoutError:
            if not limit.expired():
                raise  # a node's own
            raise GraphDrained("cancelled") from None
        finally:
            is_left = True
            for next_look in waiting:
                next_look.cancel()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except GraphDrained:
            self.drained = True
        except Exception as error:
            self.error = error
        except BaseException as error:
            self.left = error
            raise


_OURS = frozenset((KERNEL, CONTEXT, FENCE))


def without_kernel(chunk: Any) -> Any:
    """A streamed chunk without what is ours in the state, in what was sent, and in the config of a checkpoint, however
    deep."""
    if isinstance(chunk, dict):
        sent, stamp = unstamped(chunk)
        if stamp is not None:
            return without_kernel(sent)
        return {key: without_kernel(value) for key, value in chunk.items() if key not in _OURS}
    if isinstance(chunk, tuple) and type(chunk) is tuple:
        return tuple(without_kernel(part) for part in chunk)
    if type(chunk) is list:
        return [without_kernel(part) for part in chunk]
    return chunk
