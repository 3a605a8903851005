"""What the tasks of a superstep wrote cannot be put into the state: the run fails, and loses nothing."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from dalsegno import END, START, Runner, Workflow


class Plain(TypedDict, total=False):
    x: str
    notes: Annotated[list[str], operator.add]


class Reduced(TypedDict, total=False):
    x: Annotated[str, lambda old, new: f"{old}{new}"]
    notes: Annotated[list[str], operator.add]


def refusing(old: str, new: str) -> str:
    if new == "bad":
        raise ValueError("a bad word")
    return new


class Picky(TypedDict, total=False):
    x: Annotated[str, refusing]


ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def says(name: str, update: Any) -> Callable[[Plain], Any]:
    def node(state: Plain) -> Any:
        ran.append(name)
        return update

    return node


def forked(schema: Any) -> Workflow:
    """`a`, then `b` and `c` together, which both write `x`."""
    flow = Workflow("forked", schema)
    for name, update in {"a": {}, "b": {"x": "b"}, "c": {"x": "c"}}.items():
        flow.add_node(name, says(name, update))
    flow.add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")
    return flow.add_edge("b", END).add_edge("c", END)


def test_two_writes_to_a_key_without_a_reducer_fail_the_run(tmp_path: Path) -> None:
    with Runner(forked(Plain), db=tmp_path / "runs.db") as runner:
        result = runner.run({}, thread="t")
        assert (result.status, result.supersteps) == ("failed", 1)
        assert result.error["type"] == "InvalidUpdateError"
        assert result.error["node"] is None
        assert (
            "What `b`, `c` returned in this superstep cannot be put into the state."
            in result.error["message"]
        )
        assert runner.ledger.latest("t").status == "failed"
        assert runner.pending("t").tasks == ("b", "c")

        again = runner.resume("t")
        assert again.status == "failed"
        assert ran == ["a", "b", "c"] or ran == ["a", "c", "b"]  # what was committed is not done again


def test_with_a_reducer_the_run_goes_on_from_what_was_kept(tmp_path: Path) -> None:
    with Runner(forked(Plain), db=tmp_path / "runs.db") as runner:
        assert runner.run({}, thread="t").status == "failed"
    with Runner(forked(Reduced), db=tmp_path / "runs.db") as runner:
        result = runner.resume("t", accept_changes=True)
    assert result.status == "completed"
    assert result.output["x"] == "bc"
    assert len(ran) == 3


@pytest.mark.parametrize("is_async", [False, True])
def test_a_reducer_that_raises_fails_the_run_and_a_fork_runs_the_node_again(
    tmp_path: Path, is_async: bool
) -> None:
    def flow(update: Any) -> Workflow:
        made = Workflow("wrong", Plain)
        says_it = says("write", update)

        async def write(state: Plain) -> Any:
            return says_it(state)

        made.add_node("write", write if is_async else says_it)
        return made.add_edge(START, "write").add_edge("write", END)

    with Runner(flow({"notes": "no list"}), db=tmp_path / "runs.db") as runner:
        result = runner.run({"notes": ["first"]}, thread="t")
        assert (result.status, result.error["node"]) == ("failed", "write")
        mark = runner.pending("t").checkpoint_id
        assert f"`dalsegno fork t --at {mark}`" in result.error["message"]
    with Runner(flow({"notes": ["a list"]}), db=tmp_path / "runs.db") as runner:
        assert runner.resume("t").status == "failed"  # what it wrote is kept
        runner.fork("t", mark, into="u")
        assert runner.resume("u").output["notes"] == ["first", "a list"]
        new = runner.run({"notes": ["anew"]}, thread="t", abandon=True)
        assert new.output["notes"] == ["first", "anew", "a list"]


def test_a_superstep_that_is_stuck_beside_a_question_in_a_subworkflow_is_told(tmp_path: Path) -> None:
    from langgraph.types import interrupt

    asking = Workflow("asking", Plain)
    asking.add_node("ask", lambda state: {"notes": [interrupt("Go on?")]}, interrupts=1)
    asking.add_edge(START, "ask").add_edge("ask", END)
    outer = Workflow("outer", Plain)
    outer.add_node("asking", asking, outputs={"notes": "notes"}).add_node("clashing", forked(Plain))
    outer.add_edge(START, "asking").add_edge(START, "clashing").add_edge("asking", END)
    outer.add_edge("clashing", END)
    with Runner(outer, db=tmp_path / "runs.db") as runner:
        result = runner.run({}, thread="t")
        assert (result.status, result.error["node"]) == ("failed", "clashing")
        assert [i["node"] for i in runner.pending("t").interrupts] == ["asking"]


def test_an_input_that_a_reducer_refuses_is_given_up_for_another(tmp_path: Path) -> None:
    flow = Workflow("picky", Picky).add_node("a", lambda state: {}).add_edge(START, "a").add_edge("a", END)
    with Runner(flow, db=tmp_path / "runs.db") as runner:
        result = runner.run({"x": "bad"}, thread="t")
        assert result.status == "failed"
        assert result.error["message"].startswith("a bad word. The input cannot be put into the state")
        assert runner.run({"x": "good"}, thread="t", abandon=True).output == {"x": "good"}
