"""A thread that was led elsewhere behind a run that has not ended: nothing is begun anew, nothing there is dropped."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Command, interrupt

from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import ThreadUnfinished

PLACE: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


@pytest.fixture(params=["workflow", "plain graph"])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    ours = request.param == "workflow"
    inner: Any = Workflow("inner", State) if ours else StateGraph(State)
    inner.add_node("ask", lambda state: {"log": [interrupt("how?")]}, **({"interrupts": 1} if ours else {}))
    inner.add_edge(START, "ask").add_edge("ask", END)
    graph: Any = Workflow("w", State) if ours else StateGraph(State)
    graph.add_node("write", lambda state: {"log": ["written"]})
    graph.add_node("inner", inner if ours else inner.compile())
    graph.add_edge(START, "write").add_edge("write", "inner").add_edge("inner", END)
    with Runner(graph, db=tmp_path / "runs.db") as made:
        assert made.run({"log": ["first"]}, thread="t").status == "interrupted"
        yield made


def refused(runner: Runner) -> str:
    """What both ways to go on are refused with."""
    kept = runner.graph.get_state(PLACE)
    messages = []
    for go_on in (lambda: runner.resume("t"), lambda: runner.resume("t", "so"), lambda: runner.run({}, "t")):
        with pytest.raises(ThreadUnfinished, match="led elsewhere since") as caught:
            go_on()
        messages.append(str(caught.value))
    assert len(set(messages)) == 1
    assert runner.graph.get_state(PLACE) == kept
    assert runner.ledger.last("t").status == "interrupted"
    return messages[0]


def test_by_an_input_that_the_graph_itself_was_given(runner: Runner) -> None:
    runner.graph.invoke({"log": ["second"]}, PLACE)
    assert "There `inner` is pending" in refused(runner)
    runner.graph.invoke(Command(resume="so"), PLACE)
    message = refused(runner)
    assert "pending" not in message
    at = re.search(r"Runner.fork\('t', '(.*?)'\)", message)
    assert at is not None
    runner.fork("t", at[1], into="fork")
    assert runner.resume("fork").status == "interrupted"
    done = runner.resume("fork", "so")
    assert (done.status, done.output["log"][:2]) == ("completed", ["first", "written"])
    assert "second" not in done.output["log"]
    assert runner.run({"log": ["third"]}, "t", abandon=True).status == "interrupted"


def test_by_the_state_of_a_checkpoint_before_the_run(runner: Runner) -> None:
    runner.resume("t", "so")
    assert runner.run({"log": ["second"]}, thread="t").status == "interrupted"
    before = next(
        kept for kept in runner.graph.get_state_history(PLACE) if kept.values.get("log") == ["first"]
    )
    runner.graph.update_state(before.config, {"log": ["by hand"]})
    assert "There `write` is pending" in refused(runner)
