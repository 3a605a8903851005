"""A run is cancelled from outside: at once where nobody runs it, else by the process that does."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import interrupt
from worlds import State

from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints import Ledger, open_checkpointer
from dalsegno.checkpoints.interventions import cancel
from dalsegno.errors import NothingToResume, RunFailed, UnknownThread

ROOT = Path(__file__).parents[2]


def cancelled_from_elsewhere(db: Path) -> None:
    with open_checkpointer(db) as other:
        assert cancel(Ledger(other.database, other.serde), "t1", by="a test") == "asked"


@pytest.mark.parametrize("left", ["failed", "stopped"])
def test_a_run_that_nobody_runs_is_cancelled_at_once(world: Any, db: Path, left: str) -> None:
    flow = world.chain("a", "b")
    world.broken.add("b")
    with Runner(flow, db=db) as runner:
        run_id = runner.run({"topic": "x"}, thread="t1").run_id
        if left == "stopped":
            with runner.ledger.database.transaction() as connection:
                connection.execute("UPDATE runs SET status = 'running'")
        assert runner.cancel("t1") == "cancelled"
        assert runner.ledger.get(run_id).status == "cancelled"
        with pytest.raises(NothingToResume, match="cancelled"):
            runner.resume("t1")
        with pytest.raises(NothingToResume, match="nothing to cancel"):
            runner.cancel("t1")
        world.broken.clear()
        assert runner.run({"topic": "y"}, thread="t1").status == "completed"


def test_there_is_nothing_to_cancel_where_nothing_runs(world: Any, db: Path) -> None:
    with Runner(world.chain("a"), db=db) as runner:
        with pytest.raises(UnknownThread):
            runner.cancel("t1")
        runner.run({"topic": "x"}, thread="t1")
        with pytest.raises(NothingToResume, match="completed"):
            runner.cancel("t1")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_that_is_going_on_lets_its_superstep_end(
    world: Any, db: Path, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dalsegno.runtime.looking.LOOK", 0)  # or this would have to take 20 ms
    entered, leave = threading.Event(), threading.Event()

    def wait(state: State) -> dict[str, Any]:
        entered.set()
        assert leave.wait(20)
        return {"path": ["waited"]}

    flow = Workflow("waiting", State)
    flow.add_node("wait", wait).add_edge(START, "wait")
    flow.add_sequence([("next", world.node("next")), ("after", world.node("after"))])
    flow.add_edge("wait", "next").add_edge("after", END)
    results: list[Any] = []
    with Runner(flow, db=db) as running, Runner(flow, db=db) as other:
        turn = running.run if not asynchronous else lambda *a, **k: asyncio.run(running.arun(*a, **k))
        thread = threading.Thread(target=lambda: results.append(turn({"topic": "x"}, thread="t1")))
        thread.start()
        assert entered.wait(20)
        assert asyncio.run(other.acancel("t1")) == "asked"
        leave.set()
        thread.join()
        (result,) = results
        assert result.status == "cancelled"
        assert world.seen == []
        assert other.ledger.get(result.run_id).status == "cancelled"
        assert running.pending("t1").values["path"] == ["waited"]
        with pytest.raises(RunFailed, match=r"is cancelled\.$"):
            result.raise_for_status()


def hanging(entered: threading.Event) -> Workflow:
    """A coroutine that never ends, one beside it that does, and one that would follow."""

    async def hang(state: State) -> dict[str, Any]:
        entered.set()
        await asyncio.Event().wait()
        return {"path": ["hung"]}

    async def quick(state: State) -> dict[str, Any]:
        return {"path": ["quick"]}

    flow = Workflow("hanging", State)
    flow.add_node("hang", hang).add_node("quick", quick).add_node("next", quick)
    return (
        flow.add_edge(START, "hang")
        .add_edge(START, "quick")
        .add_edge(["hang", "quick"], "next")
        .add_edge("next", END)
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dalsegno.runtime.driving.LOOK", 0.01)
    monkeypatch.setattr("dalsegno.runtime.driving.GRACE", 0.05)


@pytest.mark.parametrize("way", ["run", "arun", "astream"])
@pytest.mark.usefixtures("impatient")
def test_a_coroutine_that_hangs_is_given_up(db: Path, way: str) -> None:
    entered = threading.Event()
    results: list[Any] = []

    async def streamed(runner: Runner) -> Any:
        stream = runner.astream({"topic": "x"}, "t1")
        assert [chunk async for chunk in stream] == [{"quick": {"path": ["quick"]}}]
        return stream.result

    def play() -> None:
        if way == "run":
            results.append(running.run({"topic": "x"}, thread="t1"))
        elif way == "arun":
            results.append(asyncio.run(running.arun({"topic": "x"}, thread="t1")))
        else:
            results.append(asyncio.run(streamed(running)))

    with Runner(hanging(entered), db=db) as running, Runner(hanging(entered), db=db) as other:
        thread = threading.Thread(target=play)
        thread.start()
        assert entered.wait(20)
        assert other.cancel("t1") == "asked"
        thread.join(60)
        assert not thread.is_alive()
        (result,) = results
        assert result.status == "cancelled"
        assert other.ledger.get(result.run_id).status == "cancelled"
        done = [e.node for e in other.ledger.executions(result.run_id) if e.status == "done"]
        assert done == ["quick"]
        with pytest.raises(NothingToResume):
            other.resume("t1")


@pytest.mark.usefixtures("impatient")
def test_who_reads_a_stream_is_not_cancelled_with_its_run(db: Path) -> None:
    async def read() -> Any:
        stream = runner.astream({"topic": "x"}, "t1")
        async for _ in stream:
            cancelled_from_elsewhere(db)
            await asyncio.sleep(0.2)  # longer than the grace
            break
        return "read"

    flow = Workflow("two", State)
    flow.add_sequence([("one", lambda s: {"path": ["one"]}), ("two", lambda s: {"path": ["two"]})])
    flow.add_edge(START, "one").add_edge("two", END)
    with Runner(flow, db=db) as runner:
        assert asyncio.run(read()) == "read"


@pytest.mark.usefixtures("impatient")
def test_a_timeout_of_a_node_is_no_cancel(db: Path) -> None:
    async def late(state: State) -> None:
        raise TimeoutError("the receiver is slow")

    flow = Workflow("late", State).add_node("late", late).add_edge(START, "late").add_edge("late", END)
    with Runner(flow, db=db) as runner:
        result = runner.run({"topic": "x"}, thread="t1")
    assert result.status == "failed"
    assert result.error is not None
    assert result.error["message"] == "the receiver is slow"


def test_a_run_that_waits_for_a_human_by_then_is_cancelled_all_the_same(db: Path) -> None:
    def ask(state: State) -> Any:
        cancelled_from_elsewhere(db)
        return {"path": [interrupt("?")]}

    flow = Workflow("asking", State)
    flow.add_node("ask", ask, interrupts=1).add_edge(START, "ask").add_edge("ask", END)
    with Runner(flow, db=db) as runner:
        result = runner.run({"topic": "x"}, thread="t1")
    assert (result.status, result.interrupts) == ("cancelled", ())


def test_a_run_that_is_cancelled_while_its_end_is_recorded_on_a_server_is_cancelled(
    postgres_url: str,
) -> None:
    flow = Workflow("asking", State)
    flow.add_node("ask", lambda state: {"path": [interrupt("?")]}, interrupts=1)
    flow.add_edge(START, "ask").add_edge("ask", END)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    is_locked = threading.Event()

    def cancelled() -> None:
        with open_checkpointer(postgres_url) as other, other.database.transaction() as session:
            other.database.lock("t1")
            session.execute("SELECT 1").fetchone()
            is_locked.set()
            end = time.monotonic() + 60
            while session.execute(waiting).fetchone()[0] < 1:
                assert time.monotonic() < end, "it waits"
            assert cancel(Ledger(other.database, other.serde), "t1", by="a test") == "asked"

    with Runner(flow, db=postgres_url) as runner, ThreadPoolExecutor(1) as elsewhere:
        executed = runner.ledger.executed

        def executed_late(run_id: str) -> int:  # the last that is asked before the end is recorded
            cancelling.append(elsewhere.submit(cancelled))
            assert is_locked.wait(60)
            return executed(run_id)

        cancelling: list[Future[None]] = []
        runner.ledger.executed = executed_late  # type: ignore[method-assign]
        assert runner.run({"topic": "x"}, thread="t1").status == "cancelled"
        cancelling[0].result(60)


def test_a_run_that_is_cancelled_while_it_waits_asks_nothing_any_more(db: Path) -> None:
    flow = Workflow("asking", State)
    flow.add_node("ask", lambda state: {"path": [interrupt("?")]}, interrupts=1)
    flow.add_edge(START, "ask").add_edge("ask", END)
    with Runner(flow, db=db) as runner:
        assert runner.run({"topic": "x"}, thread="t1").interrupts
        assert runner.cancel("t1") == "cancelled"
        assert tuple(runner.ledger.last("t1").interrupts) == ()


def test_a_run_that_completes_before_it_notices_is_completed(db: Path) -> None:
    def last(state: State) -> None:
        cancelled_from_elsewhere(db)

    flow = Workflow("quick", State)
    flow.add_node("last", last).add_edge(START, "last").add_edge("last", END)
    with Runner(flow, db=db) as runner:
        assert runner.run({"topic": "x"}, thread="t1").status == "completed"
        assert runner.run({"topic": "x"}, thread="t1", abandon=True).status == "completed"


SCRIPT = """
import os, sys
from typing import TypedDict
from dalsegno import END, START, Loop, Runner, Workflow

