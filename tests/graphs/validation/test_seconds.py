"""The bound on seconds against real runs: a node that never ends is left in time, or no bound is claimed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from generated_workflows import Builder
from langchain_core.runnables import RunnableLambda
from langgraph.graph import StateGraph
from langgraph.types import interrupt

from dalsegno import END, START, Budget, Fallback, Loop, RetryPolicy, Runner, Workflow, validate
from dalsegno.graphs.model import NodeSpec
from dalsegno.graphs.validation import check
from dalsegno.graphs.validation.certifying import ABANDONED
from dalsegno.nodes.policies import ManualClock, Timeout
from dalsegno.runtime.events import PolicyActed


class State(TypedDict, total=False):
    said: str


class Held:
    """A node that does not return until it is released; `ended` counts the calls that did."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.ended = 0

    def __call__(self, state: State) -> State:
        self.release.wait(60)
        self.ended += 1
        return {"said": "too late"}


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held()
    yield made
    made.release.set()


def flow(**nodes: Any) -> Workflow:
    """The nodes in a row; each is what runs, or that and its options."""
    made, last = Workflow("timed", State, budget=Budget(seconds=60)), START
    for name, node in nodes.items():
        action, options = node if isinstance(node, tuple) else (node, {})
        made.add_node(name, action, **options).add_edge(last, name)
        last = name
    return made.add_edge(last, END)


async def quick(state: State) -> State:
    return {"said": "quick"}


async def quick_failure(state: State) -> State:
    raise ValueError("no")


def instead(state: State) -> State:
    return {"said": "instead"}


SOON = {"timeout": 0.1}
AT_ONCE = RetryPolicy(
    max_attempts=3, initial_interval=0.01, max_interval=0.01, jitter=False, retry_on=Exception
)

