"""One session with an MCP server: over HTTP, or with a child process."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Any


class Session:
    """One connection, opened and closed by one task of the running event loop, as the SDK's scopes need it.

    Parameters
    ----------
    server
        A URL, a command with its arguments, or a transport of the SDK.
    timeout
        Seconds for the connection.
    """

    def __init__(
        self,
        server: Any,
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._server, self._timeout = server, timeout
        self._headers, self._env = dict(headers or {}), None if env is None else dict(env)
        self.is_child = isinstance(server, Sequence) and not isinstance(server, str)
        self.is_doubted = False
        """Whether it left a call unanswered, and nothing has come from it since."""
        self.calls = 0
        """How many are going on."""
        self._errors: IO[str] | None = None
        self._words = ""
        self._ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self._over = asyncio.Event()
        # In no caller's context: it would keep the first one's run for as long as the session lives.
        self._task = asyncio.get_running_loop().create_task(self._live(), context=contextvars.Context())

    @property
    def is_over(self) -> bool:
        """Whether the connection was closed, or broke."""
        return self._task.done() or self._task.get_loop().is_closed()

    @property
    def is_open(self) -> bool:
        """Whether the connection was made."""
        ready = self._ready
        return ready.done() and not ready.cancelled() and ready.exception() is None

    async def client(self) -> Any:
        """The client, when the connection stands."""
        async with asyncio.timeout(self._timeout):
            return await asyncio.shield(self._ready)

    async def end(self) -> None:
        """Close the connection, and wait until it is closed."""
        self._over.set()
        if not self._ready.done():
            self._task.cancel()
        await asyncio.wait((self._task,))

    async def _live(self) -> None:
        from mcp import Client

        try:
            async with contextlib.AsyncExitStack() as opened:
                transport = await self._transport(opened)
                connection = Client(transport, cache=None)
                self._ready.set_result(await opened.enter_async_context(connection))
                await self._over.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(_cause(error))
            elif isinstance(error, Exception):
                return  # it broke while nobody asked anything; the next call opens another
            if not isinstance(error, Exception):
                raise

    async def _transport(self, opened: contextlib.AsyncExitStack) -> Any:
        server = self._server
        if isinstance(server, str):
            import httpx2
            from mcp.client.streamable_http import streamable_http_client

            from dalsegno.nodes.mcp.http import StatusClient

            limit = httpx2.Timeout(self._timeout, read=None)
            client = await opened.enter_async_context(StatusClient(headers=self._headers, timeout=limit))
            return streamable_http_client(server, http_client=client)
        if isinstance(server, Sequence):
            from mcp import StdioServerParameters, stdio_client

            command, *arguments = map(str, server)
            # A file and no pipe: nobody has to read it for the server to go on.
            errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed with the rest
            self._errors = opened.enter_context(errors)
            opened.callback(self.last_words)
            return stdio_client(
                StdioServerParameters(
                    command=command,
                    args=arguments,
                    env=self._env,
                    encoding_error_handler="replace",  # what is no text is no answer either, and harms no other
                ),
                errlog=self._errors,
            )
        return server

    def last_words(self) -> str:
        """What a child process wrote to stderr last, for an error."""
        if self._errors is not None and not self._errors.closed:
            self._words = self._tail(self._errors)
        return f"; it said last: {self._words}" if self._words else ""

    @staticmethod
    def _tail(errors: IO[str]) -> str:
        errors.seek(0, 2)
        start = max(errors.tell() - 2000, 0)
        errors.seek(start)
        text = f"{'…' if start else ''}{errors.read()}"  # what is left of a secret is known by this sign
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        last = lines[-1] if lines else ""
        return last if len(last) <= 300 else f"…{last[-300:]}"


def _cause(error: BaseException) -> BaseException:
    """The one error in a group of one, which is how task groups raise."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else ConnectionError("the connection was closed")
