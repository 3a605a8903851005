"""Prometheus: counters, histograms and gauges of runs, nodes, policies, models and commits."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dalsegno.observe.bounded import Labels
from dalsegno.observe.extras import wanted
from dalsegno.runtime.events import (
    CallFinished,
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
    from dalsegno.checkpoints import Checkpointer

_LONG = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)
_SHORT = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)


class Prometheus:
    """A listener that counts what happens in runs, for Prometheus.

    Parameters
    ----------
    registry
        Where the metrics are kept; prometheus_client's own unless given. Two of these listeners need two registries.
    most_labels
        How many different workflows, nodes, models, tools and breakers are told apart; what comes beyond is
        counted as ``"other"``.

    Metrics
    -------
    ``workflow_executions_total{workflow,status}``, ``workflow_execution_duration_seconds{workflow}`` (of one process's
    turn at a run) and ``workflow_active_executions{workflow}``;
    ``dalsegno_node_executions_total{workflow,node,status}``, ``dalsegno_node_duration_seconds{workflow,node}``;
    ``dalsegno_policy_actions_total{workflow,node,policy,action}`` (retries, timeouts, budgets, caches, …),
    ``dalsegno_breaker_open{breaker}``; ``dalsegno_model_calls_total{workflow,model,status}``,
    ``dalsegno_model_call_duration_seconds{workflow,model}``, ``dalsegno_tokens_total{workflow,model,direction}``,
    ``dalsegno_tool_calls_total{workflow,tool,status}``; ``dalsegno_checkpoint_commits_total`` of what is given to
    `watch`.

    Raises
    ------
    MissingExtra
        prometheus_client is not installed.
    """

    def __init__(self, registry: Any = None, *, most_labels: int = 200) -> None:
        client = wanted("prometheus_client", by="Prometheus", extra="prometheus")
        self.registry = registry if registry is not None else client.REGISTRY
        self._labels = Labels(most_labels)
        self._lock = threading.Lock()
        self._workflows: dict[str, str] = {}

        def counter(name: str, text: str, *labels: str) -> Any:
            return client.Counter(name, text, labels, registry=self.registry)

        def histogram(name: str, text: str, buckets: Iterable[float], *labels: str) -> Any:
            return client.Histogram(name, text, labels, buckets=tuple(buckets), registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Any:
            return client.Gauge(name, text, labels, registry=self.registry)

        self._runs = counter("workflow_executions_total", "Runs that ended or paused.", "workflow", "status")
        self._run_seconds = histogram(
            "workflow_execution_duration_seconds", "How long a turn at a run took.", _LONG, "workflow"
        )
        self._active = gauge("workflow_active_executions", "Runs that go on in this process.", "workflow")
        self._nodes = counter(
            "dalsegno_node_executions_total", "Attempts of nodes.", "workflow", "node", "status"
        )
        self._node_seconds = histogram(
            "dalsegno_node_duration_seconds",
            "How long an attempt of a node took.",
            _SHORT,
            "workflow",
            "node",
        )
        self._policies = counter(
            "dalsegno_policy_actions_total", "What policies did.", "workflow", "node", "policy", "action"
        )
        self._breakers = gauge("dalsegno_breaker_open", "1 while a circuit breaker is open.", "breaker")
        self._models = counter(
            "dalsegno_model_calls_total", "Calls of models.", "workflow", "model", "status"
        )
        self._model_seconds = histogram(
            "dalsegno_model_call_duration_seconds", "How long a model took.", _SHORT, "workflow", "model"
        )
        self._tokens = counter("dalsegno_tokens_total", "Tokens of models.", "workflow", "model", "direction")
        self._tools = counter("dalsegno_tool_calls_total", "Calls of tools.", "workflow", "tool", "status")
        self._commits = counter("dalsegno_checkpoint_commits_total", "Commits of checkpoints and ledger.")

    def watch(self, checkpointer: Checkpointer) -> None:
        """Count the commits of a checkpointer as well."""
        checkpointer.database.on_commit.append(lambda _: self._commits.inc())

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                workflow = self._labels.of("workflow", event.workflow)
                with self._lock:
                    self._workflows[event.run_id] = workflow
                self._active.labels(workflow).inc()
            case RunFinished():
                with self._lock:
                    workflow = self._workflows.pop(event.run_id, event.workflow)
                self._active.labels(workflow).dec()
                self._runs.labels(workflow, event.status).inc()
                self._run_seconds.labels(workflow).observe(event.seconds)
            case NodeFinished() | NodeFailed() | NodeInterrupted():
                self._node(event)
            case CallFinished():
                self._call(event)
            case PolicyActed():
                self._policy(event)

    def _of(self, event: Event) -> str:
        return self._workflows.get(event.run_id, "other")

    def _node(self, event: NodeStarted) -> None:
        workflow, node = self._of(event), self._labels.of("node", event.node)
        status = (
            "done"
            if isinstance(event, NodeFinished)
            else "failed"
            if isinstance(event, NodeFailed)
            else "interrupted"
        )
        self._nodes.labels(workflow, node, status).inc()
        self._node_seconds.labels(workflow, node).observe(getattr(event, "seconds", 0.0))

    def _call(self, event: CallFinished) -> None:
        workflow, name = self._of(event), self._labels.of(event.kind, event.name)
        status = "interrupted" if event.interrupted else "failed" if event.error else "done"
        if event.kind == "tool":
            self._tools.labels(workflow, name, status).inc()
            return
        self._models.labels(workflow, name, status).inc()
        self._model_seconds.labels(workflow, name).observe(event.seconds)
        self._tokens.labels(workflow, name, "input").inc(event.input_tokens)
        self._tokens.labels(workflow, name, "output").inc(event.output_tokens)

    def _policy(self, event: PolicyActed) -> None:
        node = self._labels.of("node", event.node)
        self._policies.labels(self._of(event), node, event.policy, event.what).inc()
        if event.policy == "breaker" and event.what in ("opened", "closed"):
            breaker = self._labels.of("breaker", str(event.detail.get("breaker", event.node)))
            self._breakers.labels(breaker).set(event.what == "opened")
