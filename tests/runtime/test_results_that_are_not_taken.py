"""The journal says ``done`` of what was committed, once, and of nothing else."""

from __future__ import annotations

import asyncio
import operator
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import StateGraph
from langgraph.types import Command, Send
from langgraph.types import RetryPolicy as NativeRetryPolicy

from dalsegno import END, START, Each, Runner, Workflow
from dalsegno.runtime.events import NodeFinished

WAIT = 60


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


def executions(runner: Runner, run_id: str) -> list[tuple[str, str]]:
    return [(record.node, record.status) for record in runner.ledger.executions(run_id)]


def done(runner: Runner, run_id: str) -> Counter[tuple[Any, ...]]:
    return Counter(
        (record.node, record.occurrence, record.index)
        for record in runner.ledger.executions(run_id)
        if record.status == "done" and record.occurrence != 0
    )


def nothing_waits(runner: Runner) -> bool:
    database: Any = runner.ledger.database
    return len(database._queue) == 0


class Beside:
    """A function in a thread beside a coroutine that fails once; `ends` says when the function does."""

    def __init__(self, ends: str, db: Any) -> None:
        self.ends = ends
        self.fails = True
        self.loop: asyncio.AbstractEventLoop | None = None
        self.began, self.ended, self.resumed = threading.Event(), threading.Event(), threading.Event()
        self.runner = Runner(self.flow(), db=db, on_event=self.hear)
        self.told: list[str] = []

    def hear(self, event: Any) -> None:
        if isinstance(event, NodeFinished):
            self.told.append(event.node)

    def slow(self, state: State) -> State:
        if not self.began.is_set():
            self.began.set()
            if self.ends == "after":
                until(self.is_given_up)
            elif self.ends == "in the next run":
                assert self.resumed.wait(WAIT)
            self.ended.set()
        return {"log": ["slow"]}

    async def fast(self, state: State) -> State:
        if not self.fails:
            self.resumed.set()
            return {"log": ["fast"]}
        self.fails, self.loop = False, asyncio.get_running_loop()
        await asyncio.to_thread(self.began.wait, WAIT)
        if self.ends == "before":
            await asyncio.to_thread(self.ended.wait, WAIT)
        raise ConnectionError("the line was cut")

    def is_given_up(self) -> bool:
        """Whether LangGraph has written that it waits for the function no longer, or the loop ended before it could."""
        if self.loop is not None and not tasks_of(self.loop):
            return True
        found = self.runner.checkpointer.get_tuple({"configurable": {"thread_id": "t", "checkpoint_ns": ""}})
        return (
            found is not None
            and len([1 for _, key, _ in found.pending_writes or () if key == "__error__"]) == 2
        )

    def flow(self) -> Workflow:
        flow = Workflow("beside", State).add_node("slow", self.slow).add_node("fast", self.fast)
        flow.add_node("both", lambda state: {"log": ["both"]})
        flow.add_edge(START, "slow").add_edge(START, "fast").add_edge(["slow", "fast"], "both")
        return flow.add_edge("both", END)


