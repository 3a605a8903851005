"""Calls of models and tools are events of the run."""

from __future__ import annotations

import asyncio
import gc
import warnings
from pathlib import Path
from typing import Any, TypedDict

import pytest

from dalsegno import END, START, Budget, Runner, Workflow
from dalsegno.runtime.events import CallFinished, CallStarted, Event, NodeStarted
from dalsegno.testing import Reply, ScriptedChatModel


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


class Asked(TypedDict, total=False):
    answer: str


@pytest.mark.parametrize("is_async", [False, True])
def test_a_model_that_a_router_calls_is_heard_too(tmp_path: Path, is_async: bool) -> None:
    model, heard = ScriptedChatModel([Reply("write")]), list[Event]()

    def route(state: Asked) -> str:
        return str(model.invoke("where to?").content)

    async def aroute(state: Asked) -> str:
        return str((await model.ainvoke("where to?")).content)

    flow = Workflow("routed", Asked).add_node("write", lambda state: {"answer": "written"})
    flow.add_conditional_edges(START, aroute if is_async else route, ["write", END])
    flow.add_edge("write", END)
    with Runner(flow, db=tmp_path / "runs.db", on_event=heard.append) as runner:
        result = runner.run({}) if not is_async else asyncio.run(runner.arun({}))
    assert result.output == {"answer": "written"}
    assert [(type(e), e.kind, e.node) for e in heard if isinstance(e, CallStarted)] == [
        (CallStarted, "model", ""),
        (CallFinished, "model", ""),
    ]


def test_a_call_that_is_refused_leaves_nothing_unawaited(tmp_path: Path) -> None:
    async def ask(state: Asked) -> Asked:
        return {"answer": str((await ScriptedChatModel([Reply("never")]).ainvoke("why?")).content)}

    flow = Workflow("poor", Asked).add_node(ask).add_edge(START, "ask").add_edge("ask", END)
    gc.collect()  # what another test has left is not told here
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with Runner(flow, db=tmp_path / "runs.db", on_event=lambda event: None) as runner:
            result = runner.run({}, budget=Budget(model_calls=0))
        del runner
        gc.collect()
    assert result.error is not None
    assert result.error["type"] == "BudgetExceeded"
    assert [str(each.message) for each in warned if "never awaited" in str(each.message)] == []
