"""A remote agent plays every kind of role: alone under a key, one of several under it, and sent to."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dalsegno.errors import WrongAnswer
from dalsegno.graphs.patterns import (
    SagaStep,
    ensemble,
    fallback_chain,
    map_reduce,
    parallel,
    saga,
    supervisor,
)
from dalsegno.nodes.remote import remote
from dalsegno.nodes.remote.clients import close


class Shouting(BaseHTTPRequestHandler):
    """Answers in capitals."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": asked["params"]["text"].upper()}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Shouting) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        close()
        server.shutdown()
        thread.join()


def nothing(state: Any) -> None:
    """Undoes nothing."""


def same(state: Any) -> str:
    return "RAIN"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("make", "given", "key", "expected"),
    [
        (
            lambda agent: parallel({"a": agent("value", "results"), "b": same}),
            {"value": "rain"},
            "results",
            {"a": "RAIN", "b": "RAIN"},
        ),
        (
            lambda agent: ensemble({"a": agent("request", "answers"), "b": same}),
            {"request": "rain"},
            "confidence",
            1.0,
        ),
        (
            lambda agent: saga([SagaStep(agent("request", "results"), compensate=nothing, name="a"), same]),
            {"request": "rain"},
            "results",
            {"a": "RAIN", "same": "RAIN"},
        ),
        (lambda agent: fallback_chain([agent("request", "value")]), {"request": "rain"}, "value", "RAIN"),
        (lambda agent: map_reduce(agent("item", "mapped")), {"items": ["a", "b"]}, "results", ["A", "B"]),
        (
            lambda agent: supervisor(
                lambda s: {"tasks": [] if s["results"] else [{"to": "a", "task": "rain"}]},
                {"a": agent("task", "results"), "b": same},
            ),
            {"request": ""},
            "results",
            [{"number": 1, "to": "a", "task": "rain", "result": "RAIN"}],
        ),
    ],
    ids=["parallel", "ensemble", "saga", "fallback_chain", "map_reduce", "supervisor"],
)
def test_a_remote_agent_plays_a_role(
    url: str, make: Any, given: dict[str, Any], key: str, expected: Any, is_async: bool
) -> None:
    def agent(asked: str, writes: str) -> Any:
        return remote(url, "shout", params={"text": asked}, writes=writes, allow_private=True)

    graph = make(agent).compile()
    output = asyncio.run(graph.ainvoke(given)) if is_async else graph.invoke(given)
    assert output[key] == expected


def test_an_update_that_is_no_mapping_of_answers_by_name_is_refused() -> None:
    flow = parallel({"a": lambda state: {"results": "rain"}, "b": same})
    with pytest.raises(WrongAnswer, match="`results` holds the answers of all by their names"):
        flow.compile().invoke({"value": 1})
