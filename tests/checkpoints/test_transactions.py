"""Transactions of one database, from many threads, loops and processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from dalsegno.checkpoints import AnyDatabase, Checkpointer, Database, open_checkpointer, open_database
from dalsegno.checkpoints.file.driver import sqlite3

EFFECT = "INSERT INTO effects VALUES (?, 'n', 'r', 't', 'null', '', (SELECT count(*) FROM effects))"


def keys(database: AnyDatabase) -> list[str]:
    with database.read() as connection:
        return [
            key for (key,) in connection.execute("SELECT key FROM effects ORDER BY recorded_at").fetchall()
        ]


@pytest.fixture
def database(url: str) -> Iterator[AnyDatabase]:
    opened = open_database(url)
    yield opened
    opened.close()


def put(saver: Checkpointer, thread: str, value: Any) -> Any:
    version = saver.get_next_version(None, None)
    checkpoint = {**empty_checkpoint(), "channel_values": {"k": value}, "channel_versions": {"k": version}}
    place: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    return saver.put(place, checkpoint, {}, {"k": version})  # type: ignore[arg-type]


def test_what_is_enlisted_is_written_with_the_next_commit(database: AnyDatabase) -> None:
    numbers: list[int] = []
    database.on_commit.append(numbers.append)
    database.enlist(EFFECT, ("enlisted",))
    assert keys(database) == []
    with database.transaction() as connection:
        connection.execute(EFFECT, ("body",))
    assert keys(database) == ["body", "enlisted"]
    database.flush()
    assert numbers == [1]
    database.enlist(EFFECT, ("flushed",))
    database.flush()
    assert keys(database)[-1] == "flushed"
    database.enlist(EFFECT, ("closed",))
    database.close()
    assert keys(database)[-1] == "closed"
    assert numbers == [1, 2, 3]


def test_an_error_undoes_everything_and_keeps_what_was_enlisted(database: AnyDatabase) -> None:
    database.enlist(EFFECT, ("enlisted",))

    def fail() -> None:
        with database.transaction() as connection:
            connection.execute(EFFECT, ("body",))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert keys(database) == []
    assert database.commits == 0
    database.flush()
    assert keys(database) == ["enlisted"]


def test_a_transaction_inside_another_joins_it(database: AnyDatabase) -> None:
    with database.transaction() as connection:
        connection.execute(EFFECT, ("outer",))
        with database.transaction() as same:
            assert same is connection
            same.execute(EFFECT, ("inner",))
        with database.read() as same:
            assert same.execute("SELECT count(*) FROM effects").fetchone() == (2,)
    assert database.commits == 1
    assert keys(database) == ["outer", "inner"]


def test_a_joined_transaction_that_failed_cannot_be_half_committed(database: AnyDatabase) -> None:

    def fail_inside() -> None:
        with database.transaction() as connection:
            connection.execute(EFFECT, ("outer",))
            with contextlib.suppress(ZeroDivisionError), database.transaction():
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert keys(database) == []


def test_a_wrong_statement_is_not_taken_for_a_broken_database(path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="syntax"), Database(path).transaction() as connection:
        connection.execute("SELEKT 1")


def test_many_threads_put_and_read_at_once(saver: Checkpointer) -> None:
    def work(n: int) -> None:
        for step in range(5):
            config = put(saver, f"thread-{n}", [n, step])
            saver.put_writes(config, [("k", step)], "task")
            found = saver.get_tuple(config)
            assert found is not None
            assert found.checkpoint["channel_values"] == {"k": [n, step]}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    assert len(list(saver.list(None))) == 80


def test_one_checkpointer_serves_several_event_loops_at_once(saver: Checkpointer) -> None:
    async def work(n: int) -> int:
        async def one(step: int) -> None:
            place: Any = {"configurable": {"thread_id": f"{n}", "checkpoint_ns": ""}}
            version = saver.get_next_version(None, None)
            checkpoint = {
                **empty_checkpoint(),
                "channel_values": {"k": step},
                "channel_versions": {"k": version},
            }
            config = await saver.aput(place, checkpoint, {}, {"k": version})  # type: ignore[arg-type]
            await saver.aput_writes(config, [("k", 1)], "task")
            found = await saver.aget_tuple(config)
            assert found is not None
            assert found.checkpoint["channel_values"] == {"k": step}

        await asyncio.gather(*(one(step) for step in range(10)))
        everything: Any = {"configurable": {"thread_id": f"{n}"}}
        return len([found async for found in saver.alist(everything)])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: asyncio.run(work(n)), range(4))) == [10] * 4


def test_a_list_that_is_being_read_locks_nobody_out(saver: Checkpointer) -> None:
    for step in range(100):
        put(saver, "t", step)
    place: Any = {"configurable": {"thread_id": "t"}}
    reading = saver.list(place)
    first = next(reading)
    done: list[bool] = []

    def write() -> None:
        put(saver, "t", "meanwhile")
        with open_checkpointer(saver.database.url) as another:
            another.delete_thread("other")
        done.append(True)

    thread = threading.Thread(target=write)
    thread.start()
    thread.join(10)
    assert done
    assert [first, *reading][-1].checkpoint["channel_values"] == {"k": 0}


def test_processes_write_one_database_and_nothing_is_lost(url: str, child: Any) -> None:
    def body(tell: Callable[[str], None]) -> None:
        with open_checkpointer(url) as saver:
            for step in range(25):
                put(saver, str(os.getpid()), step)

    assert [process.wait() for process in [child(body) for _ in range(4)]] == [0] * 4
    with open_checkpointer(url) as saver:
        assert len(list(saver.list(None))) == 100


def test_a_forked_child_opens_a_connection_of_its_own(saver: Checkpointer, child: Any) -> None:
    """SQLite keeps its locks in memory that a child inherits: the parent's connection is closed first."""
    put(saver, "parent", 1)
    saver.database.enlist(EFFECT, ("the parent's",))

    def body(tell: Callable[[str], None]) -> None:
        assert saver.database._connection is None
        put(saver, "child", 2)
        saver.close()

    assert child(body).wait() == 0
    assert keys(saver.database) == []
    put(saver, "parent", 3)
    assert keys(saver.database) == ["the parent's"]
    assert [t.checkpoint["channel_values"]["k"] for t in saver.list(None)] == [3, 2, 1]


