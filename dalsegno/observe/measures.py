"""OpenTelemetry metrics: durations, token usage and what policies do."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from dalsegno.nodes.living import Living
from dalsegno.observe import conventions as names
from dalsegno.observe.bounded import OTHER, Labels
from dalsegno.observe.extras import wanted
from dalsegno.runtime.events import (
    CallFinished,
    Event,
    NodeFailed,
    NodeFinished,
    NodeInterrupted,
    PolicyActed,
    RunFinished,
    RunStarted,
)

MOST_WAITING = 500
"""Nodes whose durations may wait to be recorded: one that is recorded while a run goes on costs it three times as much
as among others of its kind."""


class Measures:
    """A listener that records OpenTelemetry metrics.

    Parameters
    ----------
    meter_provider
        OpenTelemetry's; the global one unless given.
    most_labels
        How many different names an attribute takes; what comes beyond is recorded as ``"other"``.

    ``gen_ai.client.operation.duration`` and ``gen_ai.client.token.usage`` as the conventions have them;
    ``dalsegno.workflow.duration`` (seconds, by workflow and status), ``dalsegno.workflow.active``,
    ``dalsegno.node.duration`` (seconds, by workflow, node and kind, with the error where there was one) and
    ``dalsegno.policy.actions``. Durations of nodes are recorded when somebody collects the metrics, when a run ends,
    and whenever five hundred of them wait.

    Raises
    ------
    MissingExtra
        OpenTelemetry is not installed.
    """

    def __init__(self, meter_provider: Any = None, *, most_labels: int = 200) -> None:
        metrics = wanted("opentelemetry.metrics", by="Measures", extra="otel")
        self._here = wanted("opentelemetry.context", by="Measures", extra="otel").get_current
        meter = metrics.get_meter("dalsegno", meter_provider=meter_provider)
        self._labels = Labels(most_labels)
        self._lock = threading.Lock()
        self._workflows: dict[str, str] = {}
        self._waiting: deque[tuple[float, str, str, str, str | None, Any]] = deque()

        def seconds(name: str, text: str) -> Any:
            advice = list(names.SECOND_BUCKETS)
            return meter.create_histogram(
                name, unit="s", description=text, explicit_bucket_boundaries_advisory=advice
            )

        self._runs = seconds("dalsegno.workflow.duration", "How long a turn at a run took.")
        self._active = meter.create_up_down_counter(
            "dalsegno.workflow.active", unit="{run}", description="Runs that go on in this process."
        )
        self._nodes = seconds("dalsegno.node.duration", "How long an attempt of a node took.")
        self._calls = seconds("gen_ai.client.operation.duration", "How long a model or a tool took.")
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of a model call.",
            explicit_bucket_boundaries_advisory=list(names.TOKEN_BUCKETS),
        )
        self._policies = meter.create_counter(
            "dalsegno.policy.actions", unit="{action}", description="What policies did."
        )
        # Tells nothing itself: it is asked before the metrics are collected.
        meter.create_observable_gauge("dalsegno.collected", callbacks=[_collected])
        _LIVING.add(self)

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                workflow = self._labels.of("workflow", event.workflow)
                with self._lock:
                    self._workflows[event.run_id] = workflow
                self._active.add(1, {names.WORKFLOW: workflow})
            case RunFinished():
                self.record_waiting()
                with self._lock:
                    workflow = self._workflows.pop(event.run_id, event.workflow)
                self._active.add(-1, {names.WORKFLOW: workflow})
                self._runs.record(event.seconds, {names.WORKFLOW: workflow, names.STATUS: event.status})
            case NodeFinished() | NodeFailed() | NodeInterrupted():
                self._node(event)
            case CallFinished():
                self._call(event)
            case PolicyActed():
                self._policies.add(
                    1,
                    {
                        **self._about(event, event.node),
                        names.POLICY: event.policy,
                        names.ACTION: event.what,
                    },
                )

    def _about(self, event: Event, node: str) -> dict[str, Any]:
        workflow = self._workflows.get(event.run_id, "other")
        return {names.WORKFLOW: workflow, names.NODE: self._labels.of("node", node)}

    def _node(self, event: NodeFinished | NodeFailed | NodeInterrupted) -> None:
        workflow = self._workflows.get(event.run_id, OTHER)
        error = type(event.error).__name__ if isinstance(event, NodeFailed) else None
        self._waiting.append((event.seconds, workflow, event.node, event.kind, error, self._here()))
        if len(self._waiting) >= MOST_WAITING:
            self.record_waiting()

    def record_waiting(self) -> None:
        """Record the durations of nodes that wait for it."""
        while True:
            try:
                seconds, workflow, node, kind, error, here = self._waiting.popleft()
            except IndexError:  # also where another thread was quicker
                return
            about = {
                names.WORKFLOW: workflow,
                names.NODE: self._labels.of("node", node),
                names.KIND: kind,
            }
            if error is not None:
                about[names.ERROR] = self._labels.of("error", error)
            self._nodes.record(seconds, about, here)

    def _call(self, event: CallFinished) -> None:
        name = self._labels.of(event.kind, event.name)
        about: dict[str, Any] = {names.OPERATION: names.OPERATIONS[event.kind]}
        about[names.REQUEST_MODEL if event.kind == "model" else names.TOOL] = name
        if event.provider:
            about[names.PROVIDER] = self._labels.of("provider", event.provider)
        if event.kind == "model" and not event.error:
            for direction, count in (("input", event.input_tokens), ("output", event.output_tokens)):
                if count:
                    self._tokens.record(count, {**about, names.TOKEN_TYPE: direction})
        if event.error:
            about[names.ERROR] = self._labels.of("error", event.error)
        self._calls.record(event.seconds, about)


_LIVING: Living[Measures] = Living()
"""All of them: a meter keeps only the first callback of a name."""


def _collected(options: Any) -> Iterable[Any]:
    for measures in _LIVING:
        measures.record_waiting()
    return ()
