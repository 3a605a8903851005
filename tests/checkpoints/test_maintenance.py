"""Counting, checking, pruning, forking, exporting and deleting."""

from __future__ import annotations

import json
import operator
import random
import re
import tracemalloc
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages

from dalsegno.checkpoints import AnyDatabase, Checkpointer, Ledger, SqliteCheckpointer, maintenance
from dalsegno.checkpoints.exporting import export
from dalsegno.errors import CheckpointError, ThreadBusy


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[AIMessage], add_messages]


def build(saver: Checkpointer, rounds: int = 20) -> Any:
    def work(state: State) -> Any:
        number = len(state["log"])
        return {"log": [f"{number:03}" * 300], "messages": [AIMessage("said " * 50, id=str(number))]}

    graph = StateGraph(State)
    graph.add_node("work", work)
    graph.add_edge(START, "work")
    graph.add_conditional_edges("work", lambda s: "work" if len(s["log"]) < rounds else "__end__")
    return graph.compile(checkpointer=saver)


def run(saver: Checkpointer, thread: str, rounds: int = 20) -> Any:
    config: Any = {"configurable": {"thread_id": thread}}
    return build(saver, rounds).invoke({"log": [], "messages": []}, config, durability="sync")


def values(saver: Checkpointer, thread: str) -> Any:
    found = saver.get_tuple({"configurable": {"thread_id": thread}})
    return None if found is None else {k: found.checkpoint["channel_values"][k] for k in ("log", "messages")}


def history(saver: Checkpointer, thread: str) -> list[Any]:
    return list(saver.list({"configurable": {"thread_id": thread}}))


def test_the_size_of_a_file_is_known_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with SqliteCheckpointer("runs.db") as saver:
        run(saver, "t")
        monkeypatch.chdir("elsewhere")
        assert maintenance.statistics(saver.database).file > 10_000
        maintenance.delete_thread(saver.database, "t")
        assert maintenance.vacuum(saver.database) > 0


def test_a_superstep_stores_what_it_wrote_and_not_the_state(saver: Checkpointer) -> None:
    run(saver, "t", rounds=100)
    statistics = maintenance.statistics(saver.database)
    written = 100 * (900 + 250)
    assert statistics.stored < 2 * written
    assert statistics.checkpoints == 102
    assert (statistics.threads, statistics.runs) == (1, 0)
    assert statistics.file >= statistics.stored - statistics.free


def test_each_thread_is_counted(saver: Checkpointer) -> None:
    run(saver, "small", rounds=2)
    run(saver, "large", rounds=10)
    large, small = maintenance.thread_statistics(saver.database)
    assert (large.thread, large.checkpoints, small.thread, small.checkpoints) == ("large", 12, "small", 4)
    assert [maintenance.count_checkpoints(saver.database, t) for t in ("large", "small", "none")] == [
        12,
        4,
        0,
    ]
    assert large.stored > small.stored
    assert large.latest == history(saver, "large")[0].config["configurable"]["checkpoint_id"]


@pytest.mark.parametrize("keep", [1, 3, 100])
def test_the_newest_checkpoints_are_kept_with_what_they_share(saver: Checkpointer, keep: int) -> None:
    expected = run(saver, "t")
    run(saver, "other")
    before = history(saver, "t")
    deleted = maintenance.prune(saver.database, ["t"], keep=keep)
    assert deleted == max(len(before) - keep, 0)
    assert history(saver, "t") == before[:keep]
    assert values(saver, "t") == expected == values(saver, "other")
    assert len(history(saver, "other")) == len(before)
    assert maintenance.check(saver.database) == []
    config: Any = {"configurable": {"thread_id": "t"}}
    more = build(saver, 30).invoke({"log": ["again"]}, config, durability="sync")
    assert more["log"][: len(expected["log"])] == expected["log"]


