"""A LangGraph graph of the user's own does not tell which edges it took: what is certain is told of it all the same."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from dalsegno import Runner, Workflow
from dalsegno.runtime.seeing import Seeing
from dalsegno.viz.overlay import RunView


class State(TypedDict, total=False):
    seen: Annotated[list[str], operator.add]


def _node(name: str) -> Any:
    return lambda state: {"seen": [name]}


def _seen(graph: Any, path: Path) -> RunView:
    compiled = graph if isinstance(graph, Workflow) else graph.compile()
    with Runner(compiled, db=str(path / "runs.db")) as runner:
        assert runner.run({"seen": []}, thread="t").status == "completed"
    with Seeing(compiled, str(path / "runs.db")) as seeing:
        run = seeing.ledger.latest("t")
        assert run is not None
        return seeing.view(run)


def test_static_edges_choices_commands_fan_outs_and_the_way_to_the_end(tmp_path: Path) -> None:
    graph = StateGraph(State)
    for name in ("draft", "review", "unused", "work", "last"):
        graph.add_node(name, _node(name))
    graph.add_node("hand", lambda state: Command(goto="last", update={}), destinations=("last", "unused"))
    graph.add_edge(START, "draft").add_edge("draft", "review").add_edge("work", "hand").add_edge(
        "unused", END
    )

    def verdict(state: State) -> str:
        return "again" if state["seen"].count("review") < 2 else "good"

    graph.add_conditional_edges("review", verdict, {"again": "draft", "good": "spread", "bad": "unused"})
    graph.add_node("spread", lambda state: {})
    graph.add_conditional_edges("spread", lambda state: [Send("work", state)] * 3, ["work"])
    graph.add_conditional_edges("last", lambda state: END, ["unused", END])
    view = _seen(graph, tmp_path)
    assert dict(view.edges) == {
        (START, "draft", None): 1,
        ("draft", "review", None): 2,
        ("review", "draft", "again"): 1,
        ("review", "spread", "good"): 1,
        ("spread", "work", "work"): 1,
        ("work", "hand", None): 3,
        ("hand", "last", None): 1,
        ("last", END, END): 1,
    }
    assert [e.targets for e in view.executions if e.node == "review"] == [
        (("draft", "again"),),
        (("spread", "good"),),
    ]


def test_what_two_edges_explain_is_told_of_neither(tmp_path: Path) -> None:
    graph = StateGraph(State)
    for name in ("one", "other", "both"):
        graph.add_node(name, _node(name))
    graph.add_edge(START, "one").add_edge(START, "other").add_edge("both", END)
    graph.add_conditional_edges("one", lambda state: "both", ["both", END])
    graph.add_conditional_edges("other", lambda state: END, ["both", END])
    view = _seen(graph, tmp_path)
    assert not [edge for edge in view.edges if edge[1] == "both"]
    assert view.edges["both", END, None] == 1


@pytest.mark.parametrize("ours", [True, False])
def test_a_node_that_left_its_workflow_took_no_way_in_it(ours: bool, tmp_path: Path) -> None:
    def leaves(state: State) -> Command[Any]:
        return Command(graph=Command.PARENT, goto="after", update={"seen": ["leaves"]})

    part: Any = Workflow("part", State) if ours else StateGraph(State)
    part.add_node("first", _node("first")).add_node("leaves", leaves).add_node("never", _node("never"))
    part.add_edge(START, "first").add_edge("first", "leaves").add_edge("leaves", "never").add_edge(
        "never", END
    )
    flow: Any = Workflow("flow", State) if ours else StateGraph(State)
    flow.add_node("part", part if ours else part.compile(), destinations=("after",))
    flow.add_node("after", _node("after")).add_edge(START, "part").add_edge("after", END)
    view = _seen(flow, tmp_path)
    assert dict(view.edges) == {
        (START, "part", None): 1,
        (f"part/{START}", "part/first", None): 1,
        ("part/first", "part/leaves", None): 1,
        ("part", "after", None): 1,
        ("after", END, None): 1,
    }
