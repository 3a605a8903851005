"""The state of an older version is migrated: when its run is resumed, and when its thread gets a new turn."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.types import interrupt
from worlds import State

from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import DefinitionError, IncompatibleGraph, InputInvalid
from dalsegno.runtime.queueing import enqueue


class Renamed(TypedDict, total=False):
    subject: str
    path: Annotated[list[str], operator.add]
    count: int


class Counted(TypedDict, total=False):
    subject: str
    path: Annotated[list[str], operator.add]
    count: str


def renamed(state: dict[str, Any]) -> dict[str, Any]:
    return {("subject" if key == "topic" else key): value for key, value in state.items()}


def version(world: Any, number: str, broken: str = "") -> Workflow:
    schema = {"1": State, "2": Renamed, "3": Counted}[number]
    flow: Workflow = world.chain("a", "b", schema=schema, version=number)
    if number >= "2":
        flow.add_migration("1", renamed)
    if number >= "3":
        flow.add_migration("2", lambda state: {**state, "count": f"{len(state.get('path', []))} steps"})
    return flow


def test_a_resumed_run_goes_on_with_the_migrated_state(world: Any, db: Path) -> None:
    world.broken.add("b")
    with Runner(version(world, "1"), db=db) as runner:
        run_id = runner.run({"topic": "x"}, thread="t1").run_id
    with Runner(version(world, "3"), db=db) as runner:
        assert {c.verdict for c in runner.difference("t1").changes} == {"compatible"}
        assert runner.resume("t1").status == "failed"
        assert runner.ledger.get(run_id).version == "3"
        world.broken.clear()
        world.seen.clear()
        done = runner.resume("t1")
    assert done.output == {"subject": "x", "path": ["a", "b"], "count": "1 steps"}
    assert world.seen == ["b"]


def test_without_the_migration_the_key_that_is_gone_is_refused(world: Any, db: Path) -> None:
    world.broken.add("b")
    with Runner(version(world, "1"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
    flow = world.chain("a", "b", schema=Renamed, version="2")
    with Runner(flow, db=db) as runner, pytest.raises(IncompatibleGraph, match="topic"):
        runner.resume("t1")


def test_a_new_turn_on_an_old_thread_finds_the_state_migrated_once(world: Any, db: Path) -> None:
    with Runner(version(world, "1"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
    with Runner(version(world, "2"), db=db) as runner:
        assert runner.run({"count": 3}, thread="t1").output["subject"] == "x"
    with Runner(version(world, "3"), db=db) as runner:
        assert runner.run({}, thread="t1").output["count"] == "4 steps"
        assert runner.run({}, thread="t1").output["count"] == "4 steps"


def test_what_is_pending_stays_pending_and_finished_work_is_not_repeated(world: Any, db: Path) -> None:
    def flow(number: str) -> Workflow:
        made = Workflow("asking", State if number == "1" else Renamed, version=number)
        made.add_node("ask", lambda s: {"path": [interrupt("?")]}, interrupts=1).add_node(
            "a", world.node("a")
        )
        made.add_edge(START, "a").add_edge("a", "ask").add_edge("ask", END)
        return made.add_migration("1", renamed) if number == "2" else made

    with Runner(flow("1"), db=db) as runner:
        (question,) = runner.run({"topic": "x"}, thread="t1").interrupts
    with Runner(flow("2"), db=db) as runner:
        done = runner.resume("t1", {question["id"]: "yes"})
    assert done.output == {"subject": "x", "path": ["a", "yes"]}
    assert world.seen == ["a"]


def test_an_update_that_a_finished_sibling_made_for_the_old_version_is_refused(world: Any, db: Path) -> None:
    def flow(number: str) -> Workflow:
        made = Workflow("two", State if number == "1" else Renamed, version=number)
        for name in ("one", "two"):
            made.add_node(name, world.node(name)).add_edge(START, name).add_edge(name, END)
        return made.add_migration("1", renamed) if number == "2" else made

    world.broken.add("two")
    world.beside["two"] = "one"
    with Runner(flow("1"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
    world.broken.clear()
    with Runner(flow("2"), db=db) as runner:
        with pytest.raises(IncompatibleGraph, match="has finished wrote `path` for the old version"):
            runner.resume("t1")
        assert runner.resume("t1", accept_changes=True).output == {"subject": "x", "path": ["one", "two"]}


def test_a_fork_from_before_a_migration_is_migrated_and_one_from_behind_it_is_not(
    world: Any, db: Path
) -> None:
    world.broken.add("b")
    with Runner(version(world, "1"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
    world.broken.clear()
    with Runner(version(world, "2"), db=db) as runner:
        runner.resume("t1")
    with Runner(version(world, "3"), db=db) as runner:
        runner.run({}, thread="t1")
        place: Any = {"configurable": {"thread_id": "t1", "checkpoint_ns": ""}}
        marks = [kept.checkpoint["id"] for kept in runner.checkpointer.list(place)][::-1]
        # Behind the first input; behind `a` and behind `b`, where it was migrated each time; the turn in version 3.
        versions = ["1", "2", "3", *["3"] * 4]
        assert len(marks) == 1 + len(versions)
        for number, mark in enumerate(marks[1:]):
            forked = runner.fork("t1", mark, into=f"fork-{number}")
            assert runner.ledger.get(forked.run_id).version == versions[number]
            is_over = forked.status == "completed"
            done = runner.run({}, forked.thread) if is_over else runner.resume(forked.thread)
            assert done.status == "completed", (number, done.error)
            assert done.output["subject"] == "x"
            assert done.output["path"][:2] == ["a", "b"]
            assert done.output["count"].endswith(" steps")
        runner.fork("t1", marks[0], into="at its input")
        with pytest.raises(IncompatibleGraph, match="the input has `topic` for the old version"):
            runner.resume("at its input")


def test_an_input_with_a_key_that_is_gone_is_not_taken_without_it(world: Any, db: Path) -> None:
    with Runner(world.chain("a"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
    with Runner(world.chain("a", schema=Renamed), db=db) as runner:
        place: Any = {"configurable": {"thread_id": "t1", "checkpoint_ns": ""}}
        *_, first = runner.checkpointer.list(place)
        runner.fork("t1", first.checkpoint["id"], into="t2")
        with pytest.raises(IncompatibleGraph, match="`topic` is gone, and holds a value"):
            runner.resume("t2")


def test_a_turn_that_begins_in_a_newer_version_than_it_was_recorded_in_finds_its_thread_migrated_once(
    world: Any, db: Path
) -> None:
    with Runner(version(world, "1"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
        run_id = enqueue(runner, {"count": 1}, "t1")
    with Runner(version(world, "2"), db=db) as runner:
        assert runner.resume("t1").output == {"subject": "x", "path": ["a", "b"] * 2, "count": 1}
        assert runner.ledger.get(run_id).version == "2"
        assert runner.run({}, thread="t1").output["subject"] == "x"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda state: state["nope"], "raised KeyError"),
        (lambda state: None, "gave NoneType"),
        (
            lambda state: {**state, "subjekt": 1},
            "gave the key `(topic|subjekt)`, which the state does not have",
        ),
        (lambda state: {1: 2}, "gave the key `1`"),
        (lambda state: {"branch:to:b": None}, "gave the key `branch:to:b`"),
    ],
)
def test_a_migration_that_fails_leaves_the_state_as_it_was(
    world: Any, db: Path, function: Any, words: str
) -> None:
    with Runner(version(world, "1"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
    bad = world.chain("a", "b", schema=Renamed, version="2").add_migration("1", function)
    with Runner(bad, db=db) as runner, pytest.raises(InputInvalid, match=words):
        runner.run({}, thread="t1")
    with Runner(version(world, "2"), db=db) as runner:
        assert runner.run({}, thread="t1").output["subject"] == "x"


def test_versions_without_a_migration_are_gone_on_with(world: Any, db: Path) -> None:
    world.broken.add("b")
    with Runner(world.chain("a", "b", version="7"), db=db) as runner:
        runner.run({"topic": "x"}, thread="t1")
    world.broken.clear()
    with Runner(world.chain("a", "b", version="8"), db=db) as runner:
        assert [c.kind for c in runner.difference("t1").changes] == ["version"]
        assert runner.resume("t1").status == "completed"


def test_a_version_is_migrated_from_once_and_not_from_itself(world: Any) -> None:
    flow = world.chain("a", version="2").add_migration("1", renamed)
    with pytest.raises(DefinitionError, match="migrated from already"):
        flow.add_migration(1, renamed)
    with pytest.raises(DefinitionError, match="own version"):
        flow.add_migration("2", renamed)


@dataclass(eq=False)
class Grid:
    """As an array: what it says of being equal is no truth value."""

    cells: list[int]

    def __eq__(self, other: object) -> Any:
        raise ValueError("the truth value of a grid is ambiguous")

    __hash__ = None


class Painted(TypedDict, total=False):
    grid: Grid
    colour: str


def test_a_state_that_holds_what_cannot_be_compared_is_migrated(db: Path) -> None:
    def painting(number: str) -> Workflow:
        flow = Workflow("paint", Painted, version=number).add_edge(START, "paint").add_edge("paint", END)
        return flow.add_node("paint", lambda state: {"grid": Grid([*state["grid"].cells, 1])})

    with Runner(painting("1"), db=db) as runner:
        assert runner.run({"grid": Grid([])}, thread="t1").status == "completed"
    newer = painting("2").add_migration("1", lambda state: {**state, "colour": "red"})
    with Runner(newer, db=db) as runner:
        done = runner.run({}, thread="t1")
    assert (done.output["grid"].cells, done.output["colour"]) == ([1, 1], "red")
