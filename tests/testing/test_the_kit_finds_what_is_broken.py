"""A crash kit that cannot fail shows nothing: here it is given things that are broken on purpose."""

from __future__ import annotations

import math
import operator
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph

from dalsegno import END, START, SqliteCheckpointer, Workflow
from dalsegno.errors import CrashTestFailed, DefinitionError, WorkflowInvalid
from dalsegno.testing import CrashReport, crash_test

INPUT = {"topic": "rain", "notes": []}


class Notes(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]


def workflow_of(*nodes: Callable[[Notes], Any]) -> Workflow:
    flow = Workflow("broken", Notes).add_sequence(nodes)
    return flow.add_edge(START, nodes[0].__name__).add_edge(nodes[-1].__name__, END)


def noted(report: CrashReport, field: str) -> set[str]:
    return {name for point in report.points for name in getattr(point, field)}


def folder_of_the_run(db_dir: Path) -> Path:
    """Where the database of the run is that goes on now; it is gone with the run."""
    return next(db_dir.glob("dalsegno-crash-*/run"))


class AcknowledgesTooEarly(SqliteCheckpointer):
    """Says that a task's writes are kept, and keeps them with the next checkpoint."""

    _late: Sequence[Any] = ()

    def put_writes(self, *arguments: Any) -> None:
        self._late = (*self._late, arguments)

    def put(self, *arguments: Any) -> Any:
        late, self._late = self._late, ()
        for writes in late:
            super().put_writes(*writes)
        return super().put(*arguments)


