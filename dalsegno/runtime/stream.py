"""A run whose chunks are read as they come."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self, get_args

from langgraph.types import StreamMode

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.runtime import settling, turns
from dalsegno.runtime.collecting import beside_collecting
from dalsegno.runtime.own_loop import from_own_loop
from dalsegno.runtime.result import RunResult

if TYPE_CHECKING:
    from dalsegno.runtime.runner import Runner


_MODES = get_args(StreamMode)


def check_modes(given: Any) -> None:
    """Raise where that is no mode, and no list of them: LangGraph gives no chunks then, and says nothing."""
    several = isinstance(given, Sequence) and not isinstance(given, str)
    for mode in given if several else [given]:
        if mode not in _MODES:
            near = did_you_mean(mode, _MODES) if isinstance(mode, str) else ""
            known = ", ".join(f'"{known}"' for known in _MODES)
            raise DefinitionError(
                f"stream_mode={given!r}: {mode!r} is no mode{near or '.'} There are {known}."
            )


class RunStream:
    """The chunks of a run; iterate (sync or async) and read `.result` afterwards.

    A stream that is left before its end stops its run, which can be resumed. In an event loop that is when the loop
    comes to it: `async with`, or `await stream.aclose()`, waits for it, as ``with`` and `close` do in other code.
    """

    def __init__(self, runner: Runner, turn: turns.Turn, mode: Any, subgraphs: bool) -> None:
        self._runner = runner
        self._turn = turn
        self._mode = mode
        self._subgraphs = subgraphs
        self.run_id: str = turn.session.run_id
        self.thread: str = turn.session.thread
        self.result: RunResult | None = None
        self._has_begun = False
        self._ended = asyncio.Event()
        # Weak: a loop that is left lets its chunks go, and with them the run.
        self._readers: weakref.WeakSet[Any] = weakref.WeakSet()

    def __iter__(self) -> Iterator[Any]:
        chunks = self._chunks()
        self._readers.add(chunks)
        return chunks

    def __aiter__(self) -> AsyncIterator[Any]:
        chunks = self._achunks()
        self._readers.add(chunks)
        return chunks

    def _chunks(self) -> Iterator[Any]:
        if not self._begins():
            return
        drive, manner = self._turn.drive, (self._mode, self._subgraphs)
        chunks = from_own_loop(drive.astream(*manner)) if self._runner.needs_loop else drive.stream(*manner)
        self._turn.session.chunks = chunks
        try:
            for chunk in chunks:  # noqa: UP028 - `yield from` would close them here, wherever that is
                yield chunk
        except BaseException as error:
            drive.left = error
        beside_collecting(partial(self._end, chunks))

    def _end(self, chunks: Any) -> None:
        try:
            chunks.close()
        except BaseException as error:
            self._turn.drive.left = error
        try:
            self.result = settling.settle(self._runner, self._turn)
        finally:
            self._turn.session.chunks = None
            self._ended.set()

    async def _achunks(self) -> AsyncIterator[Any]:
        if not self._begins():
            return
        drive = self._turn.drive
        try:
            async for chunk in drive.astream(self._mode, self._subgraphs):
                yield chunk
        except BaseException as error:
            drive.left = error
        finally:
            try:
                self.result = await settling.asettle(self._runner, self._turn)
            finally:
                self._ended.set()

    def _begins(self) -> bool:
        """Whether nobody has read any of it yet: there is one run, and one row of chunks."""
        began, self._has_begun = self._has_begun, True
        return not began

    def close(self) -> None:
        """End it: a run whose chunks were not all read is stopped, and one of which none was read is as it was."""
        if self._begins():
            settling.give_back(self._runner, self._turn)
        for chunks in list(self._readers):
            chunks.close()

    async def aclose(self) -> None:
        """`close` in the running event loop."""
        if self._begins():
            await settling.agive_back(self._runner, self._turn)
            return
        await self._turn.drive.aclose()
        for chunks in list(self._readers):
            await chunks.aclose()
        await self._ended.wait()  # the loop closes what was let go

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *left: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *left: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._begins():
            beside_collecting(partial(settling.give_back, self._runner, self._turn))