def test_only_what_is_older_is_pruned(saver: Checkpointer) -> None:
    from datetime import datetime

    run(saver, "t")
    before = history(saver, "t")
    middle = datetime.fromisoformat(before[10].checkpoint["ts"]).timestamp()
    maintenance.prune(saver.database, older_than=100, now=middle + 100)
    assert 10 <= len(history(saver, "t")) <= 12
    assert maintenance.prune(saver.database, older_than=10**9) == 0
    for long_ago in (10**300, float("inf")):
        assert maintenance.prune(saver.database, older_than=long_ago) == 0
    with pytest.raises(CheckpointError, match="no number of seconds"):
        maintenance.prune(saver.database, older_than=float("nan"))
    with pytest.raises(CheckpointError, match="no number"):
        maintenance.prune(saver.database, older_than=1, now=float("nan"))
    with pytest.raises(CheckpointError, match="no number"):
        maintenance.prune(saver.database, older_than="7 days")  # type: ignore[arg-type]  # what a user may pass
    with pytest.raises(CheckpointError, match="no number"):
        maintenance.prune(saver.database, keep=1.5)  # type: ignore[arg-type]  # what a user may pass
    maintenance.prune(saver.database, older_than=0, now=middle + 10**6)
    assert history(saver, "t") == before[:1]


def test_threads_and_runs_may_be_named_by_what_is_no_text(saver: Checkpointer) -> None:
    thread, run_id = uuid.uuid4(), uuid.uuid4()
    config: Any = {"configurable": {"thread_id": thread, "run_id": str(run_id)}}
    build(saver, 3).invoke({"log": [], "messages": []}, config, durability="sync")
    names: Any = [thread]
    runs: Any = [run_id]
    assert maintenance.prune(saver.database, names) == 4
    assert values(saver, str(thread)) is not None
    saver.delete_for_runs(runs)
    assert values(saver, str(thread)) is None


def test_the_latest_cannot_be_pruned(saver: Checkpointer) -> None:
    with pytest.raises(CheckpointError, match="resumes from"):
        maintenance.prune(saver.database, keep=0)


def test_a_process_whose_checkpoints_were_pruned_by_another_goes_on(path: Path) -> None:
    with SqliteCheckpointer(path) as saver, SqliteCheckpointer(path) as other:
        run(saver, "t")
        fork = history(saver, "t")[5]
        config: Any = saver.get_tuple(fork.config).config  # type: ignore[union-attr]  # it is remembered now
        maintenance.prune(other.database)
        checkpoint = {**fork.checkpoint, "id": "ffffffff-0000-6000-8000-000000000000"}
        place: Any = {"configurable": {**config["configurable"], "checkpoint_ns": ""}}
        saver.put(place, checkpoint, {}, {"log": fork.checkpoint["channel_versions"]["log"]})  # type: ignore[arg-type]
        assert maintenance.check(other.database) == []
        found = other.get_tuple({"configurable": {"thread_id": "t"}})
        assert found is not None
        assert found.checkpoint["channel_values"]["log"] == fork.checkpoint["channel_values"]["log"]


@pytest.mark.parametrize("who", ["this one", "another"])
def test_what_a_channel_held_before_it_was_emptied_may_be_pruned(path: Path, who: str) -> None:
    """An input is in a channel that is empty after the first superstep; the next input is stored anew."""
    with SqliteCheckpointer(path) as saver, SqliteCheckpointer(path) as other:
        app, config = build(saver, rounds=0), {"configurable": {"thread_id": "t"}}
        for number in range(4):
            maintenance.prune((saver if who == "this one" else other).database)
            told = {"log": ["long " * 100, str(number)], "messages": []}
            app.invoke(told, config, durability="sync")
            given = [t.checkpoint["channel_values"].get("__start__") for t in history(other, "t")]
            assert given[:3] == [None, None, told]
        assert maintenance.check(other.database) == []


