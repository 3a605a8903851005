"""Faults on demand, for trying what a workflow makes of them: only where `AGENT_FAULTS=1` is in the environment.

`POST /faults` takes a list; each of its entries is for one request that comes after, in order:

``{"delay": 2}`` begins late, ``{"delay_answer": 2}`` answers late, ``{"status": 503}`` answers with an HTTP error,
``{"error": {…}}`` with an error object, ``{"result": …}`` with what the agent never said, ``{"body": "…"}`` with these
bytes; ``{"die": "before"}`` ends the process without an answer, ``{"die": "after"}`` once the work is done; ``{}`` is
no fault. An entry with ``"method"`` waits for a request of that method. `GET /faults` tells the requests that came:
method and idempotency key.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any


def wanted() -> bool:
    """Whether this process has the switch."""
    return os.environ.get("AGENT_FAULTS") == "1"


class Faults:
    """An ASGI application around another, which may fail."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._next: list[dict[str, Any]] = []
        self._heard: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or fail."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        if scope["path"] == "/faults":
            if scope["method"] == "POST":
                self._next = json.loads(body)
                self._heard.clear()
            await _answer(send, 200, {"requests": self._heard, "left": self._next})
            return
        if scope["method"] != "POST":
            await self._app(scope, _again(body, receive), send)
            return
        asked = json.loads(body)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self._heard.append({"method": asked.get("method"), "key": headers.get("idempotency-key")})
        fault = self._taken(asked.get("method"))
        if "delay" in fault:
            await asyncio.sleep(fault["delay"])
        if fault.get("die") == "before":
            os._exit(9)
        if fault.get("die") == "after":
            await self._app(scope, _again(body, receive), _nowhere)
            os._exit(9)
        if "delay_answer" in fault:
            await self._app(scope, _again(body, receive), _late(send, fault["delay_answer"]))
        elif "status" in fault:
            await _answer(send, fault["status"], {"refused": True})
        elif "body" in fault:
            await _answer(send, 200, fault["body"])
        elif "error" in fault or "result" in fault:
            said = {key: fault[key] for key in ("error", "result") if key in fault}
            await _answer(send, 200, {"jsonrpc": "2.0", "id": asked.get("id"), **said})
        else:
            await self._app(scope, _again(body, receive), send)

    def _taken(self, method: Any) -> dict[str, Any]:
        for place, fault in enumerate(self._next):
            if fault.get("method") in (None, method):
                return self._next.pop(place)
        return {}


async def _whole(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _again(body: bytes, receive: Any) -> Any:
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return given.pop() if given else await receive()

    return again


def _late(send: Any, seconds: float) -> Any:
    async def late(message: Any) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(seconds)
        await send(message)

    return late


async def _nowhere(message: Any) -> None:
    """An answer that nobody gets."""


async def _answer(send: Any, status: int, value: Any) -> None:
    body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