BOUNDED: dict[str, Callable[[Held], Workflow]] = {
    "a function": lambda held: flow(a=(held, SOON)),
    "a runnable": lambda held: flow(a=(RunnableLambda(held), SOON)),
    "a function beside a coroutine": lambda held: flow(a=(held, SOON), b=(quick, SOON)),
    "a runnable beside a coroutine": lambda held: flow(b=(quick, SOON), a=(RunnableLambda(held), SOON)),
    "a sequence of runnables": lambda held: flow(
        b=(quick, SOON), a=(RunnableLambda(quick) | RunnableLambda(held), SOON)
    ),
    "a coroutine that falls back on a function": lambda held: flow(
        a=(quick_failure, {"fallback": Fallback(held), **SOON})
    ),
    "three attempts": lambda held: flow(a=(held, {"retry": AT_ONCE, **SOON})),
    "a fallback": lambda held: flow(a=(held, {"fallback": Fallback(instead), **SOON})),
    "in a subworkflow": lambda held: flow(sub=flow(a=(held, SOON))),
    "in a subworkflow beside a coroutine": lambda held: flow(b=(quick, SOON), sub=flow(a=(held, SOON))),
    "a subworkflow that is cancelled": lambda held: flow(
        sub=(flow(b=(quick, SOON), a=(held, {"timeout": 0.2})), SOON)
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_a_run_is_over_within_its_bound_while_the_node_still_runs(
    name: str, held: Held, tmp_path: Path
) -> None:
    workflow = BOUNDED[name](held)
    report = validate(workflow)
    assert report.findings == ()
    bound = report.certificate.bounds["seconds"]
    assert ABANDONED in bound.assumptions
    runner = Runner(workflow, db=tmp_path / "r.db")
    started = time.monotonic()
    result = runner.run({})
    assert held.ended == 0
    assert result.status == ("completed" if name == "a fallback" else "failed")
    # What is left is the machine's: compiling, committing, waking threads.
    assert time.monotonic() - started < bound.value + 20


def test_a_function_may_be_abandoned_also_where_its_router_is_a_coroutine() -> None:
    async def route(state: State) -> Literal["again", "end"]:
        return "end"

    made = Workflow("routed", State).add_node("a", instead, timeout=1).add_edge(START, "a")
    made.add_conditional_edges("a", route, {"again": Loop("a", max=2, on_exhausted=END), "end": END})
    certificate = validate(made).certificate
    assert certificate is not None
    assert ABANDONED in certificate.bounds["seconds"].assumptions


UNBOUNDED: dict[str, Callable[[Held], Any]] = {
    "a Workflow": lambda held: flow(a=held),
    "a LangGraph graph": lambda held: (
        StateGraph(State).add_node("a", held).add_edge(START, "a").add_edge("a", END).compile()
    ),
}


@pytest.mark.parametrize("name", UNBOUNDED)
def test_the_timeout_of_a_subworkflow_waits_for_the_threads_in_it(
    name: str, held: Held, tmp_path: Path
) -> None:
    workflow = flow(sub=(UNBOUNDED[name](held), {"timeout": 1}))  # in which the function begins
    report = validate(workflow)
    assert report.certificate.seconds is None
    assert [f.message for f in report.findings if f.code == "T110"] == [
        "no bound in seconds: sync `sub/a` cannot be cancelled. "
        "Use async functions, or `timeout=` on a node of a Workflow."
    ]

    def release(event: Any) -> None:
        if isinstance(event, PolicyActed) and event.policy == "timeout":
            held.release.set()

    assert Runner(workflow, db=tmp_path / "r.db", on_event=release).run({}).status == "failed"
    assert held.ended == 1


def test_langgraph_refuses_to_time_a_synchronous_node_and_so_no_bound_is_claimed() -> None:
    def crunch(state: State) -> State:
        return state

    builder = StateGraph(State).add_node("crunch", crunch, timeout=5).add_edge(START, "crunch")
    with pytest.raises(ValueError, match="only supported for async nodes"):
        builder.compile()
    bound = validate(builder.add_edge("crunch", END)).certificate.bounds["seconds"]
    assert bound.value is None
    assert bound.reason == "T110: sync `crunch` cannot be cancelled. Use async functions."


def sub(child: Any, **more: Any) -> Any:
    made = Builder(NodeSpec("sub", kind="subworkflow", child=child, **more))
    return made.edge(START, "sub").edge("sub", END).spec(budget={"seconds": 60})


def row(*nodes: NodeSpec) -> Any:
    made, last = Builder(*nodes), START
    for node in nodes:
        made.edge(last, node.name)
        last = node.name
    return made.edge(last, END).spec("child")


def test_seconds_that_are_budgeted_outside_are_missed_inside_too() -> None:
    (found,) = check(sub(sub(row(NodeSpec("a"))))).findings
    assert found.code == "T107"
    assert (
        found.message == "in subworkflow `sub/sub`: no bound in seconds: `a` has no timeout. Use `timeout=`."
    )


def test_the_timeout_of_a_subworkflow_bounds_what_can_be_cancelled() -> None:
    report = check(sub(row(NodeSpec("a", is_async=True)), timeout=7.0))
    assert report.findings == ()
    assert report.certificate.seconds == 7


def test_the_lesser_of_what_is_inside_and_the_timeout_counts() -> None:
    inside = row(NodeSpec("a", is_async=True, timeout=3.0), NodeSpec("b", is_async=True, timeout=3.0))
    assert check(sub(inside, timeout=7.0)).certificate.seconds == 6
    assert check(sub(inside, timeout=5.0)).certificate.seconds == 5


def test_a_thread_in_a_cancelled_subworkflow_goes_on_until_its_own_timeout() -> None:
    inside = row(NodeSpec("a", timeout=2.0), NodeSpec("b", is_async=True))
    assert check(sub(inside, timeout=5.0)).certificate.seconds == 7


def test_the_fallback_of_a_subworkflow_needs_a_timeout_of_its_own() -> None:
    inside = row(NodeSpec("a", is_async=True, timeout=3.0))
    report = check(sub(inside, attempts=2))
    assert report.certificate.seconds is None
    assert [f.code for f in report.findings] == ["T107"]
    assert check(sub(inside, attempts=2, timeout=4.0)).certificate.seconds == 3 + 4


def test_a_run_that_asked_stays_within_its_bound(tmp_path: Path) -> None:
    clock = ManualClock()

    def think(state: State) -> State:
        clock.advance(9)
        return {"said": interrupt("go on?")}

    made = flow(think=(think, {"timeout": Timeout(attempt=10, clock=clock), "interrupts": 1}))
    bound = validate(made).certificate.seconds
    with Runner(made, db=tmp_path / "r.db") as runner:
        budget = Budget(seconds=bound, clock=clock)
        assert runner.run({}, thread="t", budget=budget).status == "interrupted"
        done = runner.resume("t", "yes", budget=budget)
    assert done.status == "completed"
    assert done.usage["seconds"] == 18 <= bound
