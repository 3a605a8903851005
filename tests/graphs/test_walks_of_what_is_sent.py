"""A run has the supersteps of its longest causal walk, also through what is sent: never more than its bound."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.types import Send

from dalsegno import END, START, Budget, Each, Runner, Workflow


class State(TypedDict, total=False):
    ran: Annotated[list[str], operator.add]
    long: bool


def pause(state: Any) -> None: ...


def row(size: int) -> Workflow:
    """A subworkflow of so many supersteps, of which all but the first are left out where it is not `long`."""
    flow = Workflow("row", State)
    names = [f"step{i}" for i in range(size)]
    for name in names:
        flow.add_node(name, pause)
    for name, after in zip(names[1:], [*names[2:], END], strict=True):
        flow.add_edge(name, after)
    flow.add_edge(START, names[0])
    on = names[1]
    return flow.add_conditional_edges(
        names[0], lambda state: END if state.get("long") is False else on, [on, END]
    )


def begun() -> Workflow:
    """A long row beside whatever else follows the first node."""
    flow = (
        Workflow("sending", State)
        .add_node("first", pause)
        .add_node("beside", row(10), outputs={"ran": "ran"})
    )
    return flow.add_edge(START, "first").add_edge("first", "beside").add_edge("beside", END)


def ends_within_its_bound(flow: Workflow, db: Path) -> int:
    certificate = flow.validate().certificate
    assert certificate is not None
    assert certificate.supersteps is not None
    with Runner(flow, db=db) as runner:
        within = Budget(supersteps=certificate.supersteps)
        result = runner.run({}, thread="t", budget=within)
        assert result.status == "completed", result.error
        assert result.supersteps <= certificate.supersteps
    return result.supersteps


def test_what_a_sent_node_sends_follows_that_node_alone(tmp_path: Path) -> None:
    flow = (
        begun()
        .add_node("split", pause)
        .add_node("worker", pause)
        .add_node("last", row(10), outputs={"ran": "ran"})
    )
    flow.add_edge("first", "split").add_edge("last", END)
    flow.add_conditional_edges("split", lambda state: [Send("worker", {})] * 2, [Each("worker", max=2)])
    flow.add_conditional_edges("worker", lambda state: [Send("last", {})], [Each("last", max=1)])
    assert ends_within_its_bound(flow, tmp_path / "runs.db") == 3 + 11


def test_what_follows_the_second_node_of_a_fan_out_follows_that_node_alone(tmp_path: Path) -> None:
    flow = (
        begun()
        .add_node("one", pause)
        .add_node("other", pause)
        .add_node("last", row(10), outputs={"ran": "ran"})
    )
    flow.add_edge("one", END).add_edge("other", "last").add_edge("last", END)
    sends = [Each("one", max=1), Each("other", max=1)]
    flow.add_conditional_edges("first", lambda state: [Send("one", {}), Send("other", {})], sends)
    assert ends_within_its_bound(flow, tmp_path / "runs.db") == 2 + 11


def test_of_subworkflows_that_are_sent_to_the_longest_counts(tmp_path: Path) -> None:
    flow = (
        Workflow("sending", State)
        .add_node("split", pause)
        .add_node("worker", row(10), outputs={"ran": "ran"})
    )
    flow.add_edge(START, "split").add_edge("worker", END)
    sends = [Send("worker", {"long": long}) for long in (False, True, False)]
    flow.add_conditional_edges("split", lambda state: sends, [Each("worker", max=3)])
    assert ends_within_its_bound(flow, tmp_path / "runs.db") == 1 + 11
