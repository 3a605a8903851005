"""Channels that LangGraph rebuilds from the writes of their ancestors."""

from __future__ import annotations

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.graph import START, StateGraph

from dalsegno.checkpoints import Checkpointer, SqliteCheckpointer, open_checkpointer
from dalsegno.errors import CheckpointError

THREAD: Any = {"configurable": {"thread_id": "t"}}


def extend(value: list[int], updates: list[list[int]]) -> list[int]:
    return [*value, *(item for update in updates for item in update)]


class State(TypedDict):
    items: Annotated[list[int], DeltaChannel(extend, snapshot_frequency=4)]
    plain: Annotated[list[int], operator.add]


def build(saver: Checkpointer) -> Any:
    def count(state: State) -> Any:
        return {"items": [len(state["items"])], "plain": [len(state["plain"])]}

    graph = StateGraph(State)
    graph.add_node("count", count)
    graph.add_edge(START, "count")
    return graph.compile(checkpointer=saver)


def run(saver: Checkpointer, times: int, run_id: str = "r") -> list[int]:
    app = build(saver)
    result: dict[str, list[int]] = {}
    for n in range(times):
        # A run id of its own each time: LangGraph takes a known one for a resume, and drops the input.
        config = {"configurable": {**THREAD["configurable"], "run_id": f"{run_id}{n}"}}
        result = app.invoke({"items": [-1], "plain": [-1]}, config, durability="sync")
    assert result["items"] == result["plain"]
    return result["items"]


def test_a_delta_channel_is_rebuilt_after_reopening(url: str) -> None:
    for times in (1, 2, 3):
        with open_checkpointer(url) as saver:
            run(saver, times)
    with open_checkpointer(url) as saver:
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


def test_a_copied_thread_is_rebuilt_alone(saver: Checkpointer) -> None:
    expected = run(saver, 3)
    saver.copy_thread("t", "copy")
    saver.delete_thread("t")
    copy: Any = {"configurable": {"thread_id": "copy"}}
    assert build(saver).get_state(copy).values == {"items": expected, "plain": expected}


def test_a_run_that_a_later_one_is_rebuilt_from_is_not_deleted(saver: Checkpointer) -> None:
    expected = run(saver, 2)
    with pytest.raises(CheckpointError, match="DeltaChannel"):
        saver.delete_for_runs(["r0"])
    assert build(saver).get_state(THREAD).values["items"] == expected
    saver.delete_for_runs(["r1"])
    assert build(saver).get_state(THREAD).values["items"] == expected[:2]
    saver.delete_for_runs(["r0"])
    assert list(saver.list(THREAD)) == []


def test_forks_of_a_delta_channel_keep_apart(saver: Checkpointer) -> None:
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


def test_the_segments_of_pruned_checkpoints_are_gone(saver: Checkpointer) -> None:
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


class Unused(TypedDict, total=False):
    plain: Annotated[list[int], operator.add]
    items: Annotated[list[int], DeltaChannel(extend)]


class Reduced(TypedDict, total=False):
    plain: Annotated[list[int], operator.add]
    items: Annotated[list[int], operator.add]


def append(saver: Checkpointer, schema: Any, given: dict[str, list[int]], run_id: str = "r") -> Any:
    graph = StateGraph(schema)
    graph.add_node("append", lambda state: {"plain": [1]})
    graph.add_edge(START, "append")
    app = graph.compile(checkpointer=saver)
    app.invoke(given, {"configurable": {**THREAD["configurable"], "run_id": run_id}}, durability="sync")
    return app


