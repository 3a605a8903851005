"""Channels that LangGraph rebuilds from the writes of their ancestors."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels import DeltaChannel
from langgraph.graph import START, StateGraph

from dalsegno.checkpoints import SqliteCheckpointer
from dalsegno.errors import CheckpointError

THREAD: Any = {"configurable": {"thread_id": "t"}}


def extend(value: list[int], updates: list[list[int]]) -> list[int]:
    return [*value, *(item for update in updates for item in update)]


class State(TypedDict):
    items: Annotated[list[int], DeltaChannel(extend, snapshot_frequency=4)]
    plain: Annotated[list[int], operator.add]


def build(saver: SqliteCheckpointer) -> Any:
    def count(state: State) -> Any:
        return {"items": [len(state["items"])], "plain": [len(state["plain"])]}

    graph = StateGraph(State)
    graph.add_node("count", count)
    graph.add_edge(START, "count")
    return graph.compile(checkpointer=saver)


def run(saver: SqliteCheckpointer, times: int, run_id: str = "r") -> list[int]:
    app = build(saver)
    result: dict[str, list[int]] = {}
    for n in range(times):
        # A run id of its own each time: LangGraph takes a known one for a resume, and drops the input.
        config = {"configurable": {**THREAD["configurable"], "run_id": f"{run_id}{n}"}}
        result = app.invoke({"items": [-1], "plain": [-1]}, config, durability="sync")
    assert result["items"] == result["plain"]
    return result["items"]


def test_a_delta_channel_is_rebuilt_after_reopening(path: Path) -> None:
    for times in (1, 2, 3):
        with SqliteCheckpointer(path) as saver:
            run(saver, times)
    with SqliteCheckpointer(path) as saver:
        state = build(saver).get_state(THREAD).values
        assert state["items"] == state["plain"] != []


@pytest.mark.parametrize("times", range(1, 7))
def test_pruning_keeps_what_a_delta_channel_is_rebuilt_from(path: Path, times: int) -> None:
    with SqliteCheckpointer(path) as saver:
        expected = run(saver, times)
        before = len(list(saver.list(THREAD)))
        saver.prune(["t"])
        after = len(list(saver.list(THREAD)))
        assert after <= min(before, 2 * 4 + 2)
        assert build(saver).get_state(THREAD).values == {"items": expected, "plain": expected}
    with SqliteCheckpointer(path) as saver:
        assert run(saver, 1, "again") == [*expected, -1, len(expected) + 1]


def test_a_copied_thread_is_rebuilt_alone(saver: SqliteCheckpointer) -> None:
    expected = run(saver, 3)
    saver.copy_thread("t", "copy")
    saver.delete_thread("t")
    copy: Any = {"configurable": {"thread_id": "copy"}}
    assert build(saver).get_state(copy).values == {"items": expected, "plain": expected}


def test_a_run_that_a_later_one_is_rebuilt_from_is_not_deleted(saver: SqliteCheckpointer) -> None:
    expected = run(saver, 2)
    with pytest.raises(CheckpointError, match="DeltaChannel"):
        saver.delete_for_runs(["r0"])
    assert build(saver).get_state(THREAD).values["items"] == expected
    saver.delete_for_runs(["r1"])
    assert build(saver).get_state(THREAD).values["items"] == expected[:2]
    saver.delete_for_runs(["r0"])
    assert list(saver.list(THREAD)) == []


def test_forks_of_a_delta_channel_keep_apart(saver: SqliteCheckpointer) -> None:
    run(saver, 2)
    app = build(saver)
    history = list(app.get_state_history(THREAD))
    for snapshot in history:
        fork = app.update_state(snapshot.config, {"items": [100], "plain": [100]}, as_node="count")
        forked = app.get_state(fork).values
        assert forked["items"] == forked["plain"]
        assert forked["items"][-1] == 100
    for snapshot in history:
        again = app.get_state(snapshot.config).values
        assert again == snapshot.values


def test_the_segments_of_pruned_checkpoints_are_gone(saver: SqliteCheckpointer) -> None:
    run(saver, 5)
    saver.prune(["t"])
    kept = len(list(saver.list(THREAD)))
    with saver.database.read() as connection:
        (segments,) = connection.execute("SELECT count(*) FROM segments").fetchone()
    assert segments <= kept * 4
    saver.prune(["t"], strategy="delete")
    with saver.database.read() as connection:
        for table in ("checkpoints", "segments", "writes", "places"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    with pytest.raises(CheckpointError, match="keep_some"):
        saver.prune(["t"], strategy="keep_some")
