"""An attempt that was given up records no effect: what the other one records stands."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import StateGraph
from worlds import State

from dalsegno import END, START, Runner, Workflow, effect
from dalsegno.nodes import current_execution


def test_a_process_whose_thread_was_taken_over_records_nothing(db: Path) -> None:
    def pay(state: State) -> Any:
        return {"path": [effect("charge", charge)]}

    def charge() -> str:
        if not taken:
            taken.append(True)
            with (
                runner.ledger.database.transaction() as connection
            ):  # as another machine would, after the expiry
                connection.execute("UPDATE leases SET token = 'another'")
        return "receipt"

    taken: list[bool] = []
    flow = Workflow("paying", State)
    flow.add_node("pay", pay).add_edge(START, "pay").add_edge("pay", END)
    with Runner(flow, db=db) as runner:
        try:
            runner.run({"topic": "x"}, thread="t1")
        except Exception as error:
            assert "taken over" in str(error)  # noqa: PT017 - whoever notices first says so
        with runner.ledger.database.read() as connection:
            assert connection.execute("SELECT count(*) FROM effects").fetchone() == (0,)


def test_an_attempt_that_timed_out_records_nothing_when_it_comes_to_its_end(db: Path) -> None:
    """The thread of a sync function cannot be stopped; it goes on after its node has failed."""
    late, done = threading.Event(), threading.Event()
    said: list[str] = []

    def charge() -> str:
        assert late.wait(20)
        return "receipt"

    def slow() -> str:
        execution = current_execution()
        assert execution is not None
        try:
            return effect("charge", charge)
        except Exception as error:
            said.append(str(error))
            raise
        finally:
            done.set()

    async def pay(state: State) -> Any:
        return {"path": [await asyncio.to_thread(slow)]}

    flow = Workflow("paying", State)
    flow.add_node("pay", pay, timeout=0.05).add_edge(START, "pay").add_edge("pay", END)
    with Runner(flow, db=db) as runner:

        async def run() -> Any:
            result = await runner.arun({"topic": "x"}, thread="t1")
            late.set()
            return result

        result = asyncio.run(run())
        assert result.status == "failed"
        assert done.wait(20)
        assert "was given up" in said[0]
        with runner.ledger.database.read() as connection:
            assert connection.execute("SELECT count(*) FROM effects").fetchone() == (0,)


@pytest.mark.parametrize("plain", [False, True])
def test_of_a_result_that_cannot_be_recorded_it_is_said_that_the_effect_was_done(
    db: Path, plain: bool
) -> None:
    flow: Any = StateGraph(State) if plain else Workflow("paying", State)
    flow.add_node("pay", lambda state: effect("charge", object))
    with Runner(flow.add_edge(START, "pay").add_edge("pay", END), db=db) as runner:
        result = runner.run({"topic": "x"}, thread="t1")
    assert result.error is not None
    assert result.error["type"] == "NotSerializable"
    assert result.error["message"].startswith(
        'The effect "charge" was done, and its result cannot be recorded'
    )