def test_a_delta_channel_that_nothing_was_written_to_keeps_no_checkpoint(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        for n in range(5):
            app = append(saver, Unused, {"plain": [n]}, f"r{n}")
        before = app.get_state(THREAD).values
        saver.delete_for_runs(["r0"])
        saver.prune(["t"])
        assert len(list(saver.list(THREAD))) == 1
        assert app.get_state(THREAD).values == before


def test_a_delta_channel_that_became_another_is_still_rebuilt_after_pruning(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        for n in range(3):
            append(saver, Unused, {"items": [n]}, f"delta {n}")
        app = append(saver, Reduced, {}, "reduced")
        before = app.get_state(THREAD).values
        assert before["items"] == [0, 1, 2]
        with pytest.raises(CheckpointError, match="DeltaChannel"):
            saver.delete_for_runs(["delta 1"])
        saver.prune(["t"])
        assert app.get_state(THREAD).values == before
        app = append(saver, Reduced, {"items": [3]}, "written")
        saver.prune(["t"])
        assert len(list(saver.list(THREAD))) == 1
        assert app.get_state(THREAD).values["items"] == [0, 1, 2, 3]


# --- the history that a delta channel is rebuilt from: the conformance suite has no tests of it yet ---


def put(saver: Any, parent: Any, values: dict[str, Any], version: int) -> Any:
    checkpoint = {
        **empty_checkpoint(),
        "id": str(uuid6(clock_seq=version)),
        "channel_values": values,
        "channel_versions": {"a": version, "b": version},
    }
    place: Any = parent or {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    return saver.put(place, checkpoint, {}, {"a": version, "b": version})


def histories(saver: Any, config: Any, channels: list[str]) -> tuple[Any, Any, Any]:
    """Ours, ours awaited, and LangGraph's own walk over the same checkpoints."""
    ours = saver.get_delta_channel_history(config=config, channels=channels)
    awaited = asyncio.run(saver.aget_delta_channel_history(config=config, channels=channels))
    walked = BaseCheckpointSaver.get_delta_channel_history(saver, config=config, channels=channels)
    return ours, awaited, walked


def test_a_history_is_what_was_written_since_the_last_value(saver: Checkpointer) -> None:
    root = put(saver, None, {"a": ["seed"], "b": _DeltaSnapshot([0])}, 1)
    saver.put_writes(root, [("a", ["root"]), ("other", 1), ("a", ["root again"])], "task 1", "path 2")
    saver.put_writes(root, [("a", ["first by its path"])], "task 2", "path 1")
    middle = put(saver, root, {"b": _DeltaSnapshot([1])}, 2)
    saver.put_writes(middle, [("a", ["x" * 1000]), ("b", [2])], "task 3", "path")
    target = put(saver, middle, {}, 3)
    saver.put_writes(target, [("a", ["pending: not part of it"])], "task 4", "path")
    ours, awaited, walked = histories(saver, target, ["a", "b", "never"])
    assert ours == awaited == walked
    assert ours == {
        "a": {
            "seed": ["seed"],
            "writes": [
                ("task 2", "a", ["first by its path"]),
                ("task 1", "a", ["root"]),
                ("task 1", "a", ["root again"]),
                ("task 3", "a", ["x" * 1000]),
            ],
        },
        "b": {"seed": _DeltaSnapshot([1]), "writes": [("task 3", "b", [2])]},
        "never": {"writes": []},
    }


def test_a_history_follows_parents_and_not_time(saver: Checkpointer) -> None:
    root = put(saver, None, {"a": ["seed"]}, 1)
    saver.put_writes(root, [("a", ["shared"])], "task", "")
    left = put(saver, root, {}, 2)
    saver.put_writes(left, [("a", ["left"])], "task", "")
    right = put(saver, root, {}, 2)
    saver.put_writes(right, [("a", ["right"])], "task", "")
    for branch, name in ((left, "left"), (right, "right")):
        ours, awaited, walked = histories(saver, put(saver, branch, {}, 3), ["a"])
        assert ours == awaited == walked
        assert [value for _, _, value in ours["a"]["writes"]] == [["shared"], [name]]


def test_a_long_history_is_read_to_its_seed(saver: Checkpointer) -> None:
    config = put(saver, None, {"a": ["seed"]}, 1)
    for number in range(200):
        saver.put_writes(config, [("a", [number])], "task", "")
        config = put(saver, config, {}, number + 2)
    ours, awaited, walked = histories(saver, config, ["a"])
    assert ours == awaited == walked
    assert ours["a"]["seed"] == ["seed"]
    assert [value for _, _, value in ours["a"]["writes"]] == [[number] for number in range(200)]


def test_no_checkpoint_has_no_history(saver: Checkpointer) -> None:
    assert saver.get_delta_channel_history(config=THREAD, channels=["a"]) == {"a": {"writes": []}}
    config = put(saver, None, {"a": [1]}, 1)
    assert saver.get_delta_channel_history(config=config, channels=[]) == {}
    assert saver.get_delta_channel_history(config=config, channels=["a"]) == {"a": {"writes": []}}
