"""A server of tools, one session with it for the whole process, and its tools as LangChain's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from langchain_core.tools import BaseTool
from pydantic import ConfigDict, SecretStr

from dalsegno.errors import DefinitionError, MissingExtra, ToolFailed, did_you_mean
from dalsegno.nodes.background import BACKGROUND
from dalsegno.nodes.execution import current_execution
from dalsegno.nodes.forking import in_forked_child
from dalsegno.nodes.kinds import TEXT, check_kinds
from dalsegno.nodes.labels import tool_name
from dalsegno.nodes.living import Living
from dalsegno.nodes.mcp.answers import (
    CLOSED,
    described_tools,
    first_problem,
    http_error,
    input_schema,
    is_answer,
    is_over,
    read_result,
)
from dalsegno.nodes.mcp.session import Session
from dalsegno.nodes.policies.case import number
from dalsegno.nodes.remote.addresses import shown
from dalsegno.nodes.remote.asking import idempotency_key
from dalsegno.nodes.remote.request import scrubbed, secrets_in, secrets_in_url
from dalsegno.nodes.tooling import Known, knowing

T = TypeVar("T")

IDEMPOTENCY_KEY = "dalsegno/idempotency-key"
"""Under which name of a call's `_meta` a server gets the key that is the same when the call is repeated."""


def mcp_server(
    server: str | Sequence[str] | Any,
    *,
    only: Iterable[str] | None = None,
    prefix: str = "",
    timeout: float = 30.0,
    headers: Mapping[str, str | SecretStr] | None = None,
    env: Mapping[str, str | SecretStr] | None = None,
    name: str | None = None,
) -> McpServer:
    """A server of tools: one of an agent's `tools`, or asked for one of them with `server.tool(name)`.

    Nothing is started or connected before the first use. One session is kept, for every thread and event loop of this
    process; it is opened anew after the server died. `close` it, use it in a ``with``, or leave it to the process' end.
    The extra is `mcp`.

    Parameters
    ----------
    server
        A URL (Streamable HTTP), or a command with its arguments, started as a child process that is spoken to over its
        stdin and stdout; or a transport of the SDK.
    only
        The names of the tools that are offered. Default: all.
    prefix
        Put before each name, for two servers with tools of one name.
    timeout
        Seconds for the connection, and for each call.
    headers
        Of each HTTP request: texts or `SecretStr`. No error shows them.
    env
        Variables of the child process, beside the few that the SDK passes on. No error shows their values.
    name
        For errors. Default: the URL without what may be secret in it, or the command.

    Raises
    ------
    MissingExtra
        The package `mcp` is not installed.
    DefinitionError
        `server` is nothing that can be connected to, or another option is not valid.
    """
    try:
        import mcp  # noqa: F401 - to tell now that it is missing
    except ImportError as error:
        raise MissingExtra(
            'Tools of an MCP server need the SDK of the protocol: pip install "dalsegno[mcp]".', extra="mcp"
        ) from error
    if not server or (isinstance(server, str) and not server.strip()):
        raise DefinitionError("mcp_server(...): a URL, or a command with its arguments.")
    if isinstance(server, str) and not server.startswith(("http://", "https://")):
        begun = shown(server) if "://" in server else server.split()[0]
        raise DefinitionError(
            f"mcp_server({begun!r}): this is no URL of http or https. A command is a list of its words: "
            'mcp_server(["python", "shop.py"]).'
        )
    check_kinds("mcp_server", {"prefix": prefix, "name": name}, {"prefix": TEXT, "name": TEXT})
    if isinstance(only, str):
        raise DefinitionError(f"mcp_server(only={only!r}): a list of names is needed, as [{only!r}].")
    number("mcp_server(timeout)", timeout, above=0)
    for each in (headers, env):
        for key, value in (each or {}).items():
            if not isinstance(value, str | SecretStr):
                raise DefinitionError(f"mcp_server(...): the value of {key!r} is a text or a SecretStr.")
    return McpServer(
        server, only=only, prefix=prefix or "", timeout=timeout, headers=headers, env=env, name=name
    )