class KeepsCheckpointsLate(SqliteCheckpointer):
    """Says that a checkpoint is kept, and keeps it with the next one or when it is asked for."""

    _late: Any = None

    def put(self, *arguments: Any) -> Any:
        self._keep()
        self._late = arguments
        config, checkpoint = arguments[:2]
        return {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}

    def get_tuple(self, config: Any) -> Any:
        self._keep()
        return super().get_tuple(config)

    def _keep(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            super().put(*late)


class ForgetsWrites(SqliteCheckpointer):
    """Reads a checkpoint back without what its tasks have written since."""

    def get_tuple(self, config: Any) -> Any:
        found = super().get_tuple(config)
        return found._replace(pending_writes=[]) if found is not None else None


def test_writes_acknowledged_before_their_commit_are_found_lost(uneven_workflow: Workflow) -> None:
    report = crash_test(uneven_workflow, INPUT, checkpointer=AcknowledgesTooEarly, at=range(3, 8))
    assert "quick#1" in noted(report, "lost")
    assert not report.ok
    with pytest.raises(CrashTestFailed, match=r"committed and executed again: (slow#1, )?quick#1") as failed:
        report.raise_for_failures()
    assert failed.value.report is report


def test_checkpoints_acknowledged_before_their_commit_are_found_gone(linear_workflow: Workflow) -> None:
    report = crash_test(linear_workflow, INPUT, checkpointer=KeepsCheckpointsLate, at=range(4, 10))
    assert noted(report, "forgotten")
    assert not report.ok


def test_a_committed_sibling_that_is_executed_again_is_found(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, checkpointer=ForgetsWrites, at=range(5, 8))
    assert {"left#1", "right#1"} & noted(report, "lost")


def test_so_is_one_of_a_plain_langgraph_graph() -> None:
    graph = StateGraph(Notes)
    graph.add_node("left", lambda state: {"notes": ["left"]})
    graph.add_node("right", lambda state: {"notes": ["right"]})
    graph.add_edge(START, "left").add_edge(START, "right")
    report = crash_test(graph, {"notes": []}, checkpointer=ForgetsWrites)
    assert report.status == "completed"
    assert {"left#step 1", "right#step 1"} & noted(report, "lost")


def test_a_node_that_remembers_in_its_process_ends_otherwise() -> None:
    seen: list[str] = []

    def first(state: Notes) -> Notes:
        seen.append("first")
        return {"notes": ["first"]}

    def second(state: Notes) -> Notes:
        return {"notes": [f"saw {len(seen)}"]}

    report = crash_test(workflow_of(first, second), {"notes": []}, at=range(5, 9))
    assert {"output: {'notes': ['first', 'saw 0']} instead of {'notes': ['first', 'saw 1']}"} == noted(
        report, "different"
    )


def test_a_node_that_fails_only_after_a_resume_is_found(tmp_path: Path) -> None:
    def once(state: Notes) -> Notes:
        beside = folder_of_the_run(tmp_path) / "begun"
        if beside.exists():
            print("begun before")
            raise RuntimeError("cannot go on")
        beside.touch()
        return {"notes": ["once"]}

    report = crash_test(workflow_of(once), {"notes": []}, at=[5], db_dir=tmp_path)
    before, after = report.points
    assert before.different[0] == "status: failed (RuntimeError in `once`) instead of completed"
    assert "begun before" in before.printed
    assert after.ok


def test_a_process_that_hangs_is_ended_and_named() -> None:
    parent = os.getpid()

    def hang(state: Notes) -> Notes:
        assert os.getpid() != parent
        threading.Event().wait()
        return {}

    with pytest.raises(CrashTestFailed, match=r"did not end within 0.3 seconds"):
        crash_test(workflow_of(hang), {"notes": []}, timeout=0.3)


def test_a_process_that_exits_in_the_middle_is_found(tmp_path: Path) -> None:
    def leave(state: Notes) -> Notes:
        beside = folder_of_the_run(tmp_path) / "begun"
        if beside.exists():
            os._exit(3)
        beside.touch()
        return {"notes": ["once"]}

    report = crash_test(workflow_of(leave), {"notes": []}, at=[5], db_dir=tmp_path)
    assert [point.error for point in report.points] == ["A process exited with 3, in the middle.", None]


def test_undisturbed_runs_that_are_not_the_same_cannot_be_compared_with() -> None:
    def pid(state: Notes) -> Notes:
        return {"notes": [str(os.getpid())]}

    with pytest.raises(CrashTestFailed, match=r"Two undisturbed runs are not the same.*pass `same=`"):
        crash_test(workflow_of(pid), {"notes": []})


def test_same_says_what_counts_as_the_same_output() -> None:
    def pid(state: Notes) -> Notes:
        return {"notes": [str(os.getpid())]}

    report = crash_test(workflow_of(pid), {"notes": []}, same=lambda a, b: a.keys() == b.keys(), at=[4])
    report.raise_for_failures()


def test_what_cannot_start_raises_what_it_would_have_raised_here() -> None:
    with pytest.raises(WorkflowInvalid):
        crash_test(Workflow("empty", Notes), {"notes": []})


def test_input_that_does_not_fit_is_told_with_the_undisturbed_run(linear_workflow: Workflow) -> None:
    with pytest.raises(CrashTestFailed, match=r"(?s)no end to compare with.*InputInvalid.*`tpoic`"):
        crash_test(linear_workflow, {"tpoic": "rain"})


@pytest.mark.parametrize("at", ["every statement", [], [0], [99], 5, [None], [()]])
def test_a_kill_point_that_does_not_exist_is_refused(at: Any, linear_workflow: Workflow) -> None:
    with pytest.raises(DefinitionError, match=r"names no kill point|There is no commit (0|99)"):
        crash_test(linear_workflow, INPUT, at=at)


def test_a_test_that_killed_nothing_is_not_passed() -> None:
    report = CrashReport("flow", "durable", "random", (), "completed", commits=1, executions=1, seconds=1.0)
    with pytest.raises(CrashTestFailed, match=r"Nothing was killed"):
        report.raise_for_failures()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kills": 0},
        {"kills": -1},
        {"kills": 2.5},
        {"again": -1},
        {"resumers": 0},
        {"linger": -1},
        {"linger": math.nan},
        {"linger": math.inf},
        {"timeout": 0},
        {"timeout": math.nan},
        {"timeout": "60"},
        {"answers": 5},
        {"db_dir": "no such folder"},
        {"checkpointer": dict},
    ],
    ids=str,
)
def test_an_option_that_cannot_be_meant_is_refused_before_anything_runs(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(DefinitionError, match=f"{name}="):
        crash_test(workflow_of(_nothing), INPUT, **wrong)


def _nothing(state: Notes) -> None: ...
