"""Who has lost a thread writes nothing more to it, on every database."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from dalsegno.checkpoints import AnyDatabase, Checkpointer, Claim, Ledger, open_checkpointer
from dalsegno.checkpoints.fencing import FENCE, Fence
from dalsegno.checkpoints.lease import Lease, start_time, this_process
from dalsegno.errors import Fenced, ThreadBusy

FIRST, SECOND = Claim("worker 1", (100.0, 1)), Claim("worker 2", (100.0, 2))


@pytest.fixture
def worker(url: str, ledger_of: Callable[..., Ledger]) -> Callable[[], Ledger]:
    """Makes ledgers as different processes have them."""
    return lambda: ledger_of(url)


def put(saver: Checkpointer, lease: Lease | None = None, value: int = 0) -> Any:
    version = saver.get_next_version(None, None)
    checkpoint = {**empty_checkpoint(), "channel_values": {"k": value}, "channel_versions": {"k": version}}
    return saver.put(place(saver, lease), checkpoint, {}, {"k": version})  # type: ignore[arg-type]


def place(saver: Checkpointer, lease: Lease | None) -> Any:
    fence = {FENCE: Fence(saver.database, lease.thread, lease.token)} if lease else {}
    return {"configurable": {"thread_id": "t", "checkpoint_ns": "", **fence}}


def elsewhere(ledger: Ledger, **changes: Any) -> None:
    """Make the lease of thread t that of another process."""
    process = dataclasses.asdict(this_process()) | changes
    with ledger.database.transaction() as connection:
        connection.execute(
            f"UPDATE leases SET {', '.join(f'{name} = ?' for name in process)}, token = 'of another'",
            tuple(process.values()),
        )


def test_the_later_claim_has_the_thread_and_the_earlier_one_writes_nothing(
    url: str, ledger_on: Callable[[AnyDatabase], Ledger]
) -> None:
    with open_checkpointer(url) as stalled, open_checkpointer(url) as other:
        first, second = ledger_on(stalled.database), ledger_on(other.database)
        lease = first.begin(run_id="r", thread="t", workflow="w", claim=FIRST)
        written = put(stalled, lease, 1)
        taken = second.acquire("t", "r", claim=SECOND)
        with pytest.raises(Fenced, match="taken over by worker 2"):
            put(stalled, lease, 2)
        at = {"configurable": {**place(stalled, lease)["configurable"], **written["configurable"]}}
        with pytest.raises(Fenced):
            stalled.put_writes(at, [("k", 3), ("__error__", "x")], "task")
        with pytest.raises(Fenced):
            first.finish(lease, "completed")
        assert [kept.checkpoint["channel_values"] for kept in other.list(None)] == [{"k": 1}]
        assert (first.get("r").status, first.get("r").resumes) == ("running", 1)
        put(other, taken, 4)
        second.finish(taken, "completed")


def test_an_earlier_claim_comes_too_late_also_after_the_run(worker: Callable[[], Ledger]) -> None:
    ledger, late = worker(), worker()
    ledger.finish(ledger.begin(run_id="r", thread="t", workflow="w", claim=SECOND), "failed")
    with pytest.raises(Fenced, match=r"attempt 1 .* comes too late.* Attempt 2 "):
        late.acquire("t", "r", claim=FIRST)
    with pytest.raises(Fenced):
        late.acquire("t", "r", claim=dataclasses.replace(SECOND, owner="worker 3"))
    assert ledger.get("r").status == "failed"
    ledger.finish(ledger.acquire("t", "r", claim=SECOND), "failed")  # the same one may go on
    later = Claim("worker 1", (200.0, 1))  # the engine's next work begins to count anew
    ledger.finish(late.acquire("t", "r", claim=later), "completed")


def test_a_claim_pushes_nobody_aside_who_has_none(worker: Callable[[], Ledger]) -> None:
    ledger, engine = worker(), worker()
    lease = ledger.begin(run_id="r", thread="t", workflow="w")
    with pytest.raises(ThreadBusy, match=f"process {os.getpid()}"):
        engine.acquire("t", "r", claim=FIRST)
    ledger.finish(lease, "failed")
    taken = engine.acquire("t", "r", claim=FIRST)
    with pytest.raises(ThreadBusy, match=r"held by worker 1 .* or `dalsegno cancel t` first"):
        ledger.acquire("t", "r")
    with pytest.raises(ThreadBusy, match=r"cannot be deleted\. .* or `dalsegno cancel t` first"):
        ledger.delete_thread("t")
    engine.finish(taken, "completed")


def test_a_refused_claim_is_not_kept(worker: Callable[[], Ledger]) -> None:
    ledger = worker()
    lease = ledger.begin(run_id="r", thread="t", workflow="w")
    with pytest.raises(ThreadBusy):
        ledger.acquire("t", "r", claim=SECOND)
    ledger.finish(lease, "failed")
    ledger.finish(ledger.acquire("t", "r", claim=FIRST), "failed")


def test_a_deleted_thread_is_not_written_to_by_who_had_it(
    url: str, ledger_on: Callable[[AnyDatabase], Ledger]
) -> None:
    with open_checkpointer(url) as saver:
        ledger = ledger_on(saver.database)
        lease = ledger.begin(run_id="r", thread="t", workflow="w", claim=FIRST)
        put(saver, lease)
        elsewhere(ledger, boot="an earlier boot")  # it counts as dead
        ledger.delete_thread("t")
        saver.delete_thread("t")
        with pytest.raises(Fenced):
            put(saver, lease)
        assert list(saver.list(None)) == []


def test_nobody_else_changes_the_state_of_a_thread_that_a_living_process_runs_on(
    url: str, ledger_on: Callable[[AnyDatabase], Ledger]
) -> None:
    with open_checkpointer(url) as saver:
        ledger = ledger_on(saver.database)
        ledger.begin(run_id="r", thread="t", workflow="w")
        put(saver)  # a node of the run may
        elsewhere(ledger, pid=os.getppid(), started=start_time(os.getppid()))
        with pytest.raises(ThreadBusy, match="nobody else changes it"):
            put(saver)
        with pytest.raises(ThreadBusy):
            saver.delete_thread("t")
        assert len(list(saver.list(None))) == 1
        elsewhere(ledger, boot="an earlier boot")  # its process died
        put(saver)
        saver.delete_thread("t")
        assert list(saver.list(None)) == []


def test_a_write_to_a_thread_that_is_taken_meanwhile_is_made_or_refused(
    url: str, ledger_on: Callable[[AnyDatabase], Ledger]
) -> None:
    over = threading.Event()
    with open_checkpointer(url) as saver, open_checkpointer(url) as other:
        ledger = ledger_on(other.database)
        ledger.begin(run_id="r", thread="t", workflow="w")
        elsewhere(ledger, boot="an earlier boot")

        def take() -> None:
            """One process after the other has the thread, and dies."""
            number = 0
            while not over.is_set():
                number += 1
                with other.database.transaction() as connection:
                    connection.execute("UPDATE leases SET token = ?", (f"number {number}",))

        taking = threading.Thread(target=take)
        taking.start()
        made = 0
        try:
            for number in range(15):
                with contextlib.suppress(ThreadBusy):
                    put(saver, value=number)
                    made += 1
        finally:
            over.set()
            taking.join()
        assert len(list(saver.list(None))) == made


def test_pruning_all_of_a_thread_asks_who_runs_on_it_too(
    url: str, ledger_on: Callable[[AnyDatabase], Ledger]
) -> None:
    with open_checkpointer(url) as saver:
        ledger = ledger_on(saver.database)
        idle: Any = {"configurable": {"thread_id": "idle", "checkpoint_ns": ""}}
        saver.put(idle, empty_checkpoint(), {}, {})
        lease = ledger.begin(run_id="r", thread="t", workflow="w")
        put(saver, lease)
        put(saver, lease)
        with pytest.raises(ThreadBusy, match=f"'t' is held by process {os.getpid()}"):
            saver.prune(["idle", "t"], strategy="delete")
        elsewhere(ledger, pid=os.getppid(), started=start_time(os.getppid()))
        with pytest.raises(ThreadBusy, match=f"'t' is held by process {os.getppid()}"):
            asyncio.run(saver.aprune(["idle", "t"], strategy="delete"))
        assert len(list(saver.list(None))) == 3
        saver.prune(["t"])  # the latest stays: that is what its run goes on from
        assert len(list(saver.list(None))) == 2
        elsewhere(ledger, boot="an earlier boot")  # its process died
        saver.prune(["t", "idle", "t"], strategy="delete")
        assert list(saver.list(None)) == []


def test_checkpoints_of_a_run_that_goes_on_are_neither_deleted_nor_copied_over(
    url: str, ledger_on: Callable[[AnyDatabase], Ledger]
) -> None:
    with open_checkpointer(url) as saver:
        ledger = ledger_on(saver.database)
        idle: Any = {"configurable": {"thread_id": "idle", "checkpoint_ns": ""}}
        saver.put(idle, empty_checkpoint(), {}, {})
        lease = ledger.begin(run_id="r", thread="t", workflow="w")
        config = place(saver, lease)
        saver.put(config, empty_checkpoint(), {"run_id": "r"}, {})
        with pytest.raises(ThreadBusy):
            saver.delete_for_runs(["r"])
        with pytest.raises(ThreadBusy):
            saver.copy_thread("idle", "t")
        assert len(list(saver.list(None))) == 2
        saver.copy_thread("t", "another")  # its past is anybody's to read
        ledger.finish(lease, "completed")
        saver.delete_for_runs(["r"])
        saver.copy_thread("idle", "t")
        assert sorted(kept.config["configurable"]["thread_id"] for kept in saver.list(None)) == ["idle", "t"]


def test_a_late_write_of_a_turn_that_is_over_is_not_the_fault_of_the_next_one(
    url: str, ledger_on: Callable[[AnyDatabase], Ledger]
) -> None:
    with open_checkpointer(url) as saver:
        ledger = ledger_on(saver.database)
        lease = ledger.begin(run_id="r", thread="t", workflow="w")
        written = put(saver, lease, 1)
        late = {"configurable": {**place(saver, lease)["configurable"], **written["configurable"]}}
        ledger.finish(lease, "stopped")
        again = ledger.acquire("t", "r")
        for task in ("one", "other"):
            with contextlib.suppress(Fenced):  # where it waits for company, nobody is told
                saver.put_writes(late, [("k", 2)], task)
            now = put(saver, again, 3)
            saver.database.flush()
        found = saver.get_tuple(now)
        assert found is not None
        assert (found.checkpoint["channel_values"], found.pending_writes) == ({"k": 3}, [])
        ledger.finish(again, "completed")
