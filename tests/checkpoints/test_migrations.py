"""Databases of older layouts are migrated: `layout_2.sql` was made by the code of version 2, and so on.

That code ran a graph of two nodes six times round, with a list, messages, an interrupt, an update and a
fork, and wrote what it read back into `layout_2.json`. In that of version 3 somebody has asked to cancel a run.
"""

from __future__ import annotations

import json
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

from dalsegno.checkpoints import Ledger, SqliteCheckpointer
from dalsegno.checkpoints.file import migrations
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.interventions import is_cancelled
from dalsegno.checkpoints.maintenance import check
from dalsegno.errors import DatabaseInvalid

HERE = Path(__file__).parent
THREAD: Any = {"configurable": {"thread_id": "t"}}


def of_version(version: int, path: Path) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript((HERE / f"layout_{version}.sql").read_text())
    connection.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return of_version(2, tmp_path / "old.db")


def told(value: Any) -> Any:
    if isinstance(value, AIMessage):
        return {"type": "AIMessage", "content": value.content, "id": value.id}
    return {"type": type(value).__name__}


@pytest.mark.parametrize("version", [2, 3])
def test_everything_in_an_older_database_reads_as_before(tmp_path: Path, version: int) -> None:
    expected = json.loads((HERE / f"layout_{version}.json").read_text())
    with SqliteCheckpointer(of_version(version, tmp_path / "old.db")) as saver:
        found = list(saver.list(None))
        with saver.database.read() as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (migrations.VERSION,)
            names = [row[0] for row in connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id")]
            assert names == [name for name, _ in migrations._STEPS]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            assert not {"blobs", "old_checkpoints", "old_writes"} & tables
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert check(saver.database) == []
    assert len(found) == len(expected)
    for one, before in zip(found, expected, strict=True):
        assert one.config["configurable"] == before["config"]
        assert json.loads(json.dumps(one.checkpoint["channel_values"], default=told)) == before["values"]
        assert one.checkpoint["channel_versions"] == before["versions"]
        assert one.checkpoint["versions_seen"] == before["seen"]
        assert one.metadata == before["metadata"]
        assert (one.parent_config and one.parent_config["configurable"]["checkpoint_id"]) == before["parent"]
        assert len(one.pending_writes or ()) == before["writes"]


def test_runs_of_an_older_database_are_what_they_were(tmp_path: Path, old: Path) -> None:
    with SqliteCheckpointer(old) as saver:
        assert Ledger(saver.database).get("r").input == {"n": 1}
    with SqliteCheckpointer(of_version(3, tmp_path / "3.db")) as saver:
        ledger = Ledger(saver.database)
        done, asked = ledger.get("done"), ledger.get("asked")
        assert (done.status, done.input, asked.status, asked.input) == (
            "completed",
            {"n": 1},
            "stopped",
            {"n": 2},
        )
        assert is_cancelled(ledger, "asked")
        assert not is_cancelled(ledger, "done")
        assert ledger.effect_get("cancel asked", "cancel") == (False, None)
        assert ledger.effect_get("key", "charge") == (True, "receipt")


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[AIMessage], add_messages]
    n: int


@pytest.mark.parametrize("version", [2, 3])
def test_a_run_that_began_in_an_older_database_goes_on(tmp_path: Path, version: int) -> None:
    def work(state: State) -> Any:
        return {"log": ["new"], "n": state["n"] + 1}

    def ask(state: State) -> Any:
        return {"log": [interrupt("how?")]}

    graph = StateGraph(State)
    graph.add_node("work", work)
    graph.add_node("ask", ask)
    graph.add_edge(START, "work")
    graph.add_conditional_edges("work", lambda s: "work" if s["n"] < 6 else "ask", ["work", "ask"])
    old = of_version(version, tmp_path / "old.db")
    for answer in ("so", "and so"):
        with SqliteCheckpointer(old) as saver:
            app = graph.compile(checkpointer=saver)
            other: Any = {"configurable": {"thread_id": "o'ther"}}
            result = app.invoke(Command(resume=answer), other, durability="sync")
            assert result["log"][-1] == answer
            app.invoke({"log": ["again"], "n": 5, "messages": []}, other, durability="sync")
            copy = app.get_state(other).values
            saver.copy_thread("o'ther", "copy")
            assert app.get_state({"configurable": {"thread_id": "copy"}}).values == copy


def test_a_database_before_the_ledger_is_migrated_too(old: Path) -> None:
    connection = sqlite3.connect(old)
    for table in ("runs", "leases", "effects", "executions"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("DELETE FROM _sqlite_migrations WHERE name = '0002_ledger'")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    with SqliteCheckpointer(old) as saver:
        ledger = Ledger(saver.database)
        ledger.finish(ledger.begin(run_id="r", thread="t", workflow="w"), "completed")
        assert saver.get_tuple(THREAD) is not None


def test_a_migration_that_fails_leaves_the_older_database(old: Path) -> None:
    connection = sqlite3.connect(old)
    connection.execute("UPDATE checkpoints SET blobs = '{\"n\": 123456}'")
    connection.commit()
    connection.close()
    with SqliteCheckpointer(old) as saver, pytest.raises(DatabaseInvalid, match="`n`"):
        saver.get_tuple(THREAD)
    connection = sqlite3.connect(old)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("SELECT count(*) FROM blobs").fetchone()[0] > 10
    connection.close()
