"""MCP servers that forget sessions, hang, refuse over HTTP, print rubbish, or describe their tools oddly."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypedDict

import pytest

from dalsegno import END, START, Runner, Workflow, agent, tool
from dalsegno.errors import ToolFailed
from dalsegno.nodes.mcp import IDEMPOTENCY_KEY, McpServer, mcp_server
from dalsegno.nodes.tooling import arguments_of
from dalsegno.testing import Reply, ScriptedChatModel

pytest.importorskip("mcp")

OBJECT = {"type": "object"}
BEGUN = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "x", "version": "1"},
}


@dataclass
class Legacy:
    """A server of the protocol of 2025, which has sessions; `answer` gives the status, the headers and the body of
    what a call is answered with."""

    sessions: set[str] = field(default_factory=set)
    begun: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]] | None = None
    url: str = ""

    def asked(self, asked: dict[str, Any], session: str | None) -> tuple[int, dict[str, str], bytes]:
        kind = {"content-type": "application/json"}
        if asked["method"] == "initialize":
            self.begun += 1
            session = uuid.uuid4().hex
            self.sessions.add(session)
            return 200, kind | {"mcp-session-id": session}, result(asked, BEGUN)
        if session is None:
            return 400, {}, b"no session"
        if session not in self.sessions:
            return 404, {}, b"no such session"
        if "id" not in asked:
            return 202, {}, b""
        if asked["method"] != "tools/call":
            return 200, kind, result(asked, {"tools": [{"name": "price", "inputSchema": OBJECT}]})
        self.calls.append(asked["params"])
        if self.answer is not None:
            return self.answer(asked)
        return 200, kind, result(asked, {"content": [{"type": "text", "text": "2.5"}]})


def result(asked: dict[str, Any], value: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": value}).encode()


@pytest.fixture
def legacy() -> Iterator[Legacy]:
    known = Legacy()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, headers, body = known.asked(asked, self.headers.get("mcp-session-id"))
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_error(405)

        do_DELETE = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        known.url = f"http://127.0.0.1:{listening.server_port}/mcp"
        yield known
        listening.shutdown()
        thread.join()


CHILD = """
import json, os, sys, time

def say(asked, value):
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": value}), flush=True)

for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    if asked["method"] == "initialize":
        say(asked, json.loads(os.environ["BEGUN"]))
    elif asked["method"] == "tools/list":
        say(asked, {"tools": json.loads(os.environ["TOOLS"])})
    elif asked["method"] == "tools/call":
        given = asked["params"]["arguments"]
        if given.get("do") == "hang":
            time.sleep(1000)
        if given.get("do") == "no text":
            os.write(1, b"\\xff\\xfe is no text\\n")
        if given.get("do") == "misfit":
            say(asked, {"nothing": 1})
        elif given.get("do") != "nothing":
            say(asked, {"content": [{"type": "text", "text": json.dumps([os.getpid(), given])}]})
    else:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}}), flush=True)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., McpServer]]:
    """Starts a server that has these tools."""
    program = tmp_path / "child.py"
    program.write_text(CHILD)
    started: list[McpServer] = []

    def start(*tools: dict[str, Any], **options: Any) -> McpServer:
        env = {
            "TOOLS": json.dumps(tools or [{"name": "price", "inputSchema": OBJECT}]),
            "BEGUN": json.dumps(BEGUN),
        }
        started.append(mcp_server([sys.executable, str(program)], env=env, name="child", **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


def test_a_server_that_forgot_the_session_is_asked_in_another_one_at_once(legacy: Legacy) -> None:
    with mcp_server(legacy.url, timeout=20) as server:
        assert server.call("price", {})[0] == "2.5"
        legacy.sessions.clear()  # as where it was started again, or took it for unused
        assert server.call("price", {})[0] == "2.5"
        assert (legacy.begun, len(legacy.calls)) == (2, 2)


def test_a_server_that_forgets_every_session_at_once_is_not_asked_for_ever(legacy: Legacy) -> None:
    with mcp_server(legacy.url, timeout=20) as server:
        server.list_tools()
        legacy.sessions = Forgetful()
        with pytest.raises(ToolFailed, match="HTTP status 404: no such session"):
            server.call("price", {})
        assert legacy.begun == 2
        legacy.sessions = set()
        assert server.call("price", {})[0] == "2.5"


class Forgetful(set[str]):
    def add(self, _: str) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "headers", "body", "told", "wait"),
    [
        (503, {"retry-after": "7"}, b"too busy", "HTTP status 503: too busy.", 7.0),
        (
            429,
            {"content-type": "application/json"},
            b'{"error": "slow down"}',
            'HTTP status 429: {"error": "slow',
            None,
        ),
        (401, {}, b"", "HTTP status 401.", None),
        (500, {}, b"x" * 10_000_000, "HTTP status 500: xxx", None),
        (
            400,
            {"content-type": "application/json"},
            b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "no such item"}}',
            "the error -32602: no such item.",
            None,
        ),
    ],
)
def test_what_a_server_answers_over_http_is_told(
    legacy: Legacy, status: int, headers: dict[str, str], body: bytes, told: str, wait: float | None
) -> None:
    legacy.answer = lambda asked: (status, headers, body)
    with mcp_server(legacy.url, timeout=20) as server:
        with pytest.raises(ToolFailed) as caught:
            server.call("price", {})
        assert f"it answered with {told}" in str(caught.value)
        assert len(str(caught.value)) < 400
        assert getattr(caught.value, "retry_after", None) == wait
        legacy.answer = None
        assert server.call("price", {})[0] == "2.5"
    assert legacy.begun == 1


