"""Runs, nodes, policies and model calls are counted, with labels that cannot grow without end."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dalsegno import END, START, CircuitBreaker, RetryPolicy, Runner, Workflow
from dalsegno.cli import main
from dalsegno.errors import MissingExtra
from dalsegno.observe import Measures, Prometheus
from dalsegno.observe.bounded import Labels
from dalsegno.observe.extras import wanted
from dalsegno.observe.ledger import metrics_of
from dalsegno.runtime.events import Event, NodeFailed, NodeStarted
from dalsegno.runtime.queueing import enqueue

Samples = dict[tuple[str, tuple[str, ...]], float]


class Given(TypedDict):
    x: int


DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana-dashboard.json"


def samples(text: str) -> Samples:
    """Every sample of a text, by its name and the values of its labels in their names' order."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def counted(flow: Workflow, given: dict[str, Any], tmp_path: Path) -> Samples:
    registry = CollectorRegistry()
    listener = Prometheus(registry)
    with Runner(flow, db=tmp_path / "runs.db", on_event=listener) as runner:
        listener.watch(runner.checkpointer)
        runner.run(given, thread="t")
    return samples(generate_latest(registry).decode())


def test_a_run_is_counted_by_workflow_and_status(counted: Samples) -> None:
    assert counted["workflow_executions_total", ("completed", "observed")] == 1
    assert counted["workflow_execution_duration_seconds_count", ("observed",)] == 1
    assert counted["workflow_active_executions", ("observed",)] == 0


def test_nodes_are_counted_by_how_they_ended(counted: Samples) -> None:
    assert counted["dalsegno_node_executions_total", ("sub/measure", "done", "observed")] == 2
    assert counted["dalsegno_node_executions_total", ("flaky", "failed", "observed")] == 1
    assert counted["dalsegno_node_executions_total", ("flaky", "done", "observed")] == 1


def test_policies_models_tools_and_commits_are_counted(counted: Samples) -> None:
    assert counted["dalsegno_policy_actions_total", ("again", "flaky", "retry", "observed")] == 1
    assert counted["dalsegno_model_calls_total", ("scripted-1", "done", "observed")] == 2
    assert counted["dalsegno_tokens_total", ("input", "scripted-1", "observed")] == 32
    assert counted["dalsegno_tokens_total", ("output", "scripted-1", "observed")] == 10
    assert counted["dalsegno_tool_calls_total", ("done", "look_up", "observed")] == 1
    assert counted["dalsegno_checkpoint_commits_total", ()] >= 4


def test_no_secret_is_in_a_metric(counted: Samples, planted: str) -> None:
    assert planted not in repr(counted)


def test_a_breaker_is_1_while_it_is_open(tmp_path: Path, down: Callable[[Any], None]) -> None:
    breaker = CircuitBreaker(failures=1, recovery=60, name="payments")
    flow = Workflow("paying", Given).add_node("pay", down, breaker=breaker)
    flow.add_edge(START, "pay").add_edge("pay", END)
    registry = CollectorRegistry()
    with Runner(flow, db=tmp_path / "runs.db", on_event=Prometheus(registry)) as runner:
        runner.run({"x": 1})
    ((labels, value),) = [
        (key[1], value)
        for key, value in samples(generate_latest(registry).decode()).items()
        if key[0] == "dalsegno_breaker_open"
    ]
    assert "payments" in labels[0]
    assert value == 1


@pytest.fixture
def down() -> Callable[[Any], None]:
    def pay(state: Any) -> None:
        raise ConnectionError("down")

    return pay


def test_a_label_takes_so_many_names_and_no_more() -> None:
    labels = Labels(2)
    assert [labels.of("node", name) for name in ("a", "b", "c", "a", "d")] == [
        "a",
        "b",
        "other",
        "a",
        "other",
    ]


def test_a_label_is_what_a_page_of_metrics_can_hold() -> None:
    labels = Labels(2)
    assert labels.of("model", "m\ud800") == "m?"
    assert labels.of("model", "m" * 10_000) == "m" * 200


def test_an_attempt_that_never_began_is_not_counted(tmp_path: Path) -> None:
    failed: list[int] = []

    async def flaky(state: Given) -> dict[str, Any]:
        failed.append(1)
        raise ConnectionError("busy")

    async def beside(state: Given) -> dict[str, Any]:
        while not failed:
            await asyncio.sleep(0.005)
        raise ValueError("no")

    flow = Workflow("two", Given).add_node(flaky, retry=RetryPolicy(max_attempts=2, initial_interval=600))
    flow.add_node(beside).add_edge(START, "flaky").add_edge(START, "beside")
    heard: list[Event] = []
    with Runner(
        flow.add_edge("flaky", END).add_edge("beside", END), db=tmp_path / "runs.db", on_event=heard.append
    ) as runner:
        assert runner.run({"x": 1}).status == "failed"
    told = [(type(e), e.attempt) for e in heard if isinstance(e, NodeStarted) and e.node == "flaky"]
    assert told == [(NodeStarted, 1), (NodeFailed, 1)]


