"""A graph inside that remembers its earlier times (``checkpointer=True``) is entered in every superstep that is its
own, also where the run was left before it began; LangGraph's would answer with what it gave the time before."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import RetryPolicy, Send, interrupt

from dalsegno import END, START, Each, Loop, Runner, RunResult, Workflow
from dalsegno.runtime.events import Event, NodeFinished

PLACE: Any = {"configurable": {"thread_id": "t"}}


class Said(TypedDict):
    said: str


class Memory(TypedDict, total=False):
    said: str
    memory: Annotated[list[str], operator.add]


class State(TypedDict, total=False):
    said: str
    memory: list[str]


class World:
    """What is done in the graph inside, and how: it asks, or fails once, where that is said."""

    def __init__(self, kind: str) -> None:
        self.asks = self.fails = False
        self.heard: list[str] = []
        inner: Any = StateGraph(Memory, input_schema=Said)
        inner.add_node("hear", self.hear).add_node("answer", self.answer)
        inner.add_edge(START, "hear").add_edge("hear", "answer").add_edge("answer", END)
        self.inner = inner.compile(checkpointer=True)
        ours = kind.startswith("workflow")
        graph: Any = Workflow("talk", State) if ours else StateGraph(State)
        graph.add_node("listen", lambda state: None)
        if kind.endswith("function"):
            graph.add_node("remember", self.aremember if "coroutine" in kind else self.remember)
        elif ours:
            graph.add_node("remember", self.inner, inputs={"said": "said"}, outputs={"memory": "memory"})
        else:
            graph.add_node("remember", self.inner)
        graph.add_edge(START, "listen").add_edge("listen", "remember").add_edge("remember", END)
        if ours and kind.endswith("function"):
            graph.waive("T111", "remember", "it is two nodes")
        self.graph = graph

    def hear(self, state: Memory) -> dict[str, Any]:
        self.heard.append(state["said"])
        return {"memory": [state["said"]]}

    def answer(self, state: Memory) -> dict[str, Any]:
        if self.fails:
            self.fails = False
            raise ValueError("not now")
        return {"memory": [interrupt("how?") if self.asks else "."]}

    def remember(self, state: State) -> dict[str, Any]:
        return {"memory": self.inner.invoke({"said": state["said"]})["memory"]}

    async def aremember(self, state: State) -> dict[str, Any]:
        return {"memory": (await self.inner.ainvoke({"said": state["said"]}))["memory"]}


@pytest.fixture(
    params=[
        "graph",
        "function",
        "coroutine function",
        "workflow",
        "workflow function",
        "workflow coroutine function",
    ]
)
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.fixture
def runner(world: World, tmp_path: Path) -> Iterator[Runner]:
    with Runner(world.graph, db=tmp_path / "runs.db") as made:
        assert made.run({"said": "rain"}, "t").output["memory"] == ["rain", "."]
        yield made


def in_both_colours(test: Callable[..., None]) -> Any:
    return pytest.mark.parametrize("asynchronous", [False, True])(test)


def turn(runner: Runner, asynchronous: bool, what: str, *given: Any) -> RunResult:
    if asynchronous:
        return asyncio.run(getattr(runner, f"a{what}")(*given))  # type: ignore[no-any-return]
    return getattr(runner, what)(*given)  # type: ignore[no-any-return]


@in_both_colours
def test_a_run_that_was_stopped_before_it(runner: Runner, asynchronous: bool) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, NodeFinished) and event.node == "listen":
            runner.drain()

    runner.listeners = (stop,)
    assert turn(runner, asynchronous, "run", {"said": "sun"}, "t").status == "stopped"
    runner.listeners = ()
    done = turn(runner, asynchronous, "resume", "t")
    assert done.output["memory"] == ["rain", ".", "sun", "."]


@in_both_colours
def test_a_fork_before_it(runner: Runner, asynchronous: bool) -> None:
    runner.run({"said": "sun"}, "t")
    at = next(kept for kept in runner.graph.get_state_history(PLACE) if kept.next == ("remember",))
    runner.fork("t", at.config["configurable"]["checkpoint_id"], into="fork")
    assert turn(runner, asynchronous, "resume", "fork").output["memory"] == ["rain", ".", "sun", "."]
    assert runner.run({"said": "ice"}, "fork").output["memory"][-2:] == ["ice", "."]


@in_both_colours
def test_one_that_had_begun_goes_on(runner: Runner, world: World, asynchronous: bool) -> None:
    world.fails = True
    assert turn(runner, asynchronous, "run", {"said": "sun"}, "t").status == "failed"
    assert turn(runner, asynchronous, "resume", "t").output["memory"] == ["rain", ".", "sun", "."]
    world.asks = True
    assert turn(runner, asynchronous, "run", {"said": "ice"}, "t").status == "interrupted"
    done = turn(runner, asynchronous, "resume", "t", "so")
    assert done.output["memory"] == ["rain", ".", "sun", ".", "ice", "so"]
    assert world.heard == ["rain", "sun", "ice"]


def test_one_that_asks_goes_on_behind_a_state_that_was_set_by_hand(runner: Runner, world: World) -> None:
    world.asks = True
    runner.run({"said": "sun"}, "t")
    runner.graph.update_state(PLACE, {"said": "by hand"})
    assert runner.resume("t").status == "interrupted"
    assert runner.resume("t", "so").output["memory"] == ["rain", ".", "sun", "so"]


def test_one_whose_run_was_given_up_is_entered_anew(runner: Runner, world: World) -> None:
    world.asks = True
    runner.run({"said": "sun"}, "t")
    world.asks = False

    def stop(event: Event) -> None:
        if isinstance(event, NodeFinished) and event.node == "listen":
            runner.drain()

    runner.listeners = (stop,)
    assert runner.run({"said": "ice"}, "t", abandon=True).status == "stopped"
    runner.listeners = ()
    assert runner.resume("t").output["memory"] == ["rain", ".", "sun", "ice", "."]


def test_a_retry_of_what_failed_before_it(tmp_path: Path) -> None:
    world = World("graph")
    fails = [False, True]

    def remember(state: State) -> dict[str, Any]:
        if fails.pop(0):
            raise ConnectionError
        return world.remember(state)

    graph: Any = StateGraph(State)
    graph.add_node("remember", remember, retry_policy=RetryPolicy(initial_interval=0.001))
    graph.add_edge(START, "remember").add_edge("remember", END)
    with Runner(graph, db=tmp_path / "runs.db") as runner:
        runner.run({"said": "rain"}, "t")
        fails.append(False)
        assert runner.run({"said": "sun"}, "t").output["memory"] == ["rain", ".", "sun", "."]


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("starts", ["by an edge", "by a router"])
def test_each_time_it_is_entered_it_counts_its_loops_and_supersteps_anew(
    db: Path, asks: bool, starts: str
) -> None:
    """It went on with what it had counted the time before, and the second time ended in a `BoundExceeded`."""

    def try_it(state: Memory) -> dict[str, Any]:
        return {"memory": [interrupt("how?") if asks else "."]}

    inner = Workflow("inner", Memory, input_schema=Said).add_node("try", try_it, interrupts=1)
    inner.add_node("last", lambda state: {"memory": ["!"]}).add_edge("last", END)
    if starts == "by an edge":
        inner.add_edge(START, "try")
    else:
        inner.add_conditional_edges(START, lambda state: [Send("try", {"said": ""})], [Each("try", max=1)])
        inner.add_node("then", lambda state: {}).add_edge("try", "then")
    source = "try" if starts == "by an edge" else "then"
    inner.add_conditional_edges(
        source, lambda state: "more", {"more": Loop(source, max=2, on_exhausted="last")}
    )
    flow = Workflow("outer", State)
    flow.add_node(
        "sub", inner.compile_part(checkpointer=True), inputs={"said": "said"}, outputs={"memory": "memory"}
    )
    flow.add_node("again", lambda state: {}).add_edge(START, "sub").add_edge("sub", "again")
    flow.add_conditional_edges("again", lambda state: "sub", [Loop("sub", max=2, on_exhausted=END)])
    proved = flow.validate().certificate.supersteps
    for _ in range(2):
        with Runner(flow, db=db) as runner:
            result = runner.run({"said": "on"}, thread="t")
            while result.status == "interrupted":
                result = runner.resume("t", "?")
        assert (result.status, result.supersteps) == ("completed", proved), result
