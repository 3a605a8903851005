"""A race: of nodes that run in one superstep only the first so many count; the others are given up.

A superstep ends when all its tasks have ended. So a lane that has lost ends at once: a coroutine is
cancelled, a sync function, which nobody can stop, goes on in a thread whose answer nobody takes, and with a
`Runner` it can have no more recorded effects and call no model. A lane that asks a human asks only once the others
are through, and not enough of them have come in.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from langgraph.errors import GraphInterrupt
from langgraph.runtime import get_runtime

from dalsegno.graphs.calling import Caller, Config
from dalsegno.graphs.patterns.around import Around, Fell
from dalsegno.graphs.wrapping import Inner
from dalsegno.nodes.cancelling import ended
from dalsegno.nodes.execution import CURRENT, Execution
from dalsegno.nodes.policies.workers import WORKERS, Job

_KEPT = 1024
"""Heats remembered by one race: a lane may begin when the others have come in long since."""

_TO_BEGIN = 0.25
"""Seconds that lanes have to begin. Those that ended before a crash or an answer do not begin again."""


class Race:
    """The lanes of one fan-out: `first` of them count; `lost` is what a lane that was given up writes.

    Each time that the lanes run is a `Heat` of its own, told by the checkpoint that they run on, and by who runs them:
    a run that failed in it and is resumed goes on with what was recorded, in a session of its own.
    """

    def __init__(self, first: int, lost: Callable[[str], dict[str, Any]]) -> None:
        self.first = first
        self.lost = lost
        self._lanes: set[str] = set()
        self._heats: OrderedDict[tuple[str, str, int], Heat] = OrderedDict()
        self._lock = threading.Lock()

    def lane(self, name: str) -> Callable[[Caller], Caller]:
        """What to put around the node of that name."""
        self._lanes.add(name)
        return lambda caller: Lane(caller, self, name)

    def heat(self) -> Heat:
        """The one that the current execution runs in."""
        info = get_runtime().execution_info
        assert info is not None  # LangGraph has one for every task
        execution = CURRENT.get()
        # The heat keeps the context, so no other has its id.
        context = None if execution is None else execution.context
        key = (info.checkpoint_id, info.checkpoint_ns.rpartition("|")[0], id(context))
        with self._lock:
            heat = self._heats.get(key)
            if heat is None:
                heat = self._heats[key] = Heat(self.first, len(self._lanes), execution)
                if len(self._heats) > _KEPT:
                    self._heats.popitem(last=False)
            return heat


class Heat:
    """Who has come in, in their order. With a `Runner` it is on disk, so that a crash changes no result."""

    def __init__(self, first: int, lanes: int, execution: Execution | None) -> None:
        self._first = first
        self._lanes = lanes
        self._begun: set[str] = set()
        self._through: set[str] = set()
        self._until = time.monotonic() + _TO_BEGIN
        self._run = execution if execution is not None and execution.context is not None else None
        self._key = _key(execution) if execution is not None else ""
        self._lock = threading.Lock()
        self._waiting: set[Callable[[], None]] = set()
        self._came_in = [name for place in range(1, first + 1) if (name := self._recorded(place)) is not None]

    def has_lost(self, lane: str) -> bool:
        """Whether it is over, and that lane is not among the first."""
        return len(self._came_in) >= self._first and lane not in self._came_in

    def comes_in(self, lane: str) -> bool:
        """A lane has its answer; whether that counts."""
        with self._lock:
            if lane in self._came_in:  # before a crash, which took its answer
                return True
            if len(self._came_in) >= self._first:
                return False
            self._record(len(self._came_in) + 1, lane)
            self._came_in.append(lane)
            over = len(self._came_in) >= self._first
            waiting = list(self._waiting)
        if over:
            for wake in waiting:
                wake()
        return True

    def begins(self, lane: str) -> None:
        """A lane runs from now on."""
        with self._lock:
            self._begun.add(lane)
            self._through.discard(lane)

    def is_through(self, lane: str) -> None:
        """A lane has ended, or can do nothing until somebody answers."""
        with self._lock:
            self._through.add(lane)
            waiting = list(self._waiting)
        for wake in waiting:
            wake()

    def may_end(self) -> bool:
        """Whether those who run may still bring it to its end."""
        with self._lock:
            if len(self._came_in) >= self._first:
                return False
            to_come = len(self._begun) < self._lanes and time.monotonic() < self._until
            return to_come or not self._begun <= self._through

    def watch(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when it is over; at once where it is."""
        with self._lock:
            self._waiting.add(wake)
            over = len(self._came_in) >= self._first
        if over:
            wake()

    def forget(self, wake: Callable[[], None]) -> None:
        """Call it no more."""
        with self._lock:
            self._waiting.discard(wake)

    def _recorded(self, place: int) -> str | None:
        if self._run is None or self._run.context is None:
            return None
        found, name = self._run.context.effects.effect_get(self._key, f"place {place}")
        return name if found else None

    def _record(self, place: int, lane: str) -> None:
        if self._run is not None and self._run.context is not None:
            context = self._run.context
            context.effects.effect_put(context.run_id, context.thread, self._key, f"place {place}", lane)


