"""A run whose chunks are read as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from dalsegno.runtime import turns
from dalsegno.runtime.own_loop import from_own_loop
from dalsegno.runtime.result import RunResult

if TYPE_CHECKING:
    from dalsegno.runtime.runner import Runner


class RunStream:
    """The chunks of a run; iterate (sync or async) and read `.result` afterwards."""

    def __init__(self, runner: Runner, turn: turns.Turn, mode: Any, subgraphs: bool) -> None:
        self._runner = runner
        self._turn = turn
        self._mode = mode
        self._subgraphs = subgraphs
        self.run_id: str = turn.session.run_id
        self.thread: str = turn.session.thread
        self.result: RunResult | None = None
        self._has_begun = False

    def __iter__(self) -> Iterator[Any]:
        if self._begins():
            drive, manner = self._turn.drive, (self._mode, self._subgraphs)
            try:
                if self._runner._needs_loop:
                    yield from from_own_loop(drive.astream(*manner))
                else:
                    yield from drive.stream(*manner)
            except BaseException as error:
                drive.left = error
            finally:
                self.result = turns.settle(self._runner, self._turn)

    async def __aiter__(self) -> AsyncIterator[Any]:
        if self._begins():
            try:
                async for chunk in self._turn.drive.astream(self._mode, self._subgraphs):
                    yield chunk
            finally:
                self.result = turns.settle(self._runner, self._turn)

    def _begins(self) -> bool:
        """Whether nobody has iterated it yet: there is one run, and one row of chunks."""
        began, self._has_begun = self._has_begun, True
        return not began

    def __del__(self) -> None:
        if self._begins():
            turns.give_back(self._runner, self._turn)
