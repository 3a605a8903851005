"""Clocks that disagree: what is written later is later, on whatever machine, and whatever its clock says."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.base import id as ids
from langgraph.types import interrupt

from dalsegno import END, START, Runner, Workflow
from dalsegno.checkpoints import Checkpointer, open_checkpointer

HOUR = 3600.0


class State(TypedDict, total=False):
    n: int
    answer: str


def ask(state: State) -> State:
    return {"answer": interrupt("Go on?")}


def count(state: State) -> State:
    return {"n": state.get("n", 0) + 1}


def asking() -> Workflow:
    flow = Workflow("asking", State)
    flow.add_node("first", count).add_node(ask, interrupts=1).add_node("then", count)
    return (
        flow.add_edge(START, "first").add_edge("first", "ask").add_edge("ask", "then").add_edge("then", END)
    )


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes this process one that has just started on a machine whose clock is so many seconds off."""

    def go(seconds: float) -> None:
        clock = SimpleNamespace(time_ns=lambda: time.time_ns() + int(seconds * 1e9))
        monkeypatch.setattr(ids, "time", clock)
        monkeypatch.setattr(ids, "_last_v6_timestamp", None)

    return go


def test_a_run_goes_on_where_the_clock_is_behind(url: str, elsewhere: Callable[[float], None]) -> None:
    with Runner(asking(), db=url) as runner:
        waiting = runner.run({}, thread="t")
        assert waiting.status == "interrupted"
        elsewhere(-HOUR)
        done = runner.resume("t", value="yes")
        assert (done.status, done.output) == ("completed", {"n": 2, "answer": "yes"})
        elsewhere(-2 * HOUR)
        again = runner.run({"n": 10}, thread="t")
        assert again.status == "interrupted"
        elsewhere(-3 * HOUR)
        assert runner.resume("t", value="no").output == {"n": 12, "answer": "no"}
        steps = [
            kept.metadata["step"] for kept in runner.checkpointer.list({"configurable": {"thread_id": "t"}})
        ]
    assert steps == sorted(steps, reverse=True)


def test_a_state_that_is_set_behind_an_old_checkpoint_is_the_latest_where_the_clock_is_behind(
    saver: Checkpointer, elsewhere: Callable[[float], None]
) -> None:
    graph = asking().compile(saver)
    place: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({}, place, durability="sync")
    *_, oldest = saver.list(place)
    elsewhere(-HOUR)
    graph.update_state(oldest.config, {"n": 40}, as_node="first")
    assert graph.get_state(place).values["n"] == 40


def test_a_fork_is_the_latest_of_its_thread_where_the_clock_is_behind(
    url: str, elsewhere: Callable[[float], None]
) -> None:
    with Runner(asking(), db=url) as runner:
        runner.run({}, thread="t")
        latest, *_ = runner.checkpointer.list({"configurable": {"thread_id": "t"}})
        elsewhere(-HOUR)
        runner.fork("t", latest.checkpoint["id"], into="fork", values={"n": 7})
        assert runner.resume("fork").status == "interrupted"
        assert runner.resume("fork", value="yes").output == {"n": 8, "answer": "yes"}


@pytest.mark.parametrize(
    "name", ["ffffffff-ffff-6fff-bfff-ffffffffffff", "z", "4f1c2d80-0000-4000-8000-000000000000"]
)
def test_an_id_that_no_clock_made_is_not_followed(
    url: str, saver: Checkpointer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "_last_v6_timestamp", None)
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
    with open_checkpointer(url) as other:
        assert other.get_tuple(place) is not None
    assert ids._last_v6_timestamp is None