class Lane(Around):
    """One runner of a race."""

    def __init__(self, inner: Caller, race: Race, name: str) -> None:
        super().__init__(inner)
        self._race = race
        self._lane = name

    def _call(self, argument: Any, config: Config) -> Any:
        heat = self._race.heat()
        if heat.has_lost(self._lane):
            return self._race.lost(self._lane)
        heat.begins(self._lane)
        try:
            return self._run(heat, argument, config)
        finally:
            heat.is_through(self._lane)

    def _run(self, heat: Heat, argument: Any, config: Config) -> Any:
        moved = threading.Event()
        job = WORKERS.start(Job(lambda: self.inner.call(argument, config), moved.set))
        heat.watch(moved.set)
        try:
            while not job.done.is_set():
                moved.wait()
                moved.clear()
                if heat.has_lost(self._lane) and job.abandon():
                    return self._given_up()
            if isinstance(job.error, GraphInterrupt):
                heat.is_through(self._lane)
                while heat.may_end():
                    moved.wait(_TO_BEGIN)
                    moved.clear()
        finally:
            heat.forget(moved.set)
        if job.error is not None and heat.has_lost(self._lane):
            return self._race.lost(self._lane)
        return self._arrived(heat, job.answer())

    async def _acall(self, argument: Any, config: Config) -> Any:
        heat = await asyncio.to_thread(self._race.heat)
        if heat.has_lost(self._lane):
            return self._race.lost(self._lane)
        heat.begins(self._lane)
        try:
            return await self._arun(heat, argument, config)
        finally:
            heat.is_through(self._lane)

    async def _arun(self, heat: Heat, argument: Any, config: Config) -> Any:
        loop = asyncio.get_running_loop()
        moved = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(moved.set)

        heat.watch(wake)
        running = asyncio.ensure_future(self._running(argument, config))
        ending = asyncio.ensure_future(self._ending(heat, moved))
        try:
            await asyncio.wait((running, ending), return_when=asyncio.FIRST_COMPLETED)
            if running.done() and isinstance(running.exception(), GraphInterrupt):
                heat.is_through(self._lane)
                while heat.may_end():
                    await asyncio.wait((ending,), timeout=_TO_BEGIN)
            if heat.has_lost(self._lane) and (not running.done() or running.exception() is not None):
                return self._given_up()
            output = await running
        finally:
            heat.forget(wake)
            await ended(running, ending)
        return await asyncio.to_thread(self._arrived, heat, output)

    async def _ending(self, heat: Heat, moved: asyncio.Event) -> None:
        while not heat.has_lost(self._lane):
            await moved.wait()
            moved.clear()

    async def _running(self, argument: Any, config: Config) -> Any:
        """The call; of a sync function in a thread that may be given up."""
        if not self.inner.needs_thread:
            return await self.inner.acall(argument, config)
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()

        def then() -> None:
            loop.call_soon_threadsafe(answered.set)

        job = WORKERS.start(Job(lambda: self.inner.alone(argument, config), then))
        try:
            await answered.wait()
        except asyncio.CancelledError:
            job.abandon()
            raise
        return job.answer()

    def _given_up(self) -> dict[str, Any]:
        execution = CURRENT.get()
        if execution is not None:
            execution.abandoned = True
        return self._race.lost(self._lane)

    def _arrived(self, heat: Heat, output: Any) -> Any:
        answer = output.output if type(output) is Inner else output
        if type(answer) is Fell or heat.comes_in(self._lane):
            return output
        return self._race.lost(self._lane)


def _key(execution: Execution) -> str:
    """Of a heat: the same when it is gone on with after a crash, and of no other."""
    parts = (execution.run_id or "", *execution.path[:-1], str(execution.occurrence), "race")
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