def test_what_is_secret_in_an_address_is_in_no_log_and_no_error(
    legacy: Legacy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "httpx2")
    legacy.answer = lambda asked: (404, {}, b"Cannot POST /mcp?key=open-sesame-open")
    at = legacy.url.replace("://", "://me:open-the-door@") + "?key=open-sesame-open"
    with mcp_server(at, timeout=20) as server, pytest.raises(ToolFailed) as caught:
        server.call("price", {})
    assert "open-" not in str(caught.value)
    assert "HTTP Request: POST" in caplog.text
    assert "open-" not in caplog.text


TOKEN = "".join(f"{number:03}" for number in range(40))


def test_what_is_left_of_a_secret_where_an_answer_over_http_is_cut_is_in_no_error(legacy: Legacy) -> None:
    legacy.answer = lambda asked: (500, {}, b"x" * 150 + f" Bearer {TOKEN}".encode())
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with mcp_server(legacy.url, headers=headers, timeout=20) as server, pytest.raises(ToolFailed) as caught:
        server.call("price", {})
    assert "xxx" in str(caught.value)
    assert TOKEN[:6] not in str(caught.value)


def test_what_is_left_of_a_secret_where_the_last_words_of_a_child_are_cut_is_in_no_error() -> None:
    dies = [sys.executable, "-c", "import os, sys; sys.exit(os.environ['TOKEN'] * 40 + ' is no good')"]
    with mcp_server(dies, env={"TOKEN": TOKEN}, timeout=20) as server, pytest.raises(ToolFailed) as caught:
        server.call("price", {})
    assert "is no good" in str(caught.value)
    assert TOKEN[-6:] not in str(caught.value)


def test_a_child_that_hangs_is_started_again_when_it_is_asked_next(child: Callable[..., McpServer]) -> None:
    server = child(timeout=60)
    first = json.loads(server.call("price", {})[0])[0]
    server.timeout = 1
    with pytest.raises(ToolFailed, match="no answer within 1 seconds"):
        server.call("price", {"do": "hang"})
    server.timeout = 3  # for which it is waited for once more
    assert json.loads(server.call("price", {})[0])[0] != first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_child_that_left_one_call_unanswered_and_lives_goes_on(child: Callable[..., McpServer]) -> None:
    server = child(timeout=60)
    first = json.loads(server.call("price", {})[0])[0]
    server.timeout = 1
    with pytest.raises(ToolFailed, match="no answer within 1 seconds"):
        server.call("price", {"do": "nothing"})
    server.timeout = 60
    assert json.loads(server.call("price", {})[0])[0] == first


def test_what_is_no_text_on_stdout_keeps_no_answer_back(child: Callable[..., McpServer]) -> None:
    assert json.loads(child(timeout=20).call("price", {"do": "no text"})[0])[1] == {"do": "no text"}


def test_an_answer_that_does_not_fit_ends_no_other_call(child: Callable[..., McpServer]) -> None:
    server = child(timeout=20)
    first = json.loads(server.call("price", {})[0])[0]
    with pytest.raises(
        ToolFailed, match=r"its answer is not as the protocol says: content: Field required\.$"
    ):
        server.call("price", {"do": "misfit"})
    assert json.loads(server.call("price", {})[0])[0] == first


class State(TypedDict, total=False):
    key: str


def test_two_calls_in_one_execution_have_keys_of_their_own(legacy: Legacy, tmp_path: Path) -> None:
    server = mcp_server(legacy.url, timeout=20)

    def twice(state: State) -> State:
        server.call("price", {"item": "tea"})
        server.call("price", {"item": "milk"})
        return {"key": "done"}

    flow = Workflow("twice", State).add_node(twice).add_edge(START, "twice").add_edge("twice", END)
    with server, Runner(flow, db=str(tmp_path / "runs.db")) as runner:
        runner.run({}).raise_for_status()
    first, second = (call["_meta"][IDEMPOTENCY_KEY] for call in legacy.calls)
    assert second == f"{first}-2"


A = {"properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (OBJECT, {}),
        (OBJECT | {"properties": None, "required": None}, {}),
        (
            OBJECT | {"anyOf": [A | {"required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]},
            {"a": "1"},
        ),
        (OBJECT | {"allOf": [A]}, {"a": "1"}),
        (OBJECT | {"$ref": "#/$defs/A", "$defs": {"A": OBJECT | A}}, {"a": "1"}),
        (OBJECT | A | {"required": None, "anyOf": [{"required": ["a"]}]}, {"a": "1"}),
    ],
)
def test_a_tool_is_called_however_its_arguments_are_described(
    child: Callable[..., McpServer], schema: dict[str, Any], arguments: dict[str, Any]
) -> None:
    server = child({"name": "odd", "inputSchema": schema}, timeout=20)
    script = [{"name": "odd", "args": arguments}, Reply("Done.", expect=json.dumps(arguments))]
    assert agent(ScriptedChatModel(script), "Go.", tools=[server], writes="said").invoke({}) == {
        "said": "Done."
    }
    node = tool(server.tool("odd"), args={key: key for key in arguments}, writes="said")
    assert json.loads(node.invoke(arguments)["said"])[1] == arguments


def test_an_argument_that_a_described_tool_lacks_is_still_told(child: Callable[..., McpServer]) -> None:
    schema = OBJECT | A | {"anyOf": [{"required": ["a"]}]}
    assert arguments_of(child({"name": "odd", "inputSchema": schema}, timeout=20).tool("odd")) == ("a",)
