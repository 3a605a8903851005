"""Clocks that disagree: what is written later is later, or is not written."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.base import id as ids
from langgraph.types import interrupt

from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints import Checkpointer, open_database
from dalsegno.checkpoints.succession import ahead
from dalsegno.errors import CheckpointError

HOUR = 3600.0


class State(TypedDict, total=False):
    n: int
    answer: str


def ask(state: State) -> State:
    return {"answer": interrupt("Go on?")}


def count(state: State) -> State:
    return {"n": state.get("n", 0) + 1}


def asking() -> Workflow:
    """It asks inside a workflow of its own, whose checkpoints have clocks too."""
    inner = Workflow("inner", State).add_node(ask, interrupts=1).add_edge(START, "ask").add_edge("ask", END)
    flow = Workflow("asking", State).add_node("first", count).add_node("inner", inner).add_node("then", count)
    flow.add_edge(START, "first").add_edge("first", "inner").add_edge("inner", "then").add_edge("then", END)
    return flow


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes this process one that has just started on a machine whose clock is so many seconds off."""

    def go(seconds: float) -> None:
        clock = SimpleNamespace(time_ns=lambda: time.time_ns() + int(seconds * 1e9))
        monkeypatch.setattr(ids, "time", clock)
        monkeypatch.setattr(ids, "_last_v6_timestamp", None)

    return go


def test_nothing_is_done_where_the_clock_is_far_behind(url: str, elsewhere: Callable[[float], None]) -> None:
    with Runner(asking(), db=url) as runner:
        assert runner.run({}, thread="t").status == "interrupted"
        before = list(runner.checkpointer.list(None))
        (outermost, *_) = runner.checkpointer.list({"configurable": {"thread_id": "t", "checkpoint_ns": ""}})
        elsewhere(-HOUR)
        with pytest.raises(
            CheckpointError, match=r"clock of this machine is 60 minutes behind .* thread 't'"
        ):
            runner.resume("t", value="yes")
        with pytest.raises(CheckpointError, match="behind"):
            runner.run({}, thread="t", abandon=True)
        with pytest.raises(CheckpointError, match="behind"):
            runner.fork("t", outermost.checkpoint["id"])
        assert list(runner.checkpointer.list(None)) == before
        assert [run.status for run in runner.ledger.runs()] == ["interrupted"]
        assert runner.run({}, thread="another").status == "interrupted"  # where nothing is ahead
        elsewhere(0)
        done = runner.resume("t", value="yes")
        assert (done.status, done.output) == ("completed", {"n": 2, "answer": "yes"})


def test_a_clock_that_is_a_little_behind_is_waited_for(url: str, elsewhere: Callable[[float], None]) -> None:
    with Runner(asking(), db=url) as runner:
        assert runner.run({}, thread="t").status == "interrupted"
        elsewhere(-0.3)
        done = runner.resume("t", value="yes")
        assert (done.status, done.output) == ("completed", {"n": 2, "answer": "yes"})
        place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        steps = [kept.metadata["step"] for kept in runner.checkpointer.list(place)]
    assert steps == sorted(steps, reverse=True)


def test_a_process_whose_clock_was_set_back_goes_on_with_its_own_threads(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Runner(asking(), db=url) as runner:
        assert runner.run({}, thread="t").status == "interrupted"
        behind = SimpleNamespace(time_ns=lambda: time.time_ns() - int(HOUR * 1e9))
        monkeypatch.setattr(ids, "time", behind)  # LangGraph counts on from its last id
        assert runner.resume("t", value="yes").status == "completed"


@pytest.mark.parametrize(
    "name", ["ffffffff-ffff-4fff-bfff-ffffffffffff", "z", "4f1c2d80-0000-4000-8000-000000000000"]
)
def test_an_id_that_no_clock_made_is_in_nobodys_way(url: str, saver: Checkpointer, name: str) -> None:
    place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    checkpoint: Any = {
        "v": 4,
        "id": name,
        "ts": "",
        "channel_values": {},
        "channel_versions": {},
        "versions_seen": {},
    }
    saver.put(place, checkpoint, {}, {})
    database = open_database(url)
    assert database.upkeep().latest_checkpoint("t") == name
    assert ahead(database, "t") is None
    assert database.upkeep().latest_checkpoint("no such thread") is None
    database.close()
