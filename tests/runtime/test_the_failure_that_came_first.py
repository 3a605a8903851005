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
from dalsegno.runtime.events import Event, NodeFailed

NAMES = ("a", "b", "c", "d")


class State(TypedDict, total=False):
    path: Annotated[list[str], operator.add]


class Together:
    """Nodes that all begin before one of them fails, and all fail then: `first` before the others.

    In threads the first one's ends last, so that LangGraph sees another failure before it.
    """

    def __init__(self, first: str) -> None:
        self.first = first
        self._all = threading.Barrier(len(NAMES))
        self._has_failed = threading.Event()
        self._others = threading.Semaphore(0)
        self._is_failing = asyncio.Event()

    def node(self, name: str) -> Callable[[Any], Any]:
        def run(state: Any) -> Any:
            self._all.wait(60)
            if name != self.first:
                assert self._has_failed.wait(60)
            raise ValueError(name)

        return run

    def anode(self, name: str) -> Callable[[Any], Any]:
        async def run(state: Any) -> Any:
            if name == self.first:
                self._is_failing.set()
            await self._is_failing.wait()
            raise ValueError(name)

        return run

    def listen(self, event: Event) -> None:
        """Keeps the thread of the first one until the others have failed; told in the thread of each."""
        if not isinstance(event, NodeFailed) or event.path[-1] not in NAMES:
            return
        if event.path[-1] != self.first:
            self._others.release()
            return
        self._has_failed.set()
        for _ in NAMES[1:]:
            assert self._others.acquire(timeout=60)


def _side_by_side(graph: Any, node: Callable[[str], Any]) -> Any:
    for name in NAMES:
        graph.add_node(name, node(name)).add_edge(START, name).add_edge(name, END)
    return graph


def _of_functions(together: Together) -> Any:
    return _side_by_side(Workflow("functions", State), together.node)


def _of_langgraph(together: Together) -> Any:
    return _side_by_side(StateGraph(State), together.node)


def _of_a_subworkflow(together: Together) -> Any:
    outer = Workflow("outer", State).add_node("sub", _of_functions(together))
    return outer.add_edge(START, "sub").add_edge("sub", END)


@pytest.mark.parametrize("first", NAMES)
@pytest.mark.parametrize("made", [_of_functions, _of_langgraph, _of_a_subworkflow])
def test_the_failure_that_came_first_is_told(
    made: Callable[[Together], Any], first: str, tmp_path: Path
) -> None:
    together = Together(first)
    with Runner(made(together), db=tmp_path / "runs.db", on_event=together.listen) as runner:
        error = runner.run({"path": []}, thread="t1").error
    assert error is not None
    assert error["node"].rpartition("/")[2] == error["message"] == first


@pytest.mark.parametrize("first", NAMES)
def test_so_is_that_of_coroutines(first: str, tmp_path: Path) -> None:
    flow = _side_by_side(Workflow("coroutines", State), Together(first).anode)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        error = runner.run({"path": []}, thread="t1").error
    assert error is not None
    assert error["node"] == error["message"] == first


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
