"""A workflow is a node of another: its keys mapped, its loops fresh at each entry, its bound its own."""

from __future__ import annotations

import asyncio
import operator
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError, NodeError
from langgraph.graph import StateGraph
from langgraph.types import Command, interrupt

from dalsegno import END, START, Budget, Each, Loop, Runner, Workflow
from dalsegno.errors import UndeclaredTarget
from dalsegno.graphs.renaming import as_it_was
from dalsegno.graphs.specifying import describe


class Inner(TypedDict, total=False):
    text: str
    tries: Annotated[int, operator.add]


class Outer(TypedDict, total=False):
    topic: str
    draft: str
    rounds: Annotated[int, operator.add]
    total: Annotated[int, operator.add]
    found: Annotated[list[str], operator.add]


def inner(times: int = 2, *, asking: bool = False) -> Workflow:
    """A subworkflow that always uses up its loop: `times + 1` supersteps."""

    def work(state: Inner) -> dict[str, Any]:
        answer = interrupt("go on?") if asking else "x"
        return {"text": state.get("text", "") + answer, "tries": 1}

    flow = Workflow("inner", Inner)
    flow.add_node("work", work, interrupts=int(asking))
    flow.add_edge(START, "work")
    flow.add_conditional_edges(
        "work", lambda s: "more", {"more": Loop("work", max=times, on_exhausted=END), "end": END}
    )
    return flow


def outer(child: Any, rounds: int = 0, **maps: Any) -> Workflow:
    flow = Workflow("outer", Outer)
    flow.add_node("sub", child, **maps)
    flow.add_node("count", lambda s: {"rounds": 1})
    flow.add_edge(START, "sub").add_edge("sub", "count")
    flow.add_conditional_edges(
        "count", lambda s: "more", {"more": Loop("sub", max=rounds, on_exhausted=END), "end": END}
    )
    return flow


MAPS: dict[str, Any] = {"inputs": {"text": "topic"}, "outputs": {"draft": "text", "total": "tries"}}


def test_keys_are_mapped_in_and_out() -> None:
    result = outer(inner(), **MAPS).compile().invoke({"topic": "rain "})
    assert result["draft"] == "rain xxx"
    assert result["topic"] == "rain "


def test_without_maps_the_keys_of_the_same_name_are_shared() -> None:
    child = Workflow("child", Outer)
    child.add_node("write", lambda s: {"draft": s["topic"] + "!"})
    child.add_edge(START, "write").add_edge("write", END)
    assert outer(child).compile().invoke({"topic": "rain"})["draft"] == "rain!"


def test_loops_inside_multiply_with_loops_outside() -> None:
    flow = outer(inner(2), rounds=3, **MAPS)
    result = flow.compile().invoke({"topic": ""})
    assert result["rounds"] == 4
    assert result["total"] == 4 * 3
    assert flow.validate().certificate.supersteps == 4 * (1 + 3 + 1)


def test_a_nested_bound_is_reached_exactly_and_counted_as_the_certificate_counts() -> None:
    from dalsegno.graphs.views import KERNEL

    flow = outer(inner(2), rounds=1, **MAPS)
    graph = flow.compile(InMemorySaver())
    graph.invoke({"topic": ""}, {"configurable": {"thread_id": "t"}})
    record = graph.get_state({"configurable": {"thread_id": "t"}}).values[KERNEL]
    assert record["walk"] == flow.validate().certificate.supersteps == 10
    assert record["used"] == 4


def test_a_child_keeps_its_own_recursion_limit() -> None:
    # Five supersteps inside, one outside: the parent's limit of 3 must not reach the child.
    child = inner(4)
    flow = Workflow("short", Outer)
    flow.add_node("sub", child, **MAPS).add_edge(START, "sub").add_edge("sub", END)
    assert flow.compile().config["recursion_limit"] == 2
    assert flow.compile().invoke({"topic": ""})["total"] == 5


def test_an_interrupt_inside_a_subworkflow_resumes_inside_of_it() -> None:
    graph = outer(inner(1, asking=True), **MAPS).compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    assert "__interrupt__" in graph.invoke({"topic": ""}, config)
    assert "__interrupt__" in graph.invoke(Command(resume="a"), config)
    assert graph.invoke(Command(resume="b"), config)["draft"] == "ab"


def test_subworkflows_run_in_an_event_loop() -> None:
    async def work(state: Inner) -> dict[str, Any]:
        return {"text": "async"}

    child = Workflow("child", Inner)
    child.add_node(work).add_edge(START, "work").add_edge("work", END)
    flow = outer(child, **MAPS)
    assert flow.spec.nodes["sub"].is_async
    assert asyncio.run(flow.compile().ainvoke({"topic": ""}))["draft"] == "async"


