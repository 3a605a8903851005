"""What waits for a commit of another connection's, and is not lost or told twice where that commit fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.types import ERROR

from dalsegno.checkpoints import open_database
from dalsegno.checkpoints.enlisting import Enlisted, Outcome
from dalsegno.checkpoints.postgres import PostgresCheckpointer
from dalsegno.checkpoints.postgres.due import DueQueue
from dalsegno.errors import DatabaseUnavailable


@pytest.fixture
def database(postgres_url: str) -> Iterator[Any]:
    """One with a single connection, which is not waited for for long."""
    opened = open_database(postgres_url, connections=1, timeout=0.5)
    yield opened
    opened.close()


def execution(what: str) -> Enlisted:
    """What is enlisted of an execution of node n by task t."""

    def instead(outcome: Outcome) -> list[str]:
        return [f"{what} {outcome}"]

    return Enlisted("INSERT", [what], ("t",), instead, owner="run", slot="n")


def patiently(what: Callable[[], object]) -> None:
    """Do something also where a busy machine takes long to make a connection."""
    deadline = time.monotonic() + 60
    while True:
        try:
            what()
            return
        except DatabaseUnavailable:
            assert time.monotonic() < deadline


def said(queue: DueQueue) -> list[Any]:
    return [one.given({"t": "done"}) for _, one in queue.due(["t"])]


def test_a_task_that_begins_again_after_a_failed_commit_was_done_once() -> None:
    queue = DueQueue()
    queue.add(execution("first"))
    queue.put_back(queue.take(["t"]))
    queue.add(execution("second"))
    assert said(queue) == [["first given up"], ["second"]]


def test_a_task_that_began_again_before_its_commit_failed_was_done_once() -> None:
    queue = DueQueue()
    queue.add(execution("first"))
    taken = queue.take(["t"])
    queue.add(execution("second"))
    queue.put_back(taken)
    assert said(queue) == [["first given up"], ["second"]]
    queue.add(execution("third"))
    assert said(queue) == [["first given up"], ["second given up"], ["third"]]


def test_what_was_enlisted_waits_on_where_a_further_try_gets_no_connection(database: Any) -> None:
    database.enlist(
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM breakers WHERE key = 'back') THEN "
        "RAISE EXCEPTION 'undone' USING ERRCODE = 'serialization_failure'; END IF; END $$"
    )
    database.enlist("INSERT INTO breakers VALUES ('enlisted', NULL, 0)")
    has_it, give_back = threading.Event(), threading.Event()

    def occupy() -> None:
        with database.transaction() as session:
            session.execute("INSERT INTO breakers VALUES ('back', NULL, 0)")
            has_it.set()
            assert give_back.wait(60)

    other = threading.Thread(target=patiently, args=(occupy,))

    def write(session: Any) -> None:
        if other.ident is None:
            other.start()  # it waits for the connection that this transaction has, and gets it before a further try

    with pytest.raises(DatabaseUnavailable, match="no connection in time"):
        database.write(write)
    assert has_it.wait(60)
    give_back.set()
    other.join()
    patiently(database.flush)
    with database.read() as session:
        assert session.execute("SELECT key FROM breakers ORDER BY key").fetchall() == [
            ("back",),
            ("enlisted",),
        ]


def test_a_second_failure_and_its_journal_are_kept_where_the_connection_ends_before_its_commit(
    database: Any,
) -> None:
    saver = PostgresCheckpointer(database)
    place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    config = saver.put(place, empty_checkpoint(), {}, {})
    saver.put_writes(config, [(ERROR, "first")], "task")
    with database.transaction() as session:
        session.execute("CREATE SEQUENCE tries")
    try:
        database.enlist(
            "SELECT CASE WHEN nextval('tries') = 1 THEN pg_terminate_backend(pg_backend_pid()) END",
            tasks=("task",),
        )
        database.enlist("INSERT INTO breakers VALUES ('told', NULL, 0)", tasks=("task",))
        patiently(lambda: saver.put_writes(config, [(ERROR, "second")], "task"))
        (found,) = saver.list(place)
        assert found.pending_writes == [("task", ERROR, "second")]
        with database.read() as session:
            assert session.execute("SELECT key FROM breakers").fetchall() == [("told",)]
            assert session.execute("SELECT last_value FROM tries").fetchone() == (2,)
    finally:
        with database.transaction() as session:
            session.execute("DROP SEQUENCE tries")