def tasks_of(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    """What goes on in an event loop, but for its own wait for threads when it ends."""
    names = {task: getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks(loop)}
    return [task for task, name in names.items() if not name.endswith("shutdown_default_executor")]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.parametrize("ends", ["before", "after", "in the next run"])
def test_a_function_beside_a_failing_coroutine_is_done_once(ends: str, db: Any) -> None:
    beside = Beside(ends, db)

    async def play() -> str:
        first = await beside.runner.arun({"log": []}, thread="t")
        assert first.status == "failed"
        second = await beside.runner.aresume("t")
        assert second.status == "completed"
        assert sorted(second.output["log"]) == ["both", "fast", "slow"]
        return second.run_id

    with beside.runner as runner:
        run_id = asyncio.run(play())  # ends when the function has
        assert set(done(runner, run_id).values()) == {1}
        assert {node for node, *_ in done(runner, run_id)} == {"slow", "fast", "both"}
        assert nothing_waits(runner)
    if ends == "in the next run":
        assert beside.told.count("slow") == 1, "of a run that is over nothing more is told"


def test_what_was_done_and_not_taken_is_journalled_as_given_up(db: Any) -> None:
    with (beside := Beside("after", db)).runner as runner:
        result = runner.run({"log": []}, thread="t")  # its event loop ends when the function has
        assert result.status == "failed"
        given_up = [e for e in runner.ledger.executions(result.run_id) if e.node == "slow"]
        assert [(e.status, e.error["type"]) for e in given_up] == [("failed", "CancelledError")]
        assert runner.resume("t").status == "completed"
        assert executions(runner, result.run_id).count(("slow", "done")) == 1
    assert beside.ended.is_set()


def test_new_input_over_a_failed_run_makes_nothing_done_that_was_not(db: Any) -> None:
    with Beside("after", db).runner as runner:
        failed = runner.run({"log": []}, thread="t")
        again = runner.run({"log": []}, thread="t", abandon=True)
        assert again.status == "completed"
        assert ("slow", "done") not in executions(runner, failed.run_id)
        assert executions(runner, again.run_id).count(("slow", "done")) == 1


def sending(route: Any) -> Workflow:
    flow = Workflow("sending", State).add_node("plan", lambda state: {"log": ["plan"]})
    flow.add_node("work", lambda item: {"log": [item]}).add_node("end", lambda state: {"log": ["end"]})
    flow.add_edge(START, "plan").add_edge("end", END)
    flow.add_conditional_edges(
        "plan", lambda s: [Send("work", n) for n in "ab"], {"work": Each("work", max=2)}
    )
    return flow.add_conditional_edges("work", route, {"end": "end"})


def test_a_node_whose_router_raises_is_not_done(db: Any) -> None:
    fails = [True]

    def route(state: State) -> str:
        if fails[0]:
            raise ConnectionError("the router's line was cut")
        return "end"

    with Runner(sending(route), db=db) as runner:
        result = runner.run({"log": []}, thread="t")
        assert result.status == "failed"
        works = [e for e in runner.ledger.executions(result.run_id) if e.node == "work"]
        assert {e.status for e in works} == {"failed"}
        assert "ResultNotTaken" in {e.error["type"] for e in works}
        fails[0] = False
        assert runner.resume("t").output == {"log": ["plan", "a", "b", "end"]}
        assert set(done(runner, result.run_id).values()) == {1}


def test_a_node_that_langgraph_tries_again_is_done_once(db: Any) -> None:
    fails = [True, False]
    retry = NativeRetryPolicy(max_attempts=2, retry_on=ConnectionError, initial_interval=0.01)
    graph = StateGraph(State).add_node("work", lambda state: {"log": ["work"]}, retry_policy=retry)

    def route(state: State) -> str:
        if fails.pop(0):
            raise ConnectionError("the router's line was cut")
        return END

    graph.add_edge(START, "work").add_conditional_edges("work", route, [END])
    with Runner(graph, db=db) as runner:
        result = runner.run({"log": []}, thread="t")
        assert result.status == "completed"
        assert executions(runner, result.run_id) == [("work", "done")]


def leaving(state: State) -> Any:
    return Command(graph=Command.PARENT, update={"log": ["out"]}, goto="after")


def leaving_ours() -> Any:
    inner = Workflow("inner", State).add_node("first", lambda s: {"log": []})
    inner.add_node("out", leaving, destinations=()).add_edge(START, "first").add_edge("first", "out")
    outer = Workflow("outer", State).add_node("sub", inner, destinations=("after",))
    outer.add_node("after", lambda state: {"log": ["after"]})
    return outer.add_edge(START, "sub").add_edge("after", END)


def leaving_plain() -> Any:
    inner: Any = StateGraph(State).add_node("first", lambda s: {"log": []}).add_node("out", leaving)
    inner.add_edge(START, "first").add_edge("first", "out")
    outer: Any = StateGraph(State).add_node("sub", inner.compile(), destinations=("after",))
    return outer.add_node("after", lambda state: {"log": ["after"]}).add_edge(START, "sub")


@pytest.mark.parametrize("graph", [leaving_ours, leaving_plain])
def test_a_node_that_leaves_its_graph_is_committed_with_the_node_around_it(graph: Any, db: Any) -> None:
    with Runner(graph(), db=db) as runner:
        result = runner.run({"log": []}, thread="t")
        assert result.output == {"log": ["out", "after"]}
        assert executions(runner, result.run_id) == [
            ("sub/first", "done"), ("sub/out", "done"), ("sub", "done"), ("after", "done")
        ]  # fmt: skip
        assert nothing_waits(runner)


def test_a_run_that_was_drained_or_cancelled_leaves_nothing_waiting(db: Any) -> None:
    def stops(state: State) -> State:
        runner.drain()
        return {"log": ["stops"]}

    flow = Workflow("stopped", State).add_node("stops", stops).add_node("rest", lambda s: {"log": ["rest"]})
    flow.add_edge(START, "stops").add_edge("stops", "rest").add_edge("rest", END)
    with Runner(flow, db=db) as runner:
        result = runner.run({"log": []}, thread="t")
        assert result.status == "stopped"
        assert executions(runner, result.run_id) == [("stops", "done")]
        assert nothing_waits(runner)
        assert runner.cancel("t") == "cancelled"
        assert executions(runner, result.run_id) == [("stops", "done")]
