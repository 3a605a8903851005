"""A remote agent goes on with the trace of the node that asks it, and sees no secret."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dalsegno import END, START, Runner, Secret, Workflow
from dalsegno.nodes.remote import remote
from dalsegno.observe import Traces


class Question(TypedDict):
    question: str
    key: Annotated[str, Secret]


class State(Question, total=False):
    answer: str


class Agent:
    """A JSON-RPC agent that makes a span of each request, as an instrumented one does."""

    def __init__(self, tracer: Any) -> None:
        self.requests: list[str] = []
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                agent.requests.append(f"{self.headers}{body.decode()}")
                with tracer.start_as_current_span("answering", context=extract(dict(self.headers.items()))):
                    answer = {"jsonrpc": "2.0", "id": json.loads(body)["id"], "result": "water"}
                sent = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


@pytest.fixture
def elsewhere(provider: TracerProvider) -> Iterator[Agent]:
    agent = Agent(provider.get_tracer("elsewhere"))
    yield agent
    agent.close()


def test_the_agents_span_lies_within_the_nodes(
    elsewhere: Agent, provider: TracerProvider, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    asks = remote(elsewhere.url, "answer", params={"q": "question"}, writes="answer", allow_private=True)
    flow = Workflow("asking", State, input_schema=Question).add_node("ask", asks)
    flow.add_edge(START, "ask").add_edge("ask", END)
    with Runner(flow, db=tmp_path / "runs.db", on_event=Traces(provider)) as runner:
        result = runner.run({"question": "What is rain?", "key": "planted-9"})
    assert result.error is None
    assert result.output["answer"] == "water"
    by_name = {span.name: span for span in spans.get_finished_spans()}
    inner, outer = by_name["answering"], by_name["invoke_agent ask"]
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert inner.parent.trace_id == outer.context.trace_id
    everything = "".join(elsewhere.requests) + "".join(span.to_json() for span in spans.get_finished_spans())
    assert "planted-9" not in everything
