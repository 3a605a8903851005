"""What being observed costs a node: nobody listening, and each listener of `dalsegno.observe`."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

from dalsegno import END, START, Runner, SqliteCheckpointer, Workflow
from dalsegno.observe import Logs, Measures, Prometheus, Traces

STEPS = 100
GATE = 100.0
"""Microseconds that OpenTelemetry may add to a node."""


class State(TypedDict, total=False):
    n: int


def chain() -> Workflow:
    """A chain of nodes that do nothing."""
    flow = Workflow("chain", State)
    previous = START
    for number in range(STEPS):
        flow.add_node(f"n{number}", lambda state, number=number: {"n": number}).add_edge(
            previous, f"n{number}"
        )
        previous = f"n{number}"
    return flow.add_edge(previous, END)


def listeners() -> dict[str, Callable[[], tuple[Any, ...]]]:
    """What listens, by its name."""
    import structlog
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from prometheus_client import CollectorRegistry

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    spans = TracerProvider()
    spans.add_span_processor(BatchSpanProcessor(Nowhere()))
    meters = MeterProvider([InMemoryMetricReader()])
    quiet = structlog.wrap_logger(None, processors=[_drop], wrapper_class=structlog.BoundLogger)
    return {
        "nobody": lambda: (),
        "a function that does nothing": lambda: (lambda event: None,),
        "OpenTelemetry spans and metrics": lambda: (Traces(spans), Measures(meters)),
        "Prometheus": lambda: (Prometheus(CollectorRegistry()),),
        "structured logs, written nowhere": lambda: (Logs(quiet),),
    }


def _drop(logger: Any, name: str, event: Any) -> Any:
    import structlog

    raise structlog.DropEvent


def rows(rounds: int = 61) -> list[str]:
    """Rows of a table: who listens, and the microseconds a node takes longer for it (median, least of rounds)."""
    made = listeners()
    times: dict[str, list[float]] = {name: [] for name in made}
    with tempfile.TemporaryDirectory() as folder:
        runners = {
            name: Runner(
                chain(),
                db=SqliteCheckpointer(Path(folder) / f"{number}.db", profile="fast"),
                on_event=listen(),
            )
            for number, (name, listen) in enumerate(made.items())
        }
        for number in range(rounds):
            # Each comes after the same other one, and first and last as often: what ran before is in the caches.
            turn = number % len(runners)
            for name in [*runners][turn:] + [*runners][:turn]:
                gc.collect()
                began = time.perf_counter()
                runners[name].run({"n": 0})
                times[name].append((time.perf_counter() - began) / STEPS * 1e6)
        for runner in runners.values():
            runner.close()
    bare = times["nobody"]
    found = [f"| nobody | {statistics.median(bare):,.0f} a node | {min(bare):,.0f} | — | — |"]
    for name, each in list(times.items())[1:]:
        median = statistics.median(t - b for t, b in zip(each, bare, strict=True))
        gate = f"≤ {GATE:g}" if "OpenTelemetry" in name else "—"
        met = "—" if gate == "—" else "yes" if median <= GATE else "**no**"
        found.append(f"| {name} | {median:+,.0f} | {min(each) - min(bare):+,.0f} | {gate} | {met} |")
    return found


HEADER = "| who listens | µs, median | least | gate | met |\n|---|--:|--:|--:|:-:|"


if __name__ == "__main__":
    print(HEADER, *rows(), sep="\n")
