"""Where a run goes on, as its picture says: at what is executed again, and nowhere else."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph

from dalsegno import END, START, Runner, Workflow, human
from dalsegno.runtime.seeing import Seeing
from dalsegno.viz import picture_of
from dalsegno.viz.laying import lay


class State(TypedDict, total=False):
    n: Annotated[int, operator.add]
    yes: bool


def one(state: State) -> dict[str, Any]:
    return {"n": 1}


def nothing(state: State) -> None:
    return None


def boom(state: State) -> None:
    until = time.monotonic() + 30
    while not DONE[0]() and time.monotonic() < until:
        time.sleep(0.01)
    raise ValueError("no")


DONE: list[Callable[[], bool]] = []
"""Whether what is beside it is committed."""


NODES = {"good": one, "quiet": nothing, "bad": boom}


def ours() -> Workflow:
    flow = Workflow("wide", State)
    for name, node in NODES.items():
        flow.add_node(name, node).add_edge(START, name).add_edge(name, END)
    return flow


def of_langgraph() -> Any:
    graph = StateGraph(State)
    for name, node in NODES.items():
        graph.add_node(name, node).add_edge("__start__", name)
    return graph.compile()


@pytest.mark.parametrize("made", [ours, of_langgraph])
def test_a_run_that_failed_resumes_at_what_failed_and_not_at_what_was_done_beside_it(
    tmp_path: Path, made: Any
) -> None:
    graph = made()
    with Runner(graph, db=tmp_path / "runs.db") as runner:
        DONE[:] = [lambda: runner.pending("t").unfinished == ("bad",)]
        assert runner.run({}, thread="t").status == "failed"
        pending = runner.pending("t")
    assert (sorted(pending.tasks), pending.unfinished) == (["bad", "good", "quiet"], ("bad",))
    with Seeing(graph, tmp_path / "runs.db") as seeing:
        view = seeing.view(seeing.ledger.last("t"))
        laid = lay(picture_of(seeing.spec), view)
    assert view.pending == ("bad",)
    assert {node.id: node.status for node in laid.nodes if node.id in NODES} == {
        "good": "done",
        "quiet": "done",
        "bad": "failed",
    }


def test_a_cancelled_run_waits_for_nobody(tmp_path: Path) -> None:
    flow = Workflow("asking", State).add_node("ask", human("Well?", answer=bool, writes="yes"))
    flow.add_edge(START, "ask").add_edge("ask", END)
    lines: dict[str, tuple[str, ...]] = {}
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        runner.run({}, thread="t")
        for status in ("interrupted", "cancelled"):
            with Seeing(flow, tmp_path / "runs.db") as seeing:
                laid = lay(picture_of(seeing.spec), seeing.view(seeing.ledger.last("t")))
            lines[status] = next(node.lines for node in laid.nodes if node.id == "ask")
            if status == "interrupted":
                runner.cancel("t")
    assert lines["interrupted"][0].startswith("‖ waits for a human")
    assert lines["cancelled"][0].startswith("‖ not answered")


def test_a_run_that_was_given_up_says_so(tmp_path: Path) -> None:
    flow = Workflow("asking", State).add_node("ask", human("Publish?", answer=bool, writes="yes"))
    flow.add_edge(START, "ask").add_edge("ask", END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        first = runner.run({}, thread="t")
        second = runner.run({}, thread="t", abandon=True)
    with Seeing(flow, tmp_path / "runs.db") as seeing:
        given_up, asks = (seeing.view(seeing.ledger.get(one.run_id)) for one in (first, second))
    assert given_up.note == f"It was given up for run {second.run_id[:8]}: nobody goes on with it."
    assert given_up.pending == ()
    assert (asks.note, asks.pending) == (None, ("ask",))


def test_the_seconds_of_a_run_are_not_held_against_a_proof_that_counts_none(tmp_path: Path) -> None:
    """It counts no time for people, routers, reducers and commits."""
    flow = Workflow("asking", State).add_node("ask", human("Publish?", answer=bool, writes="yes"))
    flow.add_edge(START, "ask").add_edge("ask", END)
    assert flow.validate().certificate.seconds == 0
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        runner.run({}, thread="t")
    with Seeing(flow, tmp_path / "runs.db") as seeing:
        used = {one.what: one.used for one in seeing.view(seeing.ledger.last("t")).used}
    assert used == {"supersteps": 0, "model calls": 0}
