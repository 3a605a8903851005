"""Of nodes that fail nearly together, the one that failed first is told, whichever LangGraph raises."""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langgraph.errors import NodeError
from langgraph.graph import StateGraph
from langgraph.types import Command

from dalsegno import END, START, RetryPolicy, Runner, Workflow

NAMES = ("a", "b", "c", "d")


class State(TypedDict, total=False):
    path: Annotated[list[str], operator.add]


class Together:
    """Nodes that all begin before one of them fails, and all fail then. `failed` are their names, in that order."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self._all = threading.Barrier(len(NAMES))
        self._lock = threading.Lock()

    def node(self, name: str) -> Callable[[Any], Any]:
        def run(state: Any) -> Any:
            self._all.wait(20)
            with self._lock:
                self._fail(name)

        return run

    def anode(self, name: str) -> Callable[[Any], Any]:
        async def run(state: Any) -> Any:
            await asyncio.sleep(0)
            self._fail(name)

        return run

    def _fail(self, name: str) -> None:
        self.failed.append(name)
        raise ValueError(name)


def _side_by_side(graph: Any, node: Callable[[str], Any]) -> Any:
    for name in NAMES:
        graph.add_node(name, node(name)).add_edge(START, name).add_edge(name, END)
    return graph


def _of_functions(together: Together) -> Any:
    return _side_by_side(Workflow("functions", State), together.node)


def _of_coroutines(together: Together) -> Any:
    return _side_by_side(Workflow("coroutines", State), together.anode)


def _of_langgraph(together: Together) -> Any:
    return _side_by_side(StateGraph(State), together.node)


def _of_a_subworkflow(together: Together) -> Any:
    outer = Workflow("outer", State).add_node("sub", _of_functions(together))
    return outer.add_edge(START, "sub").add_edge("sub", END)


@pytest.mark.parametrize("made", [_of_functions, _of_coroutines, _of_langgraph, _of_a_subworkflow])
def test_the_failure_that_came_first_is_told(made: Callable[[Together], Any], tmp_path: Path) -> None:
    for turn in range(8):
        together = Together()
        with Runner(made(together), db=tmp_path / f"{turn}.db") as runner:
            error = runner.run({"path": []}, thread="t1").error
            assert error is not None
            assert error["node"].rpartition("/")[2] == error["message"] == together.failed[0]


class Order:
    """What happens in nodes, one after the other."""

    def __init__(self) -> None:
        self.happened: dict[str, threading.Event] = {}

    def after(self, what: str) -> None:
        assert self._event(what).wait(20)

    def now(self, what: str) -> None:
        self._event(what).set()

    def _event(self, what: str) -> threading.Event:
        return self.happened.setdefault(what, threading.Event())


@pytest.mark.parametrize("is_ours", [True, False])
def test_what_a_handler_takes_over_is_not_told_as_the_failure(is_ours: bool, tmp_path: Path) -> None:
    order = Order()

    def handled(state: State) -> State:
        order.now("handled failed")
        raise KeyError("handled")

    def sorry(state: State, error: NodeError) -> Command[Literal["end"]]:
        order.now("handled was caught")
        return Command(goto="end")

    def fails(state: State) -> State:
        order.after("handled was caught")
        raise ValueError("fails")

    graph: Any = Workflow("handled", State) if is_ours else StateGraph(State)
    graph.add_node("handled", handled, error_handler=sorry).add_node("fails", fails)
    graph.add_node("end", lambda _: {}).add_edge(START, "handled").add_edge(START, "fails")
    graph.add_edge("handled", "end").add_edge("fails", "end").add_edge("end", END)
    with Runner(graph, db=tmp_path / "runs.db") as runner:
        error = runner.run({"path": []}, thread="t1").error
    assert error is not None
    assert (error["type"], error["node"]) == ("ValueError", "fails")


@pytest.mark.parametrize("goes_well", [True, False])
def test_what_is_tried_again_is_told_when_the_last_attempt_failed(goes_well: bool, tmp_path: Path) -> None:
    order = Order()
    attempts = []

    def flaky(state: State) -> State:
        attempts.append(len(attempts) + 1)
        if len(attempts) == 1:
            order.now("flaky failed")
            raise ConnectionError("flaky")
        order.after("fails failed")
        if not goes_well:
            raise ConnectionError("flaky")
        return {"path": ["flaky"]}

    def fails(state: State) -> State:
        order.after("flaky failed")
        order.now("fails failed")
        raise ValueError("fails")

    flow = Workflow("flaky", State)
    flow.add_node("flaky", flaky, retry=RetryPolicy(max_attempts=2, initial_interval=0.001))
    flow.add_node("fails", fails)
    for name in ("flaky", "fails"):
        flow.add_edge(START, name).add_edge(name, END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        error = runner.run({"path": []}, thread="t1").error
    assert attempts == [1, 2]
    assert error is not None
    assert error["node"] == "fails" or (not goes_well and error["attempt"] == 2)
