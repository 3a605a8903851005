"""What the ledger knows, as metrics: for `dalsegno runs --metrics` and collectors that read text files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from dalsegno.checkpoints.records import RunOutcome
from dalsegno.observe.bounded import Labels
from dalsegno.observe.extras import wanted


def metrics_of(runs: Iterable[RunOutcome], *, most_labels: int = 200) -> str:
    """Runs in Prometheus's text format.

    ``workflow_executions_total{workflow,status}`` and ``workflow_active_executions{workflow}`` as a living process has
    them, ``workflow_execution_duration_seconds{workflow}`` as a summary (sum and count) of each run's last turn, and
    ``dalsegno_run_node_executions_total``, ``dalsegno_run_model_calls_total``, ``dalsegno_run_tokens_total`` and
    ``dalsegno_run_resumes_total`` by workflow.

    Raises
    ------
    MissingExtra
        prometheus_client is not installed.
    """
    client = wanted("prometheus_client", by="`runs --metrics`", extra="prometheus")
    registry = client.CollectorRegistry()
    registry.register(_Collector(list(runs), most_labels))
    text: str = client.generate_latest(registry).decode()
    return text


_SUMS = {
    "executions": ("dalsegno_run_node_executions", "Attempts of nodes in runs."),
    "model_calls": ("dalsegno_run_model_calls", "Calls of models in runs."),
    "tokens": ("dalsegno_run_tokens", "Tokens of models in runs."),
}


class _Collector:
    """Counts once, when it is asked."""

    def __init__(self, runs: list[RunOutcome], most_labels: int) -> None:
        self._runs = runs
        self._labels = Labels(most_labels)

    def collect(self) -> Iterator[Any]:
        core = wanted("prometheus_client.core", by="`runs --metrics`", extra="prometheus")
        ended: Counter[tuple[str, str]] = Counter()
        active: Counter[str] = Counter()
        seconds: dict[str, list[float]] = defaultdict(list)
        sums: dict[str, Counter[str]] = {what: Counter() for what in (*_SUMS, "resumes")}
        for run in self._runs:
            workflow = self._labels.of("workflow", run.workflow)
            active[workflow] += run.status == "running"
            if run.status not in ("running", "queued"):
                ended[workflow, run.status] += 1
            if run.finished_at is not None:
                seconds[workflow].append(max(run.finished_at - run.started_at, 0.0))
            for what in _SUMS:
                sums[what][workflow] += run.usage.get(what, 0)
            sums["resumes"][workflow] += run.resumes
        runs = core.CounterMetricFamily(
            "workflow_executions", "Runs that ended or pause.", labels=("workflow", "status")
        )
        for key, count in sorted(ended.items()):
            runs.add_metric(key, count)
        yield runs
        took = core.SummaryMetricFamily(
            "workflow_execution_duration_seconds",
            "How long the last turn at a run took.",
            labels=("workflow",),
        )
        for workflow, each in sorted(seconds.items()):
            took.add_metric((workflow,), len(each), sum(each))
        yield took
        going = core.GaugeMetricFamily(
            "workflow_active_executions", "Runs whose process lives.", labels=("workflow",)
        )
        for workflow, count in sorted(active.items()):
            going.add_metric((workflow,), count)
        yield going
        for what, (name, text) in {**_SUMS, "resumes": ("dalsegno_run_resumes", "Resumes of runs.")}.items():
            family = core.CounterMetricFamily(name, text, labels=("workflow",))
            for workflow, total in sorted(sums[what].items()):
                family.add_metric((workflow,), total)
            yield family
