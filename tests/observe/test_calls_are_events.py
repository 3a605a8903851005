"""Calls of models and tools are events of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dalsegno import Runner, Workflow
from dalsegno.runtime.events import CallFinished, CallStarted, Event, NodeStarted


def test_each_call_of_a_model_and_a_tool_is_told_with_what_it_cost(
    flow: Workflow, given: dict[str, Any], tmp_path: Path
) -> None:
    heard: list[Event] = []
    with Runner(flow, db=tmp_path / "runs.db", on_event=heard.append) as runner:
        assert runner.run(given).status == "completed"
    ended = [event for event in heard if isinstance(event, CallFinished)]
    assert [(e.node, e.kind, e.name, e.input_tokens, e.output_tokens) for e in ended] == [
        ("ask", "model", "scripted-1", 12, 3),
        ("ask", "tool", "look_up", 0, 0),
        ("ask", "model", "scripted-1", 20, 7),
    ]
    assert ended[1].content() == "rain: water from clouds"
    started = [e.call_id for e in heard if isinstance(e, CallStarted) and not isinstance(e, CallFinished)]
    assert started == [e.call_id for e in ended]


def test_a_nodes_kind_is_told(flow: Workflow, given: dict[str, Any], tmp_path: Path) -> None:
    heard: list[Event] = []
    with Runner(flow, db=tmp_path / "runs.db", on_event=heard.append) as runner:
        runner.run(given)
    kinds = {e.node: e.kind for e in heard if isinstance(e, NodeStarted)}
    assert kinds == {"ask": "agent", "sub": "subworkflow", "sub/measure": "function", "flaky": "function"}
