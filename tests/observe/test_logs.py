"""Each event of a run is a structured line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import pytest
import structlog

from dalsegno import END, START, Runner, Workflow
from dalsegno.observe import Logs
from dalsegno.runtime.events import RunStarted


class _State(TypedDict):
    x: int


def lines_of(flow: Workflow, given: dict[str, Any], db: Path) -> list[dict[str, Any]]:
    captured = structlog.testing.LogCapture()
    logger = structlog.wrap_logger(None, processors=[captured], wrapper_class=structlog.BoundLogger)
    with Runner(flow, db=db, on_event=Logs(logger)) as runner:
        runner.run(given, thread="t")
    return [dict(entry) for entry in captured.entries]


def test_a_run_is_a_line_at_its_start_and_at_its_end(
    flow: Workflow, given: dict[str, Any], tmp_path: Path
) -> None:
    first, *_, last = lines_of(flow, given, tmp_path / "runs.db")
    assert (first["event"], first["workflow"], first["thread"]) == ("run.started", "observed", "t")
    assert (last["event"], last["status"], last["log_level"]) == ("run.finished", "completed", "info")
    assert last["run_id"] == first["run_id"]
    assert last["seconds"] > 0


def test_nodes_calls_and_policies_have_lines(flow: Workflow, given: dict[str, Any], tmp_path: Path) -> None:
    lines = lines_of(flow, given, tmp_path / "runs.db")
    shown = [
        (line["event"], line.get("node"), line["log_level"]) for line in lines if line["log_level"] != "debug"
    ]
    assert shown[1:-1] == [
        ("call.finished", "ask", "info"),
        ("call.finished", "ask", "info"),
        ("call.finished", "ask", "info"),
        ("node.finished", "ask", "info"),
        ("node.finished", "sub/measure", "info"),
        ("node.finished", "sub/measure", "info"),
        ("node.finished", "sub", "info"),
        ("policy.acted", "flaky", "warning"),
        ("node.failed", "flaky", "warning"),
        ("node.finished", "flaky", "info"),
    ]
    retry = next(line for line in lines if line["event"] == "policy.acted")
    assert (retry["policy"], retry["what"], retry["detail"]["error"]) == ("retry", "again", "ConnectionError")


def test_no_secret_and_no_content_is_written(
    flow: Workflow, given: dict[str, Any], planted: str, tmp_path: Path
) -> None:
    everything = repr(lines_of(flow, given, tmp_path / "runs.db"))
    assert planted not in everything
    assert "water from clouds" not in everything


def test_a_failed_run_is_an_error_with_its_node(tmp_path: Path) -> None:
    def fails(state: dict[str, Any]) -> None:
        raise ValueError("no such topic")

    flow = Workflow("failing", _State).add_node("a", fails).add_edge(START, "a").add_edge("a", END)
    last = lines_of(flow, {"x": 1}, tmp_path / "runs.db")[-1]
    assert last["log_level"] == "error"
    assert last["error"] == {"type": "ValueError", "message": "no such topic", "node": "a", "attempt": 1}


def test_without_a_logger_it_is_structlogs_own(capsys: pytest.CaptureFixture[str]) -> None:
    Logs()(RunStarted(run_id="r", thread="t", at=0.0, workflow="article"))
    printed = capsys.readouterr().out
    assert "run.started" in printed
    assert "article" in printed
