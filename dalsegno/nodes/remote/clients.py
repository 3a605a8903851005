"""The client of a process: one an event loop, and loops that are kept for sync callers.

A loop's client closes with its loop; the kept ones at the end of the process. A forked child begins with none.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import httpx

from dalsegno.errors import DefinitionError
from dalsegno.nodes.cancelling import ended
from dalsegno.nodes.forking import in_forked_child
from dalsegno.nodes.policies.workers import WORKERS, Job
from dalsegno.nodes.remote.addresses import shown
from dalsegno.nodes.remote.request import ASKED
from dalsegno.nodes.remote.transport import GuardedTransport

T = TypeVar("T")

KEPT = 32
"""The most event loops that are kept for sync callers: as many as asked at once."""


class Clients:
    """The connections of one event loop: `json` for our own requests, `a2a` for its SDK, which sets its own headers."""

    def __init__(self) -> None:
        self.transport = GuardedTransport()
        self.json = _client(self.transport)
        self.a2a = _client(self.transport)
        self._closing = self._until_closed()

    async def open(self) -> None:
        """Be closed when the loop is."""
        await anext(self._closing)

    async def _until_closed(self) -> AsyncGenerator[None, None]:
        # A loop that ends (`asyncio.run`, `loop.shutdown_asyncgens`) closes the async generators that it knows.
        try:
            yield
        finally:
            _of_loop.pop(asyncio.get_running_loop(), None)
            await self.transport.aclose()


def _client(transport: GuardedTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        timeout=None,  # the whole call has one
        trust_env=False,  # through a proxy nobody knows which address is connected to
        headers={"accept-encoding": "identity", "user-agent": "dalsegno"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one run's are not another's
    )


async def clients() -> Clients:
    """The running loop's."""
    loop = asyncio.get_running_loop()
    found = _of_loop.get(loop)
    if found is None:
        for known in list(_of_loop):  # other threads change it meanwhile
            if known.is_closed():
                _of_loop.pop(known, None)
        found = _of_loop[loop] = Clients()
        await found.open()
    return found


def check_readable(url: str) -> None:
    """Refuse an address that the client cannot read.

    Raises
    ------
    DefinitionError
        It is too long, or its host is none: `xn--` without a name, a number too large.
    """
    try:
        httpx.URL(url).host  # noqa: B018 - it is read when it is asked for
    except (httpx.InvalidURL, ValueError) as error:
        raise DefinitionError(f"{shown(url)[:200]} is no address that can be asked: {error}.") from error


def for_sync(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a coroutine function gives, for a sync caller, on an event loop that is kept with its connections.

    It runs in the caller's own thread: handing a call to another and back would cost more than all else of it. Only
    where that has a running loop of its own does it go to another thread.
    """
    if not _has_loop():
        return _run(work)
    job = WORKERS.start(Job(lambda: _run(work)))
    job.done.wait()
    return job.answer()  # type: ignore[no-any-return]  # what `work` gave


def _has_loop() -> bool:
    """Whether the thread runs a loop. By itself: in an `except` every failure of the call would name this one first."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        loop = _idle.pop()  # the one used last, whose connections are warm: atomic
    except IndexError:
        loop = asyncio.new_event_loop()
    task = loop.create_task(work())
    try:
        return loop.run_until_complete(task)
    finally:
        if not task.done():  # Ctrl-C: the call is given up
            loop.run_until_complete(ended(task))
        if len(_idle) < KEPT:
            _idle.append(loop)
        else:
            _end(loop)


def close() -> None:
    """Close the sync callers' connections; the next call opens others."""
    while _idle:
        _end(_idle.pop())


def _end(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_until_complete(loop.shutdown_asyncgens())
        # As Python ends it starts no thread (3.12 and newer say so), and those of the executor have ended already.
        with contextlib.suppress(RuntimeError):
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


@in_forked_child
def _in_forked_child() -> None:
    """The parent's connections are its own: they are left as they are, and never closed from here."""
    global _idle, _of_loop
    for left in (*_idle, *_of_loop.items()):
        # Not even at the end of this process: closing a loop takes its pipe out of the parent's epoll.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(left))
    _idle, _of_loop = [], {}


def _without_query(record: logging.LogRecord) -> bool:
    """Leave out of httpx's log of our requests what may be a credential in their addresses."""
    if ASKED.get() is not None and isinstance(record.args, tuple):
        record.args = tuple(shown(str(each)) if isinstance(each, httpx.URL) else each for each in record.args)
    return True


logging.getLogger("httpx").addFilter(_without_query)

_idle: list[asyncio.AbstractEventLoop] = []
_of_loop: dict[asyncio.AbstractEventLoop, Clients] = {}

atexit.register(close)