def test_a_forked_child_does_not_wait_for_what_another_thread_remembers(path: Path, child: Any) -> None:
    with open_checkpointer(path) as saver:
        place = put(saver, "t", ["x" * 1000])

        def body(tell: Callable[[str], None]) -> None:
            signal.alarm(60)  # or it waits for ever
            assert saver.get_tuple(place)
            put(saver, "t", ["y" * 1000])

        with saver._cache._lock:  # type: ignore[attr-defined]  # that of a file
            process = child(body)
        assert process.wait() == 0
        assert [kept.checkpoint["channel_values"]["k"][0][0] for kept in saver.list(None)] == ["y", "x"]


def test_a_fork_inside_a_transaction_leaves_it_to_the_parent(database: AnyDatabase, child: Any) -> None:

    def body(tell: Callable[[str], None]) -> None:
        tell(str(keys(database)))

    with database.transaction() as connection:
        connection.execute(EFFECT, ("parent",))
        process = child(body)
        assert process.line() == "[]"
        assert process.wait() == 0
    assert keys(database) == ["parent"]


def test_a_relative_path_is_meant_from_where_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database("folder/runs.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for key in ("a", "b"):
        with database.transaction() as connection:
            connection.execute(EFFECT, (key,))
        monkeypatch.chdir(tmp_path)
    database.close()
    assert keys(database) == ["a", "b"]
    assert (tmp_path / "folder" / "runs.db").exists()
    assert database.path == "folder/runs.db"


def test_a_database_in_memory_outlives_a_fork(child: Any) -> None:
    database = Database(":memory:")
    with database.transaction() as connection:
        connection.execute(EFFECT, ("parent",))
    process = child(lambda tell: tell(str(keys(database))))
    assert process.line() == "[]"
    assert process.wait() == 0
    assert keys(database) == ["parent"]


def test_another_thread_may_make_a_database_while_one_is_opened(tmp_path: Path) -> None:
    made: list[Database] = []

    class Asked:
        """While somebody asks which file a database has open, another thread makes one more."""

        def __eq__(self, other: object) -> bool:
            made.append(Database(tmp_path / "other.db"))
            return False

    there = [Database(tmp_path / "there.db") for _ in range(3)]
    for one in there:
        one._opened_identity = Asked()  # type: ignore[assignment]  # what only looks like the place of a file
    opened = Database(tmp_path / "runs.db")
    for _ in range(2):  # a file that is new, and one that is there
        with opened.read() as connection:
            connection.execute("SELECT 1")
        opened.close()
    assert made
