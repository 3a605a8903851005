"""What a run has spent is in the ledger with what it was spent for, in whatever order commits are made."""

from __future__ import annotations

import itertools
import operator
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.types import Send

from dalsegno import END, START, Each, RetryPolicy, Runner, Workflow, agent
from dalsegno.checkpoints import Ledger, open_checkpointer, open_database
from dalsegno.checkpoints.spending import commit_usage, keep_usage, note_of
from dalsegno.checkpoints.strict import StrictSerializer
from dalsegno.nodes.policies import spend
from dalsegno.runtime.events import CallFinished, NodeFailed, NodeFinished, RunFinished, RunStarted
from dalsegno.testing import ScriptedChatModel

LIMIT = 60.0


class State(TypedDict, total=False):
    item: str
    out: Annotated[list[str], operator.add]


class Slow(StrictSerializer):
    """Turns what the slow node gave into bytes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        if obj == ["slow"]:
            assert self.may.wait(LIMIT)
        return super().dumps_typed(obj)


def until(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not in time: {what}")


def test_what_a_node_spent_is_committed_with_it_also_where_another_one_noted_it_first(url: str) -> None:
    spent = threading.Barrier(2, timeout=LIMIT)
    noted = threading.Event()

    def work(state: State) -> State:
        spend(model_calls=1)
        spent.wait()
        if state["item"] == "quick":
            assert noted.wait(LIMIT)
        return {"out": [state["item"]]}

    def heard(event: Any) -> None:
        if isinstance(event, NodeFinished) and event.node == "work":
            noted.set()  # by the slow one, whose writes are not committed yet: what both have spent

    flow = Workflow("spending", State).add_node("plan", lambda state: {}).add_node("work", work, calls=1)
    flow.add_edge(START, "plan").add_edge("work", END)
    flow.add_conditional_edges(
        "plan",
        lambda state: [Send("work", {"item": item}) for item in ("slow", "quick")],
        [Each("work", max=2)],
    )
    serde = Slow()
    with open_checkpointer(url, serde=serde) as saver, Runner(flow, db=saver, on_event=heard) as runner:
        run = threading.Thread(target=runner.run, args=({},), kwargs={"thread": "t"})
        run.start()
        try:
            found = until(lambda: runner.ledger.latest("t"), "it has begun")
            done = until(
                lambda: [e for e in runner.ledger.executions(found.run_id) if e.node == "work"],
                "the quick one is committed",
            )
            usage = runner.ledger.get(found.run_id).usage
        finally:
            serde.may.set()
            run.join(LIMIT)
        assert usage.get("model_calls", 0) >= len(done)
        assert runner.ledger.get(found.run_id).usage["model_calls"] == 2


@pytest.fixture
def ledger(url: str) -> Any:
    database = open_database(url)
    ledger = Ledger(database)
    yield ledger
    ledger._heartbeat.stop()
    database.close()


@pytest.mark.parametrize("clock", [lambda: 1000.0, time.time], ids=["it stands still", "it goes on"])
def test_of_two_notes_the_later_one_stands_whichever_is_committed_last(
    ledger: Ledger, clock: Callable[[], float]
) -> None:
    ledger._clock = clock
    lease = ledger.begin(run_id="r", thread="t", workflow="w")
    for number in (1, 2, 3):
        note = note_of(ledger, lease, {"model_calls": number})
        keep_usage(ledger, lease, note, tasks=(f"task {number}",))
    for number in (2, 1):
        with ledger.database.transaction(f"task {number}"):
            pass
        assert ledger.get("r").usage == {"model_calls": 2}
    commit_usage(ledger, note_of(ledger, lease, {"model_calls": 4}))
    with ledger.database.transaction("task 3"):
        pass
    assert ledger.get("r").usage == {"model_calls": 4}
    ledger.finish(lease, "stopped")
    again = ledger.acquire("t", "r")
    commit_usage(ledger, note_of(ledger, again, {"model_calls": 5}))
    commit_usage(ledger, note_of(ledger, lease, {"model_calls": 9}))  # who has lost the thread notes nothing
    assert ledger.get("r").usage == {"model_calls": 5}
    ledger.finish(again, "completed")


@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forward", "back"])
def test_a_clock_that_is_set_while_a_node_is_executed_does_not_change_how_long_it_took(
    url: str, step: float
) -> None:
    clock = itertools.count(time.time(), step)
    told: list[Any] = []

    def heard(event: Any) -> None:
        if isinstance(event, RunStarted):
            runner.sessions[-1].clock = lambda: next(clock)
        elif isinstance(event, NodeFinished | NodeFailed | CallFinished | RunFinished):
            told.append(event)

    model = ScriptedChatModel([ConnectionError("gone"), "Rain."])
    again = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False)
    flow = Workflow("set", State).add_node("say", agent(model, "Say.", writes="item"), retry=again)
    flow.add_edge(START, "say").add_edge("say", END)
    with Runner(flow, db=url, on_event=heard) as runner:
        result = runner.run({})
        seconds = [event.seconds for event in told]
        seconds += [execution.seconds for execution in runner.ledger.executions(result.run_id)]
    assert (result.status, len(seconds)) == ("completed", 5 + 2)
    assert all(0 <= each < LIMIT for each in seconds), seconds
