"""The way out: connections to checked addresses only, and no more of an answer than it may have.

For httpx, so that whatever talks through our client (JSON-RPC, A2A's SDK) is held to the same.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from dalsegno.errors import DefinitionError, RemoteError
from dalsegno.nodes.remote.addresses import shown
from dalsegno.nodes.remote.connections import Connections, Received
from dalsegno.nodes.remote.request import Asked, asked_now

CONNECT = 10.0
"""Seconds for a connection to one address."""
REDIRECTS = 3


class GuardedTransport(httpx.AsyncBaseTransport):
    """Connections of one event loop: a pool for each agent's origin, so that a slow agent keeps none from another."""

    def __init__(self) -> None:
        self._pools: dict[Any, Connections] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request for the call that is going on, `ASKED`.

        Raises
        ------
        RemoteError
            It cannot be sent, or what comes is more, or other, than an answer may be.
        """
        asked = asked_now()
        url = request.url
        for _ in range(REDIRECTS + 1):
            received = await self._send(request, url, asked)
            if received.status // 100 != 3 or received.status == 304:
                return await _checked(received, asked)
            await received.aclose()
            url = _next(received, url, asked)
        raise asked.invalid("redirect", f"answered with more than {REDIRECTS} redirects")

    async def _send(self, request: httpx.Request, url: httpx.URL, asked: Asked) -> Received:
        # As it is sent: `url.host` has `xn--` read out, which is no name to look up, nor the one that was given.
        origin = (url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])
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
            return await self._pool(origin, asked).send(out)

    def _pool(self, origin: tuple[str, str, int], asked: Asked) -> Connections:
        access = asked.access
        key = (origin, access.guard, access.ca)  # a connection that one agent may have is not another's
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Connections(origin, access)
        return pool

    async def aclose(self) -> None:
        """Close every connection."""
        pools = list(self._pools.values())
        self._pools.clear()
        for pool in pools:
            await pool.aclose()


async def _checked(received: Received, asked: Asked) -> httpx.Response:
    headers = received.headers
    problem: RemoteError | None = None
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        problem = asked.invalid("compressed", "sent a compressed answer, which was not asked for")
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > asked.access.max_bytes:
        problem = asked.too_large()
    if problem is not None:
        await received.aclose()
        raise problem
    return httpx.Response(received.status, headers=headers, stream=_Capped(received, asked))


class _Capped(httpx.AsyncByteStream):
    """The body of an answer, up to its most bytes."""

    def __init__(self, received: Received, asked: Asked) -> None:
        self._received = received
        self._asked = asked

    async def __aiter__(self) -> AsyncIterator[bytes]:
        asked, most, seen = self._asked, self._asked.access.max_bytes, 0
        with _told(asked):
            async for part in self._received:
                seen += len(part)
                asked.received += len(part)
                if seen > most:
                    raise asked.too_large()
                yield part

    async def aclose(self) -> None:
        await self._received.aclose()


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


def _next(received: Received, url: httpx.URL, asked: Asked) -> httpx.URL:
    """Where a redirect leads: to another path of the same agent, or nowhere.

    To another origin the request would carry what was meant for this one; and a workflow could be led inside.
    """
    status = received.status
    location = received.headers.get("location", "")
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
        f"redirects (HTTP status {status}) to {asked.scrub(shown(there))}. {why}: give that address, if it is meant",
    )


_PORTS = {"http": 80, "https": 443}
