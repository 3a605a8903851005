"""A disk that is full, or fails once: the process is told, and the next one goes on."""

from __future__ import annotations

import operator
from collections import Counter
from typing import Annotated, TypedDict

import pytest
from langgraph.graph import StateGraph

from dalsegno import END, START, Workflow
from dalsegno.testing import crash_test
from dalsegno.testing.crash_kit.tracing import why_not

INPUT = {"topic": "rain", "notes": []}
NO_TRACING = why_not()


class Notes(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]


pytestmark = pytest.mark.skipif(NO_TRACING is not None, reason=f"no process can be traced: {NO_TRACING}")


def test_a_run_goes_on_after_the_disk_was_full(linear_workflow: Workflow) -> None:
    report = crash_test(linear_workflow, INPUT, at="disk full", kills=10).raise_for_failures()
    assert report.kills == 10


def test_a_run_goes_on_after_an_error_of_the_disk(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, at="io errors", kills=15).raise_for_failures()
    assert report.kills == 15


def test_an_error_is_met_in_every_state_a_run_can_be_in(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, at="disk full", kills=25, seed=2).raise_for_failures()
    found = Counter(point.found for point in report.points)
    assert {(None,), ("stopped",)} <= set(found)


def test_the_journal_of_a_plain_langgraph_graph_has_what_was_kept_with_its_superstep() -> None:
    graph = StateGraph(Notes)
    for name in ("one", "two"):
        graph.add_node(name, lambda state, name=name: {"notes": [name]})
    graph.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)
    report = crash_test(graph, {"notes": []}, at="io errors", kills=20).raise_for_failures()
    assert report.kills == 20