class McpServer:
    """What `mcp_server` returns; see there."""

    def __init__(
        self,
        server: Any,
        *,
        only: Iterable[str] | None,
        prefix: str,
        timeout: float,
        headers: Mapping[str, str | SecretStr] | None,
        env: Mapping[str, str | SecretStr] | None,
        name: str | None,
    ) -> None:
        words = (
            [shown(server)]
            if isinstance(server, str)
            else server
            if isinstance(server, Sequence)
            else ["MCP server"]
        )
        self.name = name or " ".join(map(str, words))
        self.timeout = timeout
        self._server, self._headers, self._env = server, _revealed(headers), _revealed(env)
        given = [*(self._headers or {}).values(), *(self._env or {}).values()]
        self._secrets = secrets_in([*given, *(secrets_in_url(server) if isinstance(server, str) else ())])
        self._only, self._prefix = None if only is None else tuple(only), prefix
        self._session: Session | None = None
        self._lock = threading.Lock()

    # -- tools --------------------------------------------------------------------------------------

    def list_tools(self) -> list[McpTool]:
        """Its tools, as LangChain tools of both colours.

        Raises
        ------
        ToolFailed
            It cannot be reached, or does not answer in time.
        DefinitionError
            `only` names a tool that it does not have.
        """
        described = self._do(described_tools)
        known = [tool.name for tool in described]
        for wanted in self._only or ():
            if wanted not in known:
                raise DefinitionError(
                    f"The MCP server `{self.name}` has no tool `{wanted}`{did_you_mean(wanted, known) or '.'} It has "
                    f"{', '.join(f'`{k}`' for k in known) or 'none'}."
                )
        return [self._tool(each) for each in described if self._only is None or each.name in self._only]

    def tool(self, name: str) -> BaseTool:
        """One of its tools by the server's name for it, for a node: ``tool(server.tool("price"), writes="price")``."""
        offered = self.list_tools()
        for each in offered:
            if each.own_name == name:
                return each
        known = [tool.own_name for tool in offered]
        raise DefinitionError(
            f"The MCP server `{self.name}` has no tool `{name}`{did_you_mean(name, known) or '.'} It has "
            f"{', '.join(f'`{k}`' for k in known) or 'none'}."
        )

    def _tool(self, described: Any) -> McpTool:
        tool = McpTool(
            name=tool_name(self._prefix + described.name),
            description=described.description or described.title or described.name,
            args_schema=input_schema(described.input_schema),
            server=self,
            own_name=described.name,
        )
        known: McpTool = knowing(tool, Known(is_proved=True, gives_data=True))  # type: ignore[assignment]  # a copy of it
        return known

    # -- calls --------------------------------------------------------------------------------------

    def call(self, name: str, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
        """Call a tool: its result as a model reads it, and as data (None where the server gives none).

        Raises
        ------
        ToolFailed
            The server says that it failed, does not know the tool, is gone, or does not answer in time.
        """
        return read_result(name, self._do(_calling(name, arguments)), self)

    async def acall(self, name: str, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
        """`call` in any event loop."""
        done = asyncio.run_coroutine_threadsafe(self._done(_calling(name, arguments)), BACKGROUND.loop)
        return read_result(name, await asyncio.wrap_future(done), self)

    def _do(self, work: Callable[[Any], Awaitable[T]]) -> T:
        return BACKGROUND.run(self._done(work))

    async def _done(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do something with a session that is open; one that breaks is left, and the next call opens another.

        Where the server did not do it, for it knows the session no more, it is done in the next one at once.
        """
        for is_last in (False, True):
            session = await self._living()
            session.calls += 1
            try:
                client = await session.client()
                async with asyncio.timeout(self.timeout):
                    done = await work(client)
                session.is_doubted = False
                return done
            except Exception as error:
                if is_last or not is_over(error):
                    raise self._told(error, session) from error
                self._leave(session)
            finally:
                session.calls -= 1
                await self._end_left(session)
        raise AssertionError("the last time it is told")

    async def _living(self) -> Session:
        """The session, or another one where a child process gave no answer to a call, and gives none now."""
        session = self._opened()
        if session.is_doubted and not session.calls:
            session.calls += 1
            try:
                async with asyncio.timeout(self.timeout):
                    await (await session.client()).list_tools()
                session.is_doubted = False
            except Exception as error:
                if not is_answer(error):
                    self._leave(session)
            finally:
                session.calls -= 1
                await self._end_left(session)
            session = self._opened()
        return session

    def _opened(self) -> Session:
        with self._lock:
            if self._session is None or self._session.is_over:
                self._session = Session(
                    self._server, timeout=self.timeout, headers=self._headers, env=self._env
                )
                _OPEN.add(self)
            return self._session

    def _told(self, error: Exception, session: Session) -> ToolFailed:
        """What became of a call, for whoever made it; the session is left where it is of no more use."""
        from mcp import MCPError

        if isinstance(error, TimeoutError):
            if not session.is_open:  # it hangs before anything was asked: the next call begins another
                self._leave(session)
            session.is_doubted = session.is_child
            return self._failed(f"it gave no answer within {self.timeout:g} seconds{session.last_words()}")
        if isinstance(error, MCPError):
            http = http_error(error)
            if is_over(error):
                self._leave(session)
            if http is not None:
                return self._failed(f"it answered with {error.message}", retry_after=http.get("retry_after"))
            if error.code != CLOSED:
                return self._failed(f"it answered with the error {error.code}: {error.message}")
            self._leave(session)
            return self._failed(f"it is gone ({error.message}){session.last_words()}")
        if session.is_open and is_answer(error):  # one bad answer: calls beside it go on
            return self._failed(f"its answer is not as the protocol says: {first_problem(error)}")
        self._leave(session)
        return self._failed(f"{type(error).__name__}: {error}{session.last_words()}")

    def without_secrets(self, text: str) -> str:
        """A text without what the server was given in `headers` and `env`."""
        return str(scrubbed(text, self._secrets))

    def _failed(self, problem: str, **data: Any) -> ToolFailed:
        problem = self.without_secrets(problem)
        execution = current_execution()
        return ToolFailed(
            f"The MCP server `{self.name}` failed: {problem.rstrip('.')}.",
            node=execution.whole.node if execution is not None else "",
            tool=self.name,
            problem=f"The server failed: {problem.rstrip('.')}.",
            **data,
        )

    # -- its end ------------------------------------------------------------------------------------

    def _leave(self, session: Session) -> None:
        """Have the next call open another one; this one is closed when the last call in it has ended."""
        with self._lock:
            if self._is_current(session):
                self._session = None

    def _is_current(self, session: Session) -> bool:
        return self._session is session

    async def _end_left(self, session: Session) -> None:
        if not session.calls and not self._is_current(session):
            await session.end()

    def close(self) -> None:
        """End the session, and with it the child process. The next use opens another."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            BACKGROUND.run(session.end())
        _OPEN.discard(self)

    async def aclose(self) -> None:
        """`close` without blocking the running event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<MCP server {self.name!r}>"


class McpTool(BaseTool):
    """A tool of an MCP server: `own_name` is the server's for it, `name` one that a model can call."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    server: Any
    own_name: str
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    def _run(self, /, **arguments: Any) -> tuple[Any, Any]:
        return self.server.call(self.own_name, arguments)  # type: ignore[no-any-return]  # an McpServer's

    async def _arun(self, /, **arguments: Any) -> tuple[Any, Any]:
        return await self.server.acall(self.own_name, arguments)  # type: ignore[no-any-return]  # as above


_OPEN: Living[McpServer] = Living()


@in_forked_child
def _forget() -> None:
    """In a process that was forked: the sessions belong to the other one."""
    for server in _OPEN:
        server._lock, server._session = threading.Lock(), None


def _close_all() -> None:
    for server in _OPEN:
        server.close()


BACKGROUND.before_stop(_close_all)


def _revealed(given: Mapping[str, str | SecretStr] | None) -> dict[str, str] | None:
    if given is None:
        return None
    return {k: v.get_secret_value() if isinstance(v, SecretStr) else v for k, v in given.items()}


def _calling(name: str, arguments: Mapping[str, Any]) -> Callable[[Any], Awaitable[Any]]:
    key = idempotency_key(current_execution())
    meta = None if key is None else {IDEMPOTENCY_KEY: key}

    async def call(client: Any) -> Any:
        return await client.call_tool(name, dict(arguments), meta=meta)

    return call
