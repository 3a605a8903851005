"""The client of a process: one an event loop, and a loop in a thread of its own for sync callers.

A loop's client closes with its loop; the thread's at the end of the process. A forked child begins with none.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import httpx

from dalsegno.nodes.remote.transport import GuardedTransport

T = TypeVar("T")

CLOSING = 5.0
"""Seconds that the end of the process waits for calls to be given up."""


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
        for closed in [known for known in _of_loop if known.is_closed()]:
            del _of_loop[closed]
        found = _of_loop[loop] = Clients()
        await found.open()
    return found


class _Portal:
    """An event loop in a thread, for sync callers: they share its connections."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="dalsegno-remote", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, in this thread's context, and wait for what it gives."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C: the call is given up
            future.cancel()
            raise

    def close(self) -> None:
        """Give up what goes on, and end."""

        async def end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CLOSING) if tasks else None
            self._loop.stop()

        with contextlib.suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(end(), self._loop)
        self._thread.join(CLOSING)


def in_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What a coroutine function gives, run on the loop of the thread for sync callers."""
    global _portal
    with _lock:
        if _portal is None:
            _portal = _Portal()
        portal = _portal
    return portal.call(work())


def close() -> None:
    """Close the sync callers' connections; the next call opens others."""
    global _portal
    with _lock:
        portal, _portal = _portal, None
    if portal is not None:
        portal.close()


def _in_forked_child() -> None:
    """The parent's connections are its own: they are left as they are, and never closed from here."""
    global _portal, _of_loop, _lock
    _left_to_the_parent.extend((_portal, _of_loop))
    _portal, _of_loop, _lock = None, {}, threading.Lock()


_portal: _Portal | None = None
_of_loop: dict[asyncio.AbstractEventLoop, Clients] = {}
_lock = threading.Lock()
_left_to_the_parent: list[Any] = []

atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
