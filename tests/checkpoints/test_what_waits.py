"""What waits for a commit of another connection's, and is not lost or told twice where that commit fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.types import ERROR

from dalsegno.checkpoints import ExecutionRecord, Ledger, open_database
from dalsegno.checkpoints.enlisting import Due, Enlisted, Outcome
from dalsegno.checkpoints.fencing import FENCE, Fence
from dalsegno.checkpoints.lease import Lease
from dalsegno.checkpoints.postgres import PostgresCheckpointer
from dalsegno.checkpoints.postgres.due import DueQueue
from dalsegno.errors import DatabaseUnavailable, Fenced
from tests.databases import patiently


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


def test_what_its_owner_gave_up_while_its_commit_was_under_way_was_not_done() -> None:
    queue = DueQueue()
    queue.add(execution("first"))
    taken = queue.take(["t"])
    queue.give_up("run")
    queue.put_back(taken)
    assert [one.given({}) for _, one in queue.due([])] == [["first given up"]]


def test_what_its_owner_forgot_while_its_commit_was_under_way_is_nobodys() -> None:
    queue = DueQueue()
    queue.add(execution("first"))
    taken = queue.take(["t"])
    queue.forget("run")
    queue.put_back(taken)
    assert said(queue) == []


def test_what_was_committed_while_its_owner_gave_it_up_is_not_told_again() -> None:
    queue = DueQueue()
    queue.add(execution("first"))
    taken = queue.take(["t"])
    queue.give_up("run")
    queue.committed(taken)
    assert said(queue) == []
    queue.add(execution("second"))
    queue.put_back(queue.take(["t"]))
    assert said(queue) == [["second"]]


class Between:
    """A lock behind which another connection comes, and takes what goes with its commit."""

    def __init__(self, queue: DueQueue) -> None:
        self._queue, self._lock = queue, queue._lock
        self.taken: Due = []

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self._queue._lock = self._lock
        self.taken += self._queue.take(["t"])


@pytest.mark.parametrize("over", ["give_up", "forget"])
def test_a_commit_that_comes_as_the_owner_ends_takes_nothing_that_is_the_owners_still(over: str) -> None:
    queue = DueQueue()
    queue.add(execution("first"))
    queue._lock = other = Between(queue)  # type: ignore[assignment]  # it is only entered and left
    getattr(queue, over)("run")
    queue.put_back(other.taken)  # its commit fails
    left = [["first given up"]] if over == "give_up" else []
    assert [one.given({}) for _, one in queue.due([])] == left
    assert said(queue) == left


def test_a_commit_of_one_turn_takes_nothing_of_another_turns_task() -> None:
    queue = DueQueue()
    queue.add(execution("first"))
    assert queue.take(["t"], "an earlier turn") == []
    assert [one.given({}) for _, one in queue.take(["t"], "run")] == [["first"]]


def test_a_node_whose_write_was_refused_after_its_turn_is_done_once_in_the_next(
    postgres_url: str, ledger_of: Callable[..., Ledger]
) -> None:
    ledger = ledger_of(postgres_url)
    database: Any = ledger.database
    saver = PostgresCheckpointer(database)
    place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    kept = saver.put(place, empty_checkpoint(), {}, {})
    tasks = ("task", kept["configurable"]["checkpoint_id"])

    def ended(lease: Lease) -> Any:
        """A node has ended in a turn; gives where its task writes."""
        record = ExecutionRecord(run_id="r", superstep=1, node="n", occurrence=1)
        ledger.journal(record, tasks=tasks, owner=lease.token)
        fence = Fence(database, "t", lease.token)
        return {"configurable": {**kept["configurable"], FENCE: fence}}

    first = ledger.begin(run_id="r", thread="t", workflow="w")
    late: list[BaseException] = []

    def write_late(config: Any) -> None:
        try:
            saver.put_writes(config, [("k", 1)], "task")
        except Fenced as error:
            late.append(error)

    with psycopg.connect(postgres_url) as other:
        other.execute("SET search_path TO dalsegno")
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/t', 0))")
        writing = threading.Thread(target=write_late, args=(ended(first),))
        writing.start()
        deadline = time.monotonic() + 60
        while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            assert time.monotonic() < deadline
        database.give_up(first.token)  # its turn is over, and does not wait for it
        other.execute("DELETE FROM leases")
    writing.join()
    assert len(late) == 1
    second = ledger.acquire("t", "r")
    saver.put_writes(ended(second), [("k", 1)], "task")
    ledger.finish(second, "completed")
    assert [each.status for each in ledger.executions("r")] == ["failed", "done"]


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
