"""What a superstep of a compiled workflow costs against the same plain StateGraph, without a checkpointer."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

from langgraph.graph import StateGraph
from langgraph.types import Send

from benchmarks.pairing import Pair, paired
from dalsegno import END, START, Each, Loop, Workflow

STEPS = 100


class State(TypedDict, total=False):
    topic: str
    log: Annotated[list[str], operator.add]
    n: int


def write(state: State) -> dict[str, Any]:
    return {"log": ["w"], "n": state.get("n", 0) + 1}


def review(state: State) -> dict[str, Any]:
    return {"topic": state["topic"]}


def verdict(state: State) -> str:
    return "good" if state["n"] >= STEPS // 2 else "again"


def looping(graph: Any, back: Any) -> Any:
    graph.add_node(write)
    graph.add_node(review)
    graph.add_edge(START, "write")
    graph.add_edge("write", "review")
    graph.add_conditional_edges("review", verdict, {"good": END, "again": back})
    return graph


def chained(graph: Any) -> Any:
    for number in range(STEPS):
        graph.add_node(f"n{number}", lambda state, number=number: {"n": number})
    graph.add_edge(START, "n0")
    for number in range(STEPS - 1):
        graph.add_edge(f"n{number}", f"n{number + 1}")
    graph.add_edge(f"n{STEPS - 1}", END)
    return graph


def agent(graph: Any, back: Any) -> Any:
    """Reason, act, observe: the shape most agents have; two of three nodes route."""
    graph.add_node("reason", write)
    graph.add_node("act", review)
    graph.add_node("observe", review)
    graph.add_edge(START, "reason")
    graph.add_conditional_edges("reason", lambda s: "act", ["act", END])
    graph.add_edge("act", "observe")
    graph.add_conditional_edges(
        "observe", lambda s: "done" if s["n"] >= STEPS // 3 else "again", {"done": END, "again": back}
    )
    return graph


def fanning(graph: Any, targets: Any) -> Any:
    graph.add_node("plan", lambda state: {"n": 1})
    graph.add_node("work", lambda item: {"log": [str(item)]})
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", lambda s: [Send("work", i) for i in range(STEPS)], targets)
    graph.add_edge("work", END)
    return graph


def pairs() -> Iterator[Pair]:
    loop: Any = Loop("write", max=STEPS, on_exhausted=END)
    back: Any = Loop("reason", max=STEPS, on_exhausted=END)
    shapes = {
        "a loop of two nodes": (looping(Workflow("ours", State), loop), looping(StateGraph(State), "write")),
        "an agent of three nodes": (agent(Workflow("ours", State), back), agent(StateGraph(State), "reason")),
        "a chain of static edges": (chained(Workflow("ours", State)), chained(StateGraph(State))),
    }
    for name, (ours, theirs) in shapes.items():
        yield _pair(f"a superstep of {name}", ours, theirs, gate=1.10)
    fan = fanning(Workflow("ours", State), [Each("work", max=STEPS)]), fanning(StateGraph(State), ["work"])
    yield _pair("one of 100 sends", *fan)


def _pair(name: str, ours: Any, theirs: Any, gate: float | None = None) -> Pair:
    a, b = ours.compile(), theirs.compile().with_config({"recursion_limit": 10 * STEPS})
    given = {"topic": "rain", "n": 0}
    return paired(name, lambda: a.invoke(given), lambda: b.invoke(given), per=STEPS, gate=gate)
