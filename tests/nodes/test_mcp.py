"""Tools of real MCP servers, in a child process and over HTTP on loopback, and what they do wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypedDict

import pytest
import uvicorn
from pydantic import SecretStr

from dalsegno import END, START, Runner, Workflow, agent, tool
from dalsegno.errors import DefinitionError, MissingExtra, ToolFailed
from dalsegno.nodes.labels import tool_name
from dalsegno.nodes.mcp import McpServer, mcp_server
from dalsegno.testing import Reply, ScriptedChatModel

pytest.importorskip("mcp")

SERVER = '''
import asyncio, os, sys
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("shop")

@server.tool()
def price(item: str, amount: int = 1) -> float:
    """The price of so many of an item."""
    if item != "tea":
        raise ValueError(f"no {item} here")
    return 2.5 * amount

@server.tool()
def stock(item: str) -> dict[str, int]:
    """How much is in stock."""
    return {"left": 7}

@server.tool()
def checked(item: str) -> dict[str, int]:
    """An object with one key, called as the SDK calls what is no object."""
    return {"result": 3}

@server.tool()
async def slow() -> str:
    """Takes a minute."""
    await asyncio.sleep(60)
    return "late"

@server.tool()
def process() -> int:
    """Its process."""
    return os.getpid()

@server.tool()
def key(context: Context) -> str:
    """The key of the call."""
    meta = context.request_context.meta
    return str((meta or {}).get("dalsegno/idempotency-key"))

@server.tool()
def die() -> str:
    """Dies."""
    print("out of memory", os.environ.get("TOKEN", ""), file=sys.stderr, flush=True)
    os._exit(3)

@server.tool(name="shop/price.v2")
def price_too() -> str:
    """Another one."""
    return "6"

if __name__ == "__main__":
    server.run()
'''


class State(TypedDict, total=False):
    item: str
    price: float
    left: int
    answer: str
    key: str


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mcp") / "shop.py"
    path.write_text(SERVER)
    return path


@pytest.fixture(scope="module")
def child(program: Path) -> Iterator[McpServer]:
    """A server in a child process."""
    with mcp_server([sys.executable, str(program)], timeout=30, name="shop") as server:
        yield server


@pytest.fixture(scope="module")
def url(program: Path) -> Iterator[str]:
    """The same server over HTTP, in a thread."""
    namespace: dict[str, Any] = {"__name__": "shop"}
    exec(program.read_text(), namespace)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        config = uvicorn.Config(namespace["server"].streamable_http_app(), log_level="error", lifespan="on")
        served = uvicorn.Server(config)
        thread = threading.Thread(target=served.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        served.should_exit = True
        thread.join(10)


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> Iterator[McpServer]:
    """Each kind of server."""
    if request.param == "stdio":
        yield request.getfixturevalue("child")
        return
    with mcp_server(request.getfixturevalue("url"), timeout=30) as over_http:
        yield over_http


def one(player: Any) -> Workflow:
    return Workflow("one", State).add_node("ask", player).add_edge(START, "ask").add_edge("ask", END)


def test_an_agent_uses_the_tools_of_a_server(server: McpServer, play: Callable[..., Any]) -> None:
    script = [
        {"name": "price", "args": {"item": "tea", "amount": 2}},
        Reply({"name": "price", "args": {"item": "cake"}}, expect=lambda m: m[-1].text == "5.0"),
        Reply({"name": "price", "args": {"thing": "tea"}}, expect="`price` failed.", check=False),
        Reply({"name": "price", "args": {"amount": "x"}}, expect="takes no argument `thing`", check=False),
        Reply("5", expect="validation errors for priceArguments"),
    ]
    with ScriptedChatModel(script) as model:
        player = agent(model, "What do two teas cost?", tools=[server], writes="answer")
        assert play(player, {}) == {"answer": "5"}
    named = {"price", "stock", "checked", "slow", "process", "key", "die", tool_name("shop/price.v2")}
    assert set(model.calls[0].tool_names) == named


def test_calls_beside_each_other_share_one_session(server: McpServer, play: Callable[..., Any]) -> None:
    script = [[{"name": "stock", "args": {"item": n}} for n in "abc"], Reply("21", expect='"left": 7')]
    with ScriptedChatModel(script) as model:
        assert play(agent(model, "?", tools=[server], writes="answer"), {}) == {"answer": "21"}
    assert [m.text.replace(" ", "").replace("\n", "") for m in model.calls[1].messages[-3:]] == [
        '{"left":7}'
    ] * 3


def test_a_tool_of_a_server_is_a_node_and_gives_data(server: McpServer, play: Callable[..., Any]) -> None:
    assert play(tool(server.tool("price"), writes="price"), {"item": "tea"}) == {"price": 2.5}
    assert play(tool(server.tool("stock"), writes={"left": "left"}), {"item": "tea"}) == {"left": 7}
    assert play(tool(server.tool("checked"), writes={"left": "result"}), {"item": "tea"}) == {"left": 3}
    with pytest.raises(ToolFailed) as raised:
        play(tool(server.tool("price"), writes="price"), {"item": "cake"})
    assert raised.value.tool == "price"


def test_a_server_gets_the_idempotency_key_of_the_execution(server: McpServer, tmp_path: Path) -> None:
    with Runner(one(tool(server.tool("key"), writes="key")), db=tmp_path / "r.db") as runner:
        assert len(runner.run({}).output["key"]) == 32


def test_a_server_that_dies_is_a_failure_with_its_last_words_and_the_next_call_starts_another(
    child: McpServer, play: Callable[..., Any]
) -> None:
    before = child.call("process", {})[1]
    with pytest.raises(
        ToolFailed, match=r"MCP server `shop` failed: it is gone .* it said last: out of memory"
    ):
        play(tool(child.tool("die"), writes="answer"), {})
    after = child.call("process", {})[1]
    assert before != after
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


def test_a_call_that_takes_too_long_is_given_up_and_the_session_lives_on(server: McpServer) -> None:
    process = server.call("process", {})[1]
    before, server.timeout = server.timeout, 0.2
    try:
        with pytest.raises(ToolFailed, match=r"no answer within 0\.2 seconds"):
            server.call("slow", {})
    finally:
        server.timeout = before
    assert server.call("process", {})[1] == process


def test_a_call_of_a_tool_that_is_gone_is_an_error_of_the_server(server: McpServer) -> None:
    with pytest.raises(ToolFailed, match="nosuch"):
        server.call("nosuch", {})


def test_a_cancelled_call_is_cancelled(child: McpServer) -> None:
    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await child.acall("slow", {})
        assert (await child.acall("price", {"item": "tea"}))[1] == 2.5

    asyncio.run(cancelled())


def test_only_some_tools_are_offered_and_names_can_be_told_apart(child: McpServer, program: Path) -> None:
    command = [sys.executable, str(program)]
    with mcp_server(command, only=["price"], prefix="shop_") as some:
        assert [t.name for t in some.list_tools()] == ["shop_price"]
        assert some.tool("price").invoke({"item": "tea"}) == "2.5"
        with pytest.raises(DefinitionError, match=r"no tool `stokc`\. It has `price`"):
            some.tool("stokc")
        some._only = ("prise",)
        with pytest.raises(DefinitionError, match="no tool `prise`; did you mean `price`"):
            some.list_tools()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_has_a_session_of_its_own(child: McpServer) -> None:
    mine = child.call("process", {})[1]
    read, write = os.pipe()
    if (forked := os.fork()) == 0:
        with contextlib.suppress(BaseException):
            os.write(write, str(child.call("process", {})[1]).encode())
            child.close()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        theirs = int(said.read())
    os.waitpid(forked, 0)
    assert theirs != mine
    assert child.call("process", {})[1] == mine


def test_closing_ends_the_child_process_and_the_next_use_starts_another(program: Path) -> None:
    server = mcp_server([sys.executable, str(program)])
    process = server.call("process", {})[1]
    server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    server.close()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("http://127.0.0.1:1/mcp", "All connection attempts failed|[Cc]onnect"),
        (["no-such-program"], "No such file"),
        ([sys.executable, "-c", "import sys; sys.exit('no licence')"], "it said last: no licence"),
    ],
)
def test_a_server_that_cannot_be_reached_says_why(what: Any, message: str) -> None:
    with mcp_server(what, timeout=20) as server, pytest.raises(ToolFailed, match=message):
        server.list_tools()


def test_a_server_that_never_answers_is_given_up() -> None:
    silent = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with (
        mcp_server(silent, timeout=0.5) as server,
        pytest.raises(ToolFailed, match=r"no answer within 0\.5 seconds"),
    ):
        server.list_tools()


def test_a_server_that_hung_when_it_was_started_is_started_again(tmp_path: Path) -> None:
    mark, slow = tmp_path / "mark", tmp_path / "slow.py"
    hang = f"import pathlib, sys\nif not (mark := pathlib.Path({str(mark)!r})).exists():\n"
    slow.write_text(f"{hang}    mark.touch()\n    sys.stdin.read()\n    sys.exit()\n{SERVER}")
    with mcp_server([sys.executable, str(slow)], timeout=1) as server:
        while not mark.exists():
            with pytest.raises(ToolFailed, match="no answer within 1 seconds"):
                server.list_tools()
        server.timeout = 60
        assert "price" in [tool.name for tool in server.list_tools()]


def test_a_tool_has_a_name_that_every_model_can_call(child: McpServer, play: Callable[..., Any]) -> None:
    (name,) = [tool.name for tool in child.list_tools() if tool.own_name == "shop/price.v2"]
    assert re.fullmatch("shop_price_v2_[0-9a-f]{6}", name)
    with ScriptedChatModel([{"name": name, "args": {}}, Reply("6.", expect="6")]) as model:
        assert play(agent(model, "?", tools=[child], writes="answer"), {}) == {"answer": "6."}
    assert play(tool(child.tool("shop/price.v2"), writes="answer"), {}) == {"answer": "6"}


def test_what_a_server_is_given_to_keep_is_in_no_error(program: Path) -> None:
    token = SecretStr("tok-en/12345")
    with (
        mcp_server([sys.executable, str(program)], env={"TOKEN": token}) as server,
        pytest.raises(ToolFailed, match="it said last: out of memory …") as raised,
    ):
        tool(server.tool("die"), writes="answer").invoke({})
    assert "tok-en" not in str(raised.value) + raised.value.problem
    gone = mcp_server("http://me:tok-en@127.0.0.1:9/mcp?key=tok-en", headers={"X-Key": token})
    with pytest.raises(ToolFailed, match=r"server `http://127\.0\.0\.1:9/mcp` failed"):
        gone.list_tools()


def test_headers_go_with_each_request_also_where_they_are_secrets() -> None:
    heard: list[str | None] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.headers["Authorization"])
            self.send_error(401)

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Refusing) as listening:
        threading.Thread(target=listening.serve_forever).start()
        url, token = f"http://127.0.0.1:{listening.server_port}/", SecretStr("Bearer abc")
        with mcp_server(url, headers={"Authorization": token}) as server, pytest.raises(ToolFailed):
            server.list_tools()
        listening.shutdown()
    assert set(heard) == {"Bearer abc"}


def test_the_end_of_the_process_ends_the_server_without_a_word(program: Path) -> None:
    code = f"""
