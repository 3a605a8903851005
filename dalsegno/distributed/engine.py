"""The engine: a Temporal server, reached over its address; the client's loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import threading
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from dalsegno.errors import DefinitionError, EngineUnavailable
from dalsegno.nodes.policies.workers import SLICE
from dalsegno.observe.extras import wanted

if TYPE_CHECKING:
    from temporalio.client import Client

T = TypeVar("T")

DEFAULT = "127.0.0.1:7233"
"""Where `dalsegno engine dev` listens."""

_LAST_WORDS = 0.1
"""Seconds at the end of a process for Temporal's own threads."""


def address(given: str | None) -> str:
    """The engine that is meant: as it was given, else DALSEGNO_ENGINE, else that of `dalsegno engine dev`.

    Raises
    ------
    DefinitionError
        It is no HOST:PORT.
    """
    named = given or os.environ.get("DALSEGNO_ENGINE") or DEFAULT
    host, colon, port = named.rpartition(":")
    is_host = bool(colon and host) and "/" not in host  # of a URL Temporal warns, and will not take it
    if not is_host or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65_536:
        raise DefinitionError(
            f"engine={named!r}: HOST:PORT of the Temporal server is needed, such as {DEFAULT}."
        )
    return named


async def connect(engine: str, namespace: str | None = None) -> Client:
    """Temporal's client; TLS, API key and namespace as its own TEMPORAL_… variables and profile have them.

    Raises
    ------
    MissingExtra
        `temporalio` is not installed.
    EngineUnavailable
        Nothing answers at that address.
    """
    client = wanted("temporalio.client", by="the engine", extra="distributed")
    from temporalio.envconfig import ClientConfig

    atexit.unregister(_let_go)  # the last to be registered, and once
    atexit.register(_let_go)
    config: dict[str, Any] = {**ClientConfig.load_client_connect_config(), "target_host": engine}
    if namespace is not None:
        config["namespace"] = namespace
    try:
        return await client.Client.connect(**config)  # type: ignore[no-any-return]  # imported by name
    except RuntimeError as error:
        raise unavailable(engine, error) from error


def _let_go() -> None:
    """Give Temporal's threads the interpreter before it ends: one that has an answer to put away, as after a connection
    that failed, and comes by it later takes the process down with it (SIGABRT, seen in one of seven)."""
    time.sleep(_LAST_WORDS)


def unavailable(engine: str, error: BaseException) -> EngineUnavailable:
    """The error for an engine that does not answer."""
    return EngineUnavailable(
        f"The engine at {engine} does not answer: {error}. Start one with `dalsegno engine dev`, or name yours with "
        "--engine HOST:PORT (DALSEGNO_ENGINE).",
        engine=engine,
    )


class Loop:
    """An event loop in a daemon thread, for a client that works by sockets and is used from anywhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Have a coroutine run; its future may be waited for in any thread or loop."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._run, name="dalsegno-engine", daemon=True)
                self._thread.start()
            loop = self._loop
        return asyncio.run_coroutine_threadsafe(work, loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for what it gives; Ctrl-C gives it up."""
        future = self.submit(work)
        try:
            while True:
                with contextlib.suppress(concurrent.futures.TimeoutError):
                    return future.result(SLICE)
                if future.done():
                    return future.result()
        except BaseException:
            future.cancel()
            raise

    async def acall(self, work: Coroutine[Any, Any, T]) -> T:
        """`call` in the running event loop."""
        return await asyncio.wrap_future(self.submit(work))

    def close(self) -> None:
        """Give up what is under way, and end the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        loop.run_forever()


async def _end() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
