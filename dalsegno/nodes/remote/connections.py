"""Connections to one agent: to checked addresses only, and so many at once."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from functools import lru_cache
from typing import Any

import anyio
import httpcore
import httpx

from dalsegno.errors import DefinitionError
from dalsegno.nodes.remote.addresses import Guard, numeric
from dalsegno.nodes.remote.request import Access, asked_now

CONNECTIONS = 100
"""The most connections to one agent; further calls wait for one, within their time."""
IDLE = 15.0
"""Seconds that a connection without work is kept."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, checks all its addresses, and connects to one of them."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failed: Exception | None = None
        for address in await self._checked(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        assert failed is not None
        raise failed

    async def _checked(self, host: str, port: int) -> list[str]:
        """The addresses of a host. All of them have to be allowed: one that is not is no accident."""
        asked = asked_now()
        literal = numeric(host)
        if literal is not None:
            addresses = [literal]
        else:
            try:
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                raise asked.unreachable(
                    "no such name", f"cannot be found: {host} has no address ({error})."
                ) from error
            addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        for address in addresses:
            what = self._guard.refuses(host, address)
            if what is not None:
                raise asked.refused(host, address, what)
        return addresses


class Connections:
    """The connections to one origin: each is one request's at a time, the one used last is the next one's.

    Not httpcore's pool, which looks through all its connections and all that wait whenever a request comes or goes, and
    hands one connection to several: with a thousand calls that is most of their time.
    """

    def __init__(self, origin: tuple[str, str, int], access: Access) -> None:
        scheme, host, port = origin
        self._origin = httpcore.Origin(scheme.encode(), host.encode(), port)
        self._trust = trusted(access.ca) if scheme == "https" else None
        self._backend = GuardedBackend(access.guard)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._idle: deque[httpcore.AsyncHTTPConnection] = deque()
        self._open: set[httpcore.AsyncHTTPConnection] = set()

    async def send(self, request: httpcore.Request) -> Received:
        """The answer to a request, its body still to be read; to be closed."""
        await self._turns.acquire()
        connection = None
        try:
            connection = await self._free()
            return Received(await connection.handle_async_request(request), connection, self)
        except BaseException:
            await self.give_back(connection)
            raise

    async def give_back(self, connection: httpcore.AsyncHTTPConnection | None) -> None:
        """A request is done with its connection."""
        self._turns.release()
        if connection in self._open and connection.is_idle() and not connection.is_closed():
            self._idle.append(connection)
        elif connection is not None:
            await self._drop(connection)

    async def aclose(self) -> None:
        """Close every connection."""
        self._idle.clear()
        for connection in list(self._open):
            await self._drop(connection)

    async def _free(self) -> httpcore.AsyncHTTPConnection:
        while self._idle and self._idle[0].has_expired():
            await self._drop(self._idle.popleft())  # the one that has rested longest
        while self._idle:
            connection = self._idle.pop()
            if connection.is_idle() and not connection.has_expired():
                return connection
            await self._drop(connection)
        connection = httpcore.AsyncHTTPConnection(
            self._origin,
            ssl_context=self._trust,
            keepalive_expiry=IDLE,
            network_backend=self._backend,
        )
        self._open.add(connection)
        return connection

    async def _drop(self, connection: httpcore.AsyncHTTPConnection) -> None:
        self._open.discard(connection)
        with anyio.CancelScope(shield=True):
            await connection.aclose()


class Received:
    """An answer that is coming in, over a connection that is given back when it is closed."""

    def __init__(
        self, response: httpcore.Response, connection: httpcore.AsyncHTTPConnection, owner: Connections
    ) -> None:
        self._response = response
        self._connection = connection
        self._owner: Connections | None = owner
        self.status = response.status
        self.headers = httpx.Headers(response.headers)

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, AsyncIterable)
        return self._response.stream.__aiter__()

    async def aclose(self) -> None:
        """Give the connection back, or up."""
        owner, self._owner = self._owner, None
        if owner is not None:
            try:
                await self._response.aclose()
            finally:
                await owner.give_back(self._connection)


@lru_cache(maxsize=16)
def trusted(ca: str | None) -> ssl.SSLContext:
    """Whose certificates are trusted: a file's, else those that httpx trusts (`SSL_CERT_FILE`, certifi).

    Raises
    ------
    DefinitionError
        The file cannot be read.
    """
    if ca is None:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise DefinitionError(f"ca={ca!r}: there are no certificates to be read ({error}).") from error
