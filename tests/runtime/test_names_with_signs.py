"""Names are told whole that have a sign by which others are taken apart: ``a/b`` is no node of a subworkflow `a`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from worlds import State, World

from dalsegno import END, START, Budget, Loop, Runner, Workflow
from dalsegno.errors import IncompatibleGraph, InputInvalid
from dalsegno.nodes.policies.metering import spend
from dalsegno.runtime.view import history_of


def both(world: World, own: str = "a/b", inner: str = "b", **of_the_subworkflow: Any) -> Workflow:
    """`a` with `b` in it, then `a/b`."""
    flow = Workflow("both", State).add_node("a", world.chain(f"{inner}:inner"), **of_the_subworkflow)
    flow.add_node(own, world.node("own"))
    return flow.add_edge(START, "a").add_edge("a", own).add_edge(own, END)


def failed(flow: Workflow, db: Path) -> Any:
    with Runner(flow, db=db) as runner:
        return runner.run({}, thread="t1")


def test_the_journal_tells_a_node_by_its_name_and_where_it_is(world: World, db: Path) -> None:
    with Runner(both(world), db=db) as runner:
        result = runner.run({}, thread="t1")
        records = runner.ledger.executions(result.run_id)
    assert [(r.node, r.place, r.occurrence) for r in records] == [
        ("a/b", "a/b", "1.None/1"), ("a", "a", 1), ("a/b", "a|2Fb", 1),
    ]  # fmt: skip
    assert (result.supersteps, history_of(records, runner.spec).supersteps) == (3, 3)


def test_a_name_with_a_number_sign_is_told_whole(world: World, db: Path) -> None:
    with Runner(world.chain("step #1", "step #2"), db=db) as runner:
        result = runner.run({}, thread="t1")
        assert [r.node for r in runner.ledger.executions(result.run_id)] == ["step #1", "step #2"]


@pytest.mark.parametrize("rename", [{"a/b": "c/d"}, None], ids=["said", "as suggested"])
def test_the_one_that_is_gone_is_the_one_that_is_renamed(
    world: World, db: Path, rename: dict[str, str] | None
) -> None:
    world.broken.add("own")
    assert failed(both(world), db).error["node"] == "a/b"
    world.broken.clear()
    with Runner(both(world, own="c/d"), db=db) as runner:
        with pytest.raises(IncompatibleGraph) as refusal:
            runner.resume("t1")
        assert refusal.value.difference.rename == {"a/b": "c/d"}
        assert [change.where for change in refusal.value.difference.changes] == ["a/b"]
        result = runner.resume("t1", rename=rename or refusal.value.difference.rename)
    assert (result.status, world.seen) == ("completed", ["inner", "own", "own"])


def test_a_node_of_a_subworkflow_is_renamed_by_its_path_or_its_new_name(world: World, db: Path) -> None:
    world.broken.add("inner")
    assert failed(both(world, inner="x/y"), db).error["node"] == "a/x/y"
    world.broken.clear()
    with Runner(both(world, inner="z/y"), db=db) as runner:
        assert runner.difference("t1").rename == {"a/x/y": "a/z/y"}
        assert runner.difference("t1", rename={"a/x/y": "a/z/y"}).verdict == "same"
        with pytest.raises(InputInvalid, match="did you mean `a/z/y`"):
            runner.difference("t1", rename={"a/x/y": "a/zz/y"})
        assert runner.resume("t1", rename={"a/x/y": "z/y"}).status == "completed"


def test_what_is_inserted_where_the_run_has_passed_is_noticed_beside_such_a_name(
    world: World, db: Path
) -> None:
    world.broken.add("last")
    failed(world.chain("read/write", "last"), db)
    with Runner(world.chain("read/write", "new", "last"), db=db) as runner:
        (change,) = (c for c in runner.difference("t1").changes if c.kind == "inserted")
    assert "behind `read/write`, which the run has passed" in change.words


def test_the_budget_of_a_subworkflow_is_not_spent_by_a_node_whose_name_reads_like_one_in_it(
    world: World, db: Path
) -> None:
    flow = Workflow("spending", State)
    flow.add_node("a/b", spending(2, world, "own"), calls=2, budget=Budget(model_calls=2))
    child = Workflow("child", State).add_node("b", spending(1, world, "inner"), calls=1)
    flow.add_node("a", child.add_edge(START, "b").add_edge("b", END), budget=Budget(model_calls=1))
    flow.add_node("last/one", world.node("last"))
    flow.add_edge(START, "a/b").add_edge("a/b", "a").add_edge("a", "last/one").add_edge("last/one", END)
    world.broken.add("last")
    result = failed(flow, db)
    assert result.error["node"] == "last/one"
    world.broken.clear()
    with Runner(flow, db=db) as runner:
        result = runner.resume("t1")
    assert result.status == "completed"


def spending(calls: int, world: World, name: str) -> Callable[[Any], dict[str, Any]]:
    def run(state: Any) -> dict[str, Any]:
        spend(model_calls=calls)
        return world.node(name)(state)

    return run


def test_a_run_that_was_noted_before_places_were_is_gone_on_with(world: World, tmp_path: Path) -> None:
    db, flow = tmp_path / "runs.db", world.chain("read/write", "b")
    world.broken.add("b")
    run = failed(flow, db)
    with Runner(flow, db=db) as runner:
        with runner.ledger.database.transaction() as connection:
            connection.execute("UPDATE executions SET node = replace(node, '|2F', '/')")
        world.broken.clear()
        assert runner.resume("t1").supersteps == 2
        records = runner.ledger.executions(run.run_id)
        assert {r.node: r.place for r in records}["read/write"] == "read|2Fwrite"
        assert set(history_of(records, runner.spec).nodes) == {"read|2Fwrite", "b"}


@pytest.mark.parametrize("name", ['say "b"', "back\\slash", "two\nlines", "été", "\u202eb"])
def test_the_call_that_a_refused_resume_proposes_can_be_pasted(world: World, db: Path, name: str) -> None:
    world.broken.add("b")
    failed(world.chain("a", "b"), db)
    with Runner(world.chain("a", f"{name}:b"), db=db) as runner:
        with pytest.raises(IncompatibleGraph) as refused:
            runner.resume("t1")
        found = re.search(r"Runner\.resume\('t1', rename=(\{.*?\})\)", str(refused.value))
        assert found is not None
        assert ast.literal_eval(found[1]) == {"b": name}


def test_a_run_goes_on_whose_loop_was_taken_for_an_answer_with_a_bar(world: World, db: Path) -> None:
    def flow(last: str) -> Workflow:
        made = Workflow("flow", State).add_node("a", world.node("a")).add_node(last, world.node("last"))
        ways = {"no|never": Loop("a", max=2, on_exhausted=last), "yes": last}
        made.add_conditional_edges("a", lambda s: "yes" if len(s["path"]) > 1 else "no|never", ways)
        return made.add_edge(START, "a").add_edge(last, END)

    world.broken.add("last")
    failed(flow("last"), db)
    with Runner(flow("last"), db=db) as runner:
        assert runner.resume("t1").status == "failed"
    world.broken.clear()
    with Runner(flow("end"), db=db) as runner:
        assert runner.resume("t1", rename={"last": "end"}).output["path"] == ["a", "a", "last"]


@pytest.mark.parametrize(("old", "new"), [("c++", "d++"), ("x+y", "y+x"), ("+", "++")])
def test_a_join_of_a_name_with_a_plus_goes_on_when_that_is_renamed(
    world: World, db: Path, old: str, new: str
) -> None:
    def flow(name: str) -> Workflow:
        made = Workflow("flow", State).add_node(name, world.node("one")).add_node("x", world.node("x"))
        made.add_node("z", world.node("z")).add_edge(START, name).add_edge(START, "x")
        return made.add_edge([name, "x"], "z").add_edge("z", END)

    world.broken.add("x")
    failed(flow(old), db)
    world.broken.clear()
    with Runner(flow(new), db=db) as runner:
        assert runner.difference("t1").rename == {old: new}
        assert sorted(runner.resume("t1", rename={old: new}).output["path"]) == ["one", "x", "z"]