class State(TypedDict, total=False):
    n: int

def step(state):
    if state.get("n", 0) == 3:
        print("running", flush=True)
        if sys.argv[2] == "dies":
            sys.stdin.readline()
            os.kill(os.getpid(), 9)
    return {"n": state.get("n", 0) + 1}

flow = Workflow("long", State)
flow.add_node(step).add_edge(START, "step")
flow.add_conditional_edges("step", lambda s: "on", {"on": Loop("step", max=1_000_000, on_exhausted=END), "end": END})
print(Runner(flow, db=sys.argv[1]).run({"n": 0}, thread="t1").status, flush=True)
"""


def process(db: Path, way: str) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(db), way],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "running\n"
    return started


def test_another_process_is_told_and_stops(world: Any, db: Path) -> None:
    running = process(db, "runs")
    with Runner(world.chain("a", name="long"), db=db) as runner:
        assert runner.cancel("t1") == "asked"
        out, _ = running.communicate(timeout=30)
        assert out == "cancelled\n"
        run = runner.ledger.latest("t1")
        assert run is not None
        assert run.status == "cancelled"


def test_a_process_that_dies_before_it_notices_leaves_a_run_that_is_not_resumed(world: Any, db: Path) -> None:
    running = process(db, "dies")
    with Runner(world.chain("a", name="long"), db=db) as runner:
        assert runner.cancel("t1") == "asked"
        running.communicate("now\n", timeout=30)
        with pytest.raises(NothingToResume, match="cancelled"):
            runner.resume("t1")