def test_a_subworkflow_can_be_sent_to() -> None:
    from langgraph.types import Send

    child = Workflow("child", Inner)
    child.add_node("work", lambda s: {"text": s["text"].upper()}).add_edge(START, "work").add_edge(
        "work", END
    )
    flow = Workflow("fan", Outer)
    flow.add_node("sub", child, outputs={"draft": "text"})
    flow.add_conditional_edges(START, lambda s: [Send("sub", {"text": "a"})], [Each("sub", max=1)])
    flow.add_edge("sub", END)
    assert flow.compile().invoke({"topic": ""})["draft"] == "A"


def commanding(target: str) -> Workflow:
    child = Workflow("child", Outer)
    child.add_node("leave", lambda s: Command(graph=Command.PARENT, goto=target, update={"rounds": 1}))
    return child.add_edge(START, "leave").add_edge("leave", END)


def test_a_command_to_the_parent_passes_where_the_parent_declares_it() -> None:
    flow = Workflow("parent", Outer)
    flow.add_node("sub", commanding("after"), destinations=("after",))
    flow.add_node("after", lambda s: {"found": ["after"]})
    flow.add_edge(START, "sub").add_edge("after", END)
    assert flow.compile().invoke({})["found"] == ["after"]


def test_a_command_to_the_parent_that_is_not_declared_is_refused() -> None:
    flow = Workflow("parent", Outer)
    flow.add_node("sub", commanding("other"), destinations=("after",))
    flow.add_node("after", lambda s: {}).add_node("other", lambda s: {})
    flow.add_edge(START, "sub").add_edge(START, "other").add_edge("after", END).add_edge("other", END)
    with pytest.raises(UndeclaredTarget, match="not one of its declared targets: `after`"):
        flow.compile().invoke({})


def test_a_command_to_the_parent_that_goes_back_is_counted() -> None:
    flow = Workflow("parent", Outer)
    flow.add_node("sub", commanding("sub"), destinations=(Loop("sub", max=2, on_exhausted="rest"), "rest"))
    flow.add_node("rest", lambda s: {"found": ["rest"]})
    flow.add_edge(START, "sub").add_edge("rest", END)
    assert flow.compile().invoke({}) == {"rounds": 3, "total": 0, "found": ["rest"]}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("update", [{"rounds": 1}, [("rounds", 1)]], ids=["mapping", "pairs"])
def test_a_node_that_goes_on_in_the_parent_asks_no_router(update: Any, is_async: bool) -> None:
    """LangGraph asks none: here one was asked, and failed on the state that it never sees."""

    def never(state: Outer) -> str:
        raise AssertionError("nobody goes on here")

    child = Workflow("child", Outer).add_node("next", lambda s: {}).add_edge("next", END)
    child.add_node("leave", lambda s: Command(graph=Command.PARENT, goto="after", update=update))
    child.add_edge(START, "leave").add_conditional_edges("leave", never, ["next"])
    flow = Workflow("parent", Outer).add_node("sub", child, destinations=("after",))
    flow.add_node("after", lambda s: {"found": ["after"]}).add_edge(START, "sub").add_edge("after", END)
    graph = flow.compile()
    result = asyncio.run(graph.ainvoke({})) if is_async else graph.invoke({})
    assert result == {"rounds": 1, "total": 0, "found": ["after"]}


@pytest.mark.parametrize("supersteps", [4, 3])
def test_what_a_subworkflow_took_counts_where_it_is_left_by_a_command(
    tmp_path: Path, supersteps: int
) -> None:
    """Only its node was counted, so that a budget of supersteps was overdrawn."""

    def leave(state: Outer) -> Any:
        return Command(graph=Command.PARENT, goto="after")

    child = Workflow("child", Outer).add_sequence([("before", lambda s: {}), ("leave", leave)])
    child.add_edge(START, "before").add_edge("leave", END)
    flow = Workflow("parent", Outer).add_node("sub", child, destinations=("after",))
    flow.add_node("after", lambda s: {"found": ["after"]}).add_edge(START, "sub").add_edge("after", END)
    assert flow.validate().certificate.supersteps == 4
    with Runner(flow, db=tmp_path / "r.db") as runner:
        result = runner.run({}, budget=Budget(supersteps=supersteps))
    assert (result.status, result.supersteps) == (("failed", 3) if supersteps == 3 else ("completed", 4))