import sys
from dalsegno import tool
from dalsegno.nodes.mcp import mcp_server

server = mcp_server([sys.executable, {str(program)!r}])
print(tool(server.tool("process"), writes="answer").invoke({{}})["answer"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtra, match=re.escape('pip install "dalsegno[mcp]"')) as raised:
        mcp_server("http://127.0.0.1:1/mcp")
    assert raised.value.extra == "mcp"


def test_nothing_is_started_before_the_first_use() -> None:
    server = mcp_server(["no-such-program"])
    player = agent(ScriptedChatModel([]), "?", tools=[server], writes="answer")
    assert player.declares()["calls"] == 8
    assert one(player).validate().ok
    for wrong in ("", " ", "python shop.py", "ftp://shop/mcp"):
        with pytest.raises(DefinitionError):
            mcp_server(wrong)
    with pytest.raises(DefinitionError, match=r"A command is a list of its words: mcp_server\(\["):
        mcp_server("python shop.py")
    options: Any
    for options, why in (
        ({"only": "price"}, r"a list of names is needed, as \['price'\]"),
        ({"timeout": 0}, "a number above 0"),
        ({"timeout": "5"}, "a number above 0"),
        ({"prefix": 5}, "a text is needed"),
    ):
        with pytest.raises(DefinitionError, match=why):
            mcp_server(["no-such-program"], **options)
    with pytest.raises(DefinitionError, match="'X-Key' is a text or a SecretStr"):
        mcp_server("http://127.0.0.1:1/mcp", headers={"X-Key": 5})  # type: ignore[dict-item]  # what is told
