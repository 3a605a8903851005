"""The ledger's executions amount to what a picture of the run shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dalsegno.checkpoints import Database, ExecutionRecord, Ledger
from dalsegno.graphs.loading import load_target
from dalsegno.graphs.model import END, START, EdgeSpec, NodeSpec, WorkflowSpec
from dalsegno.runtime import Runner
from dalsegno.runtime.view import history_of, run_view
from dalsegno.viz.overlay import RunView


@pytest.fixture
def view(folder: Path) -> Any:
    """Runs a workflow of `app.py` and gives the view of that run."""

    def run(name: str, given: dict[str, Any], answer: Any = None) -> RunView:
        loaded = load_target(f"app.py:{name}")
        with Runner(loaded.graph, db=folder / "runs.db") as runner:
            runner.run(given, thread="t1")
            if answer is not None:
                runner.resume("t1", answer)
            record = runner.ledger.latest("t1")
            assert record is not None
            return run_view(runner.ledger, runner.spec, record, runner.pending("t1"))

    return run


def test_nodes_and_edges_are_counted_with_the_routers_answers(view: Any) -> None:
    got = view("flow", {"topic": "rain"})
    assert {name: (n.count, n.status) for name, n in got.nodes.items()} == {
        "write": (3, "done"),
        "review": (3, "done"),
    }
    assert got.edges == {
        (START, "write", None): 1,
        ("write", "review", None): 3,
        ("review", "write", "again"): 2,
        ("review", END, "good"): 1,
    }
    assert (got.status, got.supersteps, got.proved, got.pending) == ("completed", 6, 8, ())
    assert got.resumed_from is None


def test_a_failed_node_has_its_error_and_is_pending(view: Any) -> None:
    got = view("flow", {"topic": "boom"})
    assert got.nodes["review"].status == "failed"
    assert got.nodes["review"].error == "ValueError: no such topic: boom"
    assert got.pending == ("review",)
    assert got.error == "review: ValueError: no such topic: boom"


def test_a_question_that_was_answered_is_done_once(view: Any) -> None:
    assert view("asking", {}).nodes["ask"].status == "interrupted"


def test_a_resumed_run_knows_its_mark(view: Any) -> None:
    got = view("asking", {}, "yes")
    assert (got.nodes["ask"].count, got.nodes["ask"].status) == (1, "done")
    assert got.resumed_from == 0


def test_sends_are_counted_each_and_their_decision_once(view: Any) -> None:
    got = view("sums", {"numbers": [1, 2, 3]})
    assert got.nodes["square"].count == 3
    assert got.edges["split", "square", None] == 1
    assert got.edges["square", "total", None] == 3


def test_a_subworkflow_is_counted_under_its_path(view: Any) -> None:
    got = view("outer", {"topic": "rain"})
    assert got.nodes["article/write"].count == 3
    assert got.edges["article/review", "article/write", "again"] == 2
    assert got.edges[f"article/{START}", "article/write", None] == 1
    assert got.edges["article", END, None] == 1


def record(node: str, superstep: int, occurrence: int | str = 1, **more: Any) -> ExecutionRecord:
    return ExecutionRecord("r", superstep, node, occurrence, **more)


TWO = WorkflowSpec(
    "two",
    nodes={n: NodeSpec(n) for n in ("a", "b", "c")},
    edges=(
        EdgeSpec(START, "a"),
        EdgeSpec(START, "b"),
        EdgeSpec("a", "c", "join", sources=("a", "b")),
        EdgeSpec("c", END),
    ),
)


def test_the_way_from_start_to_a_deferred_node_is_taken_when_that_node_runs_at_last() -> None:
    nodes = {"a": NodeSpec("a"), "late": NodeSpec("late", defer=True)}
    spec = WorkflowSpec(
        "w", nodes=nodes, edges=(EdgeSpec(START, "a"), EdgeSpec(START, "late"), EdgeSpec("a", "a", "choice"))
    )
    way = (START, "late", None)
    ran = [record("a", 1), record("a", 2, 2)]
    assert way not in history_of(ran, spec).edges
    assert history_of([*ran, record("late", 3), record("late", 5, 2)], spec).edges[way] == 1
    outer = WorkflowSpec("outer", nodes={"sub": NodeSpec("sub", kind="subworkflow", child=spec)})
    inner = [
        record("sub/late", step, f"{entry}.None/{n}") for entry in (1, 2) for n, step in ((1, 3), (2, 5))
    ]
    assert history_of(inner, outer).edges[f"sub/{START}", "sub/late", None] == 2


def test_an_execution_repeated_after_a_crash_counts_once() -> None:
    first = record("a", 1, started_at=1.0, seconds=1.0, targets=[("c", None, None)])
    again = record("a", 1, started_at=9.0, seconds=2.0, targets=[("c", None, None)])
    got = history_of([first, again], TWO)
    assert (got.nodes["a"].count, got.nodes["a"].seconds) == (1, 2.0)


def test_the_mark_is_the_superstep_before_the_first_that_was_done_again() -> None:
    records = [record("a", 1, started_at=1.0), record("b", 2, started_at=2.0), record("b", 2, started_at=9.0)]
    assert history_of(records, TWO).marks([5.0]) == (1,)
    assert history_of(records, TWO).marks([10.0]) == (2,)


def test_the_ways_into_a_join_are_taken_by_those_that_are_done() -> None:
    got = history_of([record("a", 1), record("b", 1, status="failed")], TWO)
    assert got.edges == {(START, "a", None): 1, (START, "b", None): 1, ("a", "c", None): 1}


def test_a_subworkflow_entered_twice_did_everything_twice() -> None:
    child = WorkflowSpec(
        "child", nodes={"w": NodeSpec("w")}, edges=(EdgeSpec(START, "w"), EdgeSpec("w", END))
    )
    spec = WorkflowSpec("p", nodes={"s": NodeSpec("s", kind="subworkflow", child=child)})
    again = record("s/w", 1, "2.None/1")
    records = [record("s/w", 1, "1.None/1"), record("s", 1), again, again, record("s", 2, 2)]
    got = history_of(records, spec)
    assert (got.nodes["s/w"].count, got.nodes["s"].count) == (2, 2)


def test_what_failed_in_one_of_parallel_entries_is_told_of_the_node_whichever_ended_last() -> None:
    def leaf(entry: int, step: int, status: Any, occurrence: int = 1) -> ExecutionRecord:
        error = {"type": "ValueError", "message": "no"} if status == "failed" else None
        within = f"plan#1.None.{entry}/{occurrence}"
        return ExecutionRecord("r", step, "sub/leaf", within, None, status=status, error=error)

    records = [leaf(0, 1, "done"), leaf(1, 1, "failed"), leaf(2, 1, "done"), leaf(2, 2, "done", 2)]
    spec = WorkflowSpec(
        "w", nodes={"sub": NodeSpec("sub", child=WorkflowSpec("sub", nodes={"leaf": NodeSpec("leaf")}))}
    )
    got = history_of(records, spec).nodes["sub/leaf"]
    assert (got.count, got.status, got.error) == (4, "failed", "ValueError: no")
    again = [
        replace(r, occurrence=str(r.occurrence).replace("#1", "#2"), status="done", error=None)
        for r in records
    ]
    got = history_of([*records, *again], spec).nodes["sub/leaf"]
    assert (got.count, got.status, got.error) == (8, "done", None)  # a later decision entered it once more


def test_a_node_that_was_stopped_did_nothing_wrong() -> None:
    stopped = record("a", 1, status="failed", error={"type": "KeyboardInterrupt", "message": ""})
    node = history_of([stopped], TWO).nodes["a"]
    assert (node.status, node.error) == ("pending", None)


def test_a_router_of_start_is_journalled_without_an_execution(tmp_path: Path) -> None:
    spec = WorkflowSpec(
        "s",
        nodes={"a": NodeSpec("a")},
        edges=(EdgeSpec(START, "a", "choice", router="pick", label="first"), EdgeSpec("a", END)),
    )
    database = Database(tmp_path / "runs.db")
    ledger = Ledger(database)
    lease = ledger.begin(run_id="r", thread="t", workflow="s")
    ledger.journal(record(START, 0, 0, targets=[("a", "first", None)]))
    ledger.journal(record("a", 1, targets=[(END, None, None)]))
    database.flush()
    got = run_view(ledger, spec, ledger.get("r"))
    assert got.edges == {(START, "a", "first"): 1, ("a", END, None): 1}
    assert set(got.nodes) == {"a"}
    assert got.supersteps == 1
    ledger.finish(lease, "completed")
    database.close()
