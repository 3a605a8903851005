"""Following runs: a watcher is woken when something happened, and reads the ledger for what it was.

Events are the rows of the ledger, numbered by it: a client that comes back, also after the service was killed, or to
another process on the same database, goes on after the last one that it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from dalsegno.checkpoints.steps import Seen, Steps
from dalsegno.errors import DalsegnoError
from dalsegno.runtime.events import Event

if TYPE_CHECKING:
    from dalsegno.service.service import Service

log = logging.getLogger("dalsegno.service")

ENDED = ("completed", "failed", "cancelled")
MANY = 500
"""Steps that are read at once."""
_SETTLE = 0.05
"""Seconds between something happening and looking at it: a node has ended a moment before that is committed."""
_LOOK = 1.0
"""Seconds between two looks where nobody tells: another process may be running it."""


class Watchers:
    """Who waits for which run. A listener of runs: called from any of their threads."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, event: Event) -> None:
        self.tell(event.run_id)

    def tell(self, run_id: str) -> None:
        """Wake whoever waits for a run."""
        loop = self._loop
        if loop is not None and run_id in self._waiting:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._wake, run_id)

    def _wake(self, run_id: str) -> None:
        for event in self._waiting.get(run_id, ()):
            event.set()

    @contextlib.contextmanager
    def of(self, run_id: str) -> Any:
        """An event that is set when something happens in a run."""
        self._loop = asyncio.get_running_loop()
        event = asyncio.Event()
        self._waiting[run_id].add(event)
        try:
            yield event
        finally:
            self._waiting[run_id].discard(event)
            if not self._waiting[run_id]:
                del self._waiting[run_id]


async def settled(service: Service, run_id: str, seconds: float) -> None:
    """Wait until a run ends, or waits for somebody; at most so many seconds."""
    with contextlib.suppress(TimeoutError), service.watchers.of(run_id) as woken:
        async with asyncio.timeout(seconds):
            while not service.is_draining:
                status, is_over = await asyncio.to_thread(service.stands, run_id)
                if is_over or status == "interrupted":
                    break
                await _woken(woken)


async def events(service: Service, run_id: str, seen: Seen) -> AsyncIterator[dict[str, Any]]:
    """The events of a run from there on, until it ends, the service stops, or the database cannot be read.

    ``run`` tells how it stands, whenever that changes; ``step`` an execution of a node that is committed; ``end`` that
    there will be no more. An event has the fields of server-sent events.
    """
    try:
        async for event in _events(service, run_id, seen):
            yield event
    except DalsegnoError as error:  # the client comes back, and is told then
        log.warning("Run %s is followed no further: %s", run_id, error)


async def _events(service: Service, run_id: str, seen: Seen) -> AsyncIterator[dict[str, Any]]:
    told: str | None = None
    steps = Steps(service.ledger, run_id, seen)
    with service.watchers.of(run_id) as woken:
        while True:
            status, is_over = await asyncio.to_thread(
                service.stands, run_id
            )  # before the steps: what ended has all of them
            found = await asyncio.to_thread(steps.more, MANY)
            for seen, step in found:
                if step["occurrence"] != 0:
                    yield _event("step", step, seen)
            if len(found) >= MANY:
                continue
            if status != told:
                told = status
                yield _event("run", {"run_id": run_id, "status": status}, steps.seen)
            if is_over:
                yield _event("end", {"run_id": run_id, "status": status}, steps.seen)
                return
            if service.is_draining:
                return  # the client comes back, to the process that takes over
            await _woken(woken)


async def _woken(woken: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LOOK):
            await woken.wait()
    woken.clear()
    await asyncio.sleep(_SETTLE)


def _event(name: str, data: Any, seen: Seen) -> dict[str, Any]:
    text = (
        json.dumps(data, ensure_ascii=False).encode("utf-8", "replace").decode()
    )  # a lone surrogate has none
    return {"event": name, "data": text, "id": str(seen)}
