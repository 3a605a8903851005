"""OpenTelemetry spans: a run, its nodes, and the models and tools that they call."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from dalsegno.nodes.forking import in_forked_child
from dalsegno.nodes.living import Living
from dalsegno.nodes.paths import name_of
from dalsegno.observe import conventions as names
from dalsegno.observe.extras import wanted
from dalsegno.observe.plain import plain
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

if TYPE_CHECKING:
    from dalsegno.observe.late import LateSpan

Key = tuple[Any, ...]

MOST_WAITING = 64
"""Nodes that have ended whose spans may wait to be made."""

LONGEST = 1.0
"""Seconds that they may wait."""


class _Run(NamedTuple):
    """The span of a run, the context that it began in, and one that has it as the current span."""

    span: Any
    before: Any
    inside: Any


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
    ``dalsegno.run.id``. What a policy does is an event of the node's span. A span that nobody asked for while its node
    ran is handed to the provider when its run ends, at most a second after the node.

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
        self._late = importlib.import_module("dalsegno.observe.late").LateSpan
        self._tracer = self._trace.get_tracer("dalsegno", tracer_provider=tracer_provider)
        self._content = content
        # Each of these is changed in one step, which no other thread can come into.
        self._runs: dict[str, _Run] = {}
        """The spans of the runs that go on."""
        self._nodes: dict[Key, LateSpan] = {}
        """The spans of the nodes that run."""
        self._waiting: dict[LateSpan, None] = {}
        """The spans of nodes that have ended, in the order of their ends; each until it is made."""
        self._is_due = False
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

        _LIVING.add(self)

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
        here = self._context.get_current()
        self._runs[event.run_id] = _Run(span, here, self._trace.set_span_in_context(span))

    def _run_finished(self, event: RunFinished) -> None:
        self.record_waiting()
        run = self._runs.pop(event.run_id, None)
        for key in list(self._nodes):
            if key[0] == event.run_id:  # given up: an abandoned thread, or a sibling of what failed
                node = self._nodes.pop(key, None)
                if node is not None:
                    node.end()
        if run is None:
            return
        run.span.set_attribute(names.STATUS, event.status)
        if event.status == "failed" and event.error:
            self._failed(run.span, event.error["type"], event.error["message"])
        run.span.end(_nanoseconds(event.at))

    def _node_started(self, event: NodeStarted) -> None:
        here = self._context.get_current()
        run = self._runs.get(event.run_id)
        # Most nodes begin where their run did.
        around = run.inside if run is not None and run.before is here else self._around(event.run_id, here)
        span = self._nodes[_key(event)] = self._late(event, here, around, self._made)
        self._context.attach(span.inside)

    def _made(self, late: LateSpan) -> Any:
        """The span of a node, ended where the node has."""
        event, ended = late.started, late.ended
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
        if ended is not None:
            attributes[names.TAKEN] = [taken.target for taken in ended.taken]
        span = self._tracer.start_span(
            names.span_name(event.kind, name),
            context=late.around,
            start_time=_nanoseconds(event.at),
            attributes=attributes,
        )
        if ended is not None:
            span.end(_nanoseconds(ended.at))
        return span

    def _node_ended(self, event: NodeFinished | NodeFailed | NodeInterrupted) -> None:
        span = self._nodes.pop(_key(event), None)
        if span is None:
            return
        here = self._context.get_current()
        if here is span.inside or self._trace.get_current_span(here) is span:
            self._context.attach(span.before)
        if isinstance(event, NodeFinished):
            if span.end_later(event):
                self._wait(span)
                return
            span.set_attribute(names.TAKEN, [taken.target for taken in event.taken])
        elif isinstance(event, NodeFailed):
            self._failed(span, type(event.error).__name__, event.message)
        else:
            span.add_event("waits for a human")
        span.end(_nanoseconds(event.at))

    def _wait(self, span: LateSpan) -> None:
        self._waiting[span] = None
        if len(self._waiting) >= MOST_WAITING:
            self.record_waiting()
        elif not self._is_due:
            self._is_due = True
            timer = threading.Timer(LONGEST, self._due)
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError:  # no more threads
                self._due()

    def _due(self) -> None:
        self._is_due = False
        self.record_waiting()

    def record_waiting(self) -> None:
        """Make the spans of nodes that have ended, and hand them on."""
        for span in list(self._waiting):
            span.made()  # where another thread is at it, when that is done
            self._waiting.pop(span, None)

    def forget_waiting(self) -> None:
        """In a forked child: the spans that wait are the parent's to make."""
        self._waiting = {}
        self._is_due = False

    def _call_started(self, event: CallStarted) -> None:
        attributes: dict[str, Any] = {names.OPERATION: names.OPERATIONS[event.kind], names.NODE: event.node}
        attributes[names.REQUEST_MODEL if event.kind == "model" else names.TOOL] = event.name
        if event.provider:
            attributes[names.PROVIDER] = event.provider
        if self._content:
            key = names.INPUT if event.kind == "model" else names.TOOL_INPUT
            attributes[key] = _json(event.content())
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
        if event.interrupted:
            span.add_event("waits for a human")
        elif event.error is not None:
            self._failed(span, event.error, event.content() if self._content else None)
        elif self._content:
            key = names.OUTPUT if event.kind == "model" else names.TOOL_OUTPUT
            span.set_attribute(key, _json(event.content()))
        span.end(_nanoseconds(event.at))

    def _policy_acted(self, event: PolicyActed) -> None:
        span = self._nodes.get(_key(event))
        if span is not None:
            detail = {f"{names.POLICY}.{key}": _simple(value) for key, value in event.detail.items()}
            span.add_event(
                f"{event.policy} {event.what}",
                {names.POLICY: event.policy, names.ACTION: event.what, **detail},
                _nanoseconds(event.at),
            )

    def _around(self, run_id: str, here: Any) -> Any:
        """The context of a new span: within the node that is running `here`, else within the run."""
        span = self._trace.get_current_span(here)
        if isinstance(span, self._late) and self._is_running(span, run_id):
            return here
        run = self._runs.get(run_id)
        return here if run is None else run.inside

    def _is_running(self, span: LateSpan, run_id: str) -> bool:
        return span.started.run_id == run_id and self._nodes.get(_key(span.started)) is span

    def _failed(self, span: Any, kind: str, message: str | None) -> None:
        span.set_attribute(names.ERROR, kind)
        span.set_status(self._trace.StatusCode.ERROR, message)


def _key(event: NodeStarted | PolicyActed) -> Key:
    return event.run_id, event.path, event.occurrence, event.index


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _json(content: Any) -> str:
    """What is written of a call's content; a tool takes what JSON has no notation for, as names that are no texts."""
    try:
        return json.dumps(content, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(plain(content), ensure_ascii=False)


def _simple(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float) else str(value)


_LIVING: Living[Traces] = Living()


@in_forked_child
def _forget_in_child() -> None:
    for traces in _LIVING:
        traces.forget_waiting()
