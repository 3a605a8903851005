"""R404: raised by `compile`, for `check` cannot know what a graph is compiled with."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph
from langgraph.types import Command, interrupt

from dalsegno import END, START, Workflow
from dalsegno.errors import WorkflowInvalid


class State(TypedDict, total=False):
    said: str


def ask(state: State) -> dict[str, Any]:
    return {"said": interrupt("yes?")}


def asking() -> Workflow:
    return Workflow("asking", State).add_node(ask, interrupts=1).add_edge(START, "ask").add_edge("ask", END)


def around(inner: Any) -> Workflow:
    return Workflow("outer", State).add_node("sub", inner).add_edge(START, "sub").add_edge("sub", END)


@pytest.mark.parametrize("checkpointer", [None, False])
@pytest.mark.parametrize(("flow", "place"), [(asking(), "ask"), (around(around(asking())), "sub/sub/ask")])
def test_an_interrupt_without_a_checkpointer_is_refused_at_any_depth(
    flow: Workflow, place: str, checkpointer: Any
) -> None:
    with pytest.raises(WorkflowInvalid, match=f"R404 `{place}` waits for a human") as raised:
        flow.compile(checkpointer)
    (found,) = raised.value.report.findings
    assert (found.code, found.path) == ("R404", tuple(place.split("/")))
    assert found.where is not None


def test_a_subworkflow_takes_over_the_checkpointer_of_its_parent() -> None:
    graph = around(asking()).compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    assert "__interrupt__" in graph.invoke({}, config)
    assert graph.invoke(Command(resume="yes"), config) == {"said": "yes"}


def test_a_part_of_a_langgraph_graph_needs_none_of_its_own() -> None:
    outer = StateGraph(State).add_node("sub", asking().compile_part()).add_edge(START, "sub")
    graph = outer.compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({}, config)
    assert graph.invoke(Command(resume="yes"), config) == {"said": "yes"}


def test_it_is_waived_like_any_other_finding() -> None:
    flow = asking().waive("R404", "ask", "the platform brings its own checkpointer")
    assert flow.validate().findings == ()
    flow.compile()


def test_without_interrupts_no_checkpointer_is_needed() -> None:
    flow = Workflow("plain", State).add_node("a", lambda s: {}).add_edge(START, "a").add_edge("a", END)
    flow.compile()
    flow.compile(False)
