"""Loops end after the declared number of times, whatever the router says."""

from __future__ import annotations

import operator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from dalsegno import END, START, Each, Loop, Runner, Workflow
from dalsegno.errors import BoundExceeded, WorkflowInvalid
from dalsegno.graphs.compiling import compile_workflow
from dalsegno.graphs.validation.checking import check_parts
from dalsegno.graphs.views import KERNEL


class Trail(TypedDict, total=False):
    path: Annotated[list[str], operator.add]
    wanted: int
    answer: str


def step(name: str) -> Any:
    def node(state: Trail) -> dict[str, Any]:
        return {"path": [name]}

    node.__name__ = name
    return node


def again_until(wanted: int) -> Any:
    """A router that goes back until `review` was there `wanted` times; None: for ever."""

    def verdict(state: Trail) -> str:
        return "good" if state["path"].count("review") >= wanted else "again"

    return verdict


def reviewing(wanted: int, times: int) -> Workflow:
    flow = Workflow("reviewing", Trail)
    for name in ("write", "review", "escalate"):
        flow.add_node(name, step(name))
    flow.add_edge(START, "write").add_edge("write", "review").add_edge("escalate", END)
    flow.add_conditional_edges(
        "review",
        again_until(wanted),
        {"good": END, "again": Loop("write", max=times, on_exhausted="escalate")},
    )
    return flow


FOR_EVER = 10**9


@pytest.mark.parametrize("times", [0, 1, 2, 5])
def test_a_loop_is_taken_at_most_max_times_then_its_exhausted_edge(times: int) -> None:
    path = reviewing(FOR_EVER, times).compile().invoke({"path": []})["path"]
    assert path == ["write", "review"] * (times + 1) + ["escalate"]


def test_a_loop_that_is_not_needed_is_not_taken() -> None:
    assert reviewing(1, 3).compile().invoke({"path": []})["path"] == ["write", "review"]


def test_a_loop_needed_exactly_max_times_never_reaches_its_exhausted_edge() -> None:
    assert "escalate" not in reviewing(4, 3).compile().invoke({"path": []})["path"]


def test_the_certificate_is_reached_exactly_and_set_as_the_recursion_limit() -> None:
    flow = reviewing(FOR_EVER, 3)
    certificate = flow.validate().certificate
    assert certificate is not None
    path = flow.compile().invoke({"path": []})["path"]
    assert len(path) == certificate.supersteps == 9
    assert flow.compile().config["recursion_limit"] == 10


def test_a_bound_one_too_low_stops_the_run_with_an_error() -> None:
    flow = reviewing(FOR_EVER, 3)
    _, certificates = check_parts(spec := flow.spec)
    certificate = certificates[id(spec)]
    assert certificate is not None
    one_less = replace(certificate, level_supersteps=8)
    with pytest.raises(BoundExceeded) as raised:
        compile_workflow(flow, spec, {id(spec): one_less}).invoke({"path": []})
    assert (raised.value.bound, raised.value.used) == (8, 9)
    assert raised.value.path == (*["write", "review"] * 4, "escalate")


def test_an_exhausted_edge_may_be_another_loop() -> None:
    flow = Workflow("two tries each", Trail)
    for name in ("cheap", "dear", "ask", "judge"):
        flow.add_node(name, step(name))
    flow.add_edge(START, "cheap").add_edge("cheap", "judge").add_edge("dear", "judge").add_edge("ask", END)
    chain = Loop("cheap", max=1, on_exhausted=Loop("dear", max=2, on_exhausted="ask"))
    flow.add_conditional_edges("judge", lambda state: "bad", {"good": END, "bad": chain})
    path = flow.compile().invoke({"path": []})["path"]
    assert path == ["cheap", "judge", "cheap", "judge", "dear", "judge", "dear", "judge", "ask"]
    assert flow.validate().certificate.supersteps == len(path)


def test_each_source_router_and_label_has_a_counter_of_its_own() -> None:
    flow = Workflow("nested", Trail)
    for name in ("a", "b", "c"):
        flow.add_node(name, step(name))
    flow.add_edge(START, "a").add_edge("a", "b")
    flow.add_conditional_edges("b", lambda s: "back", {"back": Loop("a", max=2, on_exhausted="c")})
    flow.add_conditional_edges("c", lambda s: "back", {"back": Loop("a", max=2, on_exhausted=END)})
    path = flow.compile().invoke({"path": []})["path"]
    # The inner loop is spent once in the run: nested loops add, they do not multiply.
    assert path == ["a", "b"] * 3 + ["c", "a", "b", "c", "a", "b", "c"]
    assert len(path) == flow.validate().certificate.supersteps


def test_two_labels_to_one_target_are_counted_apart() -> None:
    flow = Workflow("labels", Trail)
    flow.add_node("a", step("a"))
    flow.add_edge(START, "a")

    def alternating(state: Trail) -> str:
        return "odd" if len(state["path"]) % 2 else "even"

    flow.add_conditional_edges(
        "a",
        alternating,
        {"odd": Loop("a", max=1, on_exhausted=END), "even": Loop("a", max=1, on_exhausted=END)},
    )
    assert len(flow.compile().invoke({"path": []})["path"]) == 3


def test_a_command_that_goes_back_is_counted() -> None:
    flow = Workflow("commanding", Trail)

    def act(state: Trail) -> Command[Any]:
        return Command(update={"path": ["act"]}, goto="act")

    flow.add_node("act", act, destinations=(Loop("act", max=2, on_exhausted="rest"), "rest"))
    flow.add_node("rest", step("rest"))
    flow.add_edge(START, "act").add_edge("rest", END)
    assert flow.compile().invoke({"path": []})["path"] == ["act", "act", "act", "rest"]


