"""HTTP below an MCP session: the SDK tells of no status, and logs addresses with what is secret in them."""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar
from typing import Any

import httpx2

from dalsegno.nodes.mcp.answers import TOLD
from dalsegno.nodes.policies.retry_after import retry_after
from dalsegno.nodes.remote.addresses import shown

_MOST = 16 * 1024
"""Bytes that are read of an HTTP error."""
_EXCERPT = 200
_SESSION = "mcp-session-id"

_OURS: ContextVar[bool] = ContextVar("dalsegno_mcp_request", default=False)


class StatusClient(httpx2.AsyncClient):
    """Makes an error of the protocol of an HTTP error that is none, so that whoever called hears of it.

    A 404 within a session says that the server knows the session no more: what was asked was not done, and a client
    begins another one (the protocol's Streamable HTTP, "Session Management").
    """

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """As httpx2's own."""
        token = _OURS.set(True)
        try:
            response = await super().send(request, **options)
        finally:
            _OURS.reset(token)
        if response.status_code < 400 or request.method != "POST":
            return response
        try:
            body = await _begin(response)
        finally:
            await response.aclose()
        status, is_over = response.status_code, response.status_code == 404 and _SESSION in request.headers
        if is_over or not _is_error(body):
            text = " ".join(body.decode("utf-8", "replace").split())
            if (
                len(text) > _EXCERPT
            ):  # and what is left of a secret there is told from other text by this sign
                text = f"{text[:_EXCERPT]}…"
            carrier = Exception()
            carrier.response = response  # type: ignore[attr-defined]  # where `retry_after` looks
            told = {"status": status, "retry_after": retry_after(carrier, time.time()), "over": is_over}
            # 404 is how a server of before 2026 says that it does not know the method with which the SDK begins.
            error = {
                "code": -32601 if status == 404 else -32603,
                "message": f"HTTP status {status}{f': {text}' if text else ''}",
                "data": {TOLD: told},
            }
            body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        return httpx2.Response(
            status, headers={"content-type": "application/json"}, content=body, request=request
        )


async def _begin(response: httpx2.Response) -> bytes:
    body = b""
    try:
        async for part in response.aiter_bytes():
            body += part
            if len(body) >= _MOST:
                break
    except httpx2.HTTPError:
        pass  # what came of it is enough: the status says what is wrong
    return body[:_MOST]


def _is_error(body: bytes) -> bool:
    """Whether it is an error of the protocol itself, which says more than its status."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("jsonrpc") == "2.0" and isinstance(said.get("error"), dict)


def _without_query(record: logging.LogRecord) -> bool:
    if _OURS.get() and isinstance(record.args, tuple):
        record.args = tuple(
            shown(str(each)) if isinstance(each, httpx2.URL) else each for each in record.args
        )
    return True


logging.getLogger("httpx2").addFilter(_without_query)
