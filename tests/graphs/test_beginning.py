"""Joins and deferred nodes in the second run of a thread: nothing that the first one left takes part in it."""

from __future__ import annotations

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from dalsegno import END, START, Runner, Workflow
from dalsegno.runtime.marks import levels_of
from dalsegno.testing import crash_test


class State(TypedDict, total=False):
    way: str
    log: Annotated[list[str], operator.add]


class Steps:
    """Nodes that log their names; those that are `broken` fail."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)

    def __call__(self, name: str) -> Any:
        def step(state: State) -> dict[str, Any]:
            if name in self.broken:
                raise ValueError(f"{name} is broken")
            return {"log": [name]}

        return step


def joining(steps: Steps, *, defer: bool = False, **more: str) -> Workflow:
    """A short way and a long one to `a`, beside three nodes to `b`; both of them join before `after`."""
    flow = Workflow("joining", State)
    for name in ("pick", "a", "long 1", "long 2", "long 3", "b 1", "b 2", "b"):
        flow.add_node(name, steps(name))
    flow.add_node("after", steps("after"), defer=defer)
    flow.add_edge(START, "pick").add_edge(START, "b 1").add_edge("b 1", "b 2").add_edge("b 2", "b")
    ways = {"short": "a", "long": "long 1", **more}
    flow.add_conditional_edges("pick", lambda state: state["way"], ways)
    flow.add_edge("long 1", "long 2").add_edge("long 2", "long 3").add_edge("long 3", "a")
    return flow.add_edge(["a", "b"], "after").add_edge("after", END)


def deferring(steps: Steps) -> Workflow:
    """One way makes `last` due, which waits for all the others; the other way does not lead there."""
    flow = Workflow("deferring", State)
    for name in ("x", "y", "z"):
        flow.add_node(name, steps(name))
    flow.add_node("last", steps("last"), defer=True)
    flow.add_conditional_edges(START, lambda state: state["way"], {"short": "x", "long": "z"})
    flow.add_edge("x", "last").add_edge("x", "y").add_edge("y", END).add_edge("z", END)
    return flow.add_edge("last", END)


@pytest.mark.parametrize("make", [joining, deferring, lambda steps: joining(steps, defer=True)])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_after_one_that_was_given_up_is_as_on_a_fresh_thread(
    make: Any, is_async: bool, tmp_path: Path
) -> None:
    steps = Steps("b", "y")
    with Runner(make(steps), db=tmp_path / "runs.db") as runner:

        def run(way: str, thread: str, **options: Any) -> Any:
            given = {"way": way}
            if is_async:
                return asyncio.run(runner.arun(given, thread=thread, **options))
            return runner.run(given, thread=thread, **options)

        left = run("short", "t")
        assert left.status == "failed"
        before = len(runner.pending("t").values["log"])
        steps.broken.clear()
        fresh, again = run("long", "fresh"), run("long", "t", abandon=True)
        assert again.output["log"][before:] == fresh.output["log"]
        assert again.supersteps == fresh.supersteps


def test_a_half_filled_join_of_a_run_that_ended_is_forgotten() -> None:
    flow = joining(Steps(), none=END).waive("S201", "after", "what if it is half filled?")
    graph = flow.compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    assert "after" not in graph.invoke({"way": "none"}, config)["log"]  # `b` has come, and `a` never does
    before = len(graph.get_state(config).values["log"])
    fresh = joining(Steps()).compile().invoke({"way": "short"})["log"]
    assert graph.invoke({"way": "short"}, config)["log"][before:] == fresh
    assert fresh[-2:] == ["b", "after"]


def test_a_run_that_is_resumed_keeps_what_its_joins_have_seen(tmp_path: Path) -> None:
    steps = Steps("b")
    with Runner(joining(steps), db=tmp_path / "runs.db") as runner:
        assert runner.run({"way": "short"}, thread="t").status == "failed"
        (level,) = levels_of(runner.checkpointer, "t")
        assert level.joins == {"join:a+b:after": frozenset({"a"})}
        steps.broken.clear()
        assert runner.resume("t").output["log"][-2:] == ["b", "after"]


def test_a_run_is_resumed_from_every_commit_of_its_beginning() -> None:
    crash_test(joining(Steps()), {"way": "long"}).raise_for_failures()
    crash_test(deferring(Steps()), {"way": "short"}).raise_for_failures()


def test_what_start_has_told_a_join_is_no_source_of_it(tmp_path: Path) -> None:
    """A process may die when START has told the joins, and the superstep is not committed."""
    steps = Steps("b")
    with Runner(joining(steps), db=tmp_path / "runs.db") as runner:
        runner.run({"way": "short"}, thread="t")
        saver = runner.checkpointer
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        kept = saver.get_tuple(config)
        assert kept is not None
        told = [("join:a+b:after", "dalsegno:begins"), ("branch:to:pick", None)]
        saver.put_writes(kept.config, told, "a task")
        (level,) = levels_of(saver, "t")
        assert level.joins == {}
        assert level.coming == {"pick"}
