"""A fork goes back to a checkpoint, in a new thread, as a new run."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import interrupt
from worlds import State

from dalsegno import END, START, Loop, Runner, Workflow
from dalsegno.errors import InputInvalid, NotSerializable, ThreadUnfinished, UnknownThread
from dalsegno.graphs.views import KERNEL


def checkpoints(runner: Runner, thread: str) -> list[str]:
    """The checkpoints of a thread, the oldest first."""
    place: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    return [kept.checkpoint["id"] for kept in runner.checkpointer.list(place)][::-1]


def at_superstep(runner: Runner, thread: str, step: int) -> str:
    return checkpoints(runner, thread)[step + 1]


def test_a_fork_executes_again_what_came_after_its_mark_and_leaves_the_old_thread(
    world: Any, db: Path
) -> None:
    with Runner(world.chain("a", "b", "c"), db=db) as runner:
        first = runner.run({"topic": "x"}, thread="t1")
        before = checkpoints(runner, "t1")
        forked = runner.fork("t1", at_superstep(runner, "t1", 1), into="t2")
        assert (forked.thread, forked.status, forked.supersteps) == ("t2", "stopped", 1)
        assert forked.run_id != first.run_id
        world.seen.clear()
        done = runner.resume("t2")
        assert (done.status, done.run_id, done.supersteps) == ("completed", forked.run_id, 3)
        assert done.output == {"topic": "x", "path": ["a", "b", "c"]}
        assert world.seen == ["b", "c"]
        assert checkpoints(runner, "t1") == before
        record = runner.ledger.get(forked.run_id)
        assert (record.thread, record.workflow, record.input) == ("t2", "chain", {"topic": "x"})


def test_a_fork_at_the_input_of_a_later_turn_has_all_its_supersteps(world: Any, db: Path) -> None:
    with Runner(world.chain("a", "b"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        later = len(checkpoints(runner, "t1"))
        runner.run({"topic": "y"}, thread="t1")
        forked = runner.fork("t1", checkpoints(runner, "t1")[later], into="t2")
        assert (forked.status, forked.supersteps) == ("stopped", 0)
        done = runner.resume("t2")
        assert (done.status, done.supersteps) == ("completed", 2)
        assert done.output == {"topic": "y", "path": ["a", "b", "a", "b"]}


def test_a_fork_has_idempotency_keys_of_its_own(world: Any, db: Path) -> None:
    with Runner(world.chain("a", "b"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        runner.fork("t1", at_superstep(runner, "t1", 1), into="t2")
        runner.resume("t2")
    assert len(world.keys) == len(set(world.keys)) == 3


def test_the_history_up_to_the_mark_comes_along(world: Any, db: Path) -> None:
    with Runner(world.chain("a", "b", "c"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        old = checkpoints(runner, "t1")
        runner.fork("t1", old[3], into="t2")
        assert checkpoints(runner, "t2")[:-1] == old[:4]
        again = runner.fork("t2", old[2], into="t3")
        assert runner.resume(again.thread).output["path"] == ["a", "b", "c"]


def test_a_fork_may_change_the_state(world: Any, db: Path) -> None:
    with Runner(world.chain("a", "b"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        forked = runner.fork("t1", at_superstep(runner, "t1", 1), values={"topic": "y", "path": ["mine"]})
        assert runner.resume(forked.thread).output == {"topic": "y", "path": ["mine", "b"]}
        with pytest.raises(InputInvalid, match=r"workflow's state does not have; did you mean `topic`"):
            runner.fork("t1", at_superstep(runner, "t1", 1), values={"topik": "y"})
        with pytest.raises(InputInvalid, match=r"^The state's `topic` does not fit"):
            runner.fork("t1", at_superstep(runner, "t1", 1), values={"topic": 5})


def test_loop_counters_go_on_from_what_they_were_at_the_mark(world: Any, db: Path) -> None:
    flow = Workflow("loop", State)
    flow.add_node("a", world.node("a")).add_edge(START, "a")
    flow.add_conditional_edges("a", lambda s: "on", {"on": Loop("a", max=3, on_exhausted=END), "end": END})
    with Runner(flow, db=db) as runner:
        assert runner.run({"topic": "x"}, thread="t1").output["path"] == ["a"] * 4
        forked = runner.fork("t1", at_superstep(runner, "t1", 2))
        done = runner.resume(forked.thread)
        assert done.output["path"] == ["a"] * 4
        assert done.supersteps == 4
        record = runner.pending(forked.thread).values[KERNEL]
        assert record["run"] == forked.run_id
    assert len({key for _, key in world.keys}) == 6


def test_a_fork_of_the_last_checkpoint_is_completed_and_takes_new_input(world: Any, db: Path) -> None:
    with Runner(world.chain("a"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        forked = runner.fork("t1", checkpoints(runner, "t1")[-1], into="t2")
        assert forked.status == "completed"
        assert runner.run({"topic": "y"}, thread="t2").output["path"] == ["a", "a"]


def test_a_fork_where_a_human_is_asked_asks_again(db: Path) -> None:
    flow = Workflow("asking", State)
    flow.add_node("ask", lambda s: {"path": [interrupt("?")]}, interrupts=1)
    flow.add_edge(START, "ask").add_edge("ask", END)
    with Runner(flow, db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        runner.resume("t1", "no")
        forked = asyncio.run(runner.afork("t1", at_superstep(runner, "t1", 0)))
        assert runner.resume(forked.thread).status == "interrupted"
        assert runner.resume(forked.thread, "yes").output["path"] == ["yes"]
        assert runner.pending("t1").values["path"] == ["no"]


def test_a_sibling_that_had_finished_is_executed_again_by_the_fork(world: Any, db: Path) -> None:
    flow = Workflow("two", State)
    for name in ("one", "two"):
        flow.add_node(name, world.node(name)).add_edge(START, name).add_edge(name, END)
    world.broken.add("two")
    with Runner(flow, db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        world.broken.clear()
        world.seen.clear()
        forked = runner.fork("t1", checkpoints(runner, "t1")[-1])
        assert sorted(runner.resume(forked.thread).output["path"]) == ["one", "two"]
        assert sorted(world.seen) == ["one", "two"]


def test_the_beginning_of_a_checkpoints_id_is_enough_where_no_other_begins_so(world: Any, db: Path) -> None:
    with Runner(world.chain("a", "b"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        known = checkpoints(runner, "t1")
        for mark in known:
            short = next(
                mark[:n] for n in range(1, 37) if sum(each.startswith(mark[:n]) for each in known) == 1
            )
            assert runner.fork("t1", short).resumed_from == mark
        with pytest.raises(InputInvalid, match=rf"{len(known)} checkpoints .* begin with `1`: .* Give more"):
            runner.fork("t1", "1")


def test_what_cannot_be_forked_is_said(world: Any, db: Path) -> None:
    with Runner(world.chain("a"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        mark = checkpoints(runner, "t1")[-1]
        with pytest.raises(InputInvalid, match="no checkpoint `nope`"):
            runner.fork("t1", "nope")
        with pytest.raises(UnknownThread):
            runner.fork("t9", mark)
        with pytest.raises(ThreadUnfinished, match="There is a thread 't1' already"):
            runner.fork("t1", mark, into="t1")


class Loose(TypedDict):
    note: Any


def test_of_a_fork_that_fails_nothing_is_held(db: Path) -> None:
    flow = Workflow("loose", Loose)
    flow.add_node("a", lambda state: {"note": [state["note"], "a"]})
    flow.add_edge(START, "a")
    flow.add_edge("a", END)
    with Runner(flow, db=db) as runner:
        runner.run({"note": "x"}, thread="t1")
        at = at_superstep(runner, "t1", 0)
        with pytest.raises(NotSerializable):
            runner.fork("t1", at, into="t2", values={"note": threading.Lock()})
        assert not runner.ledger.renew()  # there is nothing to give a sign of life for
        runner.fork("t1", at, into="t2", values={"note": "z"})
        assert runner.resume("t2").output == {"note": ["z", "a"]}


def test_a_plain_graph_is_forked_too(world: Any, db: Path) -> None:
    graph: Any = StateGraph(State)
    for name in ("a", "b"):
        graph.add_node(name, world.node(name))
    graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    with Runner(graph, db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        forked = runner.fork("t1", at_superstep(runner, "t1", 1), values={"topic": "y"})
        assert runner.resume(forked.thread).output == {"topic": "y", "path": ["a", "b"]}


def test_a_deleted_thread_is_gone_everywhere_and_the_others_are_not(world: Any, db: Path) -> None:
    with Runner(world.chain("a", "b"), db=db) as runner:
        run_id = runner.run({"topic": "x"}, thread="t1").run_id
        forked = runner.fork("t1", at_superstep(runner, "t1", 1), into="t2")
        runner.delete("t1")
        assert [run.run_id for run in runner.ledger.runs()] == [forked.run_id]
        assert checkpoints(runner, "t1") == []
        assert runner.ledger.executions(run_id) == []
        assert runner.resume("t2").status == "completed"
