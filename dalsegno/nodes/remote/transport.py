"""The way out: connections to checked addresses only, and no more of an answer than it may have.

For httpx, so that whatever talks through our client (JSON-RPC, A2A's SDK) is held to the same.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from dalsegno.errors import DefinitionError, RemoteError
from dalsegno.nodes.remote.addresses import Guard, numeric, shown
from dalsegno.nodes.remote.request import ASKED, Asked

CONNECTIONS = 100
"""The most connections to one agent; further calls wait for one, within their time."""
IDLE = 15.0
"""Seconds that a connection without work is kept."""
CONNECT = 10.0
"""Seconds for a connection to one address."""
REDIRECTS = 3


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
        asked = _asked()
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


class GuardedTransport(httpx.AsyncBaseTransport):
    """Connections of one event loop: a pool for each agent's origin, so that a slow agent keeps none from another."""

    def __init__(self) -> None:
        self._pools: dict[Any, httpcore.AsyncConnectionPool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request for the call that is going on, `ASKED`.

        Raises
        ------
        RemoteError
            It cannot be sent, or what comes is more, or other, than an answer may be.
        """
        asked = _asked()
        url = request.url
        for _ in range(REDIRECTS + 1):
            response = await self._send(request, url, asked)
            if response.status // 100 != 3 or response.status == 304:
                return await _checked(response, asked)
            await response.aclose()
            url = _next(response, url, asked)
        raise asked.invalid("redirect", f"answered with more than {REDIRECTS} redirects")

    async def _send(self, request: httpx.Request, url: httpx.URL, asked: Asked) -> httpcore.Response:
        origin = (url.scheme, url.host, url.port or _PORTS[url.scheme])
        headers = {**asked.headers, **asked.private} if origin == asked.origin else asked.headers
        for name, value in headers.items():
            request.headers[name] = value
        for name in asked.private if origin != asked.origin else ():
            request.headers.pop(name, None)
        out = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"timeout": {"connect": min(CONNECT, asked.access.timeout)}},
        )
        with _told(asked):
            return await self._pool(origin, asked).handle_async_request(out)

    def _pool(self, origin: tuple[str, str, int], asked: Asked) -> httpcore.AsyncConnectionPool:
        access = asked.access
        key = (origin, access.guard, access.ca)  # a connection that one agent may have is not another's
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = httpcore.AsyncConnectionPool(
                ssl_context=_trust(access.ca) if origin[0] == "https" else None,
                max_connections=CONNECTIONS,
                max_keepalive_connections=CONNECTIONS,
                keepalive_expiry=IDLE,
                network_backend=GuardedBackend(access.guard),
            )
        return pool

    async def aclose(self) -> None:
        """Close every connection."""
        pools = list(self._pools.values())
        self._pools.clear()
        for pool in pools:
            await pool.aclose()


async def _checked(response: httpcore.Response, asked: Asked) -> httpx.Response:
    headers = httpx.Headers(response.headers)
    problem: RemoteError | None = None
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        problem = asked.invalid("compressed", "sent a compressed answer, which was not asked for")
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > asked.access.max_bytes:
        problem = asked.too_large()
    if problem is not None:
        await response.aclose()
        raise problem
    return httpx.Response(
        response.status,
        headers=headers,
        stream=_Capped(response, asked),
        extensions=dict(response.extensions),
    )


class _Capped(httpx.AsyncByteStream):
    """The body of an answer, up to its most bytes."""

    def __init__(self, response: httpcore.Response, asked: Asked) -> None:
        self._response = response
        self._asked = asked

    async def __aiter__(self) -> AsyncIterator[bytes]:
        asked, most, seen = self._asked, self._asked.access.max_bytes, 0
        assert isinstance(self._response.stream, AsyncIterable)
        with _told(asked):
            async for part in self._response.stream:
                seen += len(part)
                asked.received += len(part)
                if seen > most:
                    raise asked.too_large()
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _told(asked: Asked) -> Iterator[None]:
    """Failures of the connection, as ours."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise asked.unreachable(
            "no connection", f"gave no connection within {CONNECT:g} seconds. A `retry` may help."
        ) from error
    except httpcore.ConnectError as error:
        why = _why(error)
        if isinstance(why, ssl.SSLCertVerificationError):
            raise asked.unreachable(
                "certificate",
                f"has a certificate that is not trusted ({why.verify_message}). Nothing was sent. Have it "
                'renewed, or name the file of an authority of your own: ca="authority.pem".',
            ) from error
        raise asked.unreachable("no connection", f"cannot be reached ({why}). A `retry` may help.") from error
    except httpcore.LocalProtocolError as error:
        raise DefinitionError(f"{asked.agent} cannot be asked: {error}. Look at its headers.") from error
    except httpcore.RemoteProtocolError as error:
        reason, what = (
            ("cut", "broke off") if _is_cut(error) else ("not HTTP", "does not speak HTTP as it should")
        )
        raise asked.unreachable(
            reason, f"{what} after {asked.received:,} bytes of its answer ({error}). A `retry` may help."
        ) from error
    except httpcore.NetworkError as error:
        raise asked.unreachable(
            "cut",
            f"broke off after {asked.received:,} bytes of its answer ({str(error) or 'connection reset'}). A `retry` "
            "may help.",
        ) from error


def _why(error: BaseException) -> BaseException:
    """The first cause of a failure that says something of the connection."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and not isinstance(cause, TimeoutError) and cause.errno is not None:
            return cause
        cause = cause.__cause__ or cause.__context__
    return error


def _is_cut(error: Exception) -> bool:
    said = str(error)
    return "without sending" in said or "without" in said or "incomplete" in said or "closed" in said


def _next(response: httpcore.Response, url: httpx.URL, asked: Asked) -> httpx.URL:
    """Where a redirect leads: to another path of the same agent, or nowhere.

    To another origin the request would carry what was meant for this one; and a workflow could be led inside.
    """
    status = response.status
    location = httpx.Headers(response.headers).get("location", "")
    try:
        there = urljoin(str(url), location)
        same = urlsplit(there)[:2] == urlsplit(str(url))[:2]
        if status in (307, 308) and same and location:
            return httpx.URL(there)
    except (ValueError, httpx.InvalidURL):
        location = ""
    if not location:
        raise asked.invalid("redirect", f"redirects (HTTP status {status}) to nowhere")
    why = "A request is not led on to another host or scheme" if not same else "It would become a GET there"
    raise asked.invalid(
        "redirect",
        f"redirects (HTTP status {status}) to {shown(there)}. {why}: give that address, if it is meant",
    )


@lru_cache(maxsize=16)
def _trust(ca: str | None) -> ssl.SSLContext:
    """Whose certificates are trusted: a file's, else those that httpx trusts (`SSL_CERT_FILE`, certifi)."""
    return httpx.create_ssl_context() if ca is None else ssl.create_default_context(cafile=ca)


_PORTS = {"http": 80, "https": 443}


def _asked() -> Asked:
    asked = ASKED.get()
    if asked is None:
        raise RuntimeError("A request was made outside of a call of a remote agent.")
    return asked