@pytest.mark.parametrize("way", ["goto", "commands", "router"])
def test_the_same_answer_twice_in_one_decision_is_one(way: str) -> None:
    """Else a loop would be taken and be spent at once, and a run go beyond its exact bound."""
    back = Loop("a", max=1, on_exhausted="b")

    def node(state: Trail) -> Any:
        if way == "goto":
            return Command(update={"path": ["a"]}, goto=["a", "a"])
        if way == "commands":
            return [Command(update={"path": ["a"]}, goto="a"), Command(goto="a")]
        return {"path": ["a"]}

    flow = Workflow("twice", Trail).add_node("b", step("b"))
    flow.add_node("a", node, destinations=(back, END) if way != "router" else None)
    if way == "router":
        flow.add_conditional_edges("a", lambda state: ["a", "a"], {"a": back, "end": END}, many=True)
    flow.add_edge(START, "a").add_edge("b", END)
    assert flow.compile().invoke({})["path"] == ["a", "a", "b"]


def test_a_second_turn_on_a_thread_starts_from_zero_without_a_runner() -> None:
    graph = reviewing(FOR_EVER, 2).compile(InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    first = graph.invoke({"path": []}, config)["path"]
    second = graph.invoke({"path": []}, config)["path"]
    assert second[len(first) :] == first


def test_counters_hold_over_an_interrupt_and_its_resume_without_a_runner() -> None:
    def review(state: Trail) -> dict[str, Any]:
        return {"path": ["review"], "answer": interrupt("good?")}

    flow = Workflow("asking", Trail)
    flow.add_node("write", step("write"))
    flow.add_node("review", review, interrupts=1)
    flow.add_edge(START, "write").add_edge("write", "review")
    flow.add_conditional_edges(
        "review", lambda s: s["answer"], {"yes": END, "no": Loop("write", max=2, on_exhausted=END)}
    )
    graph = flow.compile(InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    graph.invoke({"path": []}, config)
    for _ in range(3):
        result = graph.invoke(Command(resume="no"), config)
    assert "__interrupt__" not in result
    assert result["path"] == ["write", "review"] * 3


def test_a_loop_without_a_way_out_is_refused() -> None:
    flow = Workflow("stuck", Trail)
    flow.add_node("a", step("a"))
    flow.add_edge(START, "a")
    flow.add_conditional_edges("a", lambda s: "x", {"x": Loop("a", max=1), "y": END})
    with pytest.raises(WorkflowInvalid, match="T102"):
        flow.compile()


def test_an_unbounded_cycle_is_refused_by_compile_with_its_path() -> None:
    flow = Workflow("cycle", Trail)
    flow.add_node("a", step("a"))
    flow.add_node("b", step("b"))
    flow.add_edge(START, "a").add_edge("a", "b")
    flow.add_conditional_edges("b", lambda s: "a", ["a", END])
    with pytest.raises(WorkflowInvalid, match="T101"):
        flow.compile()


def test_loops_of_a_node_that_nothing_ever_sends_to_are_counted() -> None:
    """`Each(max=0)` sends to nobody, and so does what cannot be reached."""
    flow = Workflow("never sent", Trail)
    for name in ("write", "review", "apart"):
        flow.add_node(name, step(name))
    flow.add_edge(START, "write")
    flow.add_conditional_edges("write", lambda s: "review", [Each("review", max=0), "review"])
    flow.add_conditional_edges("apart", lambda s: END, [Each("review", max=3), END])
    flow.add_conditional_edges(
        "review", lambda s: "again", {"again": Loop("review", max=2, on_exhausted=END), "good": END}
    )
    flow.waive("G003", "apart", "not connected yet")
    path = flow.compile().invoke({"path": []})["path"]
    assert path == ["write", "review", "review", "review"]
    assert len(path) == flow.validate().certificate.supersteps


class Verdict(str, Enum):  # noqa: UP042 - whose `str` is another text
    AGAIN = "again"
    GOOD = "good"


@pytest.mark.parametrize("declared", ["again", Verdict.AGAIN])
def test_an_answer_that_equals_a_declared_one_is_counted_as_that_one(declared: Any, tmp_path: Path) -> None:
    """A router gives the member of an Enum that a node wrote, and its text where that came from a model."""
    answers = [Verdict.AGAIN, "again"]

    flow = Workflow("counted", Trail).add_node("write", step("write")).add_edge(START, "write")
    flow.add_conditional_edges(
        "write",
        lambda state: answers[len(state["path"]) % 2],
        {declared: Loop("write", max=2, on_exhausted=END), "good": END},
    )
    with Runner(flow, db=tmp_path / "r.db") as runner:
        run = runner.run({"path": []})
        assert (run.status, run.output["path"]) == ("completed", ["write"] * 3)
        labels = {label for done in runner.ledger.executions(run.run_id) for _, label, _ in done.targets}
    assert labels == {edge.label for edge in flow.spec.edges if edge.loop}


def test_compiling_does_not_change_the_builder() -> None:
    flow = reviewing(2, 2)
    before = flow.spec
    assert flow.compile().invoke({"path": []}) == flow.compile().invoke({"path": []})
    assert flow.spec == before


def test_nodes_neither_see_nor_write_the_kernels_key() -> None:
    seen: list[set[str]] = []

    def look(state: Trail) -> dict[str, Any]:
        seen.append(set(state))
        return {}

    flow = Workflow("looking", Trail)
    flow.add_node("look", look)
    flow.add_edge(START, "look").add_edge("look", END)
    flow.compile().invoke({"wanted": 1})
    assert all(KERNEL not in keys for keys in seen)