def test_opentelemetry_metrics_follow_the_conventions(
    flow: Workflow, given: dict[str, Any], planted: str, tmp_path: Path
) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    with Runner(flow, db=tmp_path / "runs.db", on_event=Measures(provider)) as runner:
        runner.run(given)
    data = json.loads(reader.get_metrics_data().to_json())  # type: ignore[union-attr]
    provider.shutdown()
    metrics = {
        metric["name"]: metric["data"]["data_points"]
        for resource in data["resource_metrics"]
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
    }
    tokens = {p["attributes"]["gen_ai.token.type"]: p["sum"] for p in metrics["gen_ai.client.token.usage"]}
    assert tokens == {"input": 32, "output": 10}
    assert {
        p["attributes"]["gen_ai.operation.name"] for p in metrics["gen_ai.client.operation.duration"]
    } == {
        "chat",
        "execute_tool",
    }
    assert sum(p["count"] for p in metrics["dalsegno.node.duration"]) == 6
    assert [p["value"] for p in metrics["dalsegno.workflow.active"]] == [0]
    assert planted not in json.dumps(data)


def test_durations_of_nodes_are_there_whenever_somebody_collects(tmp_path: Path) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    seen: list[list[str]] = []

    def collected() -> list[str]:
        data = json.loads(reader.get_metrics_data().to_json())  # type: ignore[union-attr]
        found = (m for r in data["resource_metrics"] for s in r["scope_metrics"] for m in s["metrics"])
        return sorted(
            f"{point['attributes']['dalsegno.node']} {point['count']}"
            for metric in found
            if metric["name"] == "dalsegno.node.duration"
            for point in metric["data"]["data_points"]
        )

    def a(state: Given) -> dict[str, Any]:
        return {"x": 1}

    def b(state: Given) -> dict[str, Any]:
        seen.append(collected())
        return {"x": 2}

    flow = Workflow("two", Given).add_node(a).add_node(b).add_edge(START, "a").add_edge("a", "b")
    flow.add_edge("b", END)
    first, second = Measures(provider), Measures(provider)  # a meter keeps the callback of the first only
    for listener in (second, first):
        with Runner(flow, db=tmp_path / "runs.db", on_event=listener) as runner:
            runner.run({"x": 1})
    assert seen == [["a 1"], ["a 2", "b 1"]]
    assert collected() == ["a 2", "b 2"]
    provider.shutdown()


def test_the_ledger_is_told_as_metrics_too(
    flow: Workflow, given: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = tmp_path / "runs.db"
    with Runner(flow, db=db) as runner:
        runner.run(given)
    assert main(["runs", "--metrics", "--db", str(db)]) == 0
    told = samples(capsys.readouterr().out)
    assert told["workflow_executions_total", ("completed", "observed")] == 1
    assert told["dalsegno_run_tokens_total", ("observed",)] == 42
    assert told["dalsegno_run_model_calls_total", ("observed",)] == 2
    assert told["workflow_active_executions", ("observed",)] == 0


def test_a_run_that_has_not_begun_is_none_that_ended(
    flow: Workflow, given: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    db = tmp_path / "runs.db"
    with Runner(flow, db=db) as runner:
        enqueue(runner, given, "t1")
    assert main(["runs", "--metrics", "--db", str(db)]) == 0
    told = samples(capsys.readouterr().out)
    assert not [name for name in told if name[0] == "workflow_executions_total"]
    assert told["workflow_active_executions", ("observed",)] == 0


def test_where_nothing_was_run_there_are_no_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "--metrics"]) == 0
    assert samples(capsys.readouterr().out) == {}


def test_metrics_and_json_are_two_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--metrics", "--json"]) == 2


def test_a_package_that_is_missing_is_named_with_its_extra() -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'dalsegno\[otel\]'"):
        wanted("no_such_package.trace", by="Traces", extra="otel")


def test_the_dashboard_asks_only_for_metrics_that_there_are() -> None:
    registry = CollectorRegistry()
    Prometheus(registry)
    kept = {name for names in registry._collector_to_names.values() for name in names}
    kept |= {f"{name}{end}" for name in kept for end in ("_total", "_bucket", "_count", "_sum")}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {
        name
        for panel in panels
        for target in panel.get("targets", ())
        for name in re.findall(r"\b(?:workflow|dalsegno)_\w+", target["expr"])
    }
    assert asked
    assert asked <= kept
    assert metrics_of([]) is not None
