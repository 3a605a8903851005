"""The server's process: its socket, its signals, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from dalsegno.errors import DefinitionError
from dalsegno.service.pages import Pages
from dalsegno.service.service import Service

log = logging.getLogger("dalsegno.service")

_ARENA_MAX = -8
"""`M_ARENA_MAX` of malloc.h."""
_MOST = 1000
"""Connections at once; beyond, 503."""
_CLOSING = 5
"""Seconds that answers under way have at the end."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any that is free.

    Raises
    ------
    DefinitionError
        The address is not ours, or somebody listens there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(2048)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise DefinitionError(
            f"Cannot listen at {host}:{port}: {error.strerror or error}. Choose another --host or --port."
        ) from error
    return made


def serve(
    service: Service,
    app: ASGIApp,
    pages: Pages,
    at: socket.socket,
    *,
    started: Callable[[str], None],
    stopping: Callable[[], None],
) -> bool:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the process at once.

    `started` is called with the address when runs are taken, `stopping` at the first signal. Gives whether every run
    stopped in time; if not, threads of them are still at work.
    """
    _few_heaps()
    return asyncio.run(_serve(service, app, pages, at, started, stopping))


def _few_heaps() -> None:
    """Have glibc keep two heaps, not eight a core: runs come and go with their threads, and each heap keeps what was
    the most in it. Memory is a tenth less then, and flat earlier (https://man7.org/linux/man-pages/man3/mallopt.3.html).
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


async def _serve(
    service: Service,
    app: ASGIApp,
    pages: Pages,
    at: socket.socket,
    started: Callable[[str], None],
    stopping: Callable[[], None],
) -> bool:
    class Patient(_Patient):
        patience = service.settings.patience

    config = uvicorn.Config(
        app,
        http=Patient,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_CLOSING,
    )
    server = _Server(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def came(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)  # what was committed is kept, and resumed at the next start
        stop.set()
        stopping()

    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, ValueError):
            loop.add_signal_handler(number, came, number)
    await asyncio.to_thread(service.open)
    serving = asyncio.create_task(server.serve(sockets=[at]))
    started(_address(at))
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    # Meanwhile it can still be asked how runs stand; whoever does may wait for the database in every other thread.
    with ThreadPoolExecutor(1, thread_name_prefix="dalsegno-drain") as own:
        left = await loop.run_in_executor(own, service.drain)
    server.should_exit = True
    await serving
    if not left:
        pages.close()
        service.close()
    return not left


def _address(at: socket.socket) -> str:
    host, port = at.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """Leaves signals to us: the first drains."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Patient(H11Protocol):
    """Closes a connection whose request does not come within `patience` seconds."""

    patience = 10.0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self._late is not None:
            self._late.cancel()
        seconds = self.patience if self.cycle is None else max(self.patience, self.timeout_keep_alive + 1)
        self._late = self.loop.call_later(seconds, self._give_up, self.cycle)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: a client that would rather speak HTTP/2, as Java's does, is answered in HTTP/1.1."""

    def _give_up(self, before: Any) -> None:
        if self.cycle is before:  # no whole head of a request has come since
            self.transport.close()
