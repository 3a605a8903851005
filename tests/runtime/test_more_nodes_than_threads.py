"""What a node wrote is committed when it ends, also where others of its superstep still wait for a thread."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worlds import State

from dalsegno import END, START, Runner, Workflow, aeffect
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