def test_a_fork_is_a_thread_of_its_own(saver: Checkpointer) -> None:
    run(saver, "t")
    past = history(saver, "t")[8]
    maintenance.fork(saver.database, "t", past.checkpoint["id"], "u")
    assert values(saver, "u") == {k: past.checkpoint["channel_values"][k] for k in ("log", "messages")}
    saver.delete_thread("t")
    result = build(saver).invoke(None, {"configurable": {"thread_id": "u"}}, durability="sync")
    assert len(result["log"]) == 20
    assert maintenance.check(saver.database) == []
    with pytest.raises(CheckpointError, match="exists already"):
        maintenance.fork(saver.database, "u", past.checkpoint["id"], "u")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        maintenance.fork(saver.database, "u", "00000000-0000-0000-0000-000000000000", "v")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        maintenance.fork(saver.database, "t", past.checkpoint["id"], "v")  # it was deleted
    assert history(saver, "v") == []


def test_a_fork_copies_what_its_checkpoint_came_from_and_no_more(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        run(saver, "t", rounds=100)
        oldest = history(saver, "t")[-3]
        with saver.database.read() as connection:
            before = connection.total_changes
        maintenance.fork(saver.database, "t", oldest.checkpoint["id"], "u")
        with saver.database.read() as connection:
            assert 0 < connection.total_changes - before < 20
        assert len(history(saver, "u")) == 3


def test_checkpoints_are_listed_without_all_of_them_in_memory(saver: Checkpointer) -> None:
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for number in range(1, 31):
        checkpoint: Any = {**empty_checkpoint(), "channel_versions": {"photo": number}}
        checkpoint["channel_values"] = {"photo": random.randbytes(3_000_000)}
        config = saver.put(config, checkpoint, {"step": number}, {"photo": number})
    tracemalloc.start()
    try:
        assert sum(1 for _ in saver.list(None)) == 30
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80_000_000, peak


def test_small_checkpoints_are_listed_in_as_many_looks_as_one(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        run(saver, "t", rounds=100)
        looks: dict[int, int] = {}
        for limit in (2, 100):
            statements: list[str] = []
            with saver.database.read() as connection:
                connection.set_trace_callback(statements.append)
            assert len(list(saver.list(None, limit=limit))) == limit
            with saver.database.read() as connection:
                connection.set_trace_callback(None)
            looks[limit] = sum("segments" in one for one in statements)
        assert looks[100] == looks[2] <= 3


@pytest.mark.parametrize("wanted", [{}, {"source": "loop"}])
def test_who_stops_at_the_first_checkpoint_of_a_listing_has_read_no_other(
    saver: Checkpointer, wanted: dict[str, Any]
) -> None:
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    for number in range(1, 31):
        checkpoint: Any = {**empty_checkpoint(), "channel_versions": {"photo": number}}
        checkpoint["channel_values"] = {"photo": random.randbytes(200_000)}
        config = saver.put(config, checkpoint, {"source": "loop", "step": number}, {"photo": number})
    tracemalloc.start()
    try:
        assert next(iter(saver.list(None, filter=wanted))).metadata["step"] == 30
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000, peak


def test_damage_is_named(saver: Checkpointer) -> None:
    run(saver, "t")
    assert maintenance.check(saver.database) == []
    with saver.database.transaction() as connection:
        connection.execute("UPDATE segments SET data = x'00' WHERE id = (SELECT max(id) FROM segments)")
    problems = maintenance.check(saver.database)
    assert problems
    assert all("thread 't'" in problem for problem in problems)
    with saver.database.transaction() as connection:
        connection.execute("UPDATE checkpoints SET body = x'00'")
    assert any("body" in problem for problem in maintenance.check(saver.database))


def test_what_checkpoints_have_in_common_is_checked_once(path: Path) -> None:
    statements: list[str] = []
    with SqliteCheckpointer(path) as saver:
        run(saver, "t", rounds=100)
        with saver.database.read() as connection:
            connection.set_trace_callback(statements.append)
        assert maintenance.check(saver.database) == []
    # How many segments there are depends on which of a superstep's threads comes first. Each is asked for once by 32
    # checkpoints, and by the writes of 32 tasks.
    wanted = Counter(
        number
        for one in statements
        if "FROM segments" in one
        for number in re.findall(r"\d+", one.split("'")[1])
    )
    assert wanted
    assert max(wanted.values()) <= 2 * 4


@pytest.mark.parametrize(
    "delete",
    [
        lambda saver: saver.prune("t", strategy="delete"),
        lambda saver: saver.delete_for_runs("r"),
        lambda saver: maintenance.prune(saver.database, "t"),
    ],
)
def test_a_name_is_no_list_of_names(saver: Checkpointer, delete: Any) -> None:
    run(saver, "t", rounds=2)
    before = len(history(saver, "t"))
    with pytest.raises(CheckpointError, match="list of names"):
        delete(saver)
    assert len(history(saver, "t")) == before


def test_room_is_given_back(saver: Checkpointer) -> None:
    run(saver, "t", rounds=100)
    kept = values(saver, "t")
    maintenance.prune(saver.database)
    run(saver, "gone", rounds=100)
    saver.delete_thread("gone")
    assert maintenance.vacuum(saver.database) > 100_000
    assert maintenance.statistics(saver.database).free == 0
    assert values(saver, "t") == kept


def test_room_is_given_back_with_as_many_looks_at_the_table_for_many_threads_as_for_one(path: Path) -> None:
    def scans(saver: SqliteCheckpointer) -> int:
        statements: list[str] = []
        with saver.database.read() as connection:
            connection.set_trace_callback(statements.append)
        maintenance.vacuum(saver.database)
        with saver.database.read() as connection:
            connection.set_trace_callback(None)
            looks = [one for one in statements if one.startswith(("SELECT", "WITH", "DELETE"))]
            plans = [connection.execute(f"EXPLAIN QUERY PLAN {one}").fetchall() for one in looks]
        return sum(row[3].startswith("SCAN segments") for plan in plans for row in plan)

    with SqliteCheckpointer(path) as saver:
        run(saver, "t", rounds=3)
        few = scans(saver)
        for number in range(5):
            saver.copy_thread("t", f"copy {number}")
        assert scans(saver) == few


def test_a_thread_is_deleted_everywhere_or_not_at_all(saver: Checkpointer) -> None:
    ledger = Ledger(saver.database)
    lease = ledger.begin(run_id="r", thread="t", workflow="w")
    run(saver, "t")
    with pytest.raises(ThreadBusy):
        maintenance.delete_thread(saver.database, "t")
    assert len(history(saver, "t")) == 22
    ledger.finish(lease, "completed")
    assert maintenance.delete_thread(saver.database, "t") == 22
    statistics = maintenance.statistics(saver.database)
    assert (statistics.threads, statistics.checkpoints, statistics.segments) == (0, 0, 0)
    assert (statistics.writes, statistics.runs) == (0, 0)


def test_everything_is_exported_as_lines_of_json(
    saver: Checkpointer, ledger_on: Callable[[AnyDatabase], Ledger]
) -> None:
    ledger_on(saver.database).begin(run_id="r", thread="t", workflow="w", input={"b": b"x"})
    run(saver, "t", rounds=3)
    run(saver, "other", rounds=1)
    lines = [json.loads(line) for line in export(saver.database)]
    assert [line["kind"] for line in lines] == ["run"] + ["checkpoint"] * 8
    assert lines[0]["input"] == {"b": {"base64": "eA=="}}
    chosen = [json.loads(line) for line in export(saver.database, ["t"])]
    assert {line["thread"] for line in chosen} == {"t"}
    assert [message["content"] for message in chosen[1]["values"]["messages"]] == ["said " * 50] * 3


def test_one_name_is_not_taken_for_several_threads_to_export(saver: Checkpointer) -> None:
    with pytest.raises(CheckpointError, match=r"thread_ids='rain': a list of names is needed, as \['rain'\]"):
        list(export(saver.database, "rain"))


def test_a_number_that_json_does_not_know_is_exported_as_a_text(saver: Checkpointer) -> None:
    config: Any = {"configurable": {"thread_id": "t"}}
    build(saver).update_state(config, {"log": [float("nan"), float("-inf"), 0.5]})
    (line,) = export(saver.database)
    assert json.loads(line, parse_constant=pytest.fail)["values"]["log"] == ["NaN", "-Infinity", 0.5]
