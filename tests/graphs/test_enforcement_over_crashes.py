"""A crash repeats at most what was in flight: one superstep's width, which the certificate says it assumes."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langgraph.types import Send

from dalsegno import END, START, Each, Loop, Workflow
from dalsegno.testing import crash_test

WIDTH = 3


class State(TypedDict, total=False):
    ran: Annotated[list[str], operator.add]


def step(name: str) -> Any:
    return lambda state: {"ran": [name]}


def inner() -> Workflow:
    flow = Workflow("inner", State).add_node("try", step("try")).add_edge(START, "try")
    again = Loop("try", max=1, on_exhausted=END)
    return flow.add_conditional_edges("try", lambda s: "again", {"again": again, "on": END})


def outer() -> Workflow:
    """A loop around a fan-out and a subworkflow that loops; every router wants to go back."""
    flow = Workflow("outer", State).add_node("plan", step("plan")).add_node("work", step("work"))
    flow.add_node("sub", inner(), inputs={}, outputs={"ran": "ran"})
    flow.add_edge(START, "plan").add_edge("work", "sub")
    flow.add_conditional_edges(
        "plan", lambda s: [Send("work", i) for i in range(WIDTH)], [Each("work", max=WIDTH)]
    )
    again = Loop("plan", max=1, on_exhausted=END)
    return flow.add_conditional_edges("sub", lambda s: "again", {"again": again, "on": END})


def test_the_bounds_hold_over_crashes_up_to_the_printed_assumption() -> None:
    certificate = outer().validate().certificate
    assert certificate is not None
    assert "each crash repeats at most the one in flight" in certificate.assumptions[0]
    report = crash_test(outer, {"ran": []}, kills=14, again=1, seed=3)
    assert report.ok, str(report)
    assert report.kills >= 14
    assert report.executions <= certificate.executions
    # A subworkflow in flight is repeated with the one node that was in flight in it.
    assert max(len(point.repeated) for point in report.points) <= (WIDTH + 1) * 2
    assert all(len(point.repeated) <= (WIDTH + 1) * point.killed for point in report.points)
