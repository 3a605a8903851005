"""What a superstep executes stays prepared: to prepare a statement takes longer than to execute it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph

from dalsegno import Runner
from dalsegno.checkpoints.file.database import Database
from dalsegno.checkpoints.file.driver import sqlite3


class State(TypedDict):
    n: int
    log: list[str]


@pytest.mark.parametrize("size", [10, 3000])
def test_no_statement_of_a_superstep_is_prepared_twice(tmp_path: Path, size: int) -> None:
    builder = StateGraph(State)
    builder.add_node("work", lambda state: {"n": state["n"] + 1, "log": [*state["log"], "x" * size]})
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", lambda s: "work" if s["n"] < 40 else END, ["work", END])
    prepared: Counter[tuple[int, str]] = Counter()

    def note(action: int, table: Any, *_: Any) -> int:
        # SQLite asks while it prepares a statement. What is asked once for each column is not counted.
        if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DELETE):
            prepared[action, table] += 1
        return int(sqlite3.SQLITE_OK)

    with Runner(builder, db=tmp_path / "runs.db") as runner:
        runner.run({"n": 0, "log": []}, "t1")
        database = runner.checkpointer.database
        assert isinstance(database, Database)
        connection = database._connection
        assert connection is not None
        connection.set_authorizer(note)  # every statement is prepared again, once
        assert runner.run({"n": 0, "log": []}, "t2").supersteps == 40
    assert prepared[sqlite3.SQLITE_INSERT, "checkpoints"]
    assert prepared[sqlite3.SQLITE_INSERT, "writes"]
    assert max(prepared.values()) <= 4, prepared