def test_a_langgraph_graph_is_a_node_like_any_workflow() -> None:
    from langgraph.graph import StateGraph

    plain: Any = StateGraph(Inner)
    plain.add_node("work", lambda s: {"text": s["text"] + "?"})
    plain.add_edge(START, "work").add_edge("work", END)
    flow = outer(plain.compile(), **MAPS)
    assert flow.compile().invoke({"topic": "why"})["draft"] == "why?"
    assert flow.validate().certificate.supersteps == 3


def long_graph(steps: int, checkpointer: Any = None) -> Any:
    """A plain graph of more supersteps than the workflow around it has at its level."""
    from langgraph.graph import StateGraph

    plain: Any = StateGraph(Inner)
    names = [f"step {number}" for number in range(steps)]
    for name in names:
        plain.add_node(name, lambda s: {"text": s["text"] + "?"})
    for before, after in zip([START, *names], [*names, END], strict=True):
        plain.add_edge(before, after)
    return plain.compile(checkpointer=checkpointer)


@pytest.mark.parametrize("checkpointer", [None, False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_langgraph_graph_has_as_many_supersteps_as_by_itself(checkpointer: Any, is_async: bool) -> None:
    flow = outer(long_graph(5, checkpointer), **MAPS)
    graph, config = flow.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    asked: Any = ({"topic": "why"}, config)
    if is_async:
        result = asyncio.run(graph.ainvoke(*asked, durability="sync"))
    else:
        result = graph.invoke(*asked, durability="sync")
    assert result["draft"] == "why?????"


def test_one_that_says_how_many_it_has_is_held_to_that() -> None:
    flow = outer(long_graph(5).with_config({"recursion_limit": 3}), **MAPS)
    with pytest.raises(GraphRecursionError, match="Recursion limit of 3"):
        flow.compile().invoke({"topic": "why"})


@pytest.mark.parametrize("is_async", [False, True])
def test_so_has_one_that_a_function_runs(is_async: bool) -> None:
    graph = long_graph(5)

    def run(state: Any) -> Any:
        return {"draft": graph.invoke({"text": state["topic"]})["text"]}

    async def arun(state: Any) -> Any:
        return {"draft": (await graph.ainvoke({"text": state["topic"]}))["text"]}

    flow = outer(arun if is_async else run).waive("T111", "sub", "it ends by itself")
    assert asyncio.run(flow.compile().ainvoke({"topic": "why"}))["draft"] == "why?????"


def test_a_run_of_deep_workflows_goes_on_under_old_names_and_no_level_is_described_for_each_around_it() -> (
    None
):
    flow = inner()
    for _ in range(12):
        flow = outer(flow, **MAPS)
    described: Counter[str] = Counter()

    def heard(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is describe.__code__:
            described[frame.f_locals["workflow"].name] += 1

    sys.setprofile(heard)
    try:
        played = as_it_was(flow, {"added": "count"}).spec
    finally:
        sys.setprofile(None)
    assert described == {"outer": 12, "inner": 1}
    levels = 0
    while "sub" in played.nodes:
        assert ("added" in played.nodes) == (levels == 0)
        played, levels = played.nodes["sub"].child, levels + 1
    assert levels == 12


def test_a_builder_of_langgraph_that_is_a_node_is_compiled_as_often_as_its_workflow() -> None:
    """LangGraph writes its defaults into it, and refused it the second time; in two nodes it failed at once."""

    def mend(state: Outer, error: NodeError) -> dict[str, Any]:
        return {"found": ["mended"]}

    part: Any = StateGraph(Outer).set_node_defaults(error_handler=mend)
    part.add_node("go", lambda state: {"found": ["gone"]}).add_edge(START, "go").add_edge("go", END)
    flow = Workflow("outer", Outer).add_node("a", part).add_node("b", part)
    flow.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    for _ in range(2):
        assert (
            len(flow.compile().invoke({"found": []})["found"]) == 3
        )  # the second is given what the first found
    assert part.compile().invoke({"found": []})["found"] == ["gone"]


def test_what_is_added_to_a_builder_of_langgraph_that_is_a_node_is_proved_too() -> None:
    part: Any = StateGraph(Outer).add_node("one", lambda state: {"total": 1})
    part.add_edge(START, "one")
    flow = Workflow("outer", Outer).add_node("sub", part).add_edge(START, "sub").add_edge("sub", END)
    assert flow.validate().certificate.supersteps == 2
    part.add_node("two", lambda state: {"total": 1}).add_edge("one", "two").add_edge("two", END)
    assert flow.validate().certificate.supersteps == 3
    assert flow.compile().invoke({"total": 0})["total"] == 2
    part.add_edge("two", "one")
    assert "T101" in {finding.code for finding in flow.validate().findings}
