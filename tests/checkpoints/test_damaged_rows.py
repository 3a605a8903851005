"""Rows that are not as they were written are said to be damaged, whatever is in them; no other error comes of them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6

from dalsegno.checkpoints import ExecutionRecord, Ledger, SqliteCheckpointer, maintenance
from dalsegno.checkpoints.file.driver import sqlite3
from dalsegno.checkpoints.records import RunOutcome
from dalsegno.errors import DatabaseInvalid, TypeNotAllowed

THREAD: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
JUNK: list[Any] = [
    None, 0, 1, -1, 2**40, True, 1.5, "x", b"x", [], {}, [1, 2], ["a"], [99, 10, 1], {1: 2}, {"<n": 1}, {"=k": 1},
    {"=k": []}, {"=k": [1, 0, 99, 5, 1, 1]}, {"=k": [1, 0, "x", 5, 1, 1]}, {"=k": [1, 0, 2, -5, 1, 1]},
    {"=k": [1, 99, b"a"]},
]  # fmt: skip
CELLS = [
    None,
    0,
    1,
    2,
    3,
    -1,
    10**12,
    b"",
    b"\x93\x01",
    b"\xff",
    ormsgpack.packb([0, 10**9, 3]),
    "text",
    "{",
    "[]",
    "[" * 5000,
    1.5,
]


def put(saver: SqliteCheckpointer, value: Any, config: Any = THREAD, version: int = 1) -> Any:
    checkpoint: Any = {
        **empty_checkpoint(),
        "id": str(uuid6()),
        "channel_values": {"k": value},
        "channel_versions": {"k": version},
    }
    return saver.put(config, checkpoint, {"step": version}, {"k": version})


@pytest.fixture
def whole(path: Path) -> bytes:
    """A database with a list that grew, was changed in the middle, and what a task wrote."""
    with SqliteCheckpointer(path) as saver:
        log = ["x" * 600]
        config = put(saver, log)
        for number in range(5):
            log = [*log, "y" * 700]
            config = put(saver, log, config, number + 2)
        config = put(saver, [*log[:2], "changed" * 100, *log[3:]], config, 9)
        saver.put_writes(config, [("k", ["z" * 900])], "task")
        ledger = Ledger(saver.database)
        ledger.finish(ledger.begin(run_id="r", thread="t", workflow="w", input={"a": 1}), "completed")
    return path.read_bytes()


def change_a_body(connection: sqlite3.Connection, table: str, chance: random.Random) -> None:
    (body,) = connection.execute(f"SELECT body FROM {table} ORDER BY checkpoint_id DESC").fetchone()
    changed: Any = ormsgpack.unpackb(body, option=ormsgpack.OPT_NON_STR_KEYS)
    place, at = None, changed
    for _ in range(chance.randrange(4)):
        if not isinstance(at, (list, dict)) or not at:
            break
        place = at, chance.choice([*at] if isinstance(at, dict) else range(len(at)))
        at = place[0][place[1]]
    if place is None:
        changed = chance.choice(JUNK)
    else:
        place[0][place[1]] = chance.choice(JUNK)
    connection.execute(
        f"UPDATE {table} SET body = ? WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM {table})",
        (ormsgpack.packb(changed, option=ormsgpack.OPT_NON_STR_KEYS),),
    )


def change_a_cell(connection: sqlite3.Connection, table: str, chance: random.Random) -> None:
    columns = [
        row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in ("id", "place")
    ]
    with contextlib.suppress(sqlite3.IntegrityError):
        connection.execute(
            f"UPDATE {table} SET {chance.choice(columns)} = ? WHERE rowid = (SELECT max(rowid) FROM {table}) - ?",
            (chance.choice(CELLS), chance.randrange(2 if table != "runs" else 1)),
        )


USES: list[Callable[[SqliteCheckpointer], Any]] = [
    lambda saver: list(saver.list(None)),
    lambda saver: list(saver.list(None, filter={"step": 9})),
    lambda saver: saver.get_tuple(THREAD),
    lambda saver: put(saver, ["new"], THREAD, 20),
    lambda saver: saver.copy_thread("t", "u"),
    lambda saver: saver.prune(["t"]),
    lambda saver: saver.delete_for_runs(["r"]),
    lambda saver: Ledger(saver.database).runs(),
    lambda saver: Ledger(saver.database).latest("t"),
]


@pytest.mark.parametrize(
    ("change", "table"),
    [
        (change_a_body, "checkpoints"),
        (change_a_body, "writes"),
        (change_a_cell, "segments"),
        (change_a_cell, "checkpoints"),
        (change_a_cell, "runs"),
    ],
)
def test_a_damaged_row_is_said_to_be_damaged(path: Path, whole: bytes, change: Any, table: str) -> None:
    chance = random.Random(table)
    told = 0
    for _ in range(25):
        path.write_bytes(whole)
        with SqliteCheckpointer(path) as saver:
            with saver.database.transaction() as connection:
                change(connection, table, chance)
            for use in USES:
                try:
                    use(saver)
                except (DatabaseInvalid, TypeNotAllowed):
                    told += 1
            maintenance.check(saver.database)
            saver.delete_thread("t")  # which mends it
            saver.delete_thread("u")
            assert maintenance.check(saver.database) == []
            maintenance.vacuum(saver.database)
            assert maintenance.statistics(saver.database).segments == 0
    assert told


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("runs", "workflow", b"w"),
        ("runs", "status", "else"),
        ("runs", "created_at", float("inf")),
        ("runs", "started_at", ""),
        ("runs", "supersteps", ""),
        ("runs", "resumes", "x"),
        ("runs", "usage", "-1"),
        ("runs", "error", '{"a": 1}'),
        ("runs", "certificate", "1"),
        ("runs", "shape", "[" * 5000),
        ("executions", "superstep", ""),
        ("executions", "node", b""),
        ("executions", "attempt", "x"),
        ("executions", "status", -1),
        ("executions", "seconds", float("inf")),
        ("executions", "targets", "9" * 5000),
        ("executions", "targets", "[" * 5000),
        ("executions", "targets", '[["only"]]'),
        ("executions", "error", "1"),
    ],
)
def test_what_nobody_of_ours_has_written_into_the_ledger_is_damage(
    path: Path, table: str, column: str, value: Any
) -> None:
    with SqliteCheckpointer(path) as saver:
        ledger = Ledger(saver.database)
        lease = ledger.begin(run_id="r", thread="t", workflow="w")
        ledger.journal(ExecutionRecord("r", 1, "a", 1, targets=[("b", None, None)]))
        ledger.finish(lease, "completed")
        assert (len(ledger.runs()), len(ledger.executions("r"))) == (1, 1)
        with saver.database.transaction() as connection:
            connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        with pytest.raises(DatabaseInvalid, match=f"`{column}`"):
            ledger.runs() if table == "runs" else ledger.executions("r")
        if table == "runs" and column in RunOutcome.__dataclass_fields__:
            with pytest.raises(DatabaseInvalid, match=f"`{column}`"):
                ledger.outcomes()
