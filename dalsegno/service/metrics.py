"""Metrics of the service: what `observe` counts of its runs, and what the service itself does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dalsegno.errors import DalsegnoError, MissingExtra
from dalsegno.observe import Prometheus
from dalsegno.observe.extras import wanted

if TYPE_CHECKING:
    from dalsegno.runtime.events import Event
    from dalsegno.service.service import Service

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)


class Metrics:
    """Counts, where prometheus_client is installed; a listener of runs.

    ``dalsegno_service_requests_total{method,route,status}``, ``dalsegno_service_request_duration_seconds{route}``,
    ``dalsegno_service_runs_active``, ``dalsegno_service_runs_queued``, ``dalsegno_service_draining``; those of
    `Prometheus`, and those of the process.
    """

    def __init__(self) -> None:
        self._registry: Any = None
        self._runs: Prometheus | None = None
        try:
            client = wanted("prometheus_client", by="/metrics", extra="prometheus")
        except MissingExtra as error:
            self._missing: MissingExtra | None = error
            return
        self._missing = None
        self._registry = client.CollectorRegistry()
        self._runs = Prometheus(self._registry)
        for collector in (client.ProcessCollector, client.PlatformCollector, client.GCCollector):
            collector(registry=self._registry)
        self._requests = client.Counter(
            "dalsegno_service_requests_total",
            "Requests.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = client.Histogram(
            "dalsegno_service_request_duration_seconds",
            "How long requests took; a stream lasts as long as somebody watches.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def __call__(self, event: Event) -> None:
        if self._runs is not None:
            self._runs(event)

    def counted(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        if self._registry is not None:
            known = method if method in ("GET", "POST", "HEAD") else "other"
            self._requests.labels(known, route, str(status)).inc()
            self._seconds.labels(route).observe(seconds)

    def watch(self, service: Service) -> None:
        """Tell of a service's runs, each time somebody asks."""
        if self._runs is not None:
            self._registry.register(_Collector(service))
            self._runs.watch(service.checkpointer)

    def text(self) -> tuple[str, str]:
        """The metrics, and their media type. Raises MissingExtra."""
        if self._missing is not None:
            raise self._missing
        client = wanted("prometheus_client", by="/metrics", extra="prometheus")
        return client.generate_latest(self._registry).decode(), client.CONTENT_TYPE_LATEST


class _Collector:
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Any]:
        core = wanted("prometheus_client.core", by="/metrics", extra="prometheus")
        figures = [
            (
                "dalsegno_service_runs_active",
                "Runs in progress in this process.",
                self._service.dispatcher.active,
            ),
            ("dalsegno_service_draining", "1 while the service stops.", int(self._service.is_draining)),
        ]
        try:
            waiting = self._service.queued()
            figures.append(("dalsegno_service_runs_queued", "Runs that wait in the database.", waiting))
        except DalsegnoError:
            pass  # the database cannot be read: /ready says so
        for name, words, value in figures:
            yield core.GaugeMetricFamily(name, words, value)
