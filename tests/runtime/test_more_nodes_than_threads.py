"""What a node wrote is committed when it ends, also where others of its superstep still wait for a thread."""

from __future__ import annotations

import asyncio
import operator
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, TypedDict

from langgraph.types import Send
from worlds import State

from dalsegno import END, START, Each, Runner, Workflow, aeffect
from dalsegno.checkpoints import Ledger, open_checkpointer


def committed(db: Path) -> int:
    """How many executions of thread t1 are committed."""
    with open_checkpointer(db) as other:
        ledger = Ledger(other.database, other.serde)
        return ledger.executed(ledger.last("t1", plain=True).run_id)


def recorded(db: Path) -> int:
    """How many effects are."""
    with open_checkpointer(db) as other, other.database.read() as connection:
        return int(connection.execute("SELECT count(*) FROM effects").fetchone()[0])


def test_what_a_sync_node_wrote_in_an_event_loop_does_not_wait_for_those_behind_it(db: Path) -> None:
    ended: list[str] = []

    def work(state: State) -> State:
        end = time.monotonic() + 60
        while committed(db) < len(ended):
            assert time.monotonic() < end, "what ended before is committed"
        ended.append("one more")
        return {"path": ["done"]}

    flow = Workflow("wide", State)
    for name in "abcd":
        flow.add_node(name, work).add_edge(START, name).add_edge(name, END)

    async def main() -> str:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        with Runner(flow, db=db) as runner:
            return (await runner.arun({"topic": "x"}, thread="t1")).status

    assert asyncio.run(main()) == "completed"


def test_the_result_of_an_effect_in_an_event_loop_does_not_wait_for_sync_nodes(db: Path) -> None:
    async def pay() -> str:
        return "paid"

    async def paying(state: State) -> State:
        return {"path": [await aeffect("pay", pay)]}

    def slow(state: State) -> State:
        end = time.monotonic() + 60
        while not recorded(db):
            assert time.monotonic() < end, "what was done is recorded"
        return {"path": ["slow"]}

    flow = Workflow("both", State)
    for node in (slow, paying):
        flow.add_node(node).add_edge(START, node.__name__).add_edge(node.__name__, END)

    async def main() -> str:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        with Runner(flow, db=db) as runner:
            return (await runner.arun({"topic": "x"}, thread="t1")).status

    assert asyncio.run(main()) == "completed"


THREADS = ThreadPoolExecutor()._max_workers
"""As many as LangGraph executes sync nodes in, where nobody says how many."""


class Wide(TypedDict, total=False):
    done: Annotated[list[int], operator.add]


def wide_flow(work: Callable[[int], Wide]) -> Workflow:
    """Three times as many tasks side by side as there are threads."""
    flow = Workflow("wide", Wide).add_node("work", work, reads=None)
    sends = [Send("work", number) for number in range(3 * THREADS)]
    flow.add_conditional_edges(START, lambda _: sends, [Each("work", max=len(sends))])
    return flow.add_edge("work", END)


def test_what_sync_nodes_wrote_survives_a_kill_while_all_threads_are_taken(db: Path) -> None:
    def killed() -> None:
        def work(number: int) -> Wide:
            if number >= 2 * THREADS:
                end = time.monotonic() + 60
                while committed(db) < 2 * THREADS:
                    if time.monotonic() > end:  # a failure would give its thread free for what waits for one
                        os._exit(1)
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            return {"done": [number]}

        with Runner(wide_flow(work), db=db) as runner:
            runner.run({}, thread="t1")

    pid = os.fork()
    if not pid:
        try:
            killed()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    again: list[int] = []

    def work(number: int) -> Wide:
        again.append(number)
        return {"done": [number]}

    with Runner(wide_flow(work), db=db) as runner:
        done = runner.resume("t1")
    assert sorted(again) == list(range(2 * THREADS, 3 * THREADS))
    assert sorted(done.output["done"]) == list(range(3 * THREADS))
    assert done.usage["executions"] == 3 * THREADS
