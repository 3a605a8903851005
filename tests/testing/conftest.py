"""Small workflows, one for each way in which executions can be arranged; all of them deterministic."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.types import Send, interrupt

from dalsegno import END, START, Each, Loop, Workflow

TORTURE = float(os.environ.get("DALSEGNO_TORTURE", "1"))
"""How much of what `make torture` tries is tried: 1 is all of it, as docs/durability.md says."""


@pytest.fixture
def amount() -> Callable[[int], int]:
    """So many of a thousand kills, say, as are to be made."""
    return lambda whole: max(1, round(whole * TORTURE))


@pytest.fixture
def points() -> int | None:
    """How many writes are kill points: every one (None), or so many of the hundreds that there are."""
    return None if TORTURE >= 1 else max(1, round(700 * TORTURE))


class Notes(TypedDict, total=False):
    topic: str
    notes: Annotated[list[str], operator.add]
    count: int
    item: str


def note(name: str) -> Callable[[Notes], dict[str, Any]]:
    """A node that notes its name and how much was noted before it."""

    def node(state: Notes) -> dict[str, Any]:
        return {"notes": [f"{name} after {len(state.get('notes', []))}"]}

    return node


def linear() -> Workflow:
    flow = Workflow("linear", Notes)
    flow.add_sequence([(f"step{number}", note(f"step{number}")) for number in range(6)])
    return flow.add_edge(START, "step0").add_edge("step5", END)


def loop() -> Workflow:
    def draft(state: Notes) -> dict[str, Any]:
        return {"count": state.get("count", 0) + 1, "notes": [f"draft {state.get('count', 0) + 1}"]}

    def verdict(state: Notes) -> str:
        return "good" if state["count"] > 9 else "again"

    flow = Workflow("loop", Notes).add_node("draft", draft).add_node("review", note("review"))
    flow.add_node("escalate", note("escalate")).add_edge(START, "draft").add_edge("draft", "review")
    flow.add_conditional_edges(
        "review", verdict, {"good": END, "again": Loop("draft", max=2, on_exhausted="escalate")}
    )
    return flow.add_edge("escalate", END)


def fan_out() -> Workflow:
    """Two parallel branches, joined; then five sent-to workers, and a node that gathers."""

    def deal(state: Notes) -> list[Send]:
        return [Send("work", {"item": f"item {number}"}) for number in range(5)]

    def work(state: Notes) -> dict[str, Any]:
        return {"notes": [f"worked on {state['item']}"]}

    flow = Workflow("fan-out", Notes)
    for name in ("left", "right", "deal", "gather"):
        flow.add_node(name, note(name))
    flow.add_node("work", work)
    flow.add_edge(START, "left").add_edge(START, "right").add_edge(["left", "right"], "deal")
    flow.add_conditional_edges("deal", deal, [Each("work", max=5)])
    return flow.add_edge("work", "gather").add_edge("gather", END)


def question() -> Workflow:
    """Two questions, one after the other, in a run with work before, between and after."""

    def ask(name: str) -> Callable[[Notes], dict[str, Any]]:
        def node(state: Notes) -> dict[str, Any]:
            return {"notes": [f"{name}: {interrupt(f'{name}?')}"]}

        return node

    flow = Workflow("question", Notes)
    flow.add_node("before", note("before")).add_node("first", ask("first"), interrupts=1)
    flow.add_node("between", note("between")).add_node("second", ask("second"), interrupts=1)
    flow.add_node("after", note("after")).add_edge(START, "before").add_edge("before", "first")
    flow.add_edge("first", "between").add_edge("between", "second").add_edge("second", "after")
    return flow.add_edge("after", END)


def subworkflow() -> Workflow:
    """A workflow in another, entered twice."""

    def enough(state: Notes) -> str:
        return "enough" if state.get("count", 0) > 9 else "more"

    inner = Workflow("inner", Notes)
    inner.add_node("one", lambda state: {"count": state.get("count", 0) + 1}).add_node("two", note("two"))
    inner.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)
    flow = Workflow("subworkflow", Notes).add_node("before", note("before"))
    flow.add_node("inner", inner, inputs={"count": "count"}, outputs={"count": "count"})
    flow.add_node("after", note("after")).add_edge(START, "before").add_edge("before", "inner")
    flow.add_conditional_edges(
        "inner", enough, {"enough": "after", "more": Loop("inner", max=1, on_exhausted="after")}
    )
    return flow.add_edge("after", END)


def asynchronous() -> Workflow:
    async def call(state: Notes) -> dict[str, Any]:
        return {"notes": [f"called after {len(state['notes'])}"]}

    flow = Workflow("asynchronous", Notes).add_node("before", note("before"))
    for name in ("call", "call2"):
        flow.add_node(name, call).add_edge("before", name)
    flow.add_node("after", note("after")).add_edge(START, "before").add_edge(["call", "call2"], "after")
    return flow.add_edge("after", END)


def slow_sibling() -> Workflow:
    """Siblings of which one is long done while the other still works."""

    def slow(state: Notes) -> dict[str, Any]:
        time.sleep(0.02)  # work of that length, for a kill to fall into; nobody waits for it
        return {"notes": ["slow"]}

    flow = Workflow("slow sibling", Notes)
    flow.add_node("quick", note("quick")).add_node("slow", slow).add_node("after", note("after"))
    flow.add_edge(START, "quick").add_edge(START, "slow").add_edge(["quick", "slow"], "after")
    return flow.add_edge("after", END)


WORKFLOWS = (loop, fan_out, question, subworkflow, asynchronous, slow_sibling)


@pytest.fixture(params=WORKFLOWS, ids=lambda make: make.__name__)
def workflow(request: pytest.FixtureRequest) -> Workflow:
    """Each of those that are not linear."""
    made: Workflow = request.param()
    return made


@pytest.fixture
def linear_workflow() -> Workflow:
    return linear()


@pytest.fixture
def fanned_workflow() -> Workflow:
    return fan_out()


@pytest.fixture
def uneven_workflow() -> Workflow:
    return slow_sibling()
