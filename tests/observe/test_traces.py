"""A run, its nodes and their calls are spans of one trace."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.tools import tool
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from dalsegno import END, START, Runner, Workflow
from dalsegno.observe import Traces


class _State(TypedDict):
    x: int


class Recorded:
    """A tracer provider that keeps its spans."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def tree(self) -> list[tuple[str, str | None]]:
        names = {span.context.span_id: span.name for span in self.spans if span.context}
        return sorted((s.name, names.get(s.parent.span_id) if s.parent else None) for s in self.spans)


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def run(
    flow: Workflow, given: dict[str, Any], db: Path, recorded: Recorded, *, content: bool = False, **how: Any
) -> Any:
    with Runner(flow, db=db, on_event=Traces(recorded.provider, content=content)) as runner:
        return runner.run(given, thread="t", **how)


TREE = [
    ("chat scripted-1", "invoke_agent ask"),
    ("chat scripted-1", "invoke_agent ask"),
    ("execute_tool look_up", "invoke_agent ask"),
    ("flaky", "workflow observed"),
    ("flaky", "workflow observed"),
    ("invoke_agent ask", "workflow observed"),
    ("measure", "sub"),
    ("measure", "sub"),
    ("sub", "workflow observed"),
    ("workflow observed", None),
]


def test_spans_lie_within_each_other_as_the_run_does(
    flow: Workflow, given: dict[str, Any], tmp_path: Path, recorded: Recorded
) -> None:
    run(flow, given, tmp_path / "runs.db", recorded)
    assert recorded.tree() == TREE
    assert len({span.context.trace_id for span in recorded.spans if span.context}) == 1
    assert all(
        span.end_time and span.start_time and span.end_time >= span.start_time for span in recorded.spans
    )


def test_it_is_the_same_in_an_event_loop(
    flow: Workflow, given: dict[str, Any], tmp_path: Path, recorded: Recorded
) -> None:
    with Runner(flow, db=tmp_path / "runs.db", on_event=Traces(recorded.provider)) as runner:
        asyncio.run(runner.arun(given, thread="t"))
    assert recorded.tree() == TREE


def test_attributes_follow_the_conventions_for_generative_ai(
    flow: Workflow, given: dict[str, Any], tmp_path: Path, recorded: Recorded
) -> None:
    result = run(flow, given, tmp_path / "runs.db", recorded)
    first = recorded.named("chat scripted-1")[0].attributes or {}
    assert first["gen_ai.operation.name"] == "chat"
    assert first["gen_ai.request.model"] == "scripted-1"
    assert (first["gen_ai.usage.input_tokens"], first["gen_ai.usage.output_tokens"]) == (12, 3)
    agent = recorded.named("invoke_agent ask")[0].attributes or {}
    assert agent["gen_ai.agent.name"] == "ask"
    tool = recorded.named("execute_tool look_up")[0].attributes or {}
    assert tool["gen_ai.tool.name"] == "look_up"
    whole = recorded.named("workflow observed")[0].attributes or {}
    assert whole["gen_ai.conversation.id"] == "t"
    assert whole["dalsegno.run.id"] == result.run_id
    assert whole["dalsegno.run.status"] == "completed"


def test_a_retry_is_an_event_of_the_failed_attempt(
    flow: Workflow, given: dict[str, Any], planted: str, tmp_path: Path, recorded: Recorded
) -> None:
    run(flow, given, tmp_path / "runs.db", recorded)
    failed, done = recorded.named("flaky")
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "refused **********"
    assert [event.name for event in failed.events] == ["retry again"]
    assert done.status.status_code is not StatusCode.ERROR


def test_content_is_written_only_when_asked_for(
    flow: Workflow, given: dict[str, Any], tmp_path: Path, recorded: Recorded
) -> None:
    run(flow, given, tmp_path / "runs.db", recorded)
    assert "clouds" not in "".join(span.to_json() for span in recorded.spans)


def test_content_has_prompts_answers_and_what_tools_were_given(
    flow: Workflow, given: dict[str, Any], planted: str, tmp_path: Path, recorded: Recorded
) -> None:
    run(flow, given, tmp_path / "runs.db", recorded, content=True)
    chat = recorded.named("chat scripted-1")[0].attributes or {}
    assert "What is rain?" in str(chat["gen_ai.input.messages"])
    tool = recorded.named("execute_tool look_up")[0].attributes or {}
    assert tool["gen_ai.tool.call.result"] == '"rain: water from clouds"'
    assert planted not in "".join(span.to_json() for span in recorded.spans)


def test_content_that_json_has_no_notation_for_is_written_all_the_same(
    tmp_path: Path, recorded: Recorded
) -> None:
    @tool
    def look_up(table: dict[Any, Any]) -> str:
        """Look something up."""
        return "found"

    endless: dict[Any, Any] = {(1, 2): "by a pair"}
    endless["itself"] = endless

    def asks(state: _State) -> None:
        for table in ({(1, 2): "by a pair"}, endless):
            look_up.invoke({"table": table})

    flow = Workflow("odd", _State).add_node("a", asks).add_edge(START, "a").add_edge("a", END)
    run(flow, {"x": 1}, tmp_path / "runs.db", recorded, content=True)
    spans = recorded.named("execute_tool look_up")
    given = [str((span.attributes or {})["gen_ai.tool.call.arguments"]) for span in spans]
    assert len(given) == 2
    assert all("by a pair" in each for each in given)


def test_a_nodes_own_spans_lie_within_it_and_the_callers_around_the_run(
    tmp_path: Path, recorded: Recorded
) -> None:
    tracer = recorded.provider.get_tracer("mine")

    def works(state: Any) -> None:
        with tracer.start_as_current_span("inside"):
            pass

    flow = Workflow("spanning", _State).add_node("a", works).add_node("b", works)
    flow.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    with tracer.start_as_current_span("outside") as outside:
        run(flow, {"x": 1}, tmp_path / "runs.db", recorded)
        assert trace.get_current_span() is outside
    assert recorded.tree() == [
        ("a", "workflow spanning"),
        ("b", "workflow spanning"),
        ("inside", "a"),
        ("inside", "b"),
        ("outside", None),
        ("workflow spanning", "outside"),
    ]


def test_a_failed_run_is_an_error_and_leaves_no_span_open(tmp_path: Path, recorded: Recorded) -> None:
    def fails(state: Any) -> None:
        raise ValueError("no")

    flow = Workflow("failing", _State).add_node("a", fails).add_edge(START, "a").add_edge("a", END)
    run(flow, {"x": 1}, tmp_path / "runs.db", recorded)
    (whole,) = recorded.named("workflow failing")
    assert whole.status.status_code is StatusCode.ERROR
    assert (whole.attributes or {})["error.type"] == "ValueError"
    assert recorded.tree() == [("a", "workflow failing"), ("workflow failing", None)]


def test_a_span_has_the_whole_name_of_a_node_whose_name_has_a_slash(
    tmp_path: Path, recorded: Recorded
) -> None:
    inner = Workflow("inner", _State).add_node("read/write", lambda s: {"x": 2}).add_edge(START, "read/write")
    flow = Workflow("slashes", _State).add_node("in/out", inner).add_edge(START, "in/out")
    run(flow.add_edge("in/out", END), {"x": 1}, tmp_path / "runs.db", recorded)
    assert recorded.tree() == [
        ("in/out", "workflow slashes"),
        ("read/write", "in/out"),
        ("workflow slashes", None),
    ]
    assert (recorded.named("read/write")[0].attributes or {})["dalsegno.node"] == "in/out/read/write"
