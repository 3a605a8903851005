"""OpenTelemetry spans: a run, its nodes, and the models and tools that they call."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dalsegno.nodes.paths import name_of
from dalsegno.observe import conventions as names
from dalsegno.observe.extras import wanted
from dalsegno.runtime.events import (
    CallFinished,
    CallStarted,
    Event,
    NodeFailed,
    NodeFinished,
    NodeInterrupted,
    NodeStarted,
    PolicyActed,
    RunFinished,
    RunStarted,
)

Key = tuple[Any, ...]


class Traces:
    """A listener that makes a span of each run, node, model call and tool call.

    Parameters
    ----------
    tracer_provider
        OpenTelemetry's; the global one unless given.
    content
        Whether prompts, answers, and the arguments and results of tools are written too. They are not, unless asked
        for; secrets are masked even then.

    A node's span is the current one while the node runs: spans that it makes itself lie within it, and a remote agent
    that is called from it goes on with the same trace. A run that is resumed is a span of its own, found by
    ``dalsegno.run.id``. What a policy does is an event of the node's span.

    Raises
    ------
    MissingExtra
        OpenTelemetry is not installed.
    """

    def __init__(self, tracer_provider: Any = None, *, content: bool = False) -> None:
        self._trace = wanted("opentelemetry.trace", by="Traces", extra="otel")
        self._context = wanted("opentelemetry.context", by="Traces", extra="otel")
        # Remote nodes pass the trace on where it is.
        wanted("opentelemetry.propagate", by="Traces", extra="otel")
        self._tracer = self._trace.get_tracer("dalsegno", tracer_provider=tracer_provider)
        self._content = content
        # Each of these is changed in one step, which no other thread can come into.
        self._runs: dict[str, tuple[Any, Any]] = {}
        """The spans of the runs that go on, each with a context that it is current in."""
        self._nodes: dict[Key, tuple[Any, Any]] = {}
        """The spans of the nodes that run, each with the context around it."""
        self._current: dict[int, str] = {}
        """Of which run a node's span is, by its identity."""
        self._calls: dict[str, Any] = {}
        self._what: dict[type[Event], Callable[[Any], None]] = {
            RunStarted: self._run_started,
            RunFinished: self._run_finished,
            NodeStarted: self._node_started,
            NodeFinished: self._node_ended,
            NodeFailed: self._node_ended,
            NodeInterrupted: self._node_ended,
            CallStarted: self._call_started,
            CallFinished: self._call_finished,
            PolicyActed: self._policy_acted,
        }

    def __call__(self, event: Event) -> None:
        what = self._what.get(type(event))
        if what is not None:
            what(event)

    def _run_started(self, event: RunStarted) -> None:
        span = self._tracer.start_span(
            f"workflow {event.workflow}",
            start_time=_nanoseconds(event.at),
            attributes={
                names.WORKFLOW: event.workflow,
                names.RUN: event.run_id,
                names.CONVERSATION: event.thread,
                names.RESUMED: event.resumed,
            },
        )
        self._runs[event.run_id] = span, self._trace.set_span_in_context(span)

    def _run_finished(self, event: RunFinished) -> None:
        span, _ = self._runs.pop(event.run_id, (None, None))
        for key in list(self._nodes):
            if key[0] == event.run_id:  # given up: an abandoned thread, or a sibling of what failed
                node, _ = self._nodes.pop(key, (None, None))
                self._current.pop(id(node), None)
                if node is not None:
                    node.end()
        if span is None:
            return
        span.set_attribute(names.STATUS, event.status)
        if event.status == "failed" and event.error:
            self._failed(span, event.error["type"], event.error["message"])
        span.end(_nanoseconds(event.at))

    def _node_started(self, event: NodeStarted) -> None:
        name = name_of(event.place)
        attributes: dict[str, Any] = {
            names.NODE: event.node,
            names.KIND: event.kind,
            names.RUN: event.run_id,
            names.SUPERSTEP: event.superstep,
            names.OCCURRENCE: str(event.occurrence),
            names.ATTEMPT: event.attempt,
        }
        if event.index is not None:
            attributes[names.INDEX] = event.index
        if event.kind in names.OPERATIONS:
            attributes[names.OPERATION] = names.OPERATIONS[event.kind]
            attributes[names.TOOL if event.kind == "tool" else names.AGENT] = name
        before = self._context.get_current()
        span = self._tracer.start_span(
            names.span_name(event.kind, name),
            context=self._around(event.run_id, before),
            start_time=_nanoseconds(event.at),
            attributes=attributes,
        )
        self._nodes[_key(event)] = span, before
        self._current[id(span)] = event.run_id
        self._context.attach(self._trace.set_span_in_context(span, before))

    def _node_ended(self, event: NodeFinished | NodeFailed | NodeInterrupted) -> None:
        span, before = self._nodes.pop(_key(event), (None, None))
        self._current.pop(id(span), None)
        if span is None:
            return
        if self._trace.get_current_span() is span:
            self._context.attach(before)
        if isinstance(event, NodeFailed):
            self._failed(span, type(event.error).__name__, event.message)
        elif isinstance(event, NodeInterrupted):
            span.add_event("waits for a human")
        else:
            span.set_attribute(names.TAKEN, [taken.target for taken in event.taken])
        span.end(_nanoseconds(event.at))

    def _call_started(self, event: CallStarted) -> None:
        attributes: dict[str, Any] = {names.OPERATION: names.OPERATIONS[event.kind], names.NODE: event.node}
        attributes[names.REQUEST_MODEL if event.kind == "model" else names.TOOL] = event.name
        if event.provider:
            attributes[names.PROVIDER] = event.provider
        if self._content:
            key = names.INPUT if event.kind == "model" else names.TOOL_INPUT
            attributes[key] = json.dumps(event.content(), ensure_ascii=False, default=str)
        span = self._tracer.start_span(
            names.span_name(event.kind, event.name),
            context=self._around(event.run_id, self._context.get_current()),
            kind=self._trace.SpanKind.CLIENT if event.kind == "model" else self._trace.SpanKind.INTERNAL,
            start_time=_nanoseconds(event.at),
            attributes=attributes,
        )
        self._calls[event.call_id] = span

    def _call_finished(self, event: CallFinished) -> None:
        span = self._calls.pop(event.call_id, None)
        if span is None:
            return
        if event.kind == "model":
            span.set_attribute(names.RESPONSE_MODEL, event.name)
            if event.input_tokens or event.output_tokens:
                span.set_attribute(names.INPUT_TOKENS, event.input_tokens)
                span.set_attribute(names.OUTPUT_TOKENS, event.output_tokens)
        if event.error is not None:
            self._failed(span, event.error, event.content() if self._content else None)
        elif self._content:
            key = names.OUTPUT if event.kind == "model" else names.TOOL_OUTPUT
            span.set_attribute(key, json.dumps(event.content(), ensure_ascii=False, default=str))
        span.end(_nanoseconds(event.at))

    def _policy_acted(self, event: PolicyActed) -> None:
        span, _ = self._nodes.get(_key(event), (None, None))
        if span is not None:
            detail = {f"{names.POLICY}.{key}": _simple(value) for key, value in event.detail.items()}
            span.add_event(
                f"{event.policy} {event.what}",
                {names.POLICY: event.policy, names.ACTION: event.what, **detail},
                _nanoseconds(event.at),
            )

    def _around(self, run_id: str, here: Any) -> Any:
        """The context of a new span: within the node that is running `here`, else within the run."""
        if self._current.get(id(self._trace.get_current_span(here))) == run_id:
            return here
        return self._runs.get(run_id, (None, here))[1]

    def _failed(self, span: Any, kind: str, message: str | None) -> None:
        span.set_attribute(names.ERROR, kind)
        span.set_status(self._trace.StatusCode.ERROR, message)


def _key(event: NodeStarted | PolicyActed) -> Key:
    return event.run_id, event.path, event.occurrence, event.index


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _simple(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float) else str(value)
