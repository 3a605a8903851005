"""The span of a node is made when it is asked for, or else soon after the node has ended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dalsegno import END, START, Runner, Workflow
from dalsegno.observe import Traces
from dalsegno.observe.traces import MOST_WAITING


class _State(TypedDict, total=False):
    x: int


class Exported:
    """What a provider has exported."""

    def __init__(self, *processors: SpanProcessor) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        for processor in (*processors, SimpleSpanProcessor(self._exporter)):
            self.provider.add_span_processor(processor)

    @property
    def names(self) -> list[str]:
        return [span.name for span in self._exporter.get_finished_spans()]

    def named(self, name: str) -> ReadableSpan:
        (found,) = (span for span in self._exporter.get_finished_spans() if span.name == name)
        return found

    def run(self, folder: Path, *nodes: Callable[[Any], Any]) -> None:
        flow, before = Workflow("late", _State), START
        for number, node in enumerate(nodes):
            flow.add_node(f"n{number}", node).add_edge(before, before := f"n{number}")
        flow.add_edge(before, END)
        with Runner(flow, db=folder / "runs.db", on_event=Traces(self.provider)) as runner:
            assert runner.run({"x": 1}).status == "completed"


def nothing(state: Any) -> None:
    """A node that asks for nothing."""


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < limit
        threading.Event().wait(0.01)


def test_what_a_node_does_with_its_span_is_in_it(tmp_path: Path) -> None:
    exported = Exported()
    seen = []

    def asks(state: Any) -> None:
        span: Any = trace.get_current_span()
        assert span.is_recording()
        span.set_attribute("mine", 1)
        span.set_attributes({"yours": 2})
        span.add_event("happened", {"what": "rain"})
        span.add_link(trace.SpanContext(1, 2, is_remote=True))
        span.record_exception(ValueError("no"))
        span.set_status(trace.StatusCode.OK)
        span.update_name("renamed")
        seen.append((span.get_span_context(), span.start_time, dict(span.attributes)))

    exported.run(tmp_path, asks)
    span = exported.named("renamed")
    ((context, began, attributes),) = seen
    assert span.context == context
    assert span.start_time == began
    assert attributes["dalsegno.node"] == "n0"
    assert dict(span.attributes or {}) == {**attributes, "dalsegno.taken": ("__end__",)}
    assert [event.name for event in span.events] == ["happened", "exception"]
    assert len(span.links) == 1
    assert span.status.status_code is trace.StatusCode.OK


def test_a_span_that_nobody_asked_for_says_the_same(tmp_path: Path) -> None:
    exported = Exported()
    exported.run(tmp_path, nothing, lambda state: trace.get_current_span().get_span_context() and None)
    late, asked = exported.named("n0"), exported.named("n1")
    assert (late.attributes or {}).keys() == (asked.attributes or {}).keys()
    assert (late.attributes or {})["dalsegno.taken"] == ("n1",)
    assert late.parent == asked.parent is not None
    times = [late.start_time, late.end_time, asked.start_time, asked.end_time]
    assert times == sorted(time or 0 for time in times)


def test_it_is_handed_on_while_the_next_node_takes_its_time(tmp_path: Path) -> None:
    exported = Exported()
    exported.run(tmp_path, nothing, lambda state: until(lambda: "n0" in exported.names))


def test_many_of_them_do_not_wait(tmp_path: Path) -> None:
    exported, seen = Exported(), []
    exported.run(tmp_path, *[nothing] * (2 * MOST_WAITING), lambda state: seen.extend(exported.names))
    assert len(seen) >= MOST_WAITING
    assert exported.names == [*(f"n{number}" for number in range(2 * MOST_WAITING + 1)), "workflow late"]


def test_threads_that_ask_at_once_find_one_span(tmp_path: Path) -> None:
    exported = Exported()
    found = []

    def asks(state: Any) -> None:
        span, at_once = trace.get_current_span(), threading.Barrier(4)

        def ask() -> None:
            at_once.wait()
            found.append(span.get_span_context().span_id)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    exported.run(tmp_path, asks)
    context = exported.named("n0").context
    assert context is not None
    assert found == [context.span_id] * 4


def test_a_span_that_is_asked_for_after_its_node_has_ended_is_the_one_that_is_exported(
    tmp_path: Path,
) -> None:
    exported = Exported()
    kept: list[trace.Span] = []
    seen = []

    def later(state: Any) -> None:
        seen.append(kept[0].get_span_context())

    exported.run(tmp_path, lambda state: kept.append(trace.get_current_span()), later)
    assert exported.named("n0").context == seen[0]
    assert not kept[0].is_recording()


def test_a_processor_that_looks_at_the_current_span_is_no_endless_loop(tmp_path: Path) -> None:
    class Looks(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            span.set_attribute("around", trace.get_current_span().get_span_context().is_valid)

    exported = Exported(Looks())
    exported.run(tmp_path, lambda state: trace.get_current_span().set_attribute("mine", 1))
    assert (exported.named("n0").attributes or {})["mine"] == 1


def test_a_run_waits_for_the_spans_that_another_thread_hands_on(tmp_path: Path) -> None:
    class Slow(SpanProcessor):
        def on_end(self, span: Any) -> None:
            if span.name == "n0":
                at_it.set()
                assert finishing.wait(60)
                threading.Event().wait(0.05)  # in which a run that does not wait for it ends

    at_it, finishing = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []
    exported = Exported(Slow())
    traces = Traces(exported.provider)

    def last(state: Any) -> None:
        threads.append(threading.Thread(target=traces.record_waiting))
        threads[0].start()
        assert at_it.wait(60)
        finishing.set()

    flow = Workflow("late", _State).add_node("n0", nothing).add_node("n1", last)
    flow.add_edge(START, "n0").add_edge("n0", "n1").add_edge("n1", END)
    with Runner(flow, db=tmp_path / "runs.db", on_event=traces) as runner:
        runner.run({"x": 1})
    names = exported.names
    threads[0].join()
    assert sorted(names) == ["n0", "n1", "workflow late"]


def test_a_forked_child_leaves_its_parents_spans_to_it(tmp_path: Path) -> None:
    exported = Exported()
    traces = Traces(exported.provider)
    seen: list[int] = []

    def forks(state: Any) -> None:
        child = os.fork()
        if not child:
            before = len(exported.names)
            traces.record_waiting()
            os._exit(len(exported.names) - before)
        seen.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    flow = Workflow("late", _State).add_node("n0", nothing).add_node("n1", forks)
    flow.add_edge(START, "n0").add_edge("n0", "n1").add_edge("n1", END)
    with Runner(flow, db=tmp_path / "runs.db", on_event=traces) as runner:
        assert runner.run({"x": 1}).status == "completed"
    assert seen == [0]
    assert exported.names == ["n0", "n1", "workflow late"]
