"""Every kind of workflow, killed right before and right after each of its commits, comes to the same end."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import StateGraph
from langgraph.types import Command, interrupt

from dalsegno import END, START, Workflow, effect
from dalsegno.nodes.execution import current_execution
from dalsegno.testing import CrashReport, Kill, crash_test

ANSWERS = {"first": "yes", "second": "no"}
INPUT = {"topic": "rain", "notes": []}


class Notes(TypedDict, total=False):
    notes: Annotated[list[str], operator.add]


def workflow_of(node: Callable[[Notes], Any], **options: Any) -> Workflow:
    flow = Workflow("one node", Notes).add_node("node", node, **options)
    return flow.add_edge(START, "node").add_edge("node", END)


def assert_killed_at_every_commit(report: CrashReport) -> None:
    report.raise_for_failures()
    kills = [point.kills[0] for point in report.points]
    last = max(kill.commit or 0 for kill in kills)
    assert last >= report.commits
    assert kills == [Kill(n, side) for n in range(1, last + 1) for side in ("before", "after")]


def begun_again(target: Any, input: Any, wanted: set[str]) -> CrashReport:
    """A report in which these were begun again, and nothing else, one in a run.

    What a node wrote is committed before the checkpoint behind it, with it or after it, as LangGraph's threads come. So
    the n-th commit of one run is not that of another, and it may be that none is killed in the midst of some node.
    """
    for _ in range(6):
        report = crash_test(target, input)
        assert_killed_at_every_commit(report)
        again = [name for point in report.points for name in point.repeated]
        assert set(again) <= wanted
        assert all(len(point.repeated) < 2 for point in report.points)
        if set(again) == wanted:
            break
    assert set(again) == wanted
    return report


def test_a_workflow_killed_at_every_commit_ends_as_if_undisturbed(workflow: Workflow) -> None:
    report = crash_test(workflow, INPUT, answers=ANSWERS)
    assert_killed_at_every_commit(report)
    assert report.kills >= 2 * report.commits - 2  # siblings may share a commit
    assert report.executions >= len(workflow.nodes)


def test_only_what_was_in_flight_is_begun_again(linear_workflow: Workflow) -> None:
    begun_again(linear_workflow, INPUT, {f"step{n}#1" for n in range(6)})


def test_the_processes_that_resume_can_be_killed_as_well(fanned_workflow: Workflow) -> None:
    report = crash_test(fanned_workflow, INPUT, at=[3, 6, 9, 12], again=2, seed=7, profile="fast")
    report.raise_for_failures()
    assert max(point.killed for point in report.points) > 1
    assert all(len(point.kills) == 3 for point in report.points)
    assert all(point.resumed == point.killed for point in report.points)


def test_a_failure_is_the_same_failure_after_a_kill() -> None:
    def fail(state: Notes) -> Notes:
        raise LookupError("nothing there")

    report = crash_test(workflow_of(fail), {"notes": []})
    assert_killed_at_every_commit(report)
    assert report.status == "failed (LookupError in `node`)"


def test_a_question_without_an_answer_is_where_the_run_ends() -> None:
    def ask(state: Notes) -> Notes:
        return {"notes": [interrupt("Ready?")]}

    report = crash_test(workflow_of(ask, interrupts=1), {"notes": []})
    assert_killed_at_every_commit(report)
    assert report.status == "interrupted"


def test_the_executions_of_a_plain_langgraph_graph_are_watched_too() -> None:
    graph = StateGraph(Notes)
    graph.add_node("one", lambda state: {"notes": ["one"]})
    graph.add_node("two", lambda state: Command(update={"notes": ["two"]}, goto=END), destinations=(END,))
    graph.add_edge(START, "one").add_edge("one", "two")
    report = begun_again(graph, {"notes": []}, {"one#step 1", "two#step 2"})
    assert (report.status, report.executions) == ("completed", 2)


def test_an_effect_is_done_again_only_after_a_kill_between_it_and_its_record(tmp_path: Path) -> None:
    receipts = tmp_path / "receipts"

    def charge(state: Notes) -> Notes:
        execution = current_execution()
        assert execution is not None
        key = execution.idempotency_key

        def charging() -> str:
            with receipts.open("a") as file:
                file.write(key + "\n")
            return "charged"

        return {"notes": [effect("charge", charging)]}

    flow = Workflow("paid", Notes).add_sequence([("first", lambda state: {"notes": ["first"]}), charge])
    flow.add_edge(START, "first").add_edge("charge", END)
    for _ in range(6):
        receipts.unlink(missing_ok=True)
        report = crash_test(flow, {"notes": []})
        assert_killed_at_every_commit(report)
        # After a kill behind the record, too, the node is begun again, but the effect is not done.
        begun = sum("charge#1" in point.repeated for point in report.points)
        times = Counter(Counter(receipts.read_text().split()).values())
        assert set(times) <= {1, 2}
        if times[2]:
            break
    assert 0 < times[2] < begun


def test_commits_are_killed_that_no_undisturbed_run_makes(tmp_path: Path) -> None:
    executed = tmp_path / "executed"

    def charge(state: Notes) -> Notes:
        with executed.open("a") as file:
            file.write("executed\n")
        if len(executed.read_text().split()) > 2:
            for number in range(6):  # more than a run's commits differ by; each effect has one of its own
                effect(f"charge {number}", lambda: "charged")
        return {"notes": ["charged"]}

    flow = Workflow("paid", Notes).add_sequence([("first", lambda state: {"notes": ["first"]}), charge])
    report = crash_test(flow.add_edge(START, "first").add_edge("charge", END), {"notes": []})
    assert_killed_at_every_commit(report)
    last = report.points[-1]
    assert (last.kills[0].commit or 0) > report.commits
    assert last.killed
    assert last.found == ("completed",)


def test_a_function_that_makes_the_graph_is_called_in_every_process(tmp_path: Path) -> None:
    made = tmp_path / "made"

    def make() -> Workflow:
        with made.open("a") as file:
            file.write("made\n")
        return workflow_of(lambda state: {"notes": ["noted"]})

    report = crash_test(make, {"notes": []}, at=[3, 4]).raise_for_failures()
    assert report.workflow == "one node"
    assert len(made.read_text().split()) >= 2 + 2 * report.kills
