"""Agents on loopback that answer as a test says: whole, broken, late, or never."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from dalsegno.nodes.remote import remote
from dalsegno.nodes.remote.clients import close


@dataclass
class Request:
    """What came: `rpc` is the JSON body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def rpc(self) -> dict[str, Any]:
        return json.loads(self.body)


Answer = Callable[[Request, socket.socket], bytes | None]
"""Gives what is sent; or None, where it has sent by itself and the connection is over."""


@dataclass
class Loopback:
    """An HTTP server of one's own bytes."""

    answer: Answer
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/rpc"

    def close(self) -> None:
        self.closing.set()
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        try:
            if self.tls is not None:
                plain, connection = connection, self.tls.wrap_socket(connection, server_side=True)
                self._open.discard(plain)
                self._open.add(connection)
            with connection.makefile("rb") as stream:
                while (request := _read(stream)) is not None:
                    self.requests.append(request)
                    answer = self.answer(request, connection)
                    if not isinstance(answer, bytes):
                        return
                    connection.sendall(answer)
        except (OSError, ValueError):
            pass  # the client is gone, or we are
        finally:
            self._open.discard(connection)
            connection.close()


def _read(stream: Any) -> Request | None:
    first = stream.readline().decode().split()
    if not first:
        return None
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Request(first[0], first[1], headers, body)


def http(
    body: bytes | str, *, status: str = "200 OK", kind: str = "application/json", **headers: str
) -> bytes:
    """A whole answer."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def result(request: Request, value: Any, **changes: Any) -> bytes:
    """A JSON-RPC result, with members changed."""
    return http(json.dumps({"jsonrpc": "2.0", "id": request.rpc["id"], "result": value, **changes}))


def fault(request: Request, code: Any, message: Any, **more: Any) -> bytes:
    """A JSON-RPC error."""
    error = {"code": code, "message": message, **more}
    return http(json.dumps({"jsonrpc": "2.0", "id": request.rpc["id"], "error": error}))


class Say:
    """What servers say."""

    http = staticmethod(http)
    result = staticmethod(result)
    fault = staticmethod(fault)


@pytest.fixture
def say() -> type[Say]:
    return Say


@pytest.fixture
def agent() -> Iterator[Callable[..., Loopback]]:
    """Starts servers that answer as a function says."""
    running: list[Loopback] = []

    def start(answer: Answer | None = None, **options: Any) -> Loopback:
        running.append(Loopback(answer or (lambda request, _: result(request, "an answer")), **options))
        return running[-1]

    yield start
    close()
    for server in running:
        server.close()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    """Asks the agent at a server, in both colours."""

    def call(server: Loopback | str, state: Any = None, **options: Any) -> dict[str, Any]:
        url = server if isinstance(server, str) else server.url
        options = {"method": "answer", "writes": "answer", "allow_private": True, "timeout": 10, **options}
        player = remote(url, options.pop("method"), **options)
        state = {"question": "why?"} if state is None else state
        return player.invoke(state) if request.param == "sync" else asyncio.run(player.ainvoke(state))

    return call
