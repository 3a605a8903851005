"""A node's span, made when somebody asks for it, or some time after the node has ended.

To make a span of OpenTelemetry's SDK in the middle of a run takes twice as long as to make it among others of its
kind. Nobody sees one before it ends, unless it is asked: by what the node does, by a span or a call within it, or by a
log that names its trace. Then it is made at once, with the time at which the node began.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanContext, set_span_in_context

from dalsegno.runtime.events import NodeFinished, NodeStarted


class LateSpan(Span):
    """The span of a node that began with `started`; `before` is the context that it began in,
    `around` the one that its span lies in, and `inside` has it as the current one.

    `make` starts the span itself, and ends it where `ended` says how. All else is what that span does. It may be used
    from any thread.
    """

    def __init__(
        self, started: NodeStarted, before: Context, around: Context, make: Callable[[LateSpan], Span]
    ) -> None:
        self.started = started
        self.before = before
        self.around = around
        self.inside = set_span_in_context(self, before)
        self.ended: NodeFinished | None = None
        self._make = make
        self._made: Span | None = None
        self._lock = threading.RLock()

    def made(self) -> Span:
        """The span itself."""
        with self._lock:
            if self._made is None:
                self._made = INVALID_SPAN  # what a processor finds that asks for it while it is made
                self._made = self._make(self)
            return self._made

    def end_later(self, event: NodeFinished) -> bool:
        """The node has ended; whether the span is still to be made, then or later."""
        with self._lock:
            self.ended = event
            return self._made is None

    def get_span_context(self) -> SpanContext:
        return self.made().get_span_context()

    def is_recording(self) -> bool:
        return self.made().is_recording()

    def end(self, end_time: int | None = None) -> None:
        self.made().end(end_time)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        self.made().set_attributes(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        self.made().set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        self.made().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        self.made().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        self.made().update_name(name)

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.made().set_status(status, description)

    def record_exception(self, exception: BaseException, *args: Any, **kwargs: Any) -> None:
        self.made().record_exception(exception, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.made(), name)
