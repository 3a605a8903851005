"""A run whose state somebody has set with LangGraph's `update_state` goes on from there: what was done stays done."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import interrupt

from dalsegno import END, START, Loop, Runner, Workflow
from dalsegno.errors import ThreadUnfinished

PLACE: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    rounds: int


def write(state: State) -> dict[str, Any]:
    return {"log": ["written"], "rounds": state.get("rounds", 0) + 1}


def ask(state: State) -> dict[str, Any]:
    return {"log": [f"asked: {interrupt('how?')}"]}


def built(graph: Any, **asks: Any) -> Any:
    graph.add_node("write", write)
    graph.add_node("ask", ask, **asks)
    graph.add_node("send", lambda state: {"log": ["sent"]})
    graph.add_edge(START, "write").add_edge("write", "ask").add_edge("ask", "send").add_edge("send", END)
    return graph


@pytest.fixture(params=["workflow", "plain graph"])
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    ours = request.param == "workflow"
    graph = built(Workflow("w", State), interrupts=1) if ours else built(StateGraph(State))
    with Runner(graph, db=tmp_path / "runs.db") as made:
        assert made.run({"log": ["begun"]}, thread="t").status == "interrupted"
        yield made


def test_what_was_done_is_not_done_again(runner: Runner) -> None:
    runner.graph.update_state(PLACE, {"log": ["by hand"]})
    again = runner.resume("t")
    assert [question["value"] for question in again.interrupts] == ["how?"]
    done = runner.resume("t", "so")
    assert done.status == "completed"
    assert done.output["log"] == ["begun", "written", "by hand", "asked: so", "sent"]
    assert [e.node for e in runner.ledger.executions(done.run_id) if e.status == "done"] == [
        "write",
        "ask",
        "send",
    ]


def test_a_node_can_be_answered_for(runner: Runner) -> None:
    runner.graph.update_state(PLACE, {"log": ["by hand"]}, as_node="ask")
    runner.graph.update_state(PLACE, {"log": ["twice"]}, as_node="ask")
    done = runner.resume("t")
    assert (done.status, done.output["log"]) == (
        "completed",
        ["begun", "written", "by hand", "twice", "sent"],
    )


def test_a_run_is_known_also_when_all_but_that_state_was_pruned(runner: Runner) -> None:
    runner.graph.update_state(PLACE, {"log": ["by hand"]}, as_node="ask")
    runner.checkpointer.prune(["t"])
    assert runner.resume("t").output["log"] == ["begun", "written", "by hand", "sent"]


def test_a_run_that_has_not_begun_begins_behind_the_state_that_was_set(runner: Runner) -> None:
    runner.resume("t", "so")
    runner.graph.update_state(PLACE, {"log": ["by hand"]})
    ledger, spec = runner.ledger, runner.spec
    lease = ledger.begin(
        run_id="next",
        thread="t",
        workflow=spec.name,
        input={"log": ["again"]},
        version=spec.version,
        fingerprint=spec.fingerprint(),
        shape=spec.shape(),
    )
    ledger.finish(lease, "stopped")
    went_on = runner.resume("t")
    assert (went_on.run_id, went_on.status) == ("next", "interrupted")
    assert went_on.output["log"][-3:] == ["by hand", "again", "written"]


def test_loops_of_a_fork_at_such_a_state_go_on_counting(tmp_path: Path) -> None:
    flow = Workflow("loop", State)
    flow.add_node("write", write)
    flow.add_node("ask", ask, interrupts=1)
    flow.add_edge(START, "write").add_edge("write", "ask")
    flow.add_conditional_edges("ask", lambda state: "more", {"more": Loop("write", max=2, on_exhausted=END)})
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        runner.run({}, thread="t")
        runner.resume("t", "1")
        at = runner.graph.update_state(PLACE, {"log": ["by hand"]})["configurable"]["checkpoint_id"]
        for thread in ("t", runner.fork("t", at).thread):
            runner.resume(thread)
            assert runner.resume(thread, "2").status == "interrupted"
            done = runner.resume(thread, "3")
            assert (done.status, done.output["rounds"]) == ("completed", 3)


def test_new_input_does_not_drop_what_is_pending_behind_a_run_that_is_over(runner: Runner) -> None:
    runner.resume("t", "so")
    runner.graph.update_state(PLACE, {"log": ["noted"]})  # nothing follows it
    assert runner.run({"log": ["next"]}, thread="t").status == "interrupted"
    assert runner.resume("t", "so").status == "completed"
    before = next(state for state in runner.graph.get_state_history(PLACE) if state.next == ("send",))
    runner.graph.update_state(before.config, {"log": ["by hand"]})
    with pytest.raises(
        ThreadUnfinished, match=r"set by hand since, with `send` pending.*dalsegno fork t --at"
    ):
        runner.run({"log": ["later"]}, thread="t")
    at = runner.pending("t").checkpoint_id
    assert at is not None
    runner.fork("t", at, into="u")
    assert runner.resume("u").output["log"][-2:] == ["by hand", "sent"]
    assert runner.run({"log": ["later"]}, thread="t", abandon=True).status == "interrupted"


@pytest.mark.parametrize("last", ["send", END])
def test_a_run_that_was_led_to_its_end_by_hand_drops_nothing_for_new_input(runner: Runner, last: str) -> None:
    runner.graph.update_state(PLACE, None if last == END else {"log": ["by hand"]}, as_node=last)
    assert runner.pending("t").tasks == ()
    following = runner.run({"log": ["next"]}, thread="t")
    assert following.status == "interrupted"
    assert following.output["log"][-2:] == ["next", "written"]
