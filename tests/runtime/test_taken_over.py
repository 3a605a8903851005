"""A process that stood still so long that its thread was taken over writes nothing more to it.

On one machine a process that stands still is known to live, so the lease is made to look like one of another machine:
there only its expiry is known.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints import open_checkpointer
from dalsegno.errors import ThreadBusy

ROOT = Path(__file__).parents[2]

SCRIPT = """
import asyncio, os, sys
from typing import Annotated, TypedDict
import operator
from dalsegno import END, START, Runner, Workflow
from dalsegno.errors import RunError

class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]

def first(state):
    return {"log": [f"first {os.getpid()}"]}

def second(state):
    print("inside", flush=True)
    sys.stdin.readline()
    return {"log": [f"second {os.getpid()}"]}

async def asecond(state):
    return await asyncio.to_thread(second, state)

def sibling(state):
    return {"log": []}

def last(state):
    return {"log": ["last"]}

flow = Workflow("taken", State)
flow.add_node("first", first).add_node("second", asecond if sys.argv[2] == "async" else second)
flow.add_node("sibling", sibling).add_node("last", last)
flow.add_edge(START, "first").add_edge("first", "second").add_edge("first", "sibling")
flow.add_edge("second", "last").add_edge("last", END)
if __name__ == "__main__":
    runner = Runner(flow, db=sys.argv[1])
    print("ready", flush=True)
    word = sys.stdin.readline().strip()
    try:
        result = runner.run({}, thread="t1") if word == "run" else runner.resume("t1")
        print(result.status, *result.output["log"], flush=True)
    except RunError as error:
        print(type(error).__name__, error, flush=True)
"""


class Process:
    def __init__(self, script: Path, db: Path, colour: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(db), colour],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.pid = self.process.pid

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def stand_still(self, db: Path) -> None:
        """Stop it between two commits: inside of one it would keep SQLite's lock."""
        deadline = time.monotonic() + 20
        while not history(db)[0][2]:  # what the sibling wrote
            assert time.monotonic() < deadline
        os.kill(self.pid, signal.SIGSTOP)
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def processes(tmp_path: Path, db: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Process, Process]]:
    script = tmp_path / "taken.py"
    script.write_text(SCRIPT)
    started = [Process(script, db, request.param) for _ in range(2)]
    assert [one.line() for one in started] == ["ready"] * 2
    yield started[0], started[1]
    for one in started:
        one.end()


def expired_elsewhere(db: Path) -> None:
    """The thread's holder is on another machine, and has given no sign of life for long."""
    with open_checkpointer(db) as saver, saver.database.transaction() as connection:
        connection.execute("UPDATE leases SET host = 'elsewhere', expires_at = 0")


def history(db: Path) -> list[Any]:
    with open_checkpointer(db) as saver:
        return [
            (
                found.config["configurable"]["checkpoint_id"],
                found.checkpoint["channel_values"],
                found.pending_writes,
            )
            for found in saver.list({"configurable": {"thread_id": "t1"}})
        ]


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks into /proc whether a process stands still"
)
@pytest.mark.parametrize("processes", ["sync", "async"], indirect=True)
def test_a_process_that_wakes_up_after_it_was_taken_over_writes_nothing(
    processes: tuple[Process, Process], db: Path
) -> None:
    sleeper, other = processes
    sleeper.say("run")
    assert sleeper.line() == "inside"
    sleeper.stand_still(db)
    expired_elsewhere(db)
    other.say("resume")
    assert other.line() == "inside"
    before = history(db)
    sleeper.go_on()
    sleeper.say("go on")  # its node ends, and its writes come while the other one is inside of the same node
    said = sleeper.line()
    assert said.startswith(f"Fenced Thread 't1' was taken over by process {other.pid} on ")
    assert "since this one gave no sign of life for too long" in said
    assert history(db) == before
    other.say("go on")
    assert other.line() == f"completed first {sleeper.pid} second {other.pid} last"


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks into /proc whether a process stands still"
)
@pytest.mark.parametrize("processes", ["sync"], indirect=True)
def test_it_writes_nothing_either_when_the_other_is_done(
    processes: tuple[Process, Process], db: Path
) -> None:
    sleeper, other = processes
    sleeper.say("run")
    assert sleeper.line() == "inside"
    sleeper.stand_still(db)
    expired_elsewhere(db)
    other.say("resume")
    assert other.line() == "inside"
    other.say("go on")
    assert other.line() == f"completed first {sleeper.pid} second {other.pid} last"
    before = history(db)
    sleeper.go_on()
    sleeper.say("go on")
    assert sleeper.line().startswith("Fenced Thread 't1' was taken over by a process that is done")
    assert history(db) == before


@pytest.mark.parametrize("plain", [False, True])
def test_a_run_that_loses_its_thread_between_two_nodes_ends_there(world: Any, db: Path, plain: bool) -> None:
    from langgraph.graph import StateGraph
    from worlds import State

    def lose(state: State) -> dict[str, Any]:
        with open_checkpointer(db) as saver, saver.database.transaction() as connection:
            connection.execute("UPDATE leases SET token = 'of another'")
        return {"path": ["lose"]}

    flow: Any = StateGraph(State) if plain else Workflow("losing", State)
    flow.add_node("lose", lose)
    flow.add_node("next", world.node("next"))
    flow.add_edge(START, "lose")
    flow.add_edge("lose", "next")
    flow.add_edge("next", END)
    with Runner(flow, db=db) as runner:
        with pytest.raises(ThreadBusy, match="taken over"):
            runner.run({"topic": "x"}, thread="t1")
        assert world.seen == []
        assert "path" not in history(db)[0][1]


@pytest.mark.parametrize("elsewhere", ["thread", "database"])
@pytest.mark.parametrize("given", ["config", "nothing"])
def test_a_node_may_run_another_graph_on_another_thread_or_database(
    db: Path, tmp_path: Path, elsewhere: str, given: str
) -> None:
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph import StateGraph
    from worlds import State

    other = StateGraph(State)
    other.add_node("inner", lambda state: {"path": ["inner"]})
    other.add_edge(START, "inner")
    with Runner(StateGraph(State).add_node("x", lambda s: {}).add_edge(START, "x"), db=db) as first:
        saver = first.checkpointer if elsewhere == "thread" else open_checkpointer(tmp_path / "other.db")
        app = other.compile(checkpointer=saver)

        def outer(state: State, config: RunnableConfig) -> dict[str, Any]:
            place = dict(config["configurable"]) if given == "config" else {}
            place |= {
                "thread_id": "another" if elsewhere == "thread" else "t1",
                "checkpoint_ns": "",
                "checkpoint_id": None,
            }
            return {"path": app.invoke({"topic": "y"}, {"configurable": place}, durability="sync")["path"]}

        flow = StateGraph(State)
        flow.add_node("outer", outer)
        flow.add_edge(START, "outer")
        with Runner(flow, db=first.checkpointer) as runner:
            result = runner.run({"topic": "x"}, thread="t1")
        assert (result.status, result.error) == ("completed", None)
        saver.close()
